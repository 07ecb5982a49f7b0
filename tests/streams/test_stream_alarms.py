"""Alarms that the conditions of streams open and end: when, of what, in which words, and once over every restart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_steps import SECOND, START, Message, run, tick

from alerts.actions import Acknowledge, Clear, encode
from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from devices.records import AlarmRecord, AlarmState
from driftline.config import parse_config
from driftline.config_errors import ConfigError
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput
from streams.stream_settings import StreamSettings
from streams.stream_stage import Streams

DETECTORS = {"default": ComponentSettings(type="zscore", warmup=5)}
MEAN = "select device, avg(heat) as mean, count(*) as n from window group by device"
SENTENCE = "mean heat of {mean} in {n} readings up to {window_end}"


def hot(**alarm: Any) -> StreamSettings:
    rule = {"when": "mean > 80", "severity": "critical", "sentence": SENTENCE, "value": "mean", **alarm}
    return StreamSettings.model_validate(
        {"name": "hot", "from": "readings", "sql": MEAN, "window": {"size": "2s"}, "to": ["alarm"], "alarm": rule}
    )


def engine_with(*streams: StreamSettings) -> Engine:
    return Engine(
        [RouteSettings(filter="#")],
        DETECTORS,
        AlarmSettings(threshold=2.0, clear_after="3s", clear_readings=2),
        LimitSettings(),
        streams=Streams(streams) if streams else None,
    )


def message(device: str, seconds: float, heat: float) -> Message:
    return device.encode(), json.dumps({"heat": heat}).encode(), START + round(seconds * SECOND), 1


def idle(engine: Engine) -> list[StepOutput]:
    """Ticks as the service makes them, until nothing is due."""
    outputs = []
    while engine.streams is not None and (due := engine.streams.due) is not None:
        outputs.append(engine.step(JournalEntry(engine.position, 1_000, MessageChunk.of([], ticked_at=due))))
    return outputs


def changes(outputs: Sequence[StepOutput], engine: Engine) -> list[tuple[int, str, str, float, float | None]]:
    """Of each change of a stream's alarm: its number, device, state, opened and cleared in seconds after the start."""
    return [
        (each.alarm, engine.registry.records[each.series].device, each.state.value, *times(each))
        for each in stream_alarms(outputs)
    ]


def stream_alarms(outputs: Sequence[StepOutput]) -> list[AlarmRecord]:
    return [alarm for output in outputs for alarm in output.alarms if "stream" in alarm.parts]


def times(alarm: AlarmRecord) -> tuple[float, float | None]:
    return (alarm.opened - START) / SECOND, None if alarm.cleared is None else (alarm.cleared - START) / SECOND


def test_an_alarm_is_open_while_the_condition_holds_and_says_what_was_asked() -> None:
    engine = engine_with(hot())
    rows = [message("oven", second, heat) for second, heat in enumerate((70, 70, 90, 92.5, 95, 95, 60, 60))]
    outputs = [*run(engine, [[row] for row in rows]), *idle(engine)]
    assert changes(outputs, engine) == [(1, "oven", "open", 4.0, None), (1, "oven", "cleared", 4.0, 8.0)]
    opened, cleared = stream_alarms(outputs)
    assert (opened.severity, opened.value) == ("critical", 91.25)
    assert opened.reason == "mean heat of 91.25 in 2 readings up to 2025-06-15 15:06:44 UTC"
    assert cleared.cleared_reason == "the condition holds no longer"
    assert engine.registry.records[opened.series].metric == "stream:hot"
    assert sum(output.counts.get("alarms_opened", 0) for output in outputs) == 1


def test_where_nothing_comes_any_more_the_alarm_is_over_after_clear_after() -> None:
    engine = engine_with(hot(clear_after="10s"))
    outputs = run(engine, [[message("oven", 0.5, 90)]])
    outputs += idle(engine)
    assert changes(outputs, engine) == [(1, "oven", "open", 2.0, None), (1, "oven", "cleared", 2.0, 12.0)]


def test_each_device_has_an_alarm_of_its_own_and_without_one_it_is_the_streams() -> None:
    engine = engine_with(hot())
    outputs = [*run(engine, [[message("oven", 0, 90), message("kiln", 0.5, 99), message("fridge", 0.6, 4)]])]
    outputs += idle(engine)
    assert [each[1:3] for each in changes(outputs, engine)] == [
        ("kiln", "open"),
        ("oven", "open"),
        ("kiln", "cleared"),
        ("oven", "cleared"),
    ]
    plant = hot(when="n > 1", sentence="", value="").model_copy(update={"sql": "select count(*) as n from window"})
    engine = engine_with(plant)
    outputs = [*run(engine, [[message("oven", 0, 90), message("kiln", 0.5, 99)]]), *idle(engine)]
    assert [each[1:3] for each in changes(outputs, engine)] == [("hot", "open"), ("hot", "cleared")]
    assert stream_alarms(outputs)[0].reason == "n > 1: n 2"


def test_people_acknowledge_and_clear_it_and_it_does_not_open_again_while_the_condition_goes_on() -> None:
    engine = engine_with(hot())
    outputs = run(engine, [[message("oven", 0, 90)], [message("oven", 2.5, 90)], [message("oven", 4.5, 90)]])
    at = START + 5 * SECOND
    for action in (Acknowledge(alarm=1, by="ann", at=at), Clear(alarm=1, by="ann", at=at)):
        outputs.append(
            engine.step(JournalEntry(engine.position, 3, MessageChunk.of_actions(encode([action]), ticked_at=at)))
        )
    outputs += run(engine, [[message("oven", 6.5, 90)], [message("oven", 8.5, 20)], [message("oven", 12.5, 90)]], 3)
    outputs += idle(engine)
    assert [each[0:3] for each in changes(outputs, engine)] == [
        (1, "oven", "open"),
        (1, "oven", "acknowledged"),
        (1, "oven", "cleared"),
        (2, "oven", "open"),
        (2, "oven", "cleared"),
    ]


def test_an_alarm_whose_stream_is_declared_no_more_is_ended() -> None:
    engine = engine_with(hot())
    run(engine, [[message("oven", 0, 90)], [message("oven", 4.5, 90)], [message("oven", 5.5, 90)]])
    assert len(engine.open_alarms) == 1
    arrays, rest = engine.state()
    for streams in ((), (hot(when="mean > 85"),)):
        after = engine_with(*streams)
        after.registry.load(engine.registry.records)
        after.load(engine.position, arrays, orjson.loads(orjson.dumps(rest)))
        [ended] = tick(after, 6, 1_000).alarms
        assert (ended.state, ended.cleared_reason) == (AlarmState.CLEARED, "its stream was changed or removed")


heats = st.lists(
    st.tuples(st.sampled_from(("oven", "kiln")), st.sampled_from((20, 79, 90, 120)), st.integers(1, 2 * SECOND)),
    min_size=1,
    max_size=30,
)


def drawn_messages(drawn: Sequence[tuple[str, int, int]]) -> list[Message]:
    rows, seconds = [], 0.0
    for device, heat, gap in drawn:
        seconds += gap / SECOND
        rows.append(message(device, seconds, heat))
    return rows


@settings(max_examples=20, deadline=None)
@given(heats, st.sets(st.integers(1, 29), max_size=8))
def test_other_cuts_and_a_restart_give_the_same_alarms(drawn: list[tuple[str, int, int]], cuts: set[int]) -> None:
    rows = drawn_messages(drawn)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    whole = engine_with(hot())
    expected = [alarm for output in [*run(whole, [rows]), *idle(whole)] for alarm in output.alarms]
    engine, outputs = engine_with(hot()), []
    for start, end in pairwise(bounds):
        outputs += run(engine, [rows[start:end]], start)
        arrays, rest = engine.state()
        after = engine_with(hot())
        after.registry.load(engine.registry.records)
        after.load(engine.position, arrays, orjson.loads(orjson.dumps(rest)))
        engine = after
    outputs += idle(engine)
    assert repr([alarm for output in outputs for alarm in output.alarms]) == repr(expected)
    assert [(each.device, each.metric) for each in engine.registry.records] == [
        (each.device, each.metric) for each in whole.registry.records
    ]


@pytest.mark.parametrize(
    ("to", "rule", "said"),
    [
        ('"alarm"', "", 'streams[0]: to = ["alarm"]: expected a condition, such as alarm = { when = "mean > 80" }'),
        ('"table"', 'when = "mean > 80"', 'streams[0].alarm: expected "alarm" in to, which opens it'),
        ('"alarm"', 'when = "men > 80"', 'streams[0].alarm.when: unknown column "men"; did you mean "mean"?'),
        ('"alarm"', 'when = "mean + 1"', "streams[0].alarm.when: expected a condition, which is true or false"),
        ('"alarm"', 'when = "mean > random()"', 'alarm.when: expected a condition over the columns that the SQL gives'),
        ('"alarm"', 'when = "mean > 1", device = "{devise}"', 'alarm.device: unknown column "devise"; did you mean'),
        ('"alarm"', 'when = "mean > 1", sentence = "{men}"', 'streams[0].alarm.sentence: unknown column "men"'),
        ('"alarm"', 'when = "mean > 1", value = "device"', 'alarm.value: unknown column of numbers "device"'),
        ('"alarm"', 'when = "mean > 1", severity = "bad"', "streams[0].alarm.severity: "),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_place(to: str, rule: str, said: str) -> None:
    text = f'[[streams]]\nname = "hot"\nfrom = "readings"\nwindow = {{ size = "2s" }}\nsql = "{MEAN}"\nto = [{to}]\n'
    with pytest.raises(ConfigError) as caught:
        parse_config(text + (f"alarm = {{ {rule} }}\n" if rule else ""))
    [found] = caught.value.errors
    assert said in found
