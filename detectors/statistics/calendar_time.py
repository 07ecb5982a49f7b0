"""Score: the clock on the wall: what the time in a zone is ahead of UTC, as arrays that kernels read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit, subkernel

DAY = 86_400 * 1_000_000_000
WEEK = 7 * DAY
_MONDAY = 4 * DAY
"""The epoch was a Thursday: this much later the first week began."""

_FIRST, _LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2060, 1, 1, tzinfo=UTC)

Offsets = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Times (n,) in ns since the epoch at which a zone's offset changes, and the offsets (n + 1,) in ns before, between and
after them."""


@lru_cache(maxsize=64)
def offsets(zone: str) -> Offsets:
    """The offsets of an IANA time zone from 1990 to 2060; before and after, its first and last hold.

    Raises ValueError where there is no such zone, naming it.
    """
    try:
        rules = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f'expected a time zone such as "UTC" or "Europe/Berlin", got "{zone}"') from error
    changes: list[int] = []
    found = [_offset(rules, _FIRST)]
    moment = _FIRST
    while moment < _LAST:
        following = moment + timedelta(days=1)
        if _offset(rules, following) != found[-1]:
            changes.append(_change(rules, moment, following))
            found.append(_offset(rules, following))
        moment = following
    return np.array(changes, np.int64), np.array(found, np.int64)


def _offset(rules: ZoneInfo, moment: datetime) -> int:
    ahead = moment.astimezone(rules).utcoffset() or timedelta(0)
    return round(ahead.total_seconds()) * 1_000_000_000


def _change(rules: ZoneInfo, before: datetime, after: datetime) -> int:
    """The second (as ns since the epoch) from which the offset of `after` holds, to be found between the two."""
    low, high = int(before.timestamp()), int(after.timestamp())
    new = _offset(rules, after)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(rules, datetime.fromtimestamp(middle, UTC)) == new:
            high = middle
        else:
            low = middle
    return high * 1_000_000_000


@subkernel
def wall_clock(time: int, changes: Any, offsets: Any) -> int:
    """Local time in ns, counted from a Monday at midnight, so that days and weeks are told by remainders."""
    place = 0
    if changes.shape[0] > 0:
        place = int(np.searchsorted(changes, time, side="right"))
    return int(time + offsets[place] - _MONDAY)


@njit(allocates=False)
def tell_clocks(times: Any, changes: Any, ahead: Any) -> None:
    """Turn times (n,) in ns into those on the wall, in place."""
    for i in range(len(times)):
        times[i] = wall_clock(times[i], changes, ahead)
