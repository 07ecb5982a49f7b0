"""Alarm: from score to verdict, for all series in one compiled call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_settings import AlarmSettings
from alerts.series_rules import SeriesRules, without_ignored
from alerts.severity import SLIGHT, severity_of
from alerts.threshold import threshold_of
from common.compiled import njit, subkernel
from common.growth import grown

OPENED = 1
CLEARED = 2
ESCALATED = 3
ADOPTED = 4

_CADENCE_WEIGHT = 0.05
_LARGEST_STEP = 2.0
_SLIGHT_SHARE = 0.02
_BACK = 0.5
"""A series is back once its mean deviation from what was normal before is below this share of that which opened."""
_MEAN_RATE = 0.25
_ADOPTED_READINGS = 20
"""Readings that an alarm must have lasted before what it found can be taken as normal."""
_RETURN_WITHIN = 86_400_000_000_000
"""The return from what was taken as normal raises no alarm within this time (ns)."""


class PolicyState(NamedTuple):
    """What is remembered of each series, all (series,). Times in ns, -1 for none; scores in decades.

    `log_cadence`: the logarithm of the usual seconds between readings. `calm_readings`, `calm_since`: readings below
    the clearing score in a row, and the time of the last one above it. `first_anomaly`, `anomalies`, `peak`,
    `severity`, `readings`: of the open alarm. `cooldown`: readings left in which no alarm opens. `normal` and `off`:
    what was expected when the newest alarm opened, and how far off it the value was (0: within the usual band);
    `mean_off` the mean deviation since, in shares of that. `return_until`: until when the return raises no alarm.
    `first_time`: of the first reading. `pending_since`, `pending_peak`: of a deviation that has to last before its
    alarm opens, -1 and 0 for none. `furthest`, `widest`: how far off the furthest value of the
    newest deviation was, and half the widest of the bands that were told of it.
    """

    last_time: NDArray[np.int64]
    log_cadence: NDArray[np.float64]
    is_open: NDArray[np.bool_]
    calm_readings: NDArray[np.int32]
    calm_since: NDArray[np.int64]
    first_anomaly: NDArray[np.int64]
    anomalies: NDArray[np.int32]
    peak: NDArray[np.float64]
    severity: NDArray[np.int8]
    cooldown: NDArray[np.int32]
    readings: NDArray[np.int32]
    normal: NDArray[np.float64]
    off: NDArray[np.float64]
    mean_off: NDArray[np.float64]
    return_until: NDArray[np.int64]
    first_time: NDArray[np.int64]
    pending_since: NDArray[np.int64]
    pending_peak: NDArray[np.float64]
    furthest: NDArray[np.float64]
    widest: NDArray[np.float64]


class Band(NamedTuple):
    """What was usual at n readings, all (n,): the value itself, what was expected, and the lower and upper end."""

    value: NDArray[np.float64]
    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


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


class Limits(NamedTuple):
    """The settings as the kernel takes them: scores in decades, times in ns, the budget in alarms a second."""

    fixed: float
    budget: float
    clear_ratio: float
    clear_after: int
    clear_readings: int
    cooldown: int
    adopt_after: int


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the policy made of n scored readings, all (n,): `anomaly` where the score reaches the threshold, or an alarm
    is open and the value still as far off.

    `event` int8 is OPENED, ESCALATED (its severity rose), CLEARED, or ADOPTED (cleared, since what it found has stayed
    and is taken as normal) where that happened to an alarm at this reading, else 0; `events` counts those. `peak` and
    `severity` are the open alarm's as of this reading, where there is one.
    """

    anomaly: NDArray[np.bool_]
    event: NDArray[np.int8]
    peak: NDArray[np.float64]
    severity: NDArray[np.int8]
    events: int


@dataclass(frozen=True, slots=True)
class PeakWatch:
    """Who is to be told when an open alarm of these series rises in severity or ends: the series, and its peak."""

    series: Sequence[int]
    changed: Callable[[int, float], None]


@subkernel
def _learn_cadence(series: int, time: int, state: PolicyState) -> None:
    if state.last_time[series] < 0:
        state.first_time[series] = time
    gap = (time - state.last_time[series]) * 1e-9
    if state.last_time[series] >= 0 and gap > 0.0:
        step = math.log(gap)
        if math.isnan(state.log_cadence[series]):
            state.log_cadence[series] = step
        else:
            # A gap of an outage must not stretch the cadence: one step moves it by a bounded amount.
            off = min(max(step - state.log_cadence[series], -_LARGEST_STEP), _LARGEST_STEP)
            state.log_cadence[series] += _CADENCE_WEIGHT * off
    state.last_time[series] = time


@subkernel
def _note_distance(series: int, value: float, expected: float, half: float, state: PolicyState) -> None:
    """Keep how far off the furthest value was, and half the widest band: that of a mean is narrower than of a value."""
    off = abs(value - expected)
    if math.isnan(off) or math.isnan(half):
        return
    state.furthest[series] = max(state.furthest[series], off)
    state.widest[series] = max(state.widest[series], half)


@subkernel
def _times_as_far(series: int, state: PolicyState) -> float:
    """How many times as far off as nearly all readings; 0 where that is not known, `SLIGHT` where there was no band."""
    if state.widest[series] > 0.0:
        return float(state.furthest[series] / state.widest[series])
    is_slight = 0.0 < state.furthest[series] <= _SLIGHT_SHARE * abs(state.normal[series])
    return SLIGHT if is_slight else 0.0


@subkernel
def _open(series: int, time: int, threshold: float, state: PolicyState) -> None:
    """Open the alarm of a deviation that `_begin` noted."""
    state.is_open[series] = True
    state.calm_readings[series] = 0
    state.calm_since[series] = time
    state.first_anomaly[series] = state.pending_since[series]
    state.anomalies[series] = 1
    state.readings[series] = 1
    state.peak[series] = state.pending_peak[series]
    state.severity[series] = severity_of(state.peak[series] - threshold, _times_as_far(series, state), 0.0, 1)
    state.return_until[series] = -1
    state.pending_since[series] = -1


@subkernel
def _begin(series: int, time: int, value: float, expected: float, half: float, state: PolicyState) -> None:
    """Note a deviation that begins: what was normal before, and how far off it is."""
    state.pending_since[series] = time
    state.pending_peak[series] = 0.0
    off = value - expected
    state.furthest[series] = 0.0
    state.widest[series] = 0.0
    state.normal[series] = expected
    state.off[series] = off if abs(off) > half else 0.0  # so that NaN is 0
    state.mean_off[series] = 1.0
    _note_distance(series, value, expected, half, state)


@subkernel
def _share_off(series: int, value: float, state: PolicyState) -> float:
    """How far off a value is from what was normal before the newest alarm, in shares of the value that opened it."""
    off = state.off[series]
    return (value - state.normal[series]) / off if off != 0.0 else 0.0


@subkernel
def _adopted_after(series: int, limits: Limits, state: PolicyState) -> int:
    """How long something must stay to be taken as normal, in ns: no longer than what was normal before it is known."""
    known = state.first_anomaly[series] - state.first_time[series]
    if state.first_time[series] < 0:
        return limits.adopt_after
    return int(min(limits.adopt_after, max(limits.clear_after, known)))


@subkernel
def _go_on(
    series: int, time: int, score: float, threshold: float, value: float, limits: Limits, state: PolicyState
) -> int:
    """What a reading does to an open alarm."""
    state.readings[series] += 1
    if score >= threshold:
        state.anomalies[series] += 1
        state.peak[series] = max(state.peak[series], score)
        seconds = (time - state.first_anomaly[series]) * 1e-9
        excess = state.peak[series] - threshold
        severity = severity_of(excess, _times_as_far(series, state), seconds, state.anomalies[series])
        if severity > state.severity[series]:
            state.severity[series] = severity
            state.calm_readings[series] = 0
            state.calm_since[series] = time
            return ESCALATED
    share = min(max(_share_off(series, value, state), -1.0), 2.0)
    state.mean_off[series] += _MEAN_RATE * (share - state.mean_off[series])
    is_calm = score < limits.clear_ratio * threshold
    if is_calm and state.off[series] != 0.0 and state.mean_off[series] >= _BACK:
        lasted = time - state.first_anomaly[series]
        if lasted < _adopted_after(series, limits, state) or state.readings[series] < _ADOPTED_READINGS:
            is_calm = False
        else:
            state.is_open[series] = False
            state.cooldown[series] = limits.cooldown
            state.return_until[series] = time + _RETURN_WITHIN
            return ADOPTED
    if not is_calm:
        state.calm_readings[series] = 0
        state.calm_since[series] = time
        return 0
    state.calm_readings[series] += 1
    if state.calm_readings[series] < limits.clear_readings or time - state.calm_since[series] < limits.clear_after:
        return 0
    state.is_open[series] = False
    state.cooldown[series] = limits.cooldown
    return CLEARED


@subkernel
def _is_return(series: int, time: int, value: float, limits: Limits, state: PolicyState) -> bool:
    """Whether the reading returns from what was taken as normal to what was normal before."""
    if time >= state.return_until[series] or not abs(_share_off(series, value, state)) < _BACK:
        return False
    # The detectors need as long to take the return as normal as they needed for what it returns from.
    state.return_until[series] = min(state.return_until[series], time + limits.adopt_after)
    return True


@subkernel
def _has_lasted(
    series: int, time: int, score: float, threshold: float, value: float, shortest: int, state: PolicyState
) -> bool:
    """Whether a deviation that `_begin` noted has lasted for the `shortest` time (ns); forgets one that is over."""
    if state.pending_since[series] < 0:
        return False
    is_off = state.off[series] != 0.0 and _share_off(series, value, state) >= _BACK
    if score < threshold and not is_off:
        state.pending_since[series] = -1
        return False
    state.pending_peak[series] = max(state.pending_peak[series], score)
    return bool(time - state.pending_since[series] >= shortest)


@subkernel
def _threshold(limits: Limits, own_budget: float, minimum: float, log_cadence: float) -> float:
    """The score that raises an alarm of a series, at least `minimum`, by its own budget where it has one (not NaN)."""
    if math.isnan(own_budget):
        return max(threshold_of(limits.fixed, limits.budget, log_cadence), minimum)
    return max(threshold_of(0.0, own_budget, log_cadence), minimum)


@njit(nogil=True)
def _thresholds(
    limits: Limits,
    own_budget: NDArray[np.float64],
    minimum: NDArray[np.float64],
    log_cadence: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    for series in range(len(found)):
        found[series] = _threshold(limits, own_budget[series], minimum[series], log_cadence[series])


@njit(nogil=True)
def _step(
    series: NDArray[np.int32],
    time: NDArray[np.int64],
    score: NDArray[np.float64],
    band: Band,
    limits: Limits,
    own_budget: NDArray[np.float64],
    minimum: NDArray[np.float64],
    shortest: NDArray[np.int64],
    watched: NDArray[np.bool_],
    state: PolicyState,
    first: int,
    anomaly: NDArray[np.bool_],
    event: NDArray[np.int8],
    peak: NDArray[np.float64],
    severity: NDArray[np.int8],
) -> tuple[int, int]:
    """Judge readings from `first` on, up to an event of a `watched` series; the events, and where to go on."""
    events = 0
    for i in range(first, len(series)):
        s = series[i]
        _learn_cadence(s, time[i], state)
        event[i] = 0
        anomaly[i] = False
        if not math.isnan(score[i]):
            threshold = _threshold(limits, own_budget[s], minimum[s], state.log_cadence[s])
            anomaly[i] = score[i] >= threshold
            value, expected, half = band.value[i], band.expected[i], 0.5 * (band.upper[i] - band.lower[i])
            if anomaly[i] and (state.is_open[s] or state.pending_since[s] >= 0):
                _note_distance(s, value, expected, half, state)
            if state.is_open[s]:
                event[i] = _go_on(s, time[i], score[i], threshold, value, limits, state)
                anomaly[i] = anomaly[i] or (state.is_open[s] and _share_off(s, value, state) >= _BACK)
            elif state.cooldown[s] > 0:
                state.cooldown[s] -= 1
            else:
                may_open = anomaly[i] and not _is_return(s, time[i], value, limits, state)
                if may_open and state.pending_since[s] < 0:
                    _begin(s, time[i], value, expected, half, state)
                if _has_lasted(s, time[i], score[i], threshold, value, shortest[s], state):
                    _open(s, time[i], threshold, state)
                    event[i] = OPENED
                # What has to last first is no anomaly before it has.
                anomaly[i] = event[i] == OPENED or (anomaly[i] and shortest[s] == 0)
        peak[i] = state.peak[s]
        severity[i] = state.severity[s]
        if event[i] != 0:
            events += 1
            if watched[s]:
                return events, i + 1
    return events, len(series)


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
        at = events = 0
        if watch is not None:
            self._watched[watch.series] = True
        while at < n:
            found, at = _step(
                series, time, score, band, self._limits, self._own_budget, self._minimum, self._shortest,
                self._watched, self._state, at, anomaly, event, peak, severity,
            )  # fmt: skip
            events += int(found)
            number = int(series[at - 1])
            if watch is not None and self._watched[number] and event[at - 1]:
                # One that has ended is watched no more, nor is one that opens behind it.
                self._watched[number] = event[at - 1] == ESCALATED
                watch.changed(number, float(peak[at - 1]))
        if watch is not None:
            self._watched[watch.series] = False
        return Verdicts(anomaly, event, peak, severity, events)

    def threshold(self, series: int) -> float:
        """The score that raises an alarm for this series now."""
        known = series < len(self._state.log_cadence)
        log_cadence = float(self._state.log_cadence[series]) if known else math.nan
        own_budget = float(self._own_budget[series]) if known else math.nan
        minimum = float(self._minimum[series]) if known else 0.0
        return float(_threshold(self._limits, own_budget, minimum, log_cadence))

    def thresholds(self) -> NDArray[np.float64]:
        """The score that raises an alarm now, of every series there is room for."""
        found = np.empty(len(self._state.log_cadence))
        _thresholds(self._limits, self._own_budget, self._minimum, self._state.log_cadence, found)
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
