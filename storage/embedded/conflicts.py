"""Store: points that meet one stored at the same series and time: the same again, or another value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from devices.batch import ScoredBatch

_MOST_MOVES = 1_000
"""Nanoseconds that a point is moved at most; one that finds no place within them counts as a duplicate."""

Find = Callable[[NDArray[np.int32], NDArray[np.int64]], tuple[NDArray[np.intp], NDArray[np.float64]]]
"""Given series and times (n,), the rows that are stored already, and the values stored there."""


def sort_out(
    points: ScoredBatch, behind: NDArray[np.intp], find: Find
) -> tuple[NDArray[np.int64], NDArray[np.bool_], int]:
    """The time (n,) at which each point is to stand, which are duplicates, and how many are conflicts.

    A point is a duplicate where its value stands at its time already, and a conflict where another value does: that
    one moves on to the next nanosecond that is free, in order of arrival. `behind` are the rows that may meet others:
    all but those that are newer than whatever their series has.
    """
    time = points.time.copy()
    duplicate = np.zeros(len(points), np.bool_)
    affected = np.isin(points.series, np.unique(points.series[behind]))
    affected[behind] = False
    fresh = np.flatnonzero(affected)
    taken = dict(zip(_keys(points.series[fresh], time[fresh]), points.value[fresh].tolist(), strict=True))
    moving = behind
    for _ in range(_MOST_MOVES):
        if not len(moving):
            break
        stored_rows, stored_values = find(points.series[moving], time[moving])
        stored = dict(zip(stored_rows.tolist(), stored_values.tolist(), strict=True))
        left = []
        for place, (row, key) in enumerate(
            zip(moving.tolist(), _keys(points.series[moving], time[moving]), strict=True)
        ):
            there = stored.get(place, taken.get(key))
            value = float(points.value[row])
            if there is None:
                taken[key] = value
            elif there == value:
                duplicate[row] = True
            else:
                time[row] += 1
                left.append(row)
        moving = np.array(left, np.intp)
    duplicate[moving] = True
    return time, duplicate, int(np.count_nonzero((time != points.time) & ~duplicate))


def _keys(series: NDArray[np.int32], time: NDArray[np.int64]) -> list[tuple[int, int]]:
    return list(zip(series.tolist(), time.tolist(), strict=True))
