"""All kinds of traffic and of actions, on engines with all that they can do: other cuts give the same tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from journal_cuts import ALARM, DETECTORS, SECOND, START, Message, stored_tables

from alerts import actions
from devices.device_actions import (
    DeleteDevice,
    ExcludePoints,
    MergeDevice,
    MuteDevice,
    RenameDevice,
    RestoreDevice,
    RetireDevice,
)
from devices.messages import FLAG_DUPLICATE, FLAG_REDELIVERED, FLAG_RETAIN, MessageChunk
from functions.function_settings import TriggerSettings
from functions.triggers import FunctionTriggers
from ingest.ingest_settings import LimitSettings, RouteSettings
from ingest.knowledge_settings import SeriesSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput
from streams.stream_settings import StreamSettings
from streams.stream_stage import Streams

ROUTES = (
    RouteSettings(filter="slow/#", reorder_window="4s", detectors=["default", "joint"]),
    RouteSettings(filter="plain/#", codec="plain", detectors=["limits", "joint"]),
    RouteSettings(filter="told/#", codec="senml", detectors=["limits"]),
    RouteSettings(filter="#"),
)
SERIES = (
    SeriesSettings(device="slow/pump", metric="m0", warn_ahead="1m", highest_allowed=95.0),
    SeriesSettings(device="plain/oven", metric="heat", shortest_duration="3s"),
)
STREAMS = [
    StreamSettings.model_validate({"name": name, "from": source, "sql": sql, "window": window, **more})
    for name, source, sql, window, more in (
        ("mean", "readings", "SELECT count(*) AS n, avg(m0) AS m FROM window", {"type": "tumbling", "size": "5s"}, {}),
        ("high", "points", "SELECT max(score) AS s, count(*) AS n FROM window", {"type": "tumbling", "size": "9s"}, {}),
        ("told", "alarms", "SELECT * FROM window", {"type": "session", "gap": "8s"}, {"by": ["device"]}),
        ("seen", "devices", "SELECT device, change FROM window", {"type": "tumbling", "size": "20s"}, {}),
        ("bad", "dead_letters", "SELECT topic, reason FROM window", {"type": "tumbling", "size": "20s"}, {}),
    )
]
TRIGGERS = [
    ("alarmed", TriggerSettings(type="alarm")),
    ("came", TriggerSettings(type="device", changes=["new", "silent", "heard", "online", "offline"])),
    ("read", TriggerSettings(type="readings", topics=["slow/#", "zigbee2mqtt/#"])),
    ("averaged", TriggerSettings(type="stream", stream="mean")),
]

Item = Message | MessageChunk
"""A message; or an entry of its own: what somebody did, or a tick."""


def make(streams: bool) -> Engine:
    return Engine(
        ROUTES,
        DETECTORS,
        ALARM,
        LimitSettings(max_series=30, max_series_per_device=6, max_new_series_an_hour=5, max_scored_series=9),
        series=SERIES,
        streams=Streams(STREAMS) if streams else None,
        functions=FunctionTriggers(TRIGGERS) if streams else None,
    )


def run(engine: Engine, items: Sequence[Item], cuts: set[int]) -> list[StepOutput]:
    """Each run of messages is cut before the items of these numbers. An entry's position is its first item's number."""
    outputs: list[StepOutput] = []
    piece: list[Message] = []

    def step(offset: int, chunk: MessageChunk) -> None:
        engine.position = offset
        outputs.append(engine.step(JournalEntry(offset, offset, chunk)))

    for number, item in enumerate(items):
        if piece and (number in cuts or isinstance(item, MessageChunk)):
            step(number - len(piece), MessageChunk.of(piece))
            piece = []
        if isinstance(item, MessageChunk):
            step(number, item)
        else:
            piece.append(item)
    if piece:
        step(len(items) - len(piece), MessageChunk.of(piece))
    return outputs


def tables(outputs: Sequence[StepOutput]) -> dict[str, Any]:
    """What a store would hold of them, and the counts."""
    whole = StepOutput.merged(list(outputs))
    progress: dict[str, Counter[str]] = {}
    for each in whole.stream_progress:
        progress.setdefault(each.stream, Counter()).update(each.counts)
    events: dict[str, list[tuple[str, int, int, bytes]]] = {}
    for event in whole.function_events:
        events.setdefault(event.function, []).append((event.key, event.time, event.shard, event.content))
    results: dict[str, list[str]] = {}
    for result in whole.stream_results:
        results.setdefault(result.stream, []).append(repr(result))
    return stored_tables(outputs) | {
        "actions": [repr(action) for action in whole.actions],
        "states": sorted(repr(state) for state in whole.states),
        "registered": sorted(repr(record) for record in whole.registered),
        "forgotten": sorted(whole.forgotten),
        "moved": whole.moved,
        "deleted": whole.deleted,
        "marked": whole.marked,
        "rises": whole.rises,
        "stream results": results,
        "stream progress": progress,
        "function events": events,
    }


def keys(made: dict[str, Any], function: str) -> list[str]:
    return [key for key, _, _, _ in made["function events"][function]]


def state(engine: Engine) -> dict[str, Any]:
    """All that the engine knows, as text."""
    arrays, rest = engine.state()
    # What a stream still holds of rows that no window needs is cut at each result.
    arrays.pop("streams", None)
    rest.pop("streams", None)
    flat = {f"{part}/{name}": array.tolist().__repr__() for part, of in arrays.items() for name, array in of.items()}
    return flat | {name: json.dumps(value, sort_keys=True, default=repr) for name, value in rest.items()}


def assert_cuts_change_nothing(items: Sequence[Item], cuts: set[int], *, streams: bool = True) -> dict[str, Any]:
    whole, cut, single = make(streams), make(streams), make(streams)
    expected = tables(run(whole, items, set()))
    for engine, where in ((cut, cuts), (single, set(range(len(items))))):
        found = tables(run(engine, items, where))
        for table, rows in expected.items():
            assert found[table] == rows, table
        known = state(engine)
        for part, value in state(whole).items():
            assert known[part] == value, part
    return expected


def payload(topic: str, behind: int, values: Sequence[int], arrival: int) -> bytes:
    first = values[0]
    if topic.endswith("/availability"):
        return b"online" if first % 2 else b"offline"
    if topic == "zigbee2mqtt/bridge/devices":
        exposes = [{"property": "temperature", "unit": "°C" if first % 2 else "°F"}]
        return json.dumps([{"friendly_name": "hall", "definition": {"exposes": exposes}}]).encode()
    if topic.startswith("homeassistant/"):
        said: dict[str, object] = {"state_topic": "rest/press", "unit_of_measurement": "bar" if first % 2 else "mbar"}
        said |= {"value_template": "{{ value_json.m0 }}", "device": {"name": f"Press {first % 3}"}}
        return json.dumps(said).encode()
    if topic.startswith("plain"):
        return b"broken" if first == 13 else b"idle" if first == 14 else b"%d" % first
    if first == 13:
        return b"{broken"
    metrics: dict[str, Any] = {f"m{number}": value for number, value in enumerate(values)}
    if topic.startswith("zigbee2mqtt"):
        metrics = {"temperature": first, "state": "ON" if first % 2 else "OFF"}
    if behind < 0:  # it does not tell its time
        return json.dumps(metrics).encode()
    when = arrival // SECOND - behind
    return json.dumps({"ts": 1_000 if behind == 7 else when * 1000, **metrics}).encode()


DEVICES = ("slow/pump", "plain/oven", "rest/press", "hall", "rest/mill")


def action(kind: int, number: int, at: int) -> actions.Action:
    by: dict[str, Any] = {"by": "ann", "at": at}
    device, other = DEVICES[number % len(DEVICES)], DEVICES[(number + 1) % len(DEVICES)]
    stretch: dict[str, Any] = {
        **by,
        "device": device,
        "metric": "m0",
        "start": at - 30 * SECOND,
        "end": at + 5 * SECOND,
    }
    alarm: dict[str, Any] = {**by, "alarm": number}
    made: tuple[actions.Action, ...] = (
        actions.Feedback(**alarm, verdict="right"),
        actions.Feedback(**alarm, verdict="wrong"),
        actions.Feedback(**alarm, verdict="expected"),
        actions.UndoFeedback(**alarm),
        actions.Acknowledge(**alarm),
        actions.Shelve(**alarm, until=at + 20 * SECOND),
        actions.Clear(**alarm),
        actions.DoNotLearn(**stretch),
        actions.MarkStretch(**stretch, mark="fault"),
        ExcludePoints(**stretch),
        RenameDevice(**by, device=device, name=f"name {number}"),
        RetireDevice(**by, device=device),
        RestoreDevice(**by, device=device),
        MuteDevice(**by, device=device),
        MergeDevice(**by, device=device, into=other),
        DeleteDevice(**by, device=device),
        actions.ReportChannel(**by, channel="mail", state="dead" if number % 2 else "well", since=at),
    )
    return made[kind % len(made)]


Drawn = tuple[str, int, list[int], int, int]


def encoded(drawn: Sequence[Drawn]) -> list[Item]:
    items: list[Item] = []
    arrival = START
    for topic, behind, values, flags, gap in drawn:
        arrival += gap
        if topic == "action":
            done = [action(value, place + max(behind, 0) + 1, arrival) for place, value in enumerate(values)]
            items.append(MessageChunk.of_actions(actions.encode(done), ticked_at=arrival))
        elif topic == "tick":
            kinds = (
                MessageChunk.reception_gap,
                MessageChunk.session_mark,
                lambda at: MessageChunk.of([], ticked_at=at),
            )
            items.append(kinds[values[0] % 3](arrival))
        else:
            items.append((topic.encode(), payload(topic, behind, values, arrival), arrival, flags))
    return items


TOPICS = (
    "slow/pump",
    "slow/pump",
    "slow/pump/availability",
    "plain/oven/heat",
    "plain/oven/power",
    "rest/press",
    "rest/press",
    "rest/mill",
    "zigbee2mqtt/hall",
    "zigbee2mqtt/hall",
    "zigbee2mqtt/hall/availability",
    "zigbee2mqtt/bridge/devices",
    "homeassistant/sensor/press/config",
    "rest/new",
    "told/press",
    "action",
    "action",
    "tick",
)
FLAGS = (0, 0, 0, 1, FLAG_RETAIN, 1 | FLAG_DUPLICATE | FLAG_REDELIVERED)
STEADY: list[Drawn] = [
    (topic, 0, [20 + i % 2, 21, 22], 0, SECOND // 3)
    for i in range(12)
    for topic in ("slow/pump", "plain/oven/heat", "rest/press", "zigbee2mqtt/hall")
]
"""Devices that are known."""
items = st.lists(
    st.tuples(
        st.sampled_from(TOPICS),
        st.sampled_from((0, 0, 0, 1, 3, 7, -1)),
        st.lists(st.sampled_from((20, 20, 21, 13, 14, 55, 90, 99)), min_size=1, max_size=4),
        st.sampled_from(FLAGS),
        st.sampled_from((SECOND // 1000, SECOND // 3, SECOND // 3, 2 * SECOND, 11 * SECOND, 40 * SECOND)),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(items, st.sets(st.integers(1, len(STEADY) + 59), max_size=12))
def test_other_cuts_give_the_same_tables_and_the_same_state(drawn: list[Drawn], cuts: set[int]) -> None:
    assert_cuts_change_nothing(encoded([*STEADY, *drawn]), cuts)


def one_entry(drawn: Sequence[Drawn]) -> tuple[Engine, dict[str, Any]]:
    """The engine and its tables after all of it in one entry; other cuts give the same."""
    rows = encoded(drawn)
    expected = assert_cuts_change_nothing(rows, {1}, streams=False)
    engine = make(streams=False)
    assert tables(run(engine, rows, set())) == expected
    return engine, expected


def test_what_is_described_behind_a_reading_is_known_from_there_on() -> None:
    press, config = ("rest/press", 0, [20], 0, SECOND), "homeassistant/sensor/press/config"
    engine, _ = one_entry([press, (config, 0, [20], 0, 1), press, (config, 0, [21], 0, 1), press])
    assert engine.book.get("rest/press").name == "Press 2"
    assert engine.registry.records[0].unit == "bar"
    engine, _ = one_entry([press, (config, 0, [20], 0, 1)])
    assert (engine.book.get("rest/press").name, engine.registry.records[0].unit) == ("", ""), "nothing came since"


def test_messages_are_counted_from_the_first_refusal_on_and_a_device_is_back_by_its_first_message() -> None:
    hall, gone = ("zigbee2mqtt/hall", 0, [20], 0, SECOND), ("zigbee2mqtt/hall/availability", 0, [20], 0, SECOND)
    engine, _ = one_entry([hall, hall, gone, ("zigbee2mqtt/hall", 0, [13], 0, SECOND), hall, hall])
    status = engine.observer.statuses.get("hall")
    assert status is not None
    assert (status.online, status.online_since) == (True, START + 5 * SECOND)
    assert (status.messages, status.refused) == (3, 1)


def test_a_state_that_was_retained_is_news_when_it_comes_again() -> None:
    oven: list[Drawn] = [("plain/oven/heat", 0, [14], flags, SECOND) for flags in (FLAG_RETAIN, 0, 0, FLAG_RETAIN)]
    engine, made = one_entry(oven)
    assert made["states"] == [f"StateRecord(series=0, time={START + 2 * SECOND}, text='idle')"]
    assert engine.observer.last_known == {0: "idle"}, "retained behind the newest"


def test_a_series_that_waited_is_scored_from_the_reading_on_by_which_it_is_taken_up() -> None:
    five: list[Drawn] = [(f"plain/d{i}/v", 0, [1], 0, SECOND) for i in range(5)]
    engine, made = one_entry([*five, *(("plain/late/v", 0, [99], 0, SECOND) for _ in range(22))])
    assert made["counts"]["anomalies"] == 3, "its 20th, 21st and 22nd"
    assert engine.admission.waiting == 0


def test_a_reading_that_is_refused_names_the_limit_that_was_reached_when_it_came() -> None:
    rows = [(f"plain/d{i}/v", 0, [1], 0, SECOND) for i in range(24)]
    press = b"%s" % json.dumps({f"m{i}": i for i in range(7)}).encode()
    items: list[Item] = [(b"rest/press", press, START, 0), *encoded([*rows, *rows[:1]])]
    expected = assert_cuts_change_nothing(items, {1}, streams=False)
    (letter,) = expected["dead letters"]
    assert 'device "rest/press" has reached limits.max_series_per_device = 6' in letter


def test_an_alarm_names_the_unit_that_was_known_when_it_opened() -> None:
    def told(second: int, value: float, **unit: str) -> Message:
        pack = json.dumps([{"n": "press", "v": value, **unit}]).encode()
        return b"told/press", pack, START + second * SECOND, 0

    items = [told(0, 20.0), told(1, 55.0), told(2, 20.0, u="bar"), *(told(second, 20.0) for second in range(3, 9))]
    made = assert_cuts_change_nothing([*items, told(9, 56.0)], {2})
    opened = [json.loads(content) for _, _, _, content in made["function events"]["alarmed"]]
    opened = [alarm for alarm in opened if alarm["state"] == "open"]
    assert [(alarm["value"], alarm["unit"]) for alarm in opened] == [(55.0, ""), (56.0, "bar")]
    assert opened[0]["reason"] == "press 55 is above 50"
    assert opened[1]["reason"] == "press 56 bar is above 50 bar"


def test_every_event_of_a_function_has_a_key_of_its_own_though_an_entry_is_stepped_in_parts() -> None:
    oven: list[Drawn] = [("plain/oven/power", 0, [value], 0, 2 * SECOND) for value in (20, 99, 20, 20, 99, 20, 20)]
    made = assert_cuts_change_nothing(encoded(oven), {4})
    assert len(keys(made, "alarmed")) == len(set(keys(made, "alarmed"))) == 4, "opened and cleared, twice"
