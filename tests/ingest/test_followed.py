"""Readings on their way beside the journal: rows of recordings, times of a step, dead letters."""

from __future__ import annotations

import numpy as np
from fed_engine import Feeder, make_engine

from devices.messages import MessageChunk
from ingest.followed import Incoming, RecordedRows
from ingest.stage_watch import Stage, StageWatch
from storage.store import JournalEntry

NAN = float("nan")


def incoming(values: list[list[float]], series: list[int]) -> Incoming:
    count = len(values)
    table = np.array(values, np.float64).reshape(count, len(series))
    rows = RecordedRows("t", [str(each) for each in series], np.arange(count) + 1, np.arange(count) + 51, table)
    assert len(rows) == count
    return rows.incoming(np.array(series, np.int32), 9)


def test_a_recording_gives_its_readings_row_by_row_without_gaps_and_without_metrics_that_are_not_scored() -> None:
    found = incoming([[1.5, NAN, 2.5], [3.5, 4.5, float("inf")]], [7, 8, -1])
    assert found.batch.series.tolist() == [7, 7, 8]
    assert found.batch.time.tolist() == [1, 2, 2]
    assert found.batch.value.tolist() == [1.5, 3.5, 4.5]
    assert (found.arrival.tolist(), found.window.tolist(), found.live.tolist()) == ([51, 52, 52], [9] * 3, [True] * 3)
    assert (found.moments.tolist(), found.after_gap) == ([51, 52], False)
    assert incoming([[0.5, NAN]], [0, 1]).batch.series.tolist() == [0]
    nothing = incoming([[], []], [])
    assert (len(nothing.batch), nothing.moments.tolist()) == (0, [51, 52])


def test_a_tick_passes_time_without_a_reading() -> None:
    tick = Incoming.nothing(77)
    assert (len(tick.batch), tick.moments.tolist(), len(tick.live)) == (0, [77], 0)


def test_the_times_of_a_step_are_those_of_its_parts_one_after_the_other() -> None:
    clock = iter(range(100, 200, 10))
    watch = StageWatch(lambda: next(clock))
    rows = [(b"t", b"1", 1, 0), (b"t", b"2", 2, 0)]
    watch.begin(JournalEntry(0, 40, MessageChunk.of(rows)))
    watch.passed(Stage.DECODE)
    watch.begin(JournalEntry(0, 42, MessageChunk.of(rows[:1])))
    watch.alarms_opened(np.array([5, 6]))
    watch.alarms_opened(np.array([7]))
    assert [(part.offset, part.messages, part.begun, part.ends) for part in watch.parts] == [
        (40, 2, 100, [(Stage.ROUTE, 110), (Stage.DECODE, 120)]),
        (42, 1, 120, [(Stage.ROUTE, 130)]),
    ]
    assert watch.alarmed == [5, 6, 7]


def test_a_dead_letter_tells_each_reason_up_to_300_characters_and_how_many_of_each() -> None:
    name = b"x" * 400
    output = Feeder(make_engine())(("d", b'{"a": Infinity, "%s": -Infinity, "c": 1}' % name))
    [letter] = output.dead_letters
    first, second = letter.detail.split("\n")
    assert (first.startswith("a: "), len(second), second[:300] == "x" * 300) == (True, 300, True)
    assert (letter.reason, letter.rejected, letter.offset) == ("not_finite", {"not_finite": 2}, 0)
    assert output.counts["rejected.not_finite"] == 2
    assert "undecoded_messages" not in output.counts
    assert output.points.value.tolist() == [1.0]
