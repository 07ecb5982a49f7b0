"""Score: finding the season of one series from its autocorrelation, in compiled form, in bounded memory.

A slot keeps a history of means over equal stretches of time ("buckets"). The first buckets are one reading wide. Each
time the history is full and shows no season, neighbours are merged and the bucket doubles, so that the same memory
comes to span ever longer periods.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from common.compiled import njit

_SECOND = 1_000_000_000
CALENDAR = np.array(
    [60, 300, 600, 900, 1800, 3600, 2 * 3600, 4 * 3600, 6 * 3600, 8 * 3600, 12 * 3600, 86_400, 7 * 86_400], np.int64
) * np.int64(_SECOND)
"""Periods (ns) that people and machines keep; a period found within half a bucket of one of these is taken to be it."""

SHORTEST = 4
"""Fewest buckets that a period spans."""

_LEAST_CORRELATION = 0.5
_LEAST_REPEATED = 0.35
_LEAST_DIP = 0.35
_NEARLY_BEST = 0.9
_FLAT = 1e-24
_SMALLEST = 1e-300


@njit
def detrended(history: Any) -> Any:
    """The history less its straight line of least squares, gaps (NaN) put at 0; all zeros where a third is missing."""
    n = history.shape[0]
    result = np.zeros(n)
    largest, present = 0.0, 0
    for i in range(n):
        if math.isfinite(history[i]):
            present += 1
            largest = max(largest, abs(history[i]))
    if 3 * present < 2 * n or largest < _SMALLEST:
        return result
    # Scaled by the largest value, since squares of 1e300 are infinite.
    scale = 1.0 / largest
    places, total = 0.0, 0.0
    for i in range(n):
        if math.isfinite(history[i]):
            places += i
            total += history[i] * scale
    mean_place, mean = places / present, total / present
    across, square = 0.0, 0.0
    for i in range(n):
        if math.isfinite(history[i]):
            across += (i - mean_place) * (history[i] * scale - mean)
            square += (i - mean_place) * (i - mean_place)
    slope = across / square
    for i in range(n):
        if math.isfinite(history[i]):
            result[i] = history[i] * scale - mean - slope * (i - mean_place)
    return result


@njit
def correlation(series: Any, lag: int) -> float:
    """Autocorrelation of a series of mean 0 at `lag`, relative to the stretches compared; 0 where one is flat."""
    n = series.shape[0] - lag
    early = _product(series[:n], 0)
    late = _product(series[lag:], 0)
    return float(_relative(_product(series, lag), early, late))


@njit
def _product(series: Any, lag: int) -> float:
    """Sum of products at `lag`, in four sums side by side: one alone would wait for each addition."""
    n = series.shape[0] - lag
    early, late = series[:n], series[lag:]
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for i in range(n // 4):
        a += early[4 * i] * late[4 * i]
        b += early[4 * i + 1] * late[4 * i + 1]
        c += early[4 * i + 2] * late[4 * i + 2]
        d += early[4 * i + 3] * late[4 * i + 3]
    for i in range(n - n % 4, n):
        a += early[i] * late[i]
    return (a + b) + (c + d)


@njit
def _relative(product: float, early: float, late: float) -> float:
    if early <= _FLAT or late <= _FLAT:
        return 0.0
    return float(product / math.sqrt(early * late))


@njit
def _correlations(series: Any, squares: Any, values: Any, first: int, end: int) -> None:
    """Fill `values[first:end]`; `squares` (n + 1,) are the running sums of squares."""
    n = series.shape[0]
    for lag in range(first, end):
        values[lag] = _relative(_product(series, lag), squares[n - lag], squares[n] - squares[lag])


@njit
def find_period(history: Any) -> float:
    """The period of the history in buckets, with a fraction, or 0 where none is clear.

    A period is a peak of the autocorrelation that repeats at twice the lag with clear dips before, between and after: a
    wandering series has peaks, but not at their multiples. Of nearly equal peaks the first is taken. The lag of the
    highest multiple within two thirds of the history gives the fraction. At least three periods must fit into the
    history. Source: Box and Jenkins, "Time Series Analysis", chapter 2; Vlachos et al., "On periodicity detection and
    structural periodic similarity", SDM 2005 (peaks that sit on hills).
    """
    n = history.shape[0]
    last = n // 3
    series = detrended(history)
    squares = np.zeros(n + 1)
    for i in range(n):
        squares[i + 1] = squares[i] + series[i] * series[i]
    if squares[n] <= _FLAT:
        return 0.0
    values = np.zeros(2 * last + 2)
    _correlations(series, squares, values, 1, last + 2)
    peaks = False
    for lag in range(SHORTEST, last + 1):
        peaks = peaks or _is_peak(values, lag)
    if not peaks:
        return 0.0
    _correlations(series, squares, values, last + 2, 2 * last + 2)
    best = 0.0
    for lag in range(SHORTEST, last + 1):
        if _is_season(values, lag):
            best = max(best, values[lag])
    if best == 0.0:
        return 0.0
    for lag in range(SHORTEST, last + 1):
        if values[lag] >= _NEARLY_BEST * best and _is_season(values, lag):
            return float(_refined(values, lag))
    return 0.0


@njit
def _is_peak(values: Any, lag: int) -> bool:
    peak = values[lag]
    return bool(peak >= _LEAST_CORRELATION and peak >= values[lag - 1] and peak >= values[lag + 1])


@njit
def _is_season(values: Any, lag: int) -> bool:
    if not _is_peak(values, lag):
        return False
    peak = values[lag]
    dip = peak
    for i in range(1, lag):
        dip = min(dip, values[i])
    between = peak
    for i in range(lag + 1, 2 * lag):
        between = min(between, values[i])
    repeated = max(values[2 * lag - 1], values[2 * lag], values[2 * lag + 1])
    return bool(
        repeated >= _LEAST_REPEATED
        and peak - dip >= _LEAST_DIP
        and peak - between >= _LEAST_DIP
        and repeated - between >= _LEAST_DIP
    )


@njit
def _refined(values: Any, lag: int) -> float:
    period = float(lag)
    multiple = 1
    while True:
        place = round(multiple * period)
        if place + 1 >= values.shape[0]:
            return period
        # The peak near this multiple may be off by the error so far.
        if values[place - 1] > values[place] and values[place - 1] >= values[place + 1]:
            place -= 1
        elif values[place + 1] > values[place] and place + 2 < values.shape[0]:
            place += 1
        before, peak, after = values[place - 1], values[place], values[place + 1]
        bend = before - 2.0 * peak + after
        if bend < 0.0:
            shift = max(-0.5, min(0.5, 0.5 * (before - after) / bend))
            period = (place + shift) / multiple
        multiple += 1


@njit
def to_calendar(period: float, width: int) -> int:
    """The period in ns: that of the calendar where it lies within half a bucket and 2 %, else as it was found."""
    found = round(period * width)
    for known in CALENDAR:
        if abs(found - known) <= min(width // 2, known // 50):
            return int(known)
    return found


@njit
def merge_pairs(history: Any, filled: int, first: int) -> int:
    """Merge buckets `first` onward into buckets of twice the width, in place; returns how many of `filled` are left.

    A new bucket holds the old numbers 2j and 2j + 1, so where `first` is odd the oldest new bucket is made of one
    alone.
    """
    merged = 0
    i = 0
    while i < filled:
        if (first + i) % 2 == 0 and i + 1 < filled:
            a, b = history[i], history[i + 1]
            if math.isnan(a):
                history[merged] = b
            elif math.isnan(b):
                history[merged] = a
            else:
                history[merged] = 0.5 * a + 0.5 * b
            i += 2
        else:
            history[merged] = history[i]
            i += 1
        merged += 1
    return merged


@njit
def fold(history: Any, start: int, width: int, period: int, season: Any, knots: int) -> float:
    """Fill `season[:knots]` with the mean course over one `period` (ns); returns the deviation of what it leaves.

    `start` is the time (ns) at which the first bucket begins. A bucket's centre falls between two knots and counts
    for both by nearness. A knot that no bucket met takes the mean of its neighbours. The course has mean 0.
    """
    weight = np.zeros(knots)
    total = np.zeros(knots)
    n = history.shape[0]
    mean = 0.0
    present = 0
    for i in range(n):
        if math.isfinite(history[i]):
            present += 1
            mean += (history[i] - mean) / present
    for i in range(n):
        if math.isfinite(history[i]):
            knot, part = place_in_season(start + i * width + width // 2, period, knots)
            other = knot + 1 if knot + 1 < knots else 0
            total[knot] += (1.0 - part) * (history[i] - mean)
            weight[knot] += 1.0 - part
            total[other] += part * (history[i] - mean)
            weight[other] += part
    average = 0.0
    for k in range(knots):
        season[k] = total[k] / weight[k] if weight[k] > 1e-9 else math.nan
    for k in range(knots):
        if math.isnan(season[k]):
            before, after = season[k - 1], season[(k + 1) % knots]
            season[k] = after if math.isnan(before) else before if math.isnan(after) else 0.5 * (before + after)
            if math.isnan(season[k]):
                season[k] = 0.0
        average += season[k] / knots
    for k in range(knots):
        season[k] -= average
    deviation = 0.0
    seen = 0
    for i in range(n):
        if math.isfinite(history[i]):
            knot, part = place_in_season(start + i * width + width // 2, period, knots)
            other = knot + 1 if knot + 1 < knots else 0
            rest = history[i] - mean - average - (1.0 - part) * season[knot] - part * season[other]
            seen += 1
            scale = max(deviation, abs(rest))
            if scale > 0.0:
                a, b = deviation / scale, rest / scale
                deviation = scale * math.sqrt(a * a * (seen - 1) / seen + b * b / seen)
    return deviation


@njit(inline="always")
def place_in_season(time: int, period: int, knots: int) -> tuple[int, float]:
    """The knot at or before `time` (ns since epoch, or a count) and how far it lies towards the next, in [0, 1)."""
    place = (time % period) / period * knots
    knot = min(int(place), knots - 1)
    return knot, place - knot
