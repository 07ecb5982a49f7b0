"""Store: columns of points on their way into a store: which are new, and what precision is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit, subkernel
from common.growth import grown
from devices.batch import NO_TIME, ScoredBatch
from devices.records import SeriesMove


class NewestTimes:
    """The newest stored time of each series, in an array indexed by series.

    A point newer than its series' newest can be in no table yet, so that it needs no look-up. `advance` takes a batch
    on trial; `undo` takes it back where the transaction failed.
    """

    def __init__(self) -> None:
        self.times: NDArray[np.int64] = np.empty(0, np.int64)

    def load(self, series: NDArray[np.int32], time: NDArray[np.int64]) -> None:
        """Forget everything and take `time` (ns) as the newest of each of `series`."""
        self.times = np.empty(0, np.int64)
        if len(series):
            self._reserve(int(series.max()) + 1)
            self.times[series] = time

    def put(self, series: Sequence[int], known: NDArray[np.int32], time: NDArray[np.int64]) -> None:
        """Take `time` (ns) for the newest of those of `series` that are `known`; the others have no point."""
        self._reserve(max(series) + 1)
        self.times[series] = NO_TIME
        self.times[known] = time

    def of(self, series: Sequence[int] | None) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Those of `series` (of all) that have points, ascending, and the newest time of each."""
        known = np.flatnonzero(self.times != NO_TIME).astype(np.int32)
        wanted = known if series is None else np.intersect1d(known, np.asarray(series, np.int32))
        return wanted, self.times[wanted]

    def advance(
        self, series: NDArray[np.int32], time: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Mark the rows that are newer than all before them, in the tables and in the batch, and remember their times.

        Returns the mask (n,) of new rows and the times (n,) that `undo` needs. Raises ValueError for a negative series.
        """
        if not len(series):
            return np.empty(0, np.bool_), np.empty(0, np.int64)
        if int(series.min()) < 0:
            raise ValueError(f"series {int(series.min())} in a batch of points: expected 0 or more")
        self._reserve(int(series.max()) + 1)
        fresh, before = _advance(self.times, series, time)
        return fresh, before

    def reach(self, series: NDArray[np.int32], time: NDArray[np.int64]) -> None:
        """Points of series that `advance` was given stand at these times (n,): a conflict is moved beyond its own."""
        np.maximum.at(self.times, series, time)

    def undo(self, series: NDArray[np.int32], before: NDArray[np.int64]) -> None:
        """Put back the times that `advance` replaced."""
        # Of repeated indices NumPy keeps the last value given, so the earliest is given last.
        self.times[series[::-1]] = before[::-1]

    def move(self, moved: Iterable[SeriesMove], deleted: Iterable[int]) -> None:
        """Series became part of others, or were deleted."""
        for move in moved:
            self._reserve(max(move.source, move.target) + 1)
            self.times[move.target] = max(self.times[move.source], self.times[move.target])
            self.times[move.source] = NO_TIME
        for series in deleted:
            self._reserve(series + 1)
            self.times[series] = NO_TIME

    def _reserve(self, size: int) -> None:
        self.times = grown(self.times, size, NO_TIME, least=1024)


@njit
def _advance(
    newest: NDArray[np.int64], series: NDArray[np.int32], time: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    fresh = np.empty(len(series), np.bool_)
    before = np.empty(len(series), np.int64)
    for row in range(len(series)):
        index = series[row]
        before[row] = newest[index]
        fresh[row] = time[row] > newest[index]
        if fresh[row]:
            newest[index] = time[row]
    return fresh, before


def stored_columns(
    points: ScoredBatch,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Score, expected value, and how far the band reaches below and above it, each float32 (n,), as they are stored.

    The band lies around the expected value, or around 0 where there is none: its reach changes little from point to
    point, and so takes little room. The score keeps two decimals. The others keep so many decimals that the band is 100
    to 1,000 steps wide, and float32's precision where there is no band. Rounded to decimals, floats compress to a third
    (ALP, https://doi.org/10.1145/3626717), and no chart shows the difference.
    """
    return _stored_columns(points.score, points.expected, points.lower, points.upper)


@njit
def _stored_columns(
    score: NDArray[np.float64], expected: NDArray[np.float64], lower: NDArray[np.float64], upper: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    n = len(score)
    columns = np.empty((4, n), np.float32)
    for row in range(n):
        columns[0, row] = np.round(score[row] * 100.0) / 100.0
        middle = 0.0 if np.isnan(expected[row]) else expected[row]
        width = upper[row] - lower[row]
        steps, step = 0.0, 1.0
        if 1e-30 < width < 1e30:
            decimals = 2.0 - np.floor(np.log10(width))
            # Of the two powers that make the step, one is 1 and the other exact or nearly so.
            steps, step = 10.0 ** max(decimals, 0.0), 10.0 ** max(-decimals, 0.0)
        columns[1, row] = _rounded(expected[row], steps, step)
        columns[2, row] = _rounded(middle - lower[row], steps, step)
        columns[3, row] = _rounded(upper[row] - middle, steps, step)
    return columns[0], columns[1], columns[2], columns[3]


@subkernel
def _rounded(value: float, steps: float, step: float) -> float:
    return np.round(value * steps / step) * step / steps if steps else value
