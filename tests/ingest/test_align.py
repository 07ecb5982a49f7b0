"""Rows of a device from its readings, whichever way the device sends them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.align import FILLED, Aligner

Reading = tuple[int, int, float]
"""channel, time in s, value."""

NAN = np.nan


def make(channels: int = 3) -> Aligner:
    aligner = Aligner(8)
    aligner.grow(1)
    for channel in range(channels):
        aligner.take(0, channel)
    return aligner


def rows(aligner: Aligner, readings: list[Reading], messages: list[int] | None = None) -> list[tuple[int, list[float]]]:
    """Readings of one time are of one message, unless `messages` says otherwise."""
    channel, time, value = (np.array(column) for column in zip(*readings, strict=True))
    made = aligner.step(
        np.zeros(len(readings), np.int32),
        channel.astype(np.int32),
        time.astype(np.int64) * 1_000_000_000,
        np.array(messages) if messages is not None else time.astype(np.int64),
        value.astype(np.float64),
        np.full(len(readings), NAN),
    )
    times = made.time // 1_000_000_000
    return [(int(t), v) for t, v in zip(times, made.value.tolist(), strict=True)]


def same(found: list[tuple[int, list[float]]], expected: list[tuple[int, list[float]]]) -> None:
    assert [time for time, _ in found] == [time for time, _ in expected]
    np.testing.assert_array_equal([v for _, v in found], [v for _, v in expected])


def test_a_payload_of_several_metrics_is_a_row_at_once() -> None:
    aligner = make()
    same(rows(aligner, [(0, 1, 1.0), (1, 1, 2.0), (2, 1, 3.0)]), [(1, [1, 2, 3])])
    same(rows(aligner, [(0, 2, 4.0), (1, 2, 5.0), (2, 2, 6.0)]), [(2, [4, 5, 6])])


def test_a_topic_for_each_metric_is_a_row_a_round() -> None:
    found = rows(make(), [(c, 10 * r + c, float(10 * r + c)) for r in range(4) for c in range(3)])
    same(found, [(12, [10, 11, 12]), (22, [20, 21, 22]), (32, [30, 31, 32])])


@pytest.mark.parametrize("cut", range(12))
def test_a_topic_for_each_metric_at_one_time_is_a_row_a_round_however_they_are_cut(cut: int) -> None:
    readings = [(c, 10 * r, float(10 * r + c)) for r in range(4) for c in range(3)]
    aligner = make()
    found = rows(aligner, readings[:cut], list(range(cut))) if cut else []
    found += rows(aligner, readings[cut:], list(range(cut, 12)))
    same(found, [(10, [10, 11, 12]), (20, [20, 21, 22]), (30, [30, 31, 32])])


def test_a_payload_of_some_metrics_holds_the_others() -> None:
    readings = [(c, t, float(10 * t + c)) for t in range(1, 4) for c in range(3)]
    found = rows(make(), [*readings, (0, 4, 40.0), (1, 4, 41.0)])
    same(found[-1:], [(4, [40, 41, 32])])


def test_a_channel_that_falls_silent_is_missing_after_its_usual_intervals_and_not_waited_for() -> None:
    aligner = make()
    rows(aligner, [(c, 10 * r + c, 1.0) for r in range(20) for c in range(3)])
    later = rows(aligner, [(c, 10 * r + c, 2.0) for r in range(20, 40) for c in range(2)])
    assert later
    assert all(np.isnan(v[2]) for _, v in later)
    assert later[0][0] > 192 + FILLED * 10 - 10
    assert len(later) >= 14


def test_a_slow_channel_is_held_and_a_fast_one_not_waited_for_by_it() -> None:
    readings = [(0, t, float(t)) for t in range(1, 200)]
    slow = [(1, t, -float(t)) for t in range(60, 200, 60)]
    found = rows(make(2), sorted([*readings, *slow], key=lambda each: each[1]))
    ends = [each for each in found if each[0] > 130]
    assert [t for t, _ in ends] == list(range(131, 200))
    assert {v[1] for t, v in ends if t < 180} == {-120.0}


def test_after_an_outage_rows_hold_readings_of_one_round() -> None:
    aligner = make()
    rows(aligner, [(c, 10 * r + c, 1.0) for r in range(20) for c in range(3)])
    found = rows(aligner, [(c, 9000 + 10 * r + c, float(10 * r + c)) for r in range(3) for c in range(3)])
    same(found, [(9012, [10, 11, 12]), (9022, [20, 21, 22])])
    together = make()
    rows(together, [(c, 10 * r, 1.0) for r in range(20) for c in range(3)])
    same(rows(together, [(c, 9000, float(c)) for c in range(3)]), [(9000, [0, 1, 2])])


def test_a_metric_that_appears_later_joins_the_rows() -> None:
    aligner = make(2)
    rows(aligner, [(c, t, 1.0) for t in range(5) for c in range(2)])
    aligner.take(0, 2)
    same(rows(aligner, [(c, 5, float(c)) for c in range(3)]), [(5, [0, 1, 2])])


def test_a_single_channel_makes_no_row() -> None:
    assert rows(make(1), [(0, t, 1.0) for t in range(50)]) == []
    assert rows(make(2), [(0, t, 1.0) for t in range(50)]) == []


def test_a_dropped_channel_is_neither_waited_for_nor_held() -> None:
    aligner = make()
    rows(aligner, [(c, 10 * r + c, 1.0) for r in range(5) for c in range(3)])
    aligner.drop(0, 2)
    found = rows(aligner, [(c, 50 + 10 * r + c, 2.0) for r in range(2) for c in range(2)])
    assert [np.isnan(v).tolist()[:3] for _, v in found] == [[False, False, True]] * len(found)
    assert found


def test_the_highest_score_since_the_last_row_is_kept_and_no_older_one() -> None:
    aligner = make(2)
    zeros = np.zeros(5, np.int32)
    made = aligner.step(
        zeros,
        np.array([0, 1, 0, 0, 1], np.int32),
        np.array([1, 1, 2, 3, 3], np.int64),
        np.array([1, 1, 2, 3, 3], np.int64),
        np.ones(5),
        np.array([1.0, NAN, 7.0, 2.0, 0.5]),
    )
    assert made.at.tolist() == [1, 4]
    np.testing.assert_array_equal(made.score, [[1.0, NAN], [7.0, 0.5]])


def test_a_state_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 4 channels"):
        Aligner(4).load(make().state())


groups = st.lists(st.tuples(st.integers(0, 40), st.sets(st.integers(0, 2), min_size=1)), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(groups, st.integers(0, 40))
def test_rows_ascend_and_neither_cuts_nor_a_restore_change_them(gaps: list[tuple[int, set[int]]], cut: int) -> None:
    now, messages = 0, []
    for gap, channels in gaps:
        now += gap + 1
        messages.append([(c, now, float(100 * now + c)) for c in sorted(channels)])
    whole = rows(make(), [each for message in messages for each in message])
    aligner = make()
    pieces: list[tuple[int, list[float]]] = []
    for number, message in enumerate(messages):
        if number == cut:
            restored = Aligner(8)
            restored.load(aligner.state())
            aligner = restored
        pieces += rows(aligner, message)
    same(pieces, whole)
    times = [time for time, _ in whole]
    assert times == sorted(set(times))
    said = {(c, 100 * t + c) for message in messages for c, t, _ in message}
    for time, values in whole:
        present = [(c, v) for c, v in enumerate(values) if not np.isnan(v)]
        assert len(present) >= 2
        assert all((c, v) in said and v < 100 * (time + 1) for c, v in present)
