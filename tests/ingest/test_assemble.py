"""Rows of a device from its readings, whichever way the device sends them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.assemble import HELD, Assembler

Reading = tuple[int, int, float]
"""channel, time in s, value."""

NAN = np.nan


def make(channels: int = 3) -> Assembler:
    assembler = Assembler(8)
    assembler.grow(1)
    for channel in range(channels):
        assembler.take(0, channel)
    return assembler


def rows(assembler: Assembler, readings: list[Reading], scores: list[float] | None = None) -> list[tuple[int, list]]:
    channel, time, value = (np.array(column) for column in zip(*readings, strict=True))
    made = assembler.step(
        np.zeros(len(readings), np.int32),
        channel.astype(np.int32),
        time.astype(np.int64) * 1_000_000_000,
        value.astype(np.float64),
        np.array(scores if scores is not None else [NAN] * len(readings)),
    )
    times = made.time // 1_000_000_000
    return [(int(t), v) for t, v in zip(times, made.value.tolist(), strict=True)]


def same(found: list[tuple[int, list]], expected: list[tuple[int, list]]) -> None:
    assert [time for time, _ in found] == [time for time, _ in expected]
    np.testing.assert_array_equal([v for _, v in found], [v for _, v in expected])


def test_a_payload_of_several_metrics_is_a_row_at_once() -> None:
    assembler = make()
    same(rows(assembler, [(0, 1, 1.0), (1, 1, 2.0), (2, 1, 3.0)]), [(1, [1, 2, 3])])
    same(rows(assembler, [(0, 2, 4.0), (1, 2, 5.0), (2, 2, 6.0)]), [(2, [4, 5, 6])])


def test_a_topic_for_each_metric_is_a_row_a_round() -> None:
    found = rows(make(), [(c, 10 * r + c, float(10 * r + c)) for r in range(4) for c in range(3)])
    same(found, [(12, [10, 11, 12]), (22, [20, 21, 22]), (32, [30, 31, 32])])


def test_a_payload_of_some_metrics_holds_the_others() -> None:
    readings = [(c, t, float(10 * t + c)) for t in range(1, 4) for c in range(3)]
    found = rows(make(), [*readings, (0, 4, 40.0), (1, 4, 41.0)])
    same(found[-1:], [(4, [40, 41, 32])])


def test_a_channel_that_falls_silent_is_missing_after_its_usual_intervals_and_not_waited_for() -> None:
    assembler = make()
    rows(assembler, [(c, 10 * r + c, 1.0) for r in range(20) for c in range(3)])
    later = rows(assembler, [(c, 10 * r + c, 2.0) for r in range(20, 40) for c in range(2)])
    assert later
    assert all(np.isnan(v[2]) for _, v in later)
    assert later[0][0] > 192 + HELD * 10 - 10
    assert len(later) >= 14


def test_a_slow_channel_is_held_and_a_fast_one_not_waited_for_by_it() -> None:
    readings = [(0, t, float(t)) for t in range(1, 200)]
    slow = [(1, t, -float(t)) for t in range(60, 200, 60)]
    found = rows(make(2), sorted([*readings, *slow], key=lambda each: each[1]))
    ends = [each for each in found if each[0] > 130]
    assert [t for t, _ in ends] == list(range(131, 200))
    assert {v[1] for t, v in ends if t < 180} == {-120.0}


def test_after_an_outage_rows_hold_readings_of_one_round() -> None:
    assembler = make()
    rows(assembler, [(c, 10 * r + c, 1.0) for r in range(20) for c in range(3)])
    found = rows(assembler, [(c, 9000 + 10 * r + c, float(10 * r + c)) for r in range(3) for c in range(3)])
    same(found, [(9012, [10, 11, 12]), (9022, [20, 21, 22])])
    together = make()
    rows(together, [(c, 10 * r, 1.0) for r in range(20) for c in range(3)])
    same(rows(together, [(c, 9000, float(c)) for c in range(3)]), [(9000, [0, 1, 2])])


def test_a_metric_that_appears_later_joins_the_rows() -> None:
    assembler = make(2)
    rows(assembler, [(c, t, 1.0) for t in range(5) for c in range(2)])
    assembler.take(0, 2)
    same(rows(assembler, [(c, 5, float(c)) for c in range(3)]), [(5, [0, 1, 2])])


def test_a_single_channel_makes_no_row() -> None:
    assert rows(make(1), [(0, t, 1.0) for t in range(50)]) == []
    assert rows(make(2), [(0, t, 1.0) for t in range(50)]) == []


def test_a_dropped_channel_is_neither_waited_for_nor_held() -> None:
    assembler = make()
    rows(assembler, [(c, 10 * r + c, 1.0) for r in range(5) for c in range(3)])
    assembler.drop(0, 2)
    found = rows(assembler, [(c, 50 + 10 * r + c, 2.0) for r in range(2) for c in range(2)])
    assert [np.isnan(v).tolist()[:3] for _, v in found] == [[False, False, True]] * len(found)
    assert found


def test_the_highest_score_since_the_last_row_is_kept_and_no_older_one() -> None:
    assembler = make(2)
    zeros = np.zeros(5, np.int32)
    made = assembler.step(
        zeros,
        np.array([0, 1, 0, 0, 1], np.int32),
        np.array([1, 1, 2, 3, 3], np.int64),
        np.ones(5),
        np.array([1.0, NAN, 7.0, 2.0, 0.5]),
    )
    assert made.at.tolist() == [1, 4]
    np.testing.assert_array_equal(made.score, [[1.0, NAN], [7.0, 0.5]])


def test_a_state_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 4 channels"):
        Assembler(4).load(make().state())


groups = st.lists(st.tuples(st.integers(0, 40), st.sets(st.integers(0, 2), min_size=1)), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(groups, st.integers(0, 40))
def test_rows_ascend_and_neither_cuts_nor_a_restore_change_them(gaps: list[tuple[int, set[int]]], cut: int) -> None:
    now, messages = 0, []
    for gap, channels in gaps:
        now += gap + 1
        messages.append([(c, now, float(100 * now + c)) for c in sorted(channels)])
    whole = rows(make(), [each for message in messages for each in message])
    assembler = make()
    pieces: list[tuple[int, list]] = []
    for number, message in enumerate(messages):
        if number == cut:
            restored = Assembler(8)
            restored.load(assembler.state())
            assembler = restored
        pieces += rows(assembler, message)
    same(pieces, whole)
    times = [time for time, _ in whole]
    assert times == sorted(set(times))
    said = {(c, 100 * t + c) for message in messages for c, t, _ in message}
    for time, values in whole:
        present = [(c, v) for c, v in enumerate(values) if not np.isnan(v)]
        assert len(present) >= 2
        assert all((c, v) in said and v < 100 * (time + 1) for c, v in present)
