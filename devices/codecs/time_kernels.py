"""Decode, compiled: times, told as numbers or as ISO 8601 text, in nanoseconds since the epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.compiled import subkernel


@subkernel
def read_epoch(value: Any, fraction: bool, magnitude: Any, negative: bool, scale: int, bounds: Any) -> tuple[bool, Any]:
    """Whether a number counts as a time here, and its nanoseconds; `scale` and `bounds` are those of the rules."""
    size = abs(value)
    if scale == 0:
        if 1.97e13 <= size < 2.11e13:  # may write a date: see devices.times
            return False, 0
        if size < bounds[0]:
            scale = 1_000_000_000
        elif size < bounds[1]:
            scale = 1_000_000
        elif size < bounds[2]:
            scale = 1_000
        else:
            scale = 1
    if not fraction:
        if magnitude > np.uint64(9_223_372_036_854_775_807 // scale):
            return False, 0
        whole = np.int64(magnitude) * scale
        return True, -whole if negative else whole
    if scale == 1 or size * scale > 9.2e18:
        return False, 0
    floor = np.floor(value)
    return True, np.int64(floor) * scale + np.int64(np.rint((value - floor) * (scale // 1_000))) * 1_000


@subkernel
def _two(data: Any, at: int) -> Any:
    """The two-digit number at `at`, or a large one where there is none."""
    a, b = np.int64(data[at]) - 48, np.int64(data[at + 1]) - 48
    return a * 10 + b if 0 <= a <= 9 and 0 <= b <= 9 else 1_000


@subkernel
def _zone(data: Any, at: int, stop: int, zoneless: bool) -> tuple[int, Any]:
    """End of a zone at `at`, and its seconds east of UTC; end -1 where the general path must read it."""
    if data[at] == 90:
        return at + 1, 0
    if data[at] != 43 and data[at] != 45:
        return (at, 0) if zoneless else (-1, 0)
    if stop - at < 7 or data[at + 3] != 58:
        return -1, 0
    hours, minutes = _two(data, at + 1), _two(data, at + 4)
    if hours > 23 or minutes > 59:
        return -1, 0
    offset = hours * 3_600 + minutes * 60
    return at + 6, offset if data[at] == 43 else -offset


@subkernel
def read_date_time(data: Any, at: int, stop: int, zoneless: bool) -> tuple[int, Any]:
    """End and nanoseconds of an ISO 8601 date-time up to a quote; end -1 where the general path must read it."""
    if stop - at < 20:
        return -1, 0
    century, year, month, day = _two(data, at), _two(data, at + 2), _two(data, at + 5), _two(data, at + 8)
    hour, minute, second = _two(data, at + 11), _two(data, at + 14), _two(data, at + 17)
    if data[at + 4] != 45 or data[at + 7] != 45 or data[at + 13] != 58 or data[at + 16] != 58:
        return -1, 0
    year += century * 100
    if (data[at + 10] != 84 and data[at + 10] != 32) or not 1970 <= year <= 2261 or not 1 <= month <= 12:
        return -1, 0
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = (29 if leap else 28) if month == 2 else 30 if month in (4, 6, 9, 11) else 31
    if not 1 <= day <= longest or hour > 23 or minute > 59 or second > 59:
        return -1, 0
    # Days from the civil calendar, with years that begin in March so that the leap day comes last.
    y = year - 1 if month <= 2 else year
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = y * 365 + y // 4 - y // 100 + y // 400 + day_of_year - 719_468
    at += 19
    nanoseconds = 0
    if data[at] == 46:
        at += 1
        unit = 100_000_000
        first = at
        while at < stop and at - first < 9 and 48 <= data[at] <= 57:
            nanoseconds += (data[at] - 48) * unit
            unit //= 10
            at += 1
        if at == first or at >= stop:
            return -1, 0
    seconds = days * 86_400 + hour * 3_600 + minute * 60 + second
    at, offset = _zone(data, at, stop, zoneless)
    if at < 0 or at >= stop or data[at] != 34:
        return -1, 0
    return at, (seconds - offset) * 1_000_000_000 + nanoseconds
