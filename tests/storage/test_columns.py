"""Columns on their way into a store: what is newer than all before, and the decimals that are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from devices.batch import NO_TIME, Batch, ScoredBatch
from devices.records import SeriesMove
from storage.embedded.columns import NewestTimes, stored_columns


def series(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def times(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def newest_of(newest: NewestTimes) -> dict[int, int]:
    return dict(zip(*(column.tolist() for column in newest.of(None)), strict=True))


def test_a_point_is_new_where_it_is_later_than_the_table_and_the_batch_before_it() -> None:
    newest = NewestTimes()
    newest.load(series(0, 2), times(10, 20))
    fresh, _ = newest.advance(series(0, 0, 0, 2, 2, 1, 1, 0), times(10, 11, 11, 19, 20, -5, -6, 12))
    assert fresh.tolist() == [False, True, False, False, False, True, False, True]
    assert newest_of(newest) == {0: 12, 1: -5, 2: 20}


def test_a_batch_that_is_taken_back_leaves_the_times_before_it() -> None:
    newest = NewestTimes()
    newest.load(series(0, 1), times(10, 20))
    rows = series(0, 0, 3, 0, 1)
    _, before = newest.advance(rows, times(11, 12, 5, 13, 19))
    assert newest_of(newest) == {0: 13, 1: 20, 3: 5}
    newest.undo(rows, before)
    assert newest_of(newest) == {0: 10, 1: 20}


def test_those_asked_for_are_given_in_order_and_without_those_that_have_no_points() -> None:
    newest = NewestTimes()
    newest.load(series(5, 1, 3), times(50, 10, 30))
    assert [column.tolist() for column in newest.of([3, 0, 5, 3, 9_999])] == [[3, 5], [30, 50]]
    assert [column.tolist() for column in newest.of([])] == [[], []]
    newest.load(series(), times())
    assert [column.tolist() for column in newest.of(None)] == [[], []]


def test_series_of_any_number_are_loaded_and_advanced_in_any_order() -> None:
    newest = NewestTimes()
    newest.load(series(5_000, 3), times(50, 30))
    assert newest_of(newest) == {3: 30, 5_000: 50}
    fresh, before = newest.advance(series(9_000, 3, 5_000), times(1, 31, 50))
    assert (fresh.tolist(), before.tolist()) == ([True, True, False], [NO_TIME, 30, 50])
    assert newest_of(newest) == {3: 31, 5_000: 50, 9_000: 1}


def test_series_are_put_at_the_times_that_are_known_and_the_others_have_none() -> None:
    newest = NewestTimes()
    newest.load(series(1, 2), times(5, 6))
    newest.put([9_000, 1, 2], series(1, 9_000), times(7, 8))
    assert newest_of(newest) == {1: 7, 9_000: 8}
    assert newest.times[2] == NO_TIME


def test_an_empty_batch_changes_nothing_and_a_negative_series_is_named() -> None:
    newest = NewestTimes()
    assert [len(column) for column in newest.advance(series(), times())] == [0, 0]
    with pytest.raises(ValueError, match="series -1 in a batch of points: expected 0 or more"):
        newest.advance(series(0, -1), times(1, 1))
    assert newest.advance(series(0), times(0))[0].tolist() == [True]


def test_a_conflict_moves_the_newest_time_on_and_never_back() -> None:
    newest = NewestTimes()
    newest.advance(series(0, 1), times(10, 20))
    newest.reach(series(0, 1, 0), times(12, 19, 11))
    assert newest_of(newest) == {0: 12, 1: 20}


def test_of_series_that_are_one_the_later_time_counts_and_what_is_deleted_has_none() -> None:
    newest = NewestTimes()
    newest.load(series(0, 1, 2, 3), times(10, 20, 30, 40))
    newest.move([SeriesMove(0, 1), SeriesMove(3, 2)], [])
    assert newest_of(newest) == {1: 20, 2: 40}
    newest.move([SeriesMove(1, 2_000)], [2, 5_000])
    assert newest_of(newest) == {2_000: 20}
    assert newest.times[5_000] == NO_TIME


def stored(score: float, expected: float, lower: float, upper: float) -> list[float]:
    batch = Batch(series(0), times(0), np.zeros(1))
    points = ScoredBatch.unscored(batch, late=False)
    score_of, expected_of, lower_of, upper_of = (
        np.array([each], np.float64) for each in (score, expected, lower, upper)
    )
    given = replace(points, score=score_of, expected=expected_of, lower=lower_of, upper=upper_of)
    found = stored_columns(given)
    assert all(column.dtype == np.float32 for column in found)
    return [float(column[0]) for column in found]


NAN = float("nan")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ((1.23456, 20.123456, 19.0, 21.0), (1.23, 20.12, 1.12, 0.88)),
        ((0.005, 20.123456, 19.5, 20.4), (0.0, 20.123, 0.623, 0.277)),
        ((0.015, 20.123456, 19.5, 20.5), (0.02, 20.12, 0.62, 0.38)),
        ((0.0, 12_345.6, 12_000.0, 12_999.0), (0.0, 12_346.0, 346.0, 653.0)),
        ((0.0, 12_345.6, 12_000.0, 13_000.0), (0.0, 12_350.0, 350.0, 650.0)),
        ((0.0, 12_345.6, 10_000.0, 20_000.0), (0.0, 12_300.0, 2_300.0, 7_700.0)),
        ((0.0, NAN, -1.0, 2.0), (0.0, NAN, 1.0, 2.0)),
        ((0.0, 5.4321, 5.0, NAN), (0.0, 5.4321, 0.4321, NAN)),
        ((0.0, 5.4321, 5.4321, 5.4321), (0.0, 5.4321, 0.0, 0.0)),
        ((NAN, NAN, NAN, NAN), (NAN, NAN, NAN, NAN)),
        ((0.0, 1.5e31, 1e31, 2e31), (0.0, 1.5e31, 5e30, 5e30)),
        ((0.0, 1.5e-31, 1e-31, 2e-31), (0.0, 1.5e-31, 5e-32, 5e-32)),
        ((0.0, 0.00123456, 0.001, 0.0025), (0.0, 0.00123, 0.00023, 0.00127)),
    ],
)
def test_a_band_is_kept_in_a_hundred_to_a_thousand_steps(given: tuple[float, ...], kept: tuple[float, ...]) -> None:
    found = stored(*given)
    assert found == pytest.approx(list(kept), rel=3e-7, abs=0.0, nan_ok=True)
