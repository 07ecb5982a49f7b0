"""Alarm, compiled: what each score does to the alarm of its series."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.severity import SLIGHT, severity_of
from alerts.threshold import threshold_of
from common.compiled import njit, subkernel

OPENED = 1
CLEARED = 2
ESCALATED = 3
ADOPTED = 4
ROSE = 5
"""Events of alarms: see `alerts.policy.Verdicts`."""

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


class Limits(NamedTuple):
    """The settings as the kernel takes them: scores in decades, times in ns, the budget in alarms a second."""

    fixed: float
    budget: float
    clear_ratio: float
    clear_after: int
    clear_readings: int
    cooldown: int
    adopt_after: int


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
def _tenths(score: float) -> float:
    """Tenths of a decade, rounded: scores are shown with one decimal."""
    return float(np.rint(10.0 * score))


@subkernel
def _go_on(
    series: int, time: int, score: float, threshold: float, value: float, limits: Limits, state: PolicyState
) -> int:
    """What a reading does to an open alarm."""
    state.readings[series] += 1
    rose = 0
    if score >= threshold:
        state.anomalies[series] += 1
        rose = ROSE if _tenths(score) > _tenths(state.peak[series]) else 0
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
        return rose
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
def threshold_now(limits: Limits, own_budget: float, minimum: float, log_cadence: float) -> float:
    """The score that raises an alarm of a series, at least `minimum`, by its own budget where it has one (not NaN)."""
    if math.isnan(own_budget):
        return max(threshold_of(limits.fixed, limits.budget, log_cadence), minimum)
    return max(threshold_of(0.0, own_budget, log_cadence), minimum)


@njit(nogil=True)
def find_thresholds(
    limits: Limits,
    own_budget: NDArray[np.float64],
    minimum: NDArray[np.float64],
    log_cadence: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Fill `found` (series,) with the score that raises an alarm now, of each series."""
    for series in range(len(found)):
        found[series] = threshold_now(limits, own_budget[series], minimum[series], log_cadence[series])


@subkernel
def _still_off(series: int, value: float, band: Band, row: int, state: PolicyState) -> tuple[float, float]:
    """What was normal before the open alarm and half its band, of a reading that the band told has taken in; else NaN.

    A detector may know by now what it alarmed of: the band of before is what says why the alarm is still open.
    """
    if not band.lower[row] <= value <= band.upper[row]:
        return math.nan, math.nan
    normal = state.normal[series]
    return float(normal), float(min(state.widest[series], abs(value - normal)))


@njit(nogil=True)
def judge(
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
    normal: NDArray[np.float64],
    reach: NDArray[np.float64],
) -> tuple[int, int]:
    """Judge readings from `first` on, up to an event of a `watched` series; the events, and where to go on."""
    events = 0
    for i in range(first, len(series)):
        s = series[i]
        _learn_cadence(s, time[i], state)
        event[i] = 0
        anomaly[i] = False
        normal[i], reach[i] = math.nan, math.nan
        if not math.isnan(score[i]):
            threshold = threshold_now(limits, own_budget[s], minimum[s], state.log_cadence[s])
            anomaly[i] = score[i] >= threshold
            value, expected, half = band.value[i], band.expected[i], 0.5 * (band.upper[i] - band.lower[i])
            if anomaly[i] and (state.is_open[s] or state.pending_since[s] >= 0):
                _note_distance(s, value, expected, half, state)
            if state.is_open[s]:
                event[i] = _go_on(s, time[i], score[i], threshold, value, limits, state)
                if state.is_open[s] and _share_off(s, value, state) >= _BACK:
                    anomaly[i] = True
                    normal[i], reach[i] = _still_off(s, value, band, i, state)
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
