"""A configuration passes `driftline check` exactly where the service starts under it, and takes it up while running."""

from __future__ import annotations

import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console

from driftline.cli.command_line import main
from driftline.config import Config, load_config, parse_config
from driftline.config_errors import ConfigError
from driftline.http.view import Status
from driftline.runtime.service import Service

WaitUntil = Callable[..., None]

ROUTE = st.fixed_dictionaries(
    {"filter": st.sampled_from(["#", "plant/#", "plant/+/+", "a/b", "$share/g/x", "a/#/b", "+"])},
    optional={
        "qos": st.sampled_from([0, 1, 2]),
        "profile": st.sampled_from(["tasmota", "tasmotta", ""]),
        "codec": st.sampled_from(["auto", "json", "plain", "jsn"]),
        "device": st.sampled_from(["{topic}", "{topic[1]}", "{topic[", "x"]),
        "metric": st.sampled_from(["{metric}", "m-{metric}", "{nothing}"]),
        "detectors": st.sampled_from([["default"], ["default", "joint"], ["other"], []]),
        "reorder_window": st.sampled_from(["0s", "2s", "soon"]),
        "ignore": st.sampled_from([["plant/x"], ["#/a"]]),
    },
)
CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "broker": st.fixed_dictionaries(
            {},
            optional={"clean_session": st.booleans(), "username": st.just("me"), "password_file": st.just("gone.txt")},
        ),
        "routes": st.lists(ROUTE, max_size=3),
        "detectors": st.sampled_from([{"other": {"type": "cusum"}}, {"default": {"type": "zscore", "warmup": 5}}]),
        "alarm": st.sampled_from([{"threshold": 4.0}, {"clear_after": 30, "rest": 2}, {"clear_after": "1h"}]),
        "limits": st.sampled_from([{"max_series": 10}, {"max_payload": 63}]),
        "journal": st.sampled_from([{"max_bytes": 1 << 20}, {"keep": "1"}]),
    },
)


def as_toml(data: dict[str, Any]) -> str:
    lines: list[str] = []
    for name, table in data.items():
        for one in table if isinstance(table, list) else [table]:
            inner = {key: value for key, value in one.items() if isinstance(value, dict)}
            lines += [f"[[{name}]]" if isinstance(table, list) else f"[{name}]"]
            lines += [f"{key} = {_value(value)}" for key, value in one.items() if key not in inner]
            for key, sub in inner.items():
                lines += [f"[{name}.{key}]", *(f"{k} = {_value(v)}" for k, v in sub.items())]
    return "\n".join(lines)


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


class Plant:
    """A folder with a configuration file, the broker that it is run beside, and the service on it."""

    def __init__(self, folder: Path, broker: str, wait_until: WaitUntil) -> None:
        self.file = folder / "driftline.toml"
        self._broker = broker
        self._wait_until = wait_until
        self._said = StringIO()
        self._data = folder / "var"
        self._sent = self._written = 0
        self.service: Service | None = None

    def passes_check(self, text: str) -> bool:
        """Write the file, and ask `driftline check` of it."""
        self._written += 1
        self.file.write_text(f"# {self._written}\n{text}\n")
        code = main(["check", str(self.file)])
        assert code in (0, 2)
        return code == 0

    def start(self) -> bool:
        """Start a service under the file, as `driftline up` does. False where it says that it does not."""
        try:
            config = self._beside_the_broker(load_config(self.file))
            self.service = Service(
                config,
                var_dir=self._data,
                config_file=self.file,
                console=Console(file=self._said, width=1000),
                adjust=self._beside_the_broker,
            )
            self.service.start()
        except ConfigError:
            return False
        return True

    def reload(self) -> bool:
        """Let the running service look at the file. False where it says that all stays as it was."""
        assert self.service is not None
        before = self.service.config
        self._said.seek(0)
        self._said.truncate()
        self.service.reload_if_changed()
        said = self._said.getvalue()
        took = "is in force" in said
        assert took != ("stays as it was" in said), said
        assert "could not be put in force" not in said, said
        assert took or self.service.config is before
        return took

    def works(self) -> bool:
        """Send a message to each route, and wait until the engine and the database have it and every stage is well."""
        assert self.service is not None
        status = self.service.status
        self._wait_until(lambda: stage_of(self.service, "broker") == Status.GREEN, what="the subscription", within=240)
        filters = status.about().filters
        topics = [re.sub(r"^\$share/[^/]+/", "", each).replace("+", "x").replace("#", "y/z") for each in filters]
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        host, port = self._broker.removeprefix("mqtt://").rsplit(":", 1)
        client.connect(host, int(port))
        client.loop_start()
        for topic in set(topics):
            client.publish(topic, b'{"a": 1, "b": 2}', qos=1).wait_for_publish(20)
        client.disconnect()
        client.loop_stop()
        sent = self._sent = self._sent + len(set(topics))
        self._wait_until(lambda: status.counts().messages >= sent, what="the messages", within=240)
        stored = lambda: not (status.counts().lag_messages or status.counts().in_flight)  # noqa: E731
        self._wait_until(stored, what="the database", within=600)
        return not any(stage.status is Status.RED for stage in status.health().stages)

    def stop(self) -> None:
        if self.service is not None:
            self.service.stop()

    def _beside_the_broker(self, config: Config) -> Config:
        broker = config.broker.model_copy(update={"url": self._broker})
        http = config.http.model_copy(update={"port": 0})
        return config.model_copy(update={"broker": broker, "http": http})


def stage_of(service: Service | None, name: str) -> Status:
    assert service is not None
    return next(stage.status for stage in service.status.health().stages if stage.stage == name)


@contextmanager
def plant_on(folder: Path, broker: str, wait_until: WaitUntil) -> Iterator[Plant]:
    plant = Plant(folder, broker, wait_until)
    try:
        yield plant
    finally:
        plant.stop()


@pytest.mark.service("mosquitto")
@pytest.mark.timeout(900)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(configurations=st.lists(CONFIG, min_size=2, max_size=4))
def test_the_check_passes_exactly_where_the_service_starts_and_takes_it_up(
    configurations: list[dict[str, Any]], mosquitto: Any, wait_until: WaitUntil, tmp_path_factory: Any
) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path_factory.getbasetemp()))
    with plant_on(folder, mosquitto.url, wait_until) as plant:
        running = False
        for data in configurations:
            passes = plant.passes_check(as_toml(data))
            assert passes == (plant.reload() if running else plant.start())
            running = running or passes
            assert not running or plant.works()
    shutil.rmtree(folder)


def without_broker(config: Config) -> Config:
    """The configuration with a broker that is away, and any free port."""
    broker = config.broker.model_copy(update={"url": "mqtt://127.0.0.1:1"})
    return config.model_copy(update={"broker": broker, "http": config.http.model_copy(update={"port": 0})})


REFUSED_BY_THE_CHECK_ALONE = [
    "[broker]\nclean_session = true\n",
    '[broker]\nusername = "me"\npassword_file = "gone"\n',
    '[[routes]]\nfilter = "#"\ndetectors = ["emwa"]\n',
    '[[routes]]\nfilter = "#"\ncodec = "jsn"\n',
    '[[routes]]\nfilter = "#"\ncodec = { type = "json", tme = "t" }\n',
    '[detectors.mine]\ntype = "zscoer"\n[[routes]]\nfilter = "#"\ndetectors = ["mine"]\n',
    '[detectors.mine]\ntype = "zscore"\nwarmup = "soon"\n[[routes]]\nfilter = "#"\ndetectors = ["mine"]\n',
]


@pytest.mark.parametrize("text", REFUSED_BY_THE_CHECK_ALONE)
def test_what_the_check_alone_refuses_would_not_have_started(text: str, tmp_path: Path) -> None:
    """The models take these tables; without the checks over the whole file the start would fail."""
    (tmp_path / "driftline.toml").write_text(text)
    assert main(["check", str(tmp_path / "driftline.toml")]) == 2
    config = without_broker(Config.model_validate(tomllib.loads(text)))
    service = Service(config, var_dir=tmp_path / "var", console=Console(file=StringIO()))
    try:
        with pytest.raises((ConfigError, ValueError, KeyError)):
            service.start()
    finally:
        service.stop()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "[broker]\nclean_session = true\n",
            "broker.clean_session: the routes that hold where none are set ask for QoS 1; expected qos = 0 in every "
            "route beside broker.clean_session = true",
        ),
        (
            '[broker]\nclean_session = true\n[[routes]]\nfilter = "a"\nqos = 0\n[[routes]]\nfilter = "b"\n',
            "routes[1].qos: got 1, expected qos = 0 in every route beside broker.clean_session = true",
        ),
    ],
)
def test_a_session_that_is_forgotten_takes_no_promise(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert [one.removeprefix("driftline.toml: ") for one in caught.value.errors] == [error]


FORMER = "[alarm]\nrest = 2\nclear_after = 30\n"
NOTES = [
    "alarm.clear_after: a number of readings is called clear_readings now: write clear_readings = 30 in its place, and "
    'clear_after as a duration ("0s" for none); the former name is read by this version only',
    "alarm.rest: is called cooldown now: write cooldown = 2 in its place; the former name is read by this version only",
]


def test_a_setting_under_its_former_name_holds_and_is_named_by_check_start_reload_and_health(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "driftline.toml"
    file.write_text(FORMER)
    assert main(["check", str(file)]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "warning" in line] == [
        f"warning {note}" for note in NOTES
    ]
    said = StringIO()
    config = load_config(file)
    assert (config.alarm.cooldown, config.alarm.clear_readings, config.alarm.clear_after) == (2, 30, "0s")
    service = Service(
        without_broker(config), var_dir=tmp_path / "var", config_file=file, console=Console(file=said, width=1000),
        adjust=without_broker,
    )  # fmt: skip
    try:
        service.start()
        service.say_what_runs()
        assert warned(said) == NOTES
        stages = {stage.stage: stage for stage in service.status.health().stages}
        assert (stages["configuration"].status, stages["configuration"].message) == (Status.YELLOW, "; ".join(NOTES))
        file.write_text("[alarm]\ncooldown = 2\n")
        service.reload_if_changed()
        assert warned(said) == NOTES, "nothing more to warn of"
        assert "configuration" not in {stage.stage for stage in service.status.health().stages}
        file.write_text("# Again.\n" + FORMER)
        service.reload_if_changed()
        assert warned(said) == NOTES + NOTES
    finally:
        service.stop()


def warned(said: StringIO) -> list[str]:
    lines = said.getvalue().splitlines()
    return [line.removeprefix("warning").strip() for line in lines if line.startswith("warning")]


def test_files_that_the_configuration_names_are_looked_at_before_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "secret").write_bytes(b"\xff")
    (tmp_path / "driftline.toml").write_text(
        '[broker]\nusername = "me"\npassword_file = "gone"\n[http]\ntls_certificate = "empty.pem"\n'
        'tls_key = "empty.pem"\n[[notices]]\nname = "ops"\nkind = "webhook"\nurl = "http://a"\nsecret_file = "secret"\n'
    )
    errors = [
        "broker.password_file: gone cannot be read: No such file or directory",
        "notices[0].secret_file: secret cannot be read: not UTF-8",
        "http.tls_certificate: empty.pem with the key empty.pem: expected a certificate chain and its key (PEM): ",
    ]
    for command in (["check"], ["up", "--data", "var"]):
        assert main(command) == 2
        lines = [line.removeprefix("driftline: ") for line in capsys.readouterr().err.splitlines()]
        assert len(lines) == len(errors)
        assert all(line.startswith(error) for line, error in zip(lines, errors, strict=True)), lines
    assert not (tmp_path / "var").exists()


def test_a_service_without_a_page_says_so_and_to_commands_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = StringIO()
    config = without_broker(parse_config("[http]\nenabled = false\n"))
    file = tmp_path / "driftline.toml"
    service = Service(config, var_dir=tmp_path / "var", config_file=file, console=Console(file=said, width=1000))
    try:
        service.start()
        service.say_what_runs()
        assert f"topics    #; there is no {file} yet\n" in said.getvalue()
        assert "page      not served (http.enabled = false)" in said.getvalue()
        assert main(["devices", "--data", str(tmp_path / "var")]) == 3
        assert "serves no API: http.enabled = false in its configuration" in capsys.readouterr().err
    finally:
        service.stop()
