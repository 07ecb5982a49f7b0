"""Alarm: what a person said of a series that decides on its alarms, whatever scores it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

_EVERY_YEAR = len("12-24")


@dataclass(frozen=True, slots=True)
class SeriesRules:
    """How long a deviation has to last, and when none counts.

    `shortest` in ns. `hours` are (from, to) pairs of local hours of the day, (22.0, 6.0) is every night; `dates` local
    dates such as "2026-12-24", or "12-24" of every year; both by the clocks of `time_zone`, an IANA name.
    """

    shortest: int = 0
    hours: tuple[tuple[float, float], ...] = ()
    dates: frozenset[str] = frozenset()
    time_zone: str = "UTC"

    @property
    def ignores_something(self) -> bool:
        """Whether there are hours or dates that do not count."""
        return bool(self.hours or self.dates)

    def ignores(self, time: int) -> bool:
        """Whether nothing counts at a time (ns since the epoch)."""
        local = datetime.fromtimestamp(time / 1e9, ZoneInfo(self.time_zone))
        day = local.date().isoformat()
        if day in self.dates or day[-_EVERY_YEAR:] in self.dates:
            return True
        hour = local.hour + local.minute / 60 + local.second / 3600
        # From 22 to 6 goes over midnight.
        return any(a <= hour < b if a < b else hour >= a or hour < b for a, b in self.hours)


NO_RULES = SeriesRules()


def without_ignored(
    rules: Mapping[int, SeriesRules], series: NDArray[np.int32], time: NDArray[np.int64], score: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The scores (n,), NaN where nothing counts by the rules of the reading's series."""
    counted = score.copy()
    for row in np.flatnonzero(np.isin(series, list(rules))).tolist():
        if rules[int(series[row])].ignores(int(time[row])):
            counted[row] = np.nan
    return counted
