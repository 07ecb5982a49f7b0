"""How well the alarm list serves those who watch it: the figures of ISA-18.2 (IEC 62682), from the alarms of a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from common.time_units import DAY, HOUR, MINUTE
from devices.records import AlarmRecord

FLOOD_ALARMS = 10
FLOOD_WINDOW = 10 * MINUTE
ACCEPTABLE_PER_HOUR = 6.0
MANAGEABLE_PER_HOUR = 12.0
_CHATTERING = 3
_TOP = 10


@dataclass(frozen=True, slots=True)
class AlarmFigures:
    """The alarms opened from `start` up to `end` (ns), and those open at the end.

    `since` is from when on there was something to watch: `start`, or later where all devices were first seen later;
    `end` where there was no device.
    `per_hour` is the mean over the time from then on, `busiest` the most within any ten minutes. A flood begins where
    more than ten open within ten minutes, and lasts while they do; `flood_share` is the part of that time that floods
    take.
    `top` are the series with the most alarms and their counts, `top_share` the part of all alarms that the ten first
    have. `chattering` are series with three alarms or more within a minute, `stale` alarms open for more than a day.
    """

    start: int
    end: int
    since: int
    alarms: int
    per_hour: float
    busiest: int
    floods: int
    flood_share: float
    top: tuple[tuple[int, int], ...]
    top_share: float
    chattering: tuple[int, ...]
    stale: tuple[int, ...]
    severities: dict[str, int]
    open: int
    unacknowledged: int
    hours: tuple[int, ...]

    @property
    def is_short(self) -> bool:
        """Whether what was watched is less than a day, and less than was asked for: too short for a rate."""
        return self.end - self.since < min(DAY, self.end - self.start)

    @property
    def verdict(self) -> str:
        """How the mean rate is judged for one person: acceptable (up to 6 an hour), manageable (12), or too many.

        It is "too early to tell" where less than a day was watched, and "nothing watched" where there was no device.
        """
        if self.since >= self.end:
            return "nothing watched"
        if self.is_short:
            return "too early to tell"
        if self.per_hour <= ACCEPTABLE_PER_HOUR:
            return "acceptable"
        return "manageable" if self.per_hour <= MANAGEABLE_PER_HOUR else "too many"


def alarm_figures(
    alarms: Sequence[AlarmRecord], start: int, end: int, first_seen: Iterable[int | None] = (None,)
) -> AlarmFigures:
    """The figures of alarms, given in any order, over the time from `start` up to `end` (ns).

    `first_seen` is when each device was, ns; None where that is not known, which may have been at any time.
    """
    within = sorted((alarm for alarm in alarms if start <= alarm.opened < end), key=lambda alarm: alarm.opened)
    opened = np.array([alarm.opened for alarm in within], np.int64)
    since = _watched_since(first_seen, opened, start, end)
    still = [alarm for alarm in alarms if alarm.cleared is None and alarm.opened < end]
    series = Counter(alarm.series for alarm in within)
    top = tuple(series.most_common(_TOP))
    before = np.searchsorted(opened, opened - FLOOD_WINDOW, side="right")
    lately = np.arange(1, len(opened) + 1) - before
    floods, flooded = _floods(opened, lately)
    hours = np.bincount((opened - start) // HOUR, minlength=max(1, -(-(end - start) // HOUR)))
    return AlarmFigures(
        start=start,
        end=end,
        since=since,
        alarms=len(within),
        per_hour=len(within) / max((end - since) / HOUR, 1e-9),
        busiest=int(lately.max(initial=0)),
        floods=floods,
        flood_share=min(1.0, flooded / max(end - since, 1)),
        top=top,
        top_share=sum(count for _, count in top) / len(within) if within else 0.0,
        chattering=tuple(sorted(number for number, times in _by_series(within).items() if _chatters(times))),
        stale=tuple(alarm.alarm for alarm in still if end - alarm.opened > DAY),
        severities=dict(Counter(alarm.severity for alarm in within)),
        open=len(still),
        unacknowledged=sum(alarm.state == "open" for alarm in still),
        hours=tuple(hours.tolist()),
    )


def _watched_since(first_seen: Iterable[int | None], opened: np.ndarray, start: int, end: int) -> int:
    """When the first device was seen, or, of history that came later, the first alarm opened."""
    known = list(first_seen)
    if None in known:
        return start
    first = min((time for time in known if time is not None), default=end)
    return min(max(start, min(first, int(opened.min(initial=end)))), end)


def _floods(opened: np.ndarray, lately: np.ndarray) -> tuple[int, int]:
    """How many floods there were, and how long they lasted together (ns)."""
    count, lasted, until = 0, 0, -1
    for time in opened[lately > FLOOD_ALARMS].tolist():
        begin = time - FLOOD_WINDOW
        if begin > until:
            count += 1
            lasted += time - begin
        else:
            lasted += time - until
        until = time
    return count, lasted


def _by_series(alarms: Sequence[AlarmRecord]) -> dict[int, list[int]]:
    """When the alarms of each series opened, in their order."""
    found: dict[int, list[int]] = {}
    for alarm in alarms:
        found.setdefault(alarm.series, []).append(alarm.opened)
    return found


def _chatters(times: Sequence[int]) -> bool:
    """Whether so many alarms opened within a minute, at these times in order."""
    return any(last - first <= MINUTE for first, last in zip(times, times[_CHATTERING - 1 :], strict=False))
