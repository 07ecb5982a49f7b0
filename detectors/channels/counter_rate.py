"""Score: counters: how fast a total climbs, whether it has stopped, resets and roll-overs."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from common.compiled import njit, subkernel
from detectors.channels.channel_detector import ChannelDetector, ChannelParameters
from detectors.channels.exceedance import SIZES, sizes_decades, sizes_learn, sizes_quantile
from detectors.detector import MAX_SCORE
from detectors.fleet_detector import Column, Inputs
from detectors.statistics.calendar_time import DAY, wall_clock
from detectors.statistics.calibration import LARGEST

HOUR = DAY // 24

(
    LEARNED, FIRST, VALUE, LAST, STEP, CLIMBED, HOURS, MOVES, MISSED, COUNTED, EXPECTED, LONG_COUNTED, LONG_EXPECTED,
    RESETS, LAST_RESET, WINDOWS, CAUSE, ODD_SINCE, ODD_STOPS,
) = range(19)  # fmt: skip
"""Columns of `total`: readings learned; time of the first, ns; the last value and its time, ns; the usual increment
above 0; climbed in all, and in how many hours; increments above 0; increments expected since the last one; climbed of
late and expected meanwhile, by a memory of eight readings and by one of six hours; resets and the time of the last one,
ns; hours of the longer memory learned from; what the last score is about; since when the count has been odd, ns, 0
while it is not; stops that were too long to teach."""

CLIMB, HELD, BY_DAY, STOPS = 0, 24, 48, 62
FASTER, SLOWER, LONG_FASTER = STOPS + SIZES, STOPS + 2 * SIZES, STOPS + 3 * SIZES
"""Columns of `tables`, from which on there are: the climb and the hours by hour of the day, and both by weekday;
expected increments between two that came; the climb over the expected one, the reverse, and the first by the longer
memory."""

NOTHING, STOPPED, FAST, SLOW, RESET = range(5)
"""What a score is about, column `CAUSE`."""

MODULI = np.array(
    [2.0**16, 2.0**24, 2.0**31, 2.0**32, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10]
)  # fmt: skip
"""Sizes at which counters roll over, in units of the counter; decimals are allowed for."""

_FEWEST = 30.0
_FEWEST_MOVES = 20.0
_NEAR = 20.0
"""Usual climbs within which a counter has to be of its end, and of 0 afterwards, for a roll-over."""
_ZERO = 0.02
"""Share of the value before below which a counter begins anew."""
_RESET_DECADES = 1.5
"""A reset is told however young the series is: this much is added to its rarity."""
_NEWS, _FAMILIAR = 2.0, 6.0
"""Resets up to which one is news, and from which it is none."""
_DAILY, _DAYS_APART = 0.05, 4.0
"""How far from a whole number of days, in days, a reset is daily; resets further apart are none."""
_READINGS, _LONG_HOURS = 8.0, 6.0
_SMALL = 3.0
"""Increments by which a climb is drawn to what was expected: counters climb in steps."""
_HOURS_TO_TRUST = 0.5
_DAY_TO_TRUST = 12.0
"""Hours of a weekday after which it counts as known."""
_UNSEEN_DAY = 0.3
"""A weekday that was never seen may be one on which little is counted: this share is expected at least."""
_MEMORY_HOURS = 24.0 * 56
_ODD = 3.0
_YOUNG = 3 * DAY
"""In its first days a counter learns from everything: its first nights and days off are no faults."""
_CAUTION, _FIRST_DAY = 2.0, 2.0
_FIRST_NIGHT = 3 * DAY // 2
"""Until then stops count as so many times shorter at first, and up to the first night as at most so many decades."""
_ADOPTED = DAY
"""What has been odd for so long is how it counts now."""
_KEEPS_COMING = 5.0
"""Stops that were too long to teach, after which such a stop is usual."""
_AROUND = 3 * HOUR // 4
_MARGIN = 1.3
_STEP_RATE = 0.05
_GAP = 20.0
"""A silence of so many mean gaps between readings tells nothing of the counter: what sends is off."""
_QUESTIONS = math.log10(4.0)
_BAND = 2.0
"""The band holds all but one increment in 10^2."""


LAYOUT = {"total": Column(np.float64, (19,)), "tables": Column(np.float32, (LONG_FASTER + SIZES,))}
"""A series' record: `total` (19) float64, see `LEARNED`; `tables` (62 + 4 SIZES) float32, see `CLIMB`."""


@subkernel
def _climb(total: Any, value: float, hours: float) -> float:
    """What the counter has counted since the last reading: a roll-over is seen through; NaN after a reset."""
    climb = value - total[VALUE]
    if climb >= 0.0:
        return float(climb)
    usual = total[CLIMBED] / max(total[HOURS], 1e-9) * hours
    reach = _NEAR * max(usual, total[STEP])
    for k in range(MODULI.shape[0]):
        size = MODULI[k]
        if 0.0 <= size - total[VALUE] <= reach and value <= reach < 0.25 * size:
            return float(climb + size)
    return math.nan


@subkernel
def _day_share(state: Any, clock: int, unseen: float) -> float:
    """How much more, or less, is counted on this weekday than on the mean day; `unseen` of one not known yet."""
    total, tables = state.total, state.tables
    day = BY_DAY + int(clock // DAY % 7)
    held = float(tables[day + 7])
    mean = total[CLIMBED] / max(total[HOURS], 1e-9)
    if mean <= 0.0:
        return 1.0
    share = (float(tables[day]) + _HOURS_TO_TRUST * mean) / (mean * (held + _HOURS_TO_TRUST))
    return float(share if held >= _DAY_TO_TRUST else min(unseen, max(share, _UNSEEN_DAY)))


@subkernel
def _expected(state: Any, clock: int, hours: float) -> float:
    """The climb expected in the `hours` before local time `clock`, by the hour of the day and the weekday."""
    return float(_expected_by_hour(state, clock, hours) * _day_share(state, clock, 1.0))


@subkernel
def _expected_by_hour(state: Any, clock: int, hours: float) -> float:
    """The climb expected in the `hours` before local time `clock` on the mean day."""
    total, tables = state.total, state.tables
    mean = total[CLIMBED] / max(total[HOURS], 1e-9)
    if hours > 24.0:
        return float(mean * hours)
    expected, at, left = 0.0, clock, hours
    while left > 1e-12:
        hour = int((at - 1) % DAY // HOUR)
        share = min(left, ((at - 1) % HOUR + 1) / HOUR)
        held = tables[HELD + hour]
        # An hour seen on several days is believed: nights would else be expected to count a little, minute by minute.
        doubt = _HOURS_TO_TRUST / (1.0 + held * held)
        rate = (tables[CLIMB + hour] + doubt * mean) / (held + doubt)
        expected += rate * share
        at -= max(int(share * HOUR), 1)
        left -= share
    return expected


@subkernel
def _expected_at_least(state: Any, clock: int, hours: float) -> float:
    """The same by the slowest of the hours around: a shift does not end with the hour, nor at the same minute."""
    least = _expected_by_hour(state, clock, hours)
    least = min(
        least, _expected_by_hour(state, clock - _AROUND, hours), _expected_by_hour(state, clock + _AROUND, hours)
    )
    return float(least * min(_day_share(state, clock, _UNSEEN_DAY), _day_share(state, clock + _AROUND, _UNSEEN_DAY)))


@subkernel
def _reset(total: Any, time: int, value: float, hours: float) -> float:
    """Decades of a fall from the last value to this one: how seldom the counter began anew.

    Told even of a young series, but not where it comes a day after the last one, nor, on the first two days, with a
    full hour, as a daily total would; no news after six. A fall by a few climbs is a correction.
    """
    usual = total[CLIMBED] / max(total[HOURS], 1e-9) * hours
    if value > _ZERO * total[VALUE] and total[VALUE] - value <= _NEAR * max(usual, total[STEP]):
        return math.nan
    days = (time - total[LAST_RESET]) / DAY
    if total[RESETS] > 0.0 and abs(days - round(days)) < _DAILY and days < _DAYS_APART:
        return 0.0
    decades = math.log10((total[LEARNED] + 2.0) / (total[RESETS] + 1.0))
    with_the_hour = time % HOUR <= max(0.1, hours) * HOUR
    if total[HOURS] > 48.0 or not with_the_hour:
        decades += _RESET_DECADES
    return float(decades * min(1.0, max(0.0, _FAMILIAR - total[RESETS]) / (_FAMILIAR - _NEWS)))


@subkernel
def _ratio(counted: float, expected: float, step: float) -> float:
    return (counted + _SMALL * step) / (expected + _SMALL * step)


@subkernel
def _judge(state: Any, climb: float, expected: float, least: float, hours: float) -> tuple[float, int]:
    """Decades of an increment, and what they are about; `least` is what was expected at least."""
    total, tables = state.total, state.tables
    step = max(total[STEP], 1e-300)
    if climb <= 0.0:
        age = total[LAST] - total[FIRST]
        # A counter's first nights are not known yet.
        missed = (total[MISSED] + least / step) / (_MARGIN * (1.0 + _CAUTION * max(0.0, 1.0 - age / _YOUNG)))
        rarely = math.log10(total[LEARNED] / total[MOVES])
        best, cause = sizes_decades(tables[STOPS : STOPS + SIZES], missed) + rarely, STOPPED
        if age < _FIRST_NIGHT:
            best = min(best, _FIRST_DAY)
    else:
        best, cause = 0.0, NOTHING
    keep = math.exp(-1.0 / _READINGS)
    short = _ratio(keep * total[COUNTED] + climb, keep * total[EXPECTED] + expected, step)
    if short > _MARGIN:
        fast = sizes_decades(tables[FASTER : FASTER + SIZES], short / _MARGIN)
        if fast > best:
            best, cause = fast, FAST
    elif short < 1.0 / _MARGIN:
        slow = sizes_decades(tables[SLOWER : SLOWER + SIZES], 1.0 / (short * _MARGIN))
        if slow > best:
            best, cause = slow, SLOW
    keep = math.exp(-hours / _LONG_HOURS)
    long = _ratio(keep * total[LONG_COUNTED] + climb, keep * total[LONG_EXPECTED] + expected, step)
    if long > _MARGIN:
        rarely = max(0.0, math.log10(total[LEARNED] * _LONG_HOURS / max(total[HOURS], 1e-9)))
        fast = sizes_decades(tables[LONG_FASTER : LONG_FASTER + SIZES], long / _MARGIN) + rarely
        if fast > best:
            best, cause = fast, FAST
    return best, cause


@subkernel
def _teaches(state: Any, time: int, score: float) -> bool:
    """Whether an increment of this score teaches: what is odd does so in the first days, and once it has stayed."""
    total = state.total
    if not score >= _ODD:
        total[ODD_SINCE] = 0.0
        return True
    if total[ODD_SINCE] == 0.0:
        total[ODD_SINCE] = time
    if time - total[ODD_SINCE] <= _ADOPTED:
        return bool(time - total[FIRST] < _YOUNG)
    if total[MISSED] > 0.0:
        sizes_learn(state.tables[STOPS : STOPS + SIZES], total[MISSED])
        total[MISSED] = 0.0
    total[ODD_SINCE] = 0.0
    return True


@subkernel
def _stop_teaches(total: Any, time: int) -> bool:
    """Whether the end of the present stop teaches how long stops are: an odd one does if such stops keep coming."""
    if total[ODD_SINCE] == 0.0 or time - total[FIRST] < _YOUNG:
        return True
    total[ODD_STOPS] += 1.0
    return bool(total[ODD_STOPS] > _KEEPS_COMING)


@subkernel
def _learn(
    state: Any, clock: int, climb: float, expected: float, least: float, hours: float, odd: bool, stop_teaches: bool
) -> None:
    """Learn one increment; what is odd moves the short memories alone."""
    total, tables = state.total, state.tables
    step = total[STEP]
    keep, keep_long = math.exp(-1.0 / _READINGS), math.exp(-hours / _LONG_HOURS)
    total[COUNTED] = keep * total[COUNTED] + climb
    total[EXPECTED] = keep * total[EXPECTED] + expected
    total[LONG_COUNTED] = keep_long * total[LONG_COUNTED] + climb
    total[LONG_EXPECTED] = keep_long * total[LONG_EXPECTED] + expected
    missed = total[MISSED] + (least / step if step > 0.0 else 0.0)
    total[MISSED] = 0.0 if climb > 0.0 else missed
    if climb > 0.0:
        total[MOVES] += 1.0
        total[STEP] = climb if step == 0.0 else step + _STEP_RATE * (min(climb, 4.0 * step) - step)
    if odd:
        return
    hour = int(clock % DAY // HOUR)
    tables[CLIMB + hour] += climb
    tables[HELD + hour] += hours
    day = BY_DAY + int(clock // DAY % 7)
    tables[day] += climb
    tables[day + 7] += hours
    total[CLIMBED] += climb
    total[HOURS] += hours
    if total[MOVES] >= _FEWEST_MOVES and step > 0.0:
        if climb > 0.0 and stop_teaches:
            sizes_learn(tables[STOPS : STOPS + SIZES], missed)
        ratio = _ratio(total[COUNTED], total[EXPECTED], step)
        sizes_learn(tables[FASTER : FASTER + SIZES], ratio)
        sizes_learn(tables[SLOWER : SLOWER + SIZES], 1.0 / max(ratio, 1e-9))
        if total[HOURS] >= total[WINDOWS] + _LONG_HOURS:
            total[WINDOWS] = total[HOURS]
            sizes_learn(
                tables[LONG_FASTER : LONG_FASTER + SIZES], _ratio(total[LONG_COUNTED], total[LONG_EXPECTED], step)
            )
    if total[HOURS] > _MEMORY_HOURS:
        for k in range(STOPS):
            tables[k] *= 0.5
        total[CLIMBED] *= 0.5
        total[HOURS] *= 0.5
        total[WINDOWS] *= 0.5
        total[ODD_STOPS] *= 0.5


@subkernel
def _is_gap(total: Any, time: int) -> bool:
    """Whether a silence so long precedes this reading that nothing was to be expected of the counter meanwhile."""
    usual = (total[LAST] - total[FIRST]) / max(total[LEARNED] - 1.0, 1.0)
    return bool(total[LEARNED] >= _FEWEST and time - total[LAST] > _GAP * usual)


@subkernel
def counter_band(state: Any, time: int, clock: int) -> tuple[float, float]:
    """What the counter is to show now at least and at most; NaN where that is not known.

    Call before `counter_step`. Changes nothing.
    """
    total, tables = state.total, state.tables
    hours = (time - total[LAST]) / HOUR
    if total[LEARNED] < _FEWEST or total[MOVES] < _FEWEST_MOVES or hours <= 0.0 or _is_gap(total, time):
        return math.nan, math.nan
    climb = _expected(state, clock, hours)
    most = sizes_quantile(tables[FASTER : FASTER + SIZES], _BAND) * _MARGIN * (climb + _SMALL * total[STEP])
    return total[VALUE], total[VALUE] + max(climb, most)


@subkernel
def counter_rate(state: Any, time: int, value: float) -> float:
    """The rate per hour since the last reading, for other channels to judge; NaN at the start and after a reset.

    Call before `counter_step`. Changes nothing.
    """
    total = state.total
    hours = (time - total[LAST]) / HOUR
    if total[LEARNED] == 0.0 or hours <= 0.0:
        return math.nan
    return float(_climb(total, value, hours) / hours)


@subkernel
def counter_step(state: Any, time: int, clock: int, value: float, learn: bool) -> float:
    """Decades of one reading of a counter, NaN with nothing to say; learns it where `learn`.

    `state` is a record of `LAYOUT`; `time` in ns; `clock` the local time in ns since a Monday's midnight.
    """
    total = state.total
    hours = (time - total[LAST]) / HOUR if total[LEARNED] > 0.0 else 0.0
    score, cause = math.nan, NOTHING
    climb = _climb(total, value, hours) if total[LEARNED] > 0.0 else 0.0
    is_reset = math.isnan(climb)
    expected, least = 0.0, 0.0
    is_gap = _is_gap(total, time)
    if is_gap and not is_reset:
        climb = 0.0
    if is_reset:
        climb = 0.0
        if total[LEARNED] >= _FEWEST:
            score, cause = _reset(total, time, value, hours) - _QUESTIONS, RESET
    elif hours > 0.0 and not is_gap:
        expected, least = _expected(state, clock, hours), _expected_at_least(state, clock, hours)
        if total[LEARNED] >= _FEWEST and total[MOVES] >= _FEWEST_MOVES:
            score, cause = _judge(state, climb, expected, least, hours)
            score -= _QUESTIONS
    if learn:
        total[CAUSE] = cause
        if is_reset:
            total[RESETS] += 1.0
            total[LAST_RESET] = time
        elif hours > 0.0 and not is_gap:
            stop_teaches = climb <= 0.0 or _stop_teaches(total, time)
            _learn(state, clock, climb, expected, least, hours, not _teaches(state, time, score), stop_teaches)
        if total[LEARNED] == 0.0:
            total[FIRST] = time
        total[LEARNED] += 1.0
        total[VALUE] = value
        total[LAST] = time
    return score if math.isnan(score) else max(0.0, min(MAX_SCORE, score))


class CounterParameters(ChannelParameters):
    """What may be set; none of it needs to be."""

    time_zone: str = Field(default="UTC", description="IANA time zone in which the hours of the day are counted.")
    warmup: int = Field(default=50, ge=4, le=1_000_000, description="Readings learned before the first score.")


class CounterRate(ChannelDetector):
    """A total that climbs, judged by its climb: expected by the hour of the day, compared over minutes and hours.

    Four questions: has it stopped (increments that were to be expected since the last one); does it climb faster than
    ever, over eight readings or six hours, or more slowly; did it begin anew. The score is the highest answer, less 0.6
    for the choice. A roll-over at 2^16, 2^24, 2^31, 2^32 or a power of ten is seen through. A reset scores once; where
    resets keep coming, as of a daily total, less and less. What scores 3 or more does not teach.

    Works: on meters and pulse counters. Fails: on what falls in the ordinary course (a tank), and on a roll-over that
    comes with an outage of many usual climbs.

    Cost: about 150 ns a reading. Memory: 696 bytes a slot. Source: time rescaling of point processes: Brown et al.,
    Neural Computation 14, 2002; counter resets as in Prometheus' `rate`.
    """

    name: ClassVar[str] = "counter_rate"
    Parameters: ClassVar[type[BaseModel]] = CounterParameters
    channel_layout: ClassVar[dict[str, Column]] = LAYOUT
    learned: ClassVar[tuple[str, int]] = ("total", LEARNED)

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
        warm = state.total[LEARNED] >= warmup
        value = max(-LARGEST, min(LARGEST, values[i]))
        clock = wall_clock(times[i], changes, zone)
        decades = counter_step(state, times[i], clock, value, learns[i])
        if warm:
            score[i] = 0.0 if math.isnan(decades) else decades
