from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.config import Config, changed_for_next_start, load_config, parse_config
from driftline.config_errors import ConfigError
from ingest.ingest_settings import DEFAULT_DETECTORS, DEFAULT_ROUTES


def errors_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    return caught.value.errors


def test_an_empty_file_is_the_defaults() -> None:
    config = parse_config("")
    assert config == Config() == load_config(None)
    assert config.routes == DEFAULT_ROUTES
    assert config.detectors == DEFAULT_DETECTORS
    assert config.data == "./var"


def test_settings_are_read_and_the_default_detector_stays() -> None:
    config = parse_config(
        """
        data = "/srv/driftline"
        [broker]
        url = "mqtts://broker.example:8884"
        [[routes]]
        name = "pumps"
        filter = "plant/+/pump/#"
        codec = { type = "json", time = ["meta.time"] }
        device = "{topic[1]}"
        detectors = ["default", "slow"]
        [[routes.metrics]]
        match = "battery_*"
        detectors = []
        [detectors.slow]
        type = "zscore"
        half_life = 2000
        [http]
        port = 8123
        """
    )
    assert config.data == "/srv/driftline"
    assert config.broker.url == "mqtts://broker.example:8884"
    assert config.routes[0].metrics[0].detectors == []
    assert set(config.detectors) == {"default", "joint", "slow"}
    assert config.detectors["slow"].parameters == {"half_life": 2000}
    assert config.http.port == 8123


def test_the_default_detector_may_be_redefined() -> None:
    config = parse_config('[detectors.default]\ntype = "zscore"')
    assert config.detectors["default"].type == "zscore"


def test_all_errors_come_at_once_in_the_order_of_the_file() -> None:
    errors = errors_of(
        """
        [journal]
        keep = "seven days"
        grup_bytes = 4096
        [[routes]]
        filter = "a/#"
        detectors = ["slw"]
        qos = 5
        [detectors.slow]
        type = "zscor"
        [http]
        port = 70000
        """
    )
    places = [error.split(": ")[1] for error in errors]
    assert places == [
        "journal.keep",
        "journal.grup_bytes",
        "routes[0].detectors[0]",
        "routes[0].qos",
        "detectors.slow.type",
        "http.port",
    ]
    assert all(error.startswith("driftline.toml: ") for error in errors)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[brokr]\nurl = "auto"', 'brokr: unknown key "brokr"; did you mean "broker"? (known: '),
        ("[journal]\ngrup_bytes = 4096", 'journal.grup_bytes: unknown key "grup_bytes"; did you mean "group_bytes"?'),
        (
            '[[routes]]\nfilter = "#"\ndetectors = ["defualt"]',
            'routes[0].detectors[0]: unknown "defualt"; did you mean',
        ),
        (
            '[[routes]]\nfilter = "#"\n[[routes.metrics]]\nmatch = "a"\ndetectors = ["x", "default"]',
            'routes[0].metrics[0].detectors[0]: unknown "x" (known: default, joint)',
        ),
        ('[detectors.a]\ntype = "zscor"', 'detectors.a.type: unknown "zscor"; did you mean "zscore"?'),
        ('[detectors.a]\ntype = "zscore"\nhalflife = 3', 'detectors.a.halflife: unknown key "halflife"; did you mean'),
        ('[detectors.a]\ntype = "zscore"\nhalf_life = 0.5', "detectors.a.half_life: got 0.5, expected greater than"),
        ("[detectors.a]\nhalf_life = 3", "detectors.a.type: missing"),
        ('[[routes]]\nfilter = "#"\ncodec = "jsn"', 'routes[0].codec: unknown "jsn"; did you mean "json"?'),
        ('[[routes]]\nfilter = "#"\ncodec = { type = "jsn" }', 'routes[0].codec.type: unknown "jsn"; did you mean'),
        ('[[routes]]\nfilter = "#"\ncodec = { type = "json", tme = "x" }', 'routes[0].codec.tme: unknown key "tme"'),
        ('[[routes]]\nfilter = "#"\ncodec = 7', "routes[0].codec: got 7, expected a table or a valid string"),
        ('[[routes]]\nname = "a"', 'routes[0]: expected a "filter" or a "profile"'),
        ('[[routes]]\nfilter = "a/#/b"', "routes[0].filter: topic filter 'a/#/b'"),
        ('[[routes]]\nfilter = "a"\ndevice = "{topc}"', "routes[0].device: template '{topc}'"),
        ('[[routes]]\nfilter = "a"\nfuture_skew = "5 parsecs"', 'routes[0].future_skew: "5 parsecs" is not a duration'),
        ('[[routes]]\nfilter = "a"\nearliest = "yesterday"', "routes[0].earliest: 'yesterday'"),
        ('[[routes]]\nfilter = "a"\nqos = 3', "routes[0].qos: got 3, expected 0, 1 or 2"),
        ('[[routes]]\nfilter = "a"\n[[routes]]\nfilter = "a"', 'routes[1].filter: "a" is taken by routes[0]'),
        ('[[routes]]\nname = "b"\nfilter = "a"\n[[routes]]\nname = "b"\nfilter = "c"', 'routes[1].name: "b" is taken'),
        ('[[routes]]\nprofile = "tasmotta"', "routes[0].profile: "),
        ('[[routes]]\nprofile = "tasmota"\n[[routes]]\nprofile = "tasmota"', 'routes[1].profile: "tasmota" is taken'),
        ('[broker]\nprotocol = "4"', 'broker.protocol: unknown "4" (known: 3.1.1, 5)'),
        ('[broker]\nurl = "http://x"', 'broker.url: "http://x" is no broker'),
        ('[broker]\nkeep_alive = "0s"', "broker.keep_alive: "),
        ('[alarm]\nbudget = "some"', 'alarm.budget: expected "N per sensor per hour|day|week|month|year"'),
        ("[http]\nport = 70000", "http.port: got 70000, expected less than or equal to 65535"),
        ("routes = 3", "routes: got 3, expected a list"),
        ("detectors = 3", "detectors: got 3, expected a table"),
        ('routes = ["x"]', 'routes[0]: got "x", expected a table'),
        ("detectors = { slow = 3 }", "detectors.slow: got 3, expected a table"),
        ("data = true", "data: got true, expected a valid string"),
    ],
)
def test_an_error_names_place_value_and_expectation(text: str, said: str) -> None:
    (error,) = errors_of(text)
    assert error.startswith(f"driftline.toml: {said}"), error


def test_secrets_are_refused_with_where_to_put_them() -> None:
    (error,) = errors_of('[broker]\nusername = "a"\npassword = "hunter2"')
    assert error.startswith("driftline.toml: broker.password: secrets are not read from this file")
    assert "DRIFTLINE_MQTT_PASSWORD" in error
    assert "password_file" in error
    assert "hunter2" not in error


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    (error,) = errors_of('[broker]\nurl = "mqtt://user:hunter2@broker.example"')
    assert "DRIFTLINE_MQTT_PASSWORD" in error
    assert "hunter2" not in error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[[sinks]]\nname = "plant-a"\nurl = "http://me:hunter2@db.example:8086"',
            "sinks[0].url: secrets are not read from this file; take the password out of the URL and set "
            'DRIFTLINE_SINK_PLANT_A_TOKEN to the token (InfluxDB 1: USER:PASSWORD), or write token_file = "PATH" here',
        ),
        (
            '[[notices]]\nname = "ops"\nkind = "mail"\nto = ["a@b.example"]\nurl = "smtp://me:hunter2@mail.example"',
            'notices[0].url: got "smtp://me:********@mail.example", expected smtp://host, smtp+starttls://host or '
            "smtps://host; username, and secret_file or DRIFTLINE_NOTICE_OPS_SECRET, say who signs in",
        ),
        (
            '[tracing]\nendpoint = "http://me:hunter2@traces.example:4318"',
            "tracing.endpoint: secrets are not read from this file; take the password out of the URL and set "
            "OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (
            '[[functions]]\nname = "tell"\naction = "http"\nwith = { url = "http://me:hunter2@erp.example" }\n'
            'trigger = { type = "alarm" }',
            "functions[0].with.url: secrets are not read from this file; take the password out of the URL",
        ),
    ],
)
def test_a_password_in_a_url_is_refused_with_the_setting_that_holds_it_there(text: str, said: str) -> None:
    assert errors_of(text) == [f"driftline.toml: {said}"]


def test_bad_toml_is_named_with_line_and_column() -> None:
    (error,) = errors_of("data = \n")
    assert error.startswith("driftline.toml: not TOML")
    assert "line 1, column 8" in error


def test_a_file_is_named_as_given(tmp_path: Path) -> None:
    path = tmp_path / "plant.toml"
    path.write_text("data = 3")
    with pytest.raises(ConfigError, match=r"plant\.toml: data: got 3"):
        load_config(path)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b"data = '\xff'", "not UTF-8: byte 8 is 0xff")]
)
def test_an_unreadable_file_is_a_configuration_error(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "driftline.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        load_config(path)


TOML_VALUES = st.recursive(
    st.booleans() | st.integers(-10, 10) | st.text("abc/#+{}[]", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "filter", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def as_toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


@given(st.dictionaries(st.sampled_from([*Config.model_fields, "wrong"]), TOML_VALUES, max_size=4))
def test_any_toml_is_a_configuration_or_a_list_of_errors(data: dict[str, object]) -> None:
    text = "\n".join(f"{key} = {as_toml(value)}" for key, value in data.items())
    try:
        config = parse_config(text)
    except ConfigError as error:
        assert error.errors
        assert all(line.startswith("driftline.toml: ") for line in error.errors)
    else:
        assert "default" in config.detectors


def test_settings_that_a_running_service_cannot_take_up_are_named() -> None:
    before = parse_config("")
    after = parse_config(
        '[journal]\nmax_bytes = 1_000_000_000\n[snapshot]\nevery = "2m"\n[limits]\nmax_payload = 1_000\n'
    )
    assert changed_for_next_start(before, after) == ["journal", "snapshot", "limits.max_payload"]
    assert changed_for_next_start(before, parse_config('[alarm]\nbudget = "1 per sensor per year"\n')) == []
    assert changed_for_next_start(after, after) == []


def test_a_setting_s_former_name_is_read_and_named_where_it_is_wrong() -> None:
    assert parse_config("[alarm]\nrest = 40\n").alarm.cooldown == 40
    [error] = errors_of('[alarm]\nrest = "1h"\n')
    assert error.startswith("driftline.toml: alarm")
    assert "rest: got '1h', expected a number of readings; it is called cooldown now" in error
