"""Score: what kind of signal a series is, found from its values and times alone while it streams, compiled."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np

from common.compiled import subkernel
from detectors.fleet_detector import Column
from detectors.knowledge import Kind
from detectors.statistics.calendar_time import DAY

KINDS: tuple[str, ...] = get_args(Kind)
"""The kinds by number, as the compiled functions give them; `UNKNOWN` before there is evidence."""

UNKNOWN = -1
MEASUREMENT, COUNTER, DAILY_TOTAL, STATE, REPORT_ON_CHANGE, BATTERY, ANGLE, BURSTS, SPARSE = range(9)

(
    LEARNED, FIRST, LAST, VALUE, KIND, CANDIDATE, VERDICTS, GIVEN, UP, DOWN, EQUAL, UPS, FALLS, RESETS, DAILY,
    LAST_RESET, LOW, HIGH, WRAPS, ZERO, STRAY, GAP, RAGGED, STEP, INTEGER,
) = range(25)  # fmt: skip
"""Columns of `signal`: readings learned; times of the first and the last, ns; the last value; the present kind + 1, the
kind + 1 that the evidence speaks for and for how many verdicts; the kind + 1 that a person gave. Shares of steps up,
down and of none; steps up since the last fall that was no reset; such falls, fading; falls to about 0, those of them a
whole number of days after the last one, and the time of that. The range; jumps from one end of the circle to the other;
shares of zeros and of readings beyond the four commonest values; the usual gap (ns) and how far log gaps are off it;
the usual step; the share of whole numbers."""

STATES = 4
TAKEN_VALUE, TIMES = range(2)
"""Columns of `values`: a value met, and its share of the readings."""

_RATE = 0.004
_FEWEST = 48.0
_EACH = 16.0
"""Readings between verdicts, where readings are not an hour apart."""
_TO_BEGIN, _TO_REFINE, _TO_CHANGE = 2.0, 4.0, 12.0
"""Verdicts in a row for a first kind, for a kind after "measurement", which everything is at first, and for another."""
_RESET = 0.02
_LONG = DAY / 24.0
_SPARSE_GAP = 2.0 * DAY / 24.0
_CIRCLES = np.array([360.0, 2.0 * math.pi])


LAYOUT = {"signal": Column(np.float64, (25,)), "values": Column(np.float64, (STATES, 2))}
"""A series' record: `signal` (25) float64, see `LEARNED`; `values` (4, 2) float64, see `TAKEN_VALUE`."""


@subkernel
def kind_of(state: Any) -> int:
    """The series' kind: what a person gave, else what was found, else `UNKNOWN`."""
    signal = state.signal
    return int(signal[GIVEN] if signal[GIVEN] > 0.0 else signal[KIND]) - 1


@subkernel
def circle_of(signal: Any) -> float:
    """The full turn of an angle with this range, 0 where it is none: 360 or 2 pi, counted from 0 or from minus half."""
    for k in range(_CIRCLES.shape[0]):
        turn = _CIRCLES[k]
        low, high = signal[LOW] / turn, signal[HIGH] / turn
        if (low >= 0.0 and 0.9 < high <= 1.0001) or (-0.5001 <= low < -0.4 and 0.4 < high <= 0.5001):
            return float(turn)
    return 0.0


@subkernel
def reports_on_change(state: Any) -> bool:
    """Whether the series is sent when it changes: its gaps are ragged, and it hardly ever repeats itself."""
    signal = state.signal
    return bool(signal[LEARNED] >= _FEWEST and signal[RAGGED] > 0.6 and signal[EQUAL] < 0.25)


@subkernel
def _count_value(values: Any, value: float, rate: float) -> bool:
    """Count the reading among the commonest values; False where it is none of them."""
    found, rarest = -1, 0
    for k in range(STATES):
        share = values[k, TIMES]
        values[k, TIMES] = share - rate * share
        if share > 0.0 and values[k, TAKEN_VALUE] == value:
            found = k
        if values[k, TIMES] < values[rarest, TIMES]:
            rarest = k
    if found >= 0:
        values[found, TIMES] += rate
        return True
    fresh = values[rarest, TIMES] == 0.0
    if values[rarest, TIMES] < rate:
        values[rarest, TAKEN_VALUE] = value
        values[rarest, TIMES] = rate
    return bool(fresh)


@subkernel
def _count_step(signal: Any, time: int, value: float, rate: float) -> None:
    """Count the step from the last value: up, down or none; a fall to about 0; a jump across the circle's seam."""
    step = value - signal[VALUE]
    signal[UP] += rate * ((1.0 if step > 0.0 else 0.0) - signal[UP])
    signal[DOWN] += rate * ((1.0 if step < 0.0 else 0.0) - signal[DOWN])
    signal[EQUAL] += rate * ((1.0 if step == 0.0 else 0.0) - signal[EQUAL])
    if step > 0.0:
        signal[UPS] += 1.0
    circle = circle_of(signal)
    if circle > 0.0 and abs(step) > 0.75 * circle:
        signal[WRAPS] += 1.0
    if step < 0.0 and value <= _RESET * signal[VALUE] and signal[VALUE] > 5.0 * signal[STEP]:
        days = (time - signal[LAST_RESET]) / DAY
        if signal[RESETS] > 0.0 and round(days) >= 1.0 and abs(days - round(days)) < 0.05:
            signal[DAILY] += 1.0
        signal[RESETS] += 1.0
        signal[LAST_RESET] = time
    elif step < 0.0:
        signal[FALLS] = 0.99 * signal[FALLS] + 1.0
        signal[UPS] = 0.0
    if step != 0.0:
        size = abs(step)
        usual = signal[STEP]
        signal[STEP] = size if usual == 0.0 else usual + 0.05 * (min(size, 4.0 * usual) - usual)


@subkernel
def _learn(state: Any, time: int, value: float) -> None:
    """Learn one reading into the evidence."""
    signal = state.signal
    rate = max(_RATE, 1.0 / (signal[LEARNED] + 1.0))
    listed = _count_value(state.values, value, rate)
    signal[STRAY] += rate * ((0.0 if listed else 1.0) - signal[STRAY])
    signal[ZERO] += rate * ((1.0 if value == 0.0 else 0.0) - signal[ZERO])
    signal[INTEGER] += rate * ((1.0 if value == math.floor(value) else 0.0) - signal[INTEGER])
    if signal[LEARNED] == 0.0:
        signal[FIRST] = time
        signal[LOW] = value
        signal[HIGH] = value
    else:
        _count_step(signal, time, value, rate)
        gap = time - signal[LAST]
        if gap > 0.0:
            if signal[GAP] == 0.0:
                signal[GAP] = gap
            off = math.log(gap / signal[GAP])
            signal[GAP] *= 1.0 + max(0.05, rate) * max(-1.0, min(1.0, off))
            signal[RAGGED] += max(0.01, rate) * (min(abs(off), 3.0) - signal[RAGGED])
    signal[LOW] = min(signal[LOW], value)
    signal[HIGH] = max(signal[HIGH], value)
    signal[VALUE] = value
    signal[LAST] = time
    signal[LEARNED] += 1.0


@subkernel
def _is_state(signal: Any, values: Any) -> bool:
    """Whether two to four values, whole numbers close together unless they are only two, are nearly all there are."""
    distinct = 0
    for k in range(STATES):
        distinct += values[k, TIMES] > 0.0
    there_and_back = signal[UP] > 0.0 and signal[DOWN] > 0.0
    if signal[STRAY] > 0.01 or distinct < 2 or not there_and_back:
        return False
    whole = signal[INTEGER] > 0.99 and signal[HIGH] - signal[LOW] <= 10.0
    days = (signal[LAST] - signal[FIRST]) / DAY
    return bool(whole or (distinct == 2 and days > 2.0))


@subkernel
def _verdict(state: Any) -> int:
    """The kind that the evidence so far speaks for."""
    signal = state.signal
    sparse = signal[GAP] >= _SPARSE_GAP
    days = (signal[LAST] - signal[FIRST]) / DAY
    if signal[LEARNED] < (12.0 if sparse else _FEWEST) or signal[HIGH] == signal[LOW]:
        return UNKNOWN
    if _is_state(signal, state.values):
        return STATE
    if signal[WRAPS] >= 3.0 and circle_of(signal) > 0.0:
        return ANGLE
    climbs = signal[UPS] >= 30.0 and signal[FALLS] < 0.5 + 0.002 * signal[UPS] and signal[UP] > 4.0 * signal[DOWN]
    if climbs and (days > 0.5 or (days > 1.0 / 24.0 and signal[UPS] >= 300.0)):
        return DAILY_TOTAL if signal[DAILY] >= 2.0 and signal[DAILY] >= 0.5 * (signal[RESETS] - 1.0) else COUNTER
    if signal[ZERO] > 0.6 and signal[LEARNED] >= 4.0 * _FEWEST:
        return BURSTS
    is_percent = signal[LOW] >= 0.0 and signal[HIGH] <= 100.0 and signal[HIGH] > 20.0
    if is_percent and signal[EQUAL] > 0.7 and days > 2.0 and signal[DOWN] > 4.0 * signal[UP]:
        return BATTERY
    if sparse:
        return SPARSE
    if reports_on_change(state):
        return REPORT_ON_CHANGE
    return MEASUREMENT


@subkernel
def kind_step(state: Any, time: int, value: float, learn: bool) -> int:
    """The series' kind with this reading, `UNKNOWN` without evidence; learns it where `learn`.

    `state` is a record of `LAYOUT`; `time` in ns. A verdict is asked for every 16 readings, or at each one
    where they are an hour apart; a first kind takes two verdicts alike, a special one after "measurement" four,
    another one twelve.
    """
    if not learn:
        return kind_of(state)
    signal = state.signal
    _learn(state, time, value)
    if signal[LEARNED] % _EACH != 0.0 and signal[GAP] < _LONG:
        return kind_of(state)
    verdict = _verdict(state) + 1.0
    signal[VERDICTS] = signal[VERDICTS] + 1.0 if verdict == signal[CANDIDATE] else 1.0
    signal[CANDIDATE] = verdict
    needed = _TO_CHANGE
    if signal[KIND] <= MEASUREMENT + 1.0:
        needed = _TO_BEGIN if signal[KIND] == 0.0 else _TO_REFINE
    if verdict > 0.0 and verdict != signal[KIND] and signal[VERDICTS] >= needed:
        signal[KIND] = verdict
    return kind_of(state)


def kind_evidence(state: Any) -> str:
    """What the series' kind was found from, in a few words; empty for a measurement and while the kind is unknown."""
    signal, values = state.signal, state.values
    kind = kind_of(state)
    if signal[GIVEN] > 0.0:
        return "given"
    if kind == COUNTER:
        return f"climbs; began anew {signal[RESETS]:.0f} times" if signal[RESETS] else "only ever climbs"
    if kind == DAILY_TOTAL:
        return f"climbs, and began anew a day after the last time {signal[DAILY]:.0f} times"
    if kind == STATE:
        return "takes the values " + ", ".join(
            f"{value:g}" for value in sorted(values[values[:, TIMES] > 0, TAKEN_VALUE])
        )
    if kind == REPORT_ON_CHANGE:
        return f"sent at irregular times, {1 - signal[EQUAL]:.0%} of the readings with a new value"
    if kind == BATTERY:
        return f"percent that fall in steps, {signal[EQUAL]:.0%} of the readings unchanged"
    if kind == ANGLE:
        return f"jumped across the ends of {signal[LOW]:g} to {signal[HIGH]:g} {signal[WRAPS]:.0f} times"
    if kind == BURSTS:
        return f"0 in {signal[ZERO]:.0%} of the readings"
    if kind == SPARSE:
        return f"a reading about every {signal[GAP] / _LONG:.0f} h"
    return ""


def give_kind(state: Any, kind: Kind | None) -> None:
    """Set the kind that a person gave for a series, which wins over what is found; None takes it back."""
    state.signal[GIVEN] = 0.0 if kind is None else KINDS.index(kind) + 1.0
