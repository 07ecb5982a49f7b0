"""Ready-made actions against a real store and a real broker: what they take from the event, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import subscribe

from alerts.actions import Action, Shelve
from devices.device_actions import LabelDevice
from devices.records import ActionRecord, AlarmRecord, AlarmState, SeriesRecord
from driftline.runtime.function_actions import FunctionActions, MessagePublisher
from functions.event_contents import alarm_content, device_content
from functions.function_settings import FunctionSettings
from functions.runner import Call, FunctionRunner
from ingest.broker_settings import BrokerSettings
from storage.embedded.database import EmbeddedStore

NOW = 1_772_366_400_000_000_000
ALARM = AlarmRecord(12, 0, AlarmState.OPEN, NOW, None, "major", 5.0, 91.0, 60.0, "temp is 91 °C")
SERIES = SeriesRecord(0, "pump-1", "temp", "°C")


class Journal:
    """Keeps what it is asked to do."""

    def __init__(self) -> None:
        self.asked: list[Action] = []

    def __call__(self, actions: Sequence[Action]) -> list[ActionRecord]:
        self.asked += actions
        return [ActionRecord(1, 0, None, each.kind, each.by, each.at, "done") for each in actions]


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "points.duckdb") as store:
        yield store


@pytest.fixture
def actions(store: EmbeddedStore, journal: Journal) -> FunctionActions:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing is published here")

    def begin(workflow: str, value: Any, key: str) -> str:
        return f"{workflow} with {value} once for {key}"

    return FunctionActions(store, journal, refuse, begin, clock=lambda: NOW)


def outcome(actions: FunctionActions, trigger: str, event: Any, **declared: Any) -> tuple[str, Any]:
    settings = FunctionSettings.model_validate({"name": "f", "trigger": {"type": trigger}, **declared})
    found, _ = FunctionRunner(settings, actions, clock=lambda: NOW).call(Call(event, "k", {"type": trigger}))
    return found.kind, found.error or found.result


def test_label_and_shelve_take_device_and_alarm_from_the_event(actions: FunctionActions, journal: Journal) -> None:
    event = device_content("pump-7", "new", NOW)
    labelled = {"action": "label", "with": {"labels": {"line": "{change}"}}}
    assert outcome(actions, "device", event, **labelled) == ("ok", "done")
    alarm = alarm_content(ALARM, SERIES, NOW)
    assert outcome(actions, "alarm", alarm, action="label", **{"with": {"labels": {"hot": "yes"}}}) == ("ok", "done")
    shelved = {"action": "shelve", "with": {"seconds": 60}}
    assert outcome(actions, "alarm", alarm, **shelved) == ("ok", "done")
    label, hot, shelve = journal.asked
    assert isinstance(label, LabelDevice)
    assert isinstance(hot, LabelDevice)
    assert isinstance(shelve, Shelve)
    assert (label.device, label.labels, label.by) == ("pump-7", {"line": "new"}, "function f")
    assert (hot.device, hot.labels) == ("pump-1", {"hot": "yes"})
    assert (shelve.alarm, shelve.until) == (12, NOW + 60_000_000_000)
    expected = 'shelve.alarm: the event has no "alarm" (its fields: type, device, change, time)'
    assert outcome(actions, "device", event, **shelved) == ("error", expected)


def test_a_handler_may_leave_the_device_out_and_its_texts_stay_as_they_are(
    actions: FunctionActions, journal: Journal
) -> None:
    event = device_content("pump-7", "new", NOW)
    assert actions.act("label", {"labels": {"line": "{change}"}}, event=event, function="f", key="k") == "done"
    [label] = journal.asked
    assert isinstance(label, LabelDevice)
    assert (label.device, label.labels) == ("pump-7", {"line": "{change}"})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"A": 1, "a": 2}, 'row: the fields "A" and "a" are one column in SQL: give values with other names'),
        (
            {"row_id": 1},
            'row: the field "row_id" cannot be a column: the table has one; give values with another name',
        ),
        (
            {"Written_At": 1},
            'row: the field "Written_At" cannot be a column: the table has one; give values with another name',
        ),
        ({"": 1}, "row: the field '' cannot be a column: expected a name that can be printed; give values"),
        ({"a": 2**70}, "row: the parameters cannot be written as JSON: Integer exceeds 64-bit range"),
    ],
)
def test_a_row_that_would_lose_a_field_is_refused(
    actions: FunctionActions, store: EmbeddedStore, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match="row: ") as caught:
        actions.act("row", {"table": "told", "values": values}, event={}, function="f", key="k")
    assert str(caught.value).replace("values: ", "") == said
    if 2**70 not in values.values():
        assert outcome(actions, "device", values, action="row", **{"with": {"table": "told"}}) == ("error", said)
    assert "told" not in store.streams()


def test_a_column_is_one_however_its_capitals_are_written(actions: FunctionActions, store: EmbeddedStore) -> None:
    for number, values in enumerate(({"Line": 1}, {"line": 2})):
        actions.act("row", {"table": "told", "values": values}, event={}, function="f", key=str(number))
    assert store.query("select line from told order by row_id, line", 9).rows in ([(1,), (2,)], [(2,), (1,)])
    assert store.query("select count(line) from told", 9).rows == [(2,)]


def test_a_row_takes_no_table_that_is_there(actions: FunctionActions, store: EmbeddedStore) -> None:
    with pytest.raises(ValueError, match=r'^row: table: "points" is a table already; choose another name$'):
        actions.act("row", {"table": "points"}, event={"a": 1}, function="f", key="k")
    store.declare_streams([("rollups", {"n": "BIGINT"})])
    with pytest.raises(ValueError, match=r'^"rollups" is the table of a stream; choose another name$'):
        actions.act("row", {"table": "rollups"}, event={"n": 1}, function="f", key="k")
    assert store.query("select count(*) from points", 9).rows == [(0,)]


@pytest.mark.service("mosquitto")
def test_messages_of_functions_go_over_websocket_too(mosquitto: Any, free_port: int) -> None:
    mosquitto.stop()
    mosquitto.extra = f"listener {free_port} 127.0.0.1\nprotocol websockets\n"
    mosquitto.start()
    publish = MessagePublisher(BrokerSettings(url=f"ws://127.0.0.1:{free_port}"), None)
    publish("lamps/pump-1", b"on", retain=True)
    publish.close()
    kept = subscribe.simple("lamps/#", hostname="127.0.0.1", port=mosquitto.port)  # type: ignore[no-untyped-call]
    assert (kept.topic, kept.payload) == ("lamps/pump-1", b"on")
