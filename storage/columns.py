"""Stage 6 of 7: columns of points on their way into a store: which are new, and what precision is kept."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from devices.batch import NO_TIME, ScoredBatch


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

    def undo(self, series: NDArray[np.int32], before: NDArray[np.int64]) -> None:
        """Put back the times that `advance` replaced."""
        # Of repeated indices NumPy keeps the last value given, so the earliest is given last.
        self.times[series[::-1]] = before[::-1]

    def _reserve(self, size: int) -> None:
        if size > len(self.times):
            grown = np.full(max(size, 2 * len(self.times), 1024), NO_TIME)
            grown[: len(self.times)] = self.times
            self.times = grown


@njit(cache=True)  # type: ignore[untyped-decorator]
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


def repeats(series: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the rows whose (series, time) stands in an earlier row of the same batch, shape (n,)."""
    order = np.lexsort((time, series))
    same = (series[order][1:] == series[order][:-1]) & (time[order][1:] == time[order][:-1])
    mask = np.zeros(len(series), np.bool_)
    mask[order[1:]] = same
    return mask


def stored_precision(
    points: ScoredBatch,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Score, expected, lower and upper of `points`, each float32 (n,), in the precision that is kept.

    The score keeps two decimals. Expected value and band keep so many decimals that the band is 100 to 1,000 steps
    wide, and float32's precision where there is no band. Rounded to decimals, they compress to a third (ALP,
    https://doi.org/10.1145/3626717), and no chart shows the difference.
    """
    return _stored_precision(points.score, points.expected, points.lower, points.upper)  # type: ignore[no-any-return]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _stored_precision(
    score: NDArray[np.float64], expected: NDArray[np.float64], lower: NDArray[np.float64], upper: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    n = len(score)
    columns = np.empty((4, n), np.float32)
    for row in range(n):
        columns[0, row] = np.round(score[row] * 100.0) / 100.0
        width = upper[row] - lower[row]
        if 1e-30 < width < 1e30:
            decimals = 2.0 - np.floor(np.log10(width))
            # Both powers are exact where the exponent is 0 or more, so that the quotient is the nearest decimal.
            steps, step = 10.0 ** max(decimals, 0.0), 10.0 ** max(-decimals, 0.0)
            columns[1, row] = np.round(expected[row] * steps / step) * step / steps
            columns[2, row] = np.round(lower[row] * steps / step) * step / steps
            columns[3, row] = np.round(upper[row] * steps / step) * step / steps
        else:
            columns[1, row] = expected[row]
            columns[2, row] = lower[row]
            columns[3, row] = upper[row]
    return columns[0], columns[1], columns[2], columns[3]
