"""Alarm: from score to verdict, for all series in one compiled call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_settings import AlarmSettings
from alerts.policy_kernels import ESCALATED, ROSE, Band, Limits, PolicyState, find_thresholds, judge, threshold_now
from alerts.series_rules import SeriesRules, without_ignored
from common.growth import grown

_FRESH: Mapping[str, tuple[Any, float]] = {
    "last_time": (np.int64, -1),
    "log_cadence": (np.float64, math.nan),
    "is_open": (np.bool_, False),
    "calm_readings": (np.int32, 0),
    "calm_since": (np.int64, -1),
    "first_anomaly": (np.int64, -1),
    "anomalies": (np.int32, 0),
    "peak": (np.float64, 0.0),
    "severity": (np.int8, 0),
    "cooldown": (np.int32, 0),
    "readings": (np.int32, 0),
    "normal": (np.float64, math.nan),
    "off": (np.float64, 0.0),
    "mean_off": (np.float64, 0.0),
    "return_until": (np.int64, -1),
    "first_time": (np.int64, -1),
    "pending_since": (np.int64, -1),
    "pending_peak": (np.float64, 0.0),
    "furthest": (np.float64, 0.0),
    "widest": (np.float64, 0.0),
}


_ADDED = (
    "readings", "normal", "off", "mean_off", "return_until", "first_time", "pending_since", "pending_peak", "furthest",
    "widest",
)  # fmt: skip
"""What versions before did not keep."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the policy made of n scored readings, all (n,): `anomaly` where the score reaches the threshold, or an alarm
    is open and the value still as far off.

    `event` int8 is OPENED, ESCALATED (its severity rose), CLEARED, ADOPTED (cleared, since what it found has stayed
    and is taken as normal), or ROSE (its highest score rose by a tenth, its severity did not) where that happened to an
    alarm at this reading, else 0; `events` counts those. `peak` and `severity` are the open alarm's as of this reading,
    where there is one. `normal` and `reach` are what was expected before the open alarm and half the band then, where
    the value is as far off as ever and yet within the band that its detector tells now; else NaN.
    """

    anomaly: NDArray[np.bool_]
    event: NDArray[np.int8]
    peak: NDArray[np.float64]
    severity: NDArray[np.int8]
    normal: NDArray[np.float64]
    reach: NDArray[np.float64]
    events: int

    def band(self, told: Band) -> Band:
        """`told`, and where that has taken in what an alarm is open for, the band of before the alarm."""
        is_before = ~np.isnan(self.normal)
        if not is_before.any():
            return told
        return Band(
            told.value,
            np.where(is_before, self.normal, told.expected),
            np.where(is_before, self.normal - self.reach, told.lower),
            np.where(is_before, self.normal + self.reach, told.upper),
        )


@dataclass(frozen=True, slots=True)
class PeakWatch:
    """Who is to be told when an open alarm of these series rises or ends: the series, and its peak."""

    series: Sequence[int]
    changed: Callable[[int, float], None]


class AlarmPolicy:
    """Raises and clears one alarm a series, with hysteresis and a cooldown.

    An alarm opens by its score. It stays open until the score has been low for a while and the value is back, relative
    to what was normal before; what stays for long is taken as normal, and its return raises no alarm. What a person
    said of a series (`SeriesRules`) is in force whatever scores it.
    """

    def __init__(self, settings: AlarmSettings) -> None:
        self.settings = settings
        self._limits = Limits(
            settings.threshold or 0.0,
            settings.budget_per_second,
            settings.clear_ratio,
            settings.clear_after_ns,
            settings.clear_readings,
            settings.cooldown,
            settings.adopt_after_ns,
        )
        self._own_budget = np.empty(0)
        self._minimum = np.empty(0)
        self._shortest = np.empty(0, np.int64)
        self._watched = np.empty(0, np.bool_)
        self._ignored: dict[int, SeriesRules] = {}
        self._state = PolicyState(*(np.empty(0, kind) for kind, _ in _FRESH.values()))

    def grow(self, size: int) -> None:
        """Make room for series 0 to `size` - 1."""
        if size <= min(len(self._own_budget), len(self._state.off)):
            return  # Asked with every chunk: thirty arrays would be looked at.
        self._own_budget = grown(self._own_budget, size, math.nan)
        self._minimum = grown(self._minimum, size, 0.0)
        self._shortest = grown(self._shortest, size, 0)
        self._watched = grown(self._watched, size, False)
        now = self._state._asdict()
        self._state = PolicyState(**{name: grown(now[name], size, fill) for name, (_, fill) in _FRESH.items()})

    def set_budget(self, series: int, per_second: float) -> None:
        """Let this many alarms a second of the series be false, in place of what the settings say of all."""
        self._own_budget[series] = per_second

    def set_minimum(self, series: int, score: float) -> None:
        """Let no score below this raise an alarm of the series, whatever its budget says; 0 for no such minimum."""
        self._minimum[series] = score

    def describe(self, series: int, rules: SeriesRules) -> None:
        """Judge a series by what a person said of it from here on."""
        self.grow(series + 1)
        self._shortest[series] = rules.shortest
        self._ignored.pop(series, None)
        if rules.ignores_something:
            self._ignored[series] = rules

    def shortest(self, series: int) -> int:
        """How long a deviation of a series has to last before its alarm opens, ns."""
        return int(self._shortest[series])

    def end_by_score(self, series: int) -> None:
        """Let the series' open alarm end by the score alone: somebody has said what is normal."""
        self._state.off[series] = 0.0

    def close(self, series: int) -> None:
        """End the series' open alarm: the next score that reaches the threshold opens another."""
        self._state.is_open[series] = False

    def step(
        self,
        series: NDArray[np.int32],
        time: NDArray[np.int64],
        score: NDArray[np.float64],
        band: Band | None = None,
        watch: PeakWatch | None = None,
    ) -> Verdicts:
        """Judge n readings in order; a NaN score (warming up) is no verdict and changes no alarm.

        So it is with readings at hours and on dates that do not count.

        Without a `band`, as of scores of a whole device, an alarm ends by the score alone. `watch` is told of changes
        of open alarms where they happen, so that it may set another minimum for what follows.
        """
        n = len(series)
        if self._ignored:
            score = without_ignored(self._ignored, series, time, score)
        if band is None:
            unknown = np.full(n, np.nan)
            band = Band(unknown, unknown, unknown, unknown)
        anomaly, event = np.empty(n, np.bool_), np.empty(n, np.int8)
        peak, severity = np.empty(n), np.empty(n, np.int8)
        normal, reach = np.empty(n), np.empty(n)
        at = events = 0
        if watch is not None:
            self._watched[watch.series] = True
        while at < n:
            found, at = judge(
                series, time, score, band, self._limits, self._own_budget, self._minimum, self._shortest,
                self._watched, self._state, at, anomaly, event, peak, severity, normal, reach,
            )  # fmt: skip
            events += int(found)
            number = int(series[at - 1])
            if watch is not None and self._watched[number] and event[at - 1]:
                # One that has ended is watched no more, nor is one that opens behind it.
                self._watched[number] = event[at - 1] in (ESCALATED, ROSE)
                watch.changed(number, float(peak[at - 1]))
        if watch is not None:
            self._watched[watch.series] = False
        return Verdicts(anomaly, event, peak, severity, normal, reach, events)

    def threshold(self, series: int) -> float:
        """The score that raises an alarm for this series now."""
        known = series < len(self._state.log_cadence)
        log_cadence = float(self._state.log_cadence[series]) if known else math.nan
        own_budget = float(self._own_budget[series]) if known else math.nan
        minimum = float(self._minimum[series]) if known else 0.0
        return float(threshold_now(self._limits, own_budget, minimum, log_cadence))

    def thresholds(self) -> NDArray[np.float64]:
        """The score that raises an alarm now, of every series there is room for."""
        found = np.empty(len(self._state.log_cadence))
        find_thresholds(self._limits, self._own_budget, self._minimum, self._state.log_cadence, found)
        return found

    def peak(self, series: int) -> float:
        """The highest score of the series' newest alarm so far; 0 before the first."""
        return float(self._state.peak[series])

    def last_time(self, series: int) -> int:
        """Time of the newest reading of a series, in ns; -1 before the first."""
        return int(self._state.last_time[series])

    def adopt(self, open_alarms: Iterable[tuple[int, int, float, int]]) -> None:
        """Let exactly these alarms be open: series, time of opening in ns, peak so far, number of its severity."""
        state = self._state
        state.is_open[:] = False
        for series, opened, peak, severity in open_alarms:
            state.is_open[series] = True
            state.calm_readings[series] = 0
            state.calm_since[series] = max(int(state.last_time[series]), opened)
            state.first_anomaly[series] = opened
            state.anomalies[series] = max(int(state.anomalies[series]), 1)
            state.peak[series] = peak
            state.severity[series] = severity
            state.readings[series] = max(int(state.readings[series]), 1)
            state.off[series] = 0.0
            state.furthest[series] = 0.0
            state.widest[series] = 0.0

    @property
    def open_series(self) -> NDArray[np.intp]:
        """Series with an open alarm."""
        return np.flatnonzero(self._state.is_open)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """A copy of the whole state."""
        return {name: array.copy() for name, array in self._state._asdict().items()}

    def load(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over a state that `state` returned, by this version or the one before, which knew no values.

        Raises KeyError where another array is missing.
        """
        size = len(state["last_time"])
        added = {name: np.full(size, _FRESH[name][1]) for name in _ADDED}
        whole = {**added, **state}
        self._state = PolicyState(**{name: np.array(whole[name], kind) for name, (kind, _) in _FRESH.items()})
