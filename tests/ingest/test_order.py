"""Event time: which readings wait, what releases them, and which are late or meet another value at their time."""

from __future__ import annotations

import numpy as np
import pytest

from devices.batch import Batch
from ingest.order import Arrived, Orderer

Row = tuple[int, int, float, int]
"""Series and device, event time, value, arrival."""


def arrived(rows: list[Row], window: int) -> Arrived:
    series, time, value, arrival = (
        np.array([row[at] for row in rows], kind) for at, kind in enumerate((np.int32, np.int64, np.float64, np.int64))
    )
    return Arrived(Batch(series, time, value), series.copy(), np.full(len(rows), window, np.int64), arrival)


def made(*, window: int = 10, skew: int = 2**62) -> Orderer:
    orderer = Orderer(reorders=window > 0, future_skew=skew)
    orderer.grow(4, 4)
    return orderer


def step(
    orderer: Orderer, rows: list[Row], *, window: int = 10, until: int | None = None
) -> list[tuple[int, int, bool]]:
    """Event time, release and lateness of what is released."""
    moments = sorted({row[3] for row in rows} | ({until} if until is not None else set()))
    ordered = orderer.step(arrived(rows, window), np.array(moments, np.int64))
    columns = ordered.batch.time, ordered.released, ordered.late
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_without_a_window_readings_pass_at_once_and_those_that_are_no_newer_are_late() -> None:
    orderer = made(window=0)
    rows = [(0, 5, 1.0, 100), (0, 4, 1.0, 101), (0, 5, 1.0, 102), (1, 4, 1.0, 103), (0, 6, 1.0, 104)]
    assert step(orderer, rows, window=0) == [
        (5, 100, False), (4, 101, True), (5, 102, True), (4, 103, False), (6, 104, False),
    ]  # fmt: skip
    assert (orderer.waiting, orderer.conflicts) == (0, 0)


def test_a_reading_waits_until_its_device_has_one_that_is_a_whole_window_newer() -> None:
    orderer = made()
    assert step(orderer, [(0, 50, 1.0, 100), (0, 45, 1.0, 101)]) == []
    assert orderer.waiting == 2
    assert step(orderer, [(0, 54, 1.0, 102)]) == []
    assert step(orderer, [(0, 55, 1.0, 103)]) == [(45, 103, False)]
    assert step(orderer, [(0, 60, 1.0, 104)]) == [(50, 104, False)]
    assert step(orderer, [(1, 99, 1.0, 105)]) == [], "another device's readings are no watermark"
    assert orderer.waiting == 4


def test_a_reading_is_released_once_its_window_has_passed_by_arrival_with_all_that_are_older() -> None:
    orderer = made()
    step(orderer, [(0, 50, 1.0, 100), (0, 45, 1.0, 105), (1, 7, 1.0, 106)])
    assert step(orderer, [], until=109) == []
    assert step(orderer, [], until=110) == [(45, 110, False), (50, 110, False)]
    assert step(orderer, [], until=115) == []
    assert step(orderer, [], until=116) == [(7, 116, False)]
    assert orderer.waiting == 0


def test_readings_of_one_release_are_in_order_of_time_and_equal_times_in_order_of_arrival() -> None:
    orderer = made(window=100)
    times = [30, 10, 20, 10, 25, 5, 30, 15, 1, 29]
    rows = [(0, time, float(at), 100 + at) for at, time in enumerate(times)]
    assert step(orderer, rows, window=100) == []
    ordered = orderer.step(arrived([(0, 200, 99.0, 120)], 100), np.array([120]))
    assert ordered.batch.value.tolist() == [float(at) for at in sorted(range(10), key=lambda at: (times[at], at))]
    assert ordered.arrival.tolist() == [100 + int(value) for value in ordered.batch.value]
    assert ordered.on_time().late.tolist() == [False] * 10, "another value at one time is moved, and not late"
    assert (orderer.conflicts, ordered.batch.time.tolist()) == (2, [1, 5, 10, 11, 15, 20, 25, 29, 30, 31])


def test_what_comes_behind_what_was_released_is_late_and_left_out_of_what_is_on_time() -> None:
    orderer = made()
    step(orderer, [(0, 50, 1.0, 100), (0, 60, 2.0, 101)])
    ordered = orderer.step(arrived([(0, 49, 3.0, 102), (0, 70, 4.0, 103)], 10), np.array([102, 103]))
    assert (ordered.batch.time.tolist(), ordered.late.tolist()) == ([49, 60], [True, False])
    assert (ordered.on_time().batch.time.tolist(), ordered.on_time().arrival.tolist()) == ([60], [101])


def test_other_values_at_one_time_take_a_nanosecond_each_and_the_same_again_is_late_there() -> None:
    orderer = made(window=0)
    rows = [(0, 5, value, 100 + at) for at, value in enumerate((1.0, 2.0, 2.0, 1.0, 1.0))]
    assert step(orderer, rows, window=0) == [
        (5, 100, False), (6, 101, False), (6, 102, True), (7, 103, False), (7, 104, True),
    ]  # fmt: skip
    assert orderer.conflicts == 2
    assert step(orderer, [(0, 6, 9.0, 110), (0, 7, 9.0, 111), (0, 8, 9.0, 112)], window=0) == [
        (6, 110, True), (7, 111, True), (8, 112, False),
    ]  # fmt: skip
    assert orderer.conflicts == 0


def test_a_time_too_far_ahead_of_what_comes_now_is_forgotten() -> None:
    orderer = made(window=0, skew=50)
    step(orderer, [(0, 1_000, 1.0, 100)], window=0)
    assert step(orderer, [(0, 110, 1.0, 950)], window=0) == [(110, 950, True)], "ahead by just as much as may be"
    assert step(orderer, [(0, 111, 1.0, 949)], window=0) == [(111, 949, False)]
    waits = made(skew=50)
    step(waits, [(0, 1_000, 1.0, 100)])
    assert step(waits, [(0, 105, 1.0, 101)]) == []
    assert step(waits, [(0, 115, 1.0, 102)]) == [(105, 102, False)]


def test_what_arrived_before_the_clock_was_set_back_is_due_at_once() -> None:
    orderer = made()
    step(orderer, [(0, 500, 1.0, 500)])
    assert step(orderer, [(1, 90, 1.0, 100)]) == [(500, 100, False)]
    other = made()
    step(other, [(0, 500, 1.0, 100)])
    assert step(other, [(1, 90, 1.0, 100)]) == []


def test_readings_that_wait_go_with_their_series_or_are_dropped_with_it() -> None:
    orderer = made()
    step(orderer, [(0, 50, 1.0, 100), (1, 51, 2.0, 101), (2, 52, 3.0, 102)])
    orderer.move({0: 3, 2: 1})
    assert orderer.drop([3]) == 1
    assert orderer.drop([0]) == 0
    ordered = orderer.step(arrived([], 10), np.array([200]))
    assert list(zip(ordered.batch.series.tolist(), ordered.batch.value.tolist(), strict=True)) == [(1, 2.0), (1, 3.0)]


@pytest.mark.parametrize("cut", range(9))
def test_a_state_that_is_taken_over_goes_on_as_if_nothing_had_been(cut: int) -> None:
    random = np.random.default_rng(5)
    rows = [
        (int(random.integers(3)), 100 + at + int(random.integers(-8, 9)), float(random.integers(3)), 200 + 3 * at)
        for at in range(40)
    ]
    whole, parts = made(), made()
    expected = step(whole, rows, until=400)
    found = step(parts, rows[: 5 * cut]) if cut else []
    again = made()
    again.load(parts.state())
    found += step(again, rows[5 * cut :], until=400)
    assert found == expected
    assert len(expected) == 40


def test_the_state_of_the_version_before_is_taken_over() -> None:
    orderer = made()
    step(orderer, [(0, 50, 1.0, 100), (0, 70, 2.0, 101)])
    old = dict(orderer.state())
    old["waiting.lag"], old["waiting.due"] = old.pop("waiting.window"), old["waiting.arrival"] + 10
    for name in ("waiting.arrival", "said", "last"):
        del old[name]
    again = made()
    again.load(old)
    assert step(again, [], until=110) == []
    assert step(again, [], until=111) == [(70, 111, False)]
    assert step(again, [(0, 50, 7.0, 120), (0, 80, 1.0, 121)], until=131) == [(50, 120, True), (80, 131, False)]
