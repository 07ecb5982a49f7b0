"""Score: slow drift: a level that creeps over weeks, compared at like hours of the day."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from common.compiled import njit, subkernel
from detectors.channels.channel_detector import ChannelDetector, ChannelParameters
from detectors.detector import MAX_SCORE
from detectors.fleet_detector import Column, Inputs
from detectors.statistics.calendar_time import DAY, wall_clock
from detectors.statistics.calibration import LARGEST

HOUR = DAY // 24

(
    LEARNED, TODAY, SUM, COUNT, THIS_HOUR, HOUR_SUM, HOUR_COUNT, PER_DAY, BASE, DAYS, DAILY, WEEKLY, WEEKS_SEEN, SCORE,
    CHANGE, DEVIATIONS,
) = range(16)  # fmt: skip
"""Columns of `drift`: readings learned; the present local day, the sum of its readings without the course of the day,
and their number; the present hour, its sum and number; usual readings a day; the level that `levels` are told from;
days kept; mean squares of the level's change over one day and over seven, the number of the latter; the decades given
all day, the change of level that they are about, and that over what the level does by itself."""

COURSE, LEVELS = 0, 24
"""Columns of `tables`, from which on there are: how far each hour of the day is from the day's level; the levels of the
last `KEPT` days, a ring by day number."""

KEPT = 21
_RECENT, _OLD = 5, 7
"""Days at either end of the levels kept that are compared."""
_FEWEST_CHANGES = 7.0
_CLIP, _CLIP_FROM = 4.0, 10.0
_RATE = 1.0 / 60.0
_COURSE_RATE = 0.1
_NO_WALK = 1.25
"""Changes over a week are that much larger, in squares, than those over a day by chance alone."""
_COVERED = 0.5
"""Share of the usual readings that a day has to have."""
_MOST_AT_ONCE = 0.6
"""Share of the whole change from three days to the next three above which it is a step and no drift."""
_ONCE_A_YEAR = math.log10(52.0 / 7.0)
"""A budget of an alarm a week is spent by one in 52 here: drift is told at one false alarm a year. The levels compared
hardly differ from day to day, so that a week of judgements counts as one."""


LAYOUT = {"drift": Column(np.float64, (16,)), "tables": Column(np.float32, (LEVELS + KEPT,))}
"""A series' record: `drift` (16) float64, see `LEARNED`; `tables` (45) float32, see `COURSE`."""


@subkernel
def _median(levels: Any, newest: int, first: int, count: int) -> float:
    """The median of `count` (odd) days' levels, the first of them `first` days before day number `newest`.

    The level with as many below as above it, equal ones told apart by their day.
    """
    for k in range(count):
        level = levels[(newest - first - k) % KEPT]
        below = 0
        for m in range(count):
            other = levels[(newest - first - m) % KEPT]
            below += other < level or (other == level and m < k)
        if below == count // 2:
            return float(level)
    return math.nan


@subkernel
def _student(t: float, freedom: float) -> float:
    """About -log10 of the two-sided tail of Student's t law, 0 at its middle.

    By the normal deviate z = sqrt(freedom log(1 + t^2 / freedom)) (1 - 3 / (16 freedom)), from Wallace, Ann. Math.
    Statist. 30, 1959, and the bound erfc(x) <= exp(-x^2).
    """
    z = math.sqrt(freedom * math.log1p(t * t / freedom)) * max(0.3, 1.0 - 0.1875 / freedom)
    return float(0.5 * z * z / math.log(10.0)) if z < 7.0 else float(0.5 * 49.0 / math.log(10.0))


@subkernel
def _largest_step(levels: Any, newest: int) -> float:
    """The largest change of level from three days to the next three among the days kept, by their medians."""
    largest = 0.0
    for k in range(KEPT - 5):
        step = abs(_median(levels, newest, k, 3) - _median(levels, newest, k + 3, 3))
        largest = max(largest, step)
    return largest


@subkernel
def _judge(drift: Any, levels: Any) -> tuple[float, float, float]:
    """Decades of the change from three weeks ago to now, the change, and that in deviations; 0 with too few days.

    The level is taken for a random walk with daily noise upon it, whose two sizes the changes over one and over seven
    days tell; a signal that wanders by itself has to drift further. A step is no drift.
    """
    if drift[DAYS] < KEPT or drift[WEEKS_SEEN] < _FEWEST_CHANGES:
        return 0.0, 0.0, 0.0
    newest = int(drift[DAYS]) - 1
    now, then = _median(levels, newest, 0, _RECENT), _median(levels, newest, KEPT - _OLD, _OLD)
    between = _median(levels, newest, _RECENT, KEPT - _RECENT - _OLD)
    change = now - then
    walk = max(0.0, (drift[WEEKLY] - _NO_WALK * drift[DAILY]) / 6.0)
    noise = max(0.0, drift[DAILY] - walk)
    apart = KEPT - 0.5 * (_RECENT + _OLD)
    variance = noise * 0.5 * math.pi * 0.5 * (1.0 / _RECENT + 1.0 / _OLD) + walk * apart
    if variance <= 0.0:
        return 0.0, change, 0.0
    deviations = abs(change) / math.sqrt(variance)
    steady = (then < between < now) or (then > between > now)
    if not steady or _largest_step(levels, newest) > _MOST_AT_ONCE * abs(change):
        return 0.0, change, deviations
    decades = _student(deviations, min(2.0 + drift[WEEKS_SEEN] / 7.0, 20.0))
    score = decades + math.log10(max(drift[PER_DAY], 1.0)) - _ONCE_A_YEAR
    return max(0.0, min(MAX_SCORE, score)), change, deviations


@subkernel
def _learn_change(drift: Any, column: int, change: float, seen: float) -> None:
    """Learn one change of level into a mean square; a drift or a step must not make itself usual."""
    square = change * change
    if seen >= _CLIP_FROM:
        square = min(square, _CLIP * drift[column])
    rate = max(_RATE, 1.0 / (seen + 1.0))
    if drift[DEVIATIONS] > 2.0:
        rate *= 0.25
    drift[column] += rate * (square - drift[column])


@subkernel
def _end_day(state: Any) -> None:
    """Note the level of the day that has ended, where it had enough readings, and judge."""
    drift = state.drift
    levels = state.tables[LEVELS:]
    count = drift[COUNT]
    usual = drift[PER_DAY]
    if count > 0.0:
        drift[PER_DAY] = count if usual == 0.0 else usual + 0.2 * (count - usual)
    if count > 0.0 and count >= _COVERED * usual:
        level = drift[SUM] / count
        if drift[DAYS] == 0.0:
            drift[BASE] = level
        number = int(drift[DAYS])
        off = level - drift[BASE]
        if number >= 1:
            _learn_change(drift, DAILY, off - float(levels[(number - 1) % KEPT]), number - 1.0)
        if number >= 7:
            _learn_change(drift, WEEKLY, off - float(levels[(number - 7) % KEPT]), drift[WEEKS_SEEN])
            drift[WEEKS_SEEN] += 1.0
        levels[number % KEPT] = off
        drift[DAYS] += 1.0
        drift[SCORE], drift[CHANGE], drift[DEVIATIONS] = _judge(drift, levels)
    drift[SUM] = 0.0
    drift[COUNT] = 0.0


@subkernel
def _end_hour(state: Any) -> None:
    """Learn how far the hour that has ended is from the day's level; the first day's level is not known yet."""
    drift = state.drift
    if drift[HOUR_COUNT] > 0.0 and drift[DAYS] > 0.0:
        last = drift[BASE] + float(state.tables[LEVELS + (int(drift[DAYS]) - 1) % KEPT])
        hour = COURSE + int(drift[THIS_HOUR])
        rate = max(_COURSE_RATE, 1.0 / drift[DAYS])
        off = drift[HOUR_SUM] / drift[HOUR_COUNT] - last
        state.tables[hour] += rate * (off - state.tables[hour])
    drift[HOUR_SUM] = 0.0
    drift[HOUR_COUNT] = 0.0


@subkernel
def drift_step(state: Any, time: int, clock: int, value: float, learn: bool) -> float:  # noqa: ARG001 - all take a time
    """Decades of the drift up to yesterday, NaN with nothing to say; learns the reading where `learn`.

    `state` is a record of `LAYOUT`; `clock` the local time in ns since a Monday's midnight. The score changes
    once a day.
    """
    drift = state.drift
    if learn:
        day, hour = int(clock // DAY), int(clock % DAY // HOUR)
        if drift[LEARNED] > 0.0 and (hour != drift[THIS_HOUR] or day != drift[TODAY]):
            _end_hour(state)
            if day != drift[TODAY]:
                _end_day(state)
        drift[TODAY] = day
        drift[THIS_HOUR] = hour
        drift[SUM] += value - float(state.tables[COURSE + hour])
        drift[COUNT] += 1.0
        drift[HOUR_SUM] += value
        drift[HOUR_COUNT] += 1.0
        drift[LEARNED] += 1.0
    return float(drift[SCORE]) if drift[DAYS] >= KEPT else math.nan


class SlowDriftParameters(ChannelParameters):
    """What may be set; none of it needs to be."""

    time_zone: str = Field(default="UTC", description="IANA time zone in which days and hours are counted.")
    warmup: int = Field(default=30, ge=4, le=1_000_000, description="Readings learned before the first score.")


class SlowDrift(ChannelDetector):
    """The change of a series' daily level over three weeks, over what its level changes by itself.

    A day's level is the mean of its readings less the course of the day, so that a day with missing hours compares. The
    median level of the last five days is compared with that of seven days three weeks back. What the level does by
    itself is told by its changes over one and over seven days, in a memory of two months. A step is no drift. The score
    is judged once a day and stays for the day; it is set so that a budget of an alarm a week gives one false drift a
    year.

    Works: on sensors at like conditions: 1 % of the range a week is found within three weeks where the daily level
    wanders by less than about a fifth of that. Fails: in the first four weeks, and on what follows the weather.

    Cost: about 15 ns a reading. Memory: 312 bytes a slot. Source: structure functions of random walks; Wallace, Ann.
    Math. Statist. 30, 1959.
    """

    name: ClassVar[str] = "slow_drift"
    Parameters: ClassVar[type[BaseModel]] = SlowDriftParameters
    channel_layout: ClassVar[dict[str, Column]] = LAYOUT
    learned: ClassVar[tuple[str, int]] = ("drift", LEARNED)

    def run(self, inputs: Inputs, records: Any, score: NDArray[np.float64]) -> None:
        """Score and learn the rows in order."""
        _run(*inputs, records, self.changes, self.offsets, float(self.settings.warmup), score)


@njit(allocates=False)
def _run(
    slots: Any, times: Any, values: Any, learns: Any, records: Any, changes: Any, zone: Any, warmup: float, score: Any
) -> None:
    for i in range(slots.shape[0]):
        if not math.isfinite(values[i]):
            continue
        state = records[slots[i]]
        warm = state.drift[LEARNED] >= warmup
        value = max(-LARGEST, min(LARGEST, values[i]))
        clock = wall_clock(times[i], changes, zone)
        decades = drift_step(state, times[i], clock, value, learns[i])
        if warm:
            score[i] = 0.0 if math.isnan(decades) else decades
