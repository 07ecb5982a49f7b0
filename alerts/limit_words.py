"""Alarm: limits that operation is to keep to, and what a person reads of when one is reached."""

from __future__ import annotations

import math
from dataclasses import dataclass

LIKELY = 0.5
"""A limit is said to be reached where at least this share of the likely courses reach it within the horizon."""
POSSIBLE = 0.1


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit at `value`, reached from below where `above`; `source` is the setting, or the unit, that it is from."""

    value: float
    above: bool
    source: str

    def is_reached(self, value: float) -> bool:
        """Whether a value is at the limit or beyond it."""
        return value >= self.value if self.above else value <= self.value


def reach_sentence(
    metric: str, unit: str, limit: Limit, now: float, horizon: int, times: tuple[float, float, float], share: float
) -> str:
    """When a limit is reached, as one sentence.

    `now` is the newest level; `times` are the median, and the ends of the 80 % between which it is reached, ns from
    now, inf beyond the `horizon`, ns; `share` is the share of the likely courses that reach it.
    """
    at = f"{limit.value:g}{f' {unit}' if unit else ''}"
    if limit.is_reached(now):
        return f"{metric} is {'above' if limit.above else 'below'} {at} already"
    median, earliest, latest = times
    if share >= LIKELY:
        until = f"to {clock(latest)}" if math.isfinite(latest) else f"or later than {clock(horizon)}"
        return f"{metric} reaches {at} in {length(median)}, 80 %: {clock(earliest)} {until}"
    stays = f"{metric} stays {'below' if limit.above else 'above'} {at} for the next {length(horizon)}"
    if share >= POSSIBLE:
        soonest = f", in {clock(earliest)} at the earliest" if math.isfinite(earliest) else ""
        return f"{stays} more likely than not; it reaches it with {share:.0%}{soonest}"
    return stays


def length(nanoseconds: float) -> str:
    """About how long, with two digits: "50 min", "3.5 h", "24 h", "12 days"."""
    seconds = nanoseconds / 1e9
    size, unit = next(
        (
            (size, unit)
            for size, unit in ((86_400, "days"), (3600, "h"), (60, "min"))
            if seconds >= size * (1 + (size > 3600))
        ),
        (1, "s"),
    )
    count = seconds / size
    return f"{count:.2g} {unit}" if count < 99.5 else f"{count:.0f} {unit}"


def clock(nanoseconds: float) -> str:
    """Hours and minutes, such as 2:40; minutes and seconds below a quarter of an hour; days from two days on."""
    seconds = round(nanoseconds / 1e9)
    if seconds < 900:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes >= 2 * 1440:
        return f"{minutes / 1440:.1f} days"
    return f"{minutes // 60}:{minutes % 60:02d}"
