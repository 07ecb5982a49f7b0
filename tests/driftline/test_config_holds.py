"""A configuration that passes the check starts, and is put in force while another one runs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from devices.messages import MessageChunk
from driftline.config import Config, parse_config
from driftline.config_errors import ConfigError
from driftline.runtime.recovery import new_engine
from ingest.session import MqttSession
from storage.store import JournalEntry

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
        "broker": st.fixed_dictionaries({}, optional={"clean_session": st.booleans()}),
        "routes": st.lists(ROUTE, max_size=3),
        "detectors": st.sampled_from([{"other": {"type": "cusum"}}, {"default": {"type": "zscore", "warmup": 5}}]),
        "alarm": st.sampled_from([{"threshold": 4.0}, {"clear_after": 30, "rest": 2}, {"clear_after": "1h"}]),
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


def checked(data: dict[str, Any]) -> Config | None:
    try:
        return parse_config(as_toml(data))
    except ConfigError:
        return None


def start(config: Config) -> Any:
    """What the service makes of a configuration before it connects."""
    engine = new_engine(config, [])
    broker = config.broker.model_copy(update={"client_id": "test", "url": "mqtt://127.0.0.1:1"})
    MqttSession(broker, engine.router.filters, group_bytes=1 << 16, max_payload=1 << 16)
    return engine


@settings(max_examples=25, deadline=None)
@given(CONFIG, CONFIG)
def test_what_passes_the_check_starts_and_reloads(first: dict[str, Any], second: dict[str, Any]) -> None:
    before, after = checked(first), checked(second)
    assume(before is not None)
    assert before is not None
    engine = start(before)
    chunk = MessageChunk.of([(b"plant/x/y", b'{"a": 1, "b": 2}', 10**18, 1)])
    engine.step(JournalEntry(0, 0, chunk))
    if after is not None:
        start(after)
        new = new_engine(after, engine.registry.records)
        anew = new.load(engine.position, *engine.state())
        assert set(anew) <= set(after.detectors)
        new.step(JournalEntry(1, 1, chunk))


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
