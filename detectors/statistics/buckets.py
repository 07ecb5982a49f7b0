"""Score: one series as means over equal stretches of time, from which its season is found, in compiled form.

The first stretches ("buckets") are as wide as readings lie apart; where no season shows, neighbours are merged, so that
the same memory comes to span ever longer periods. A slot's row of integers keeps where it stands, `FIELDS` of them from
column 0 on; the mean of the bucket being filled lies in a column of the detector's own row of floats.
"""

from __future__ import annotations

import math
from typing import Any

from common.compiled import njit
from detectors.season import SHORTEST, merge_pairs

ORIGIN, INTERVALS, BASE, WIDTH, BUCKET, BUCKET_COUNT, FILLED = range(7)
"""Columns of a slot's clock: where bucket 0 begins (ns); readings that the interval is measured from; that interval
(ns); width of a bucket (ns); number of the bucket being filled; readings in it; buckets in the history."""

FIELDS = 7

LARGEST_KEPT = 1e30
"""The history is float32: readings beyond this, which no sensor means, leave it alone."""

_INTERVALS_MEASURED = 16


@njit
def measure_interval(clock: Any, now: int, longest: int) -> bool:
    """Take the mean interval of the first readings as the first buckets' width; True once it is known.

    Measured anew where the clock stands still, or where the readings are too far apart for a season of `longest` ns to
    show.
    """
    clock[INTERVALS] += 1
    if clock[INTERVALS] <= _INTERVALS_MEASURED:
        return False
    interval = (now - clock[ORIGIN]) // _INTERVALS_MEASURED
    if not 0 < interval <= longest // SHORTEST:
        clock[ORIGIN] = now
        clock[INTERVALS] = 1
        return False
    # Regular readings fall into the middle of their buckets, where jitter does not carry them over an edge.
    clock[ORIGIN] -= interval // 2
    clock[BASE] = interval
    clock[WIDTH] = interval
    clock[BUCKET] = (now - clock[ORIGIN]) // interval
    return True


@njit(error_model="numpy")
def fill_up(k: int, rows: Any, mean: int, clocks: Any, histories: Any, now: int) -> bool:
    """Close the buckets that end before `now`; True when that has filled the history: make room, and call it again.

    `mean` is the column of `rows` that holds the mean of the bucket being filled.
    """
    buckets = histories.shape[1]
    number = (now - clocks[k, ORIGIN]) // clocks[k, WIDTH]
    while number > clocks[k, BUCKET]:
        if number - clocks[k, BUCKET] > buckets:
            clocks[k, FILLED] = 0
            clocks[k, BUCKET] = number
            clocks[k, BUCKET_COUNT] = 0
            break
        filled = clocks[k, BUCKET_COUNT] > 0 and abs(rows[k, mean]) < LARGEST_KEPT
        histories[k, clocks[k, FILLED]] = rows[k, mean] if filled else math.nan
        clocks[k, FILLED] += 1
        clocks[k, BUCKET] += 1
        clocks[k, BUCKET_COUNT] = 0
        if clocks[k, FILLED] == buckets:
            return True
    return False


@njit
def is_next(k: int, clocks: Any, now: int) -> bool:
    """Whether `now` lies beyond the bucket being filled."""
    return bool(now >= clocks[k, ORIGIN] + (clocks[k, BUCKET] + 1) * clocks[k, WIDTH])


@njit
def add(k: int, rows: Any, mean: int, clocks: Any, value: float) -> None:
    """Learn `value` into the bucket being filled."""
    if clocks[k, BUCKET_COUNT] == 0:
        rows[k, mean] = 0.0
    clocks[k, BUCKET_COUNT] += 1
    rows[k, mean] += (value - rows[k, mean]) / clocks[k, BUCKET_COUNT]


@njit
def forget_half(clock: Any, history: Any) -> None:
    """Make room by forgetting the older half."""
    n = history.shape[0]
    kept = n // 2
    for i in range(kept):
        history[i] = history[n - kept + i]
    clock[FILLED] = kept


@njit
def widen(row: Any, mean: int, clock: Any, history: Any) -> None:
    """Double the buckets' width. A last bucket whose other half is still to come becomes the one being filled."""
    n = history.shape[0]
    clock[FILLED] = merge_pairs(history, n, clock[BUCKET] - n)
    clock[WIDTH] *= 2
    if clock[BUCKET] % 2 == 1:
        clock[FILLED] -= 1
        row[mean] = history[clock[FILLED]]
        clock[BUCKET_COUNT] = 1 if math.isfinite(row[mean]) else 0
    clock[BUCKET] //= 2


@njit
def start_over(clock: Any) -> None:
    """Forget the history and go back to the first width."""
    clock[BUCKET] *= clock[WIDTH] // clock[BASE]
    clock[WIDTH] = clock[BASE]
    clock[FILLED] = 0
