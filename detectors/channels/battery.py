"""Score: batteries: a fall that is steep for this battery, a cliff where it had stairs, in compiled form.

A battery goes down a stair at a time, and up at once when it is charged or new; a lower reading than ever is no fault.
What counts is how far it is below the mean of its last day, in units of the furthest that it was before. Warmth and
radio make a reading dip: the higher of two counts.

Cost: about 20 ns a reading. Memory: 72 bytes a series.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from common.compiled import subkernel
from detectors.detector import MAX_SCORE
from detectors.fleet_detector import Column
from detectors.statistics.calendar_time import DAY

LEARNED, FIRST, LAST, VALUE, MEAN, HIGHEST, DEEPEST, SINCE, OF_LATE = range(9)
"""Columns of `battery`: readings learned; times of the first and the last, ns; the last value; the mean of the last
day; the highest value; how far below the mean it was at most, before the present day; when that began, ns, and how far
it was at most since."""

LAYOUT = {"battery": Column(np.float64, (9,))}
"""A series' record: `battery` (9) float64, see `LEARNED`."""

_KNOWN_AFTER = 2.0 * DAY
_YOUNG = 3.0 * DAY
"""In its first days the furthest fall is learned whatever it is: a telephone is charged every night."""
_FEWEST = 12.0
_USUAL_SHARE = 0.03
"""Falls of this share of the highest value are usual on any battery."""
_FROM, _DECADES = 2.0, 2.2
"""Falls beyond so many usual ones score, each more so many decades."""
_ODD_FALL = 2.5
"""A fall of so many usual ones is a fault's, and teaches nothing."""
_FADING = 60.0 * DAY
_CHARGED = 0.5


@subkernel
def _usual(battery: Any) -> float:
    """How far below the mean of a day this battery is at most."""
    return float(max(battery[DEEPEST], _USUAL_SHARE * abs(battery[HIGHEST])))


@subkernel
def battery_band(state: Any) -> tuple[float, float, float]:
    """What the battery is expected to show, at least and at most; NaN where that is not known yet."""
    battery = state.battery
    if battery[LEARNED] < _FEWEST or battery[LAST] - battery[FIRST] < _KNOWN_AFTER:
        return math.nan, math.nan, math.nan
    reach = _FROM * _usual(battery)
    return float(battery[MEAN]), float(battery[MEAN] - reach), float(max(battery[HIGHEST], battery[MEAN]))


@subkernel
def _learn_fall(battery: Any, time: int, fall: float, gap: float) -> None:
    """Learn how far below the mean the battery is, a day late: a cliff must not become usual while it falls."""
    battery[DEEPEST] *= math.exp(-gap / _FADING)
    battery[OF_LATE] = max(battery[OF_LATE], fall)
    if time - battery[SINCE] < DAY and time - battery[FIRST] >= _YOUNG:
        return
    odd = battery[OF_LATE] > _ODD_FALL * _usual(battery)
    if not odd or time - battery[FIRST] < _YOUNG:
        battery[DEEPEST] = max(battery[DEEPEST], battery[OF_LATE])
    battery[SINCE] = time
    battery[OF_LATE] = 0.0


@subkernel
def battery_step(state: Any, time: int, value: float, learn: bool) -> float:
    """Decades of one reading, NaN with nothing to say; learns it where `learn`. `time` in ns."""
    battery = state.battery
    score = math.nan
    fall = battery[MEAN] - max(value, battery[VALUE])
    if battery[LEARNED] >= _FEWEST and battery[LAST] - battery[FIRST] >= _KNOWN_AFTER:
        usual = _usual(battery)
        score = _FROM + _DECADES * (fall / usual - _FROM) if fall > _FROM * usual > 0.0 else 0.0
        score = min(score, MAX_SCORE)
    if learn:
        if battery[LEARNED] == 0.0:
            battery[FIRST] = time
            battery[MEAN] = value
            battery[HIGHEST] = value
            fall = 0.0
        gap = max(time - battery[LAST], 0.0) if battery[LEARNED] > 0.0 else 0.0
        _learn_fall(battery, time, fall, gap)
        rate = _CHARGED if value > battery[MEAN] else 1.0 - math.exp(-gap / DAY)
        battery[MEAN] += rate * (value - battery[MEAN])
        battery[HIGHEST] = max(battery[HIGHEST], value)
        battery[VALUE] = value
        battery[LAST] = time
        battery[LEARNED] += 1.0
    return score
