"""Score: deviation: how far a reading is from what several forecasts of its series expect now, in compiled form.

The forecasts are levels that follow at three rates, each with and without the course of the day by the clock; of each
rate the one that errs less counts. Their errors are measured in units of their usual size at this hour; so is the mean
of the last ten or so errors of the slowest, which shows what is small and lasts. Each of the four sizes becomes decades
by its own past: the share of earlier ones as large, and beyond the largest thirtieth a Pareto tail of index 3, heavier
than normal behaviour, so that decades err to the quiet side (`statistics.excursions` puts that right by counting).

What is surely a fault teaches nothing: no scale, no course, no past. A level is held through it, and adopts what has
stayed for its holding time.

Cost: about 0.6 us a reading. Memory: 2.4 KiB a series. Sources: exponential smoothing with clipped errors, Gelper,
Fried and Croux, J. Forecasting 29, 2010; harmonic mean of p-values, Wilson, PNAS 116, 2019.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import subkernel
from detectors.fleet_detector import Column
from detectors.statistics.calendar_time import DAY

RATES = (0.3, 0.05, 0.005)
FORECASTS, SIZES = 3, 4
"""Rates, and sizes: one a rate and that of the mean error."""
JUMP, SHIFT, LEVEL, LASTING = range(SIZES)
KNOTS = 48
"""Of the course of the day, half an hour apart; linear between."""

BINS, LOWEST, PER_OCTAVE = 48, -4.0, 4.0
LARGEST_SIZE = 1e9
PRIOR_SIZES, PRIOR_START = 200.0, 2.5
"""A typical series' sizes, of which a tenth lie beyond PRIOR_START with a Pareto tail, are worth so many of its own."""
TAIL_SHARE, TAIL_INDEX = 0.03, 3.0
BODY_SHARE, BODY_INDEX, BODY_WEIGHT, STEEPER_AT_MOST = 0.3, 2.4, 2.0, 1.5
"""While a series is young, its tail is steeper where the sizes between the largest BODY_SHARE and TAIL_SHARE fall off
faster than BODY_INDEX, as those of normal noise do; later its excursions say so."""
LIGHT_FROM, LIGHT_FULLY = 0.3, 0.8
"""By how much a body's index exceeds BODY_INDEX where the tails of the noise begin to be light, and are."""
GROWN = 5000.0
"""Readings at which a series is half grown."""
REFRESH = 64
SIZES_MEMORY = 20_000.0

ODD_DECADES, ODD_SIZE = 3.0, 10.0
"""Beyond either a reading is surely no normal one, and teaches nothing."""
WARMUP = 30
CLIP = 4.0
SCALE_RATE, MEAN_RATE = 0.001, 0.1
HOUR_READINGS = 20.0
"""Readings at an hour that its own size of error needs to count half."""
COURSE_DAYS = 7.0
"""Memory of the course of the day."""
BASE_DAYS = 2.0
YOUNG_READINGS = 100.0
"""In its first hours a series learns from odd readings too: it does not know yet what is odd."""
DAILY, DAILY_RATE = 0.5, 0.25
"""What is odd at the same half hour on this share of days is normal there; each day counts this much."""
ERROR_CLIP = 6.0
"""No single error counts more in their mean, in usual errors."""
HOLD_READINGS = (6.0, 20.0, 60.0)
HOLD_NS = (600e9, 3600e9, 28_800e9)
"""A level adopts what it was held against after so many readings, and at least this time."""
STALE = 10.0
"""Usual intervals without a reading after which the two faster levels say nothing, and begin anew."""
LOG10_E = 1.0 / math.log(10.0)
USUAL_DECADES = 2.0
"""The band holds all but one reading in 10^2 of a usual hour."""


_SIZE_OF = np.array([2.0 ** (LOWEST + i / PER_OCTAVE) for i in range(BINS)])
"""The lower edge of each cell."""
_PRIOR_OF = np.array([PRIOR_SIZES * min(1.0, 0.1 * (PRIOR_START / size) ** TAIL_INDEX) for size in _SIZE_OF])
"""How many of the prior's sizes are as large."""


LAYOUT = {
    "learned": Column(np.int64),
    "first": Column(np.int64),
    "last": Column(np.int64),
    "interval": Column(np.float64),
    "level": Column(np.float64, (2 * FORECASTS,)),
    "scale": Column(np.float64, (2 * FORECASTS,)),
    "base": Column(np.float64),
    "course": Column(np.float32, (KNOTS,)),
    "hour": Column(np.float32, (KNOTS,)),
    "hour_readings": Column(np.float32, (KNOTS,)),
    "mean": Column(np.float64),
    "mean_scale": Column(np.float64),
    "past": Column(np.float32, (SIZES, BINS + 1)),
    "table": Column(np.float32, (SIZES, BINS)),
    "tail": Column(np.float64, (SIZES, 3)),
    "held": Column(np.int64, (FORECASTS,)),
    "seen": Column(np.float64, (FORECASTS,)),
    "odd": Column(np.float64),
    "odd_share": Column(np.float32, (KNOTS,)),
    "odd_day": Column(np.uint8, (KNOTS,)),
    "day": Column(np.int16, (KNOTS,), -1),
}
"""A series' record: clock and count; levels and error scales (6), the last three over the course of the day.

`course`, `hour` are what the clock adds and how large errors are at this hour, with the readings behind each;
`past` is the histogram of each size, `table` its cells as decades, `tail` the size and decades at which its tail
starts, and by how much the index of the body before it exceeds BODY_INDEX. `held` counts the readings against which a
level is held, `seen` is their mean. `odd` is the share of odd readings in the holding time, `odd_share` that of
days with an odd reading at this hour, `day` the last day with a reading, `odd_day` 1 where it had an odd one.
"""


class DeviationView(NamedTuple):
    """What is made of one reading, kept from scoring to learning: one array each, filled anew for each reading.

    `size`, `decades` (SIZES,); `error` (FORECASTS,) signed, of the forecast that counts; `used` its index in 0 to 5;
    `numbers` (7,): see `COURSE` on.
    """

    size: NDArray[np.float64]
    decades: NDArray[np.float64]
    error: NDArray[np.float64]
    used: NDArray[np.int64]
    numbers: NDArray[np.float64]


COURSE, HOUR, MEAN, KNOT, NEXT_SHARE, HOUR_RATIO, YOUNG_MORE = range(7)
"""Places in `numbers`: what the clock adds; size of errors at this hour; mean error with this reading's; the knot
before it and the share of the knot after; the error of the middle rate over its scale;
what a young series' steeper tail adds to the decades."""


def new_view() -> DeviationView:
    """An empty view, for a kernel's run."""
    return DeviationView(
        np.zeros(SIZES), np.zeros(SIZES), np.zeros(FORECASTS), np.zeros(FORECASTS, np.int64), np.zeros(7)
    )


@subkernel
def _bin(size: float) -> int:
    if size <= 0.0:
        return 0
    return int(min(max((math.log2(size) - LOWEST) * PER_OCTAVE, 0.0), BINS - 1.0))


@subkernel
def _size_decades(state: Any, which: int, size: float) -> float:
    """-log10 of the share of sizes at least as large: by the past within it, by the tail beyond."""
    start = state.tail[which, 0]
    if size >= start:
        return float(state.tail[which, 1] + TAIL_INDEX * math.log10(size / start))
    return float(state.table[which, _bin(size)])


@subkernel
def _fit_tails(state: Any) -> None:
    """Turn each size's past into decades by cell, and find where its largest TAIL_SHARE begins."""
    for which in range(SIZES):
        past = state.past[which]
        total = float(past[BINS]) + PRIOR_SIZES
        above, often = 0.0, 0.0
        found = False
        for i in range(BINS - 1, -1, -1):
            above += float(past[i])
            share = min((above + float(_PRIOR_OF[i])) / total, 1.0)
            state.table[which, i] = -math.log10(share)
            if not found and share >= TAIL_SHARE:
                found = True
                state.tail[which, 0] = _SIZE_OF[i]
                state.tail[which, 1] = -math.log10(share)
            if not often > 0.0 and share >= BODY_SHARE:
                often = _SIZE_OF[i]
                body = math.log10(share / TAIL_SHARE) / max(math.log10(state.tail[which, 0] / often), 0.1)
                state.tail[which, 2] = body - BODY_INDEX


@subkernel
def _hour_size(state: Any, knot: int) -> float:
    readings = float(state.hour_readings[knot])
    own = float(state.hour[knot])
    return (HOUR_READINGS + readings * own) / (HOUR_READINGS + readings)


@subkernel
def _read_clock(state: Any, clock: int, view: Any) -> None:
    """Fill the view with what the hour of the day says."""
    place = (clock % DAY) / (DAY / KNOTS)
    knot = int(place)
    share = place - knot
    after = (knot + 1) % KNOTS
    view.numbers[KNOT] = knot
    view.numbers[NEXT_SHARE] = share
    view.numbers[COURSE] = (1.0 - share) * float(state.course[knot]) + share * float(state.course[after])
    hour = (1.0 - share) * _hour_size(state, knot) + share * _hour_size(state, after)
    view.numbers[HOUR] = max(hour, 0.05)


@subkernel
def _gap(state: Any, time: int) -> float:
    """Usual intervals since the last reading; 1 where that is not known."""
    if state.learned < 2 or state.interval <= 0.0:
        return 1.0
    return float((time - state.last) / state.interval)


@subkernel
def _mean_decades(decades: Any) -> float:
    """Decades of the harmonic mean of the p-values that the decades stand for, 0 or more."""
    highest = 0.0
    for which in range(SIZES):
        highest = max(highest, decades[which])
    if highest < 1.0:
        return 0.0
    total = 0.0
    for which in range(SIZES):
        total += math.exp((decades[which] - highest) / LOG10_E)
    return max(highest + math.log10(total / SIZES), 0.0)


@subkernel
def deviation_score(state: Any, time: int, clock: int, value: float, view: Any) -> float:
    """Decades of the reading's deviation, 0 or more; fills `view`. `clock` is the time on the wall (ns)."""
    _read_clock(state, clock, view)
    course, hour = view.numbers[COURSE], view.numbers[HOUR]
    stale = _gap(state, time) > STALE
    young = state.learned < WARMUP
    for j in range(FORECASTS):
        seasonal = state.scale[FORECASTS + j] < state.scale[j]
        used = FORECASTS + j if seasonal else j
        error = value - state.level[used] - (course if seasonal else 0.0)
        scale = state.scale[used]
        size = min(abs(error) / (scale * hour + 1e-12 * (1.0 + abs(state.level[used]))), LARGEST_SIZE)
        view.used[j] = used
        view.error[j] = error
        view.size[j] = size
        if j == SHIFT:
            view.numbers[HOUR_RATIO] = size * hour
        silent = young or (stale and j != LEVEL)
        view.decades[j] = 0.0 if silent else _size_decades(state, j, size)
    most = ERROR_CLIP * state.scale[view.used[LEVEL]] * hour
    error = view.error[LEVEL] if young else min(max(view.error[LEVEL], -most), most)
    mean = state.mean + MEAN_RATE * (error - state.mean)
    size = abs(mean) / (state.mean_scale * hour + 1e-12 * (1.0 + abs(state.level[LEVEL])))
    view.numbers[MEAN] = mean
    view.size[LASTING] = min(size, LARGEST_SIZE)
    view.decades[LASTING] = 0.0 if young else _size_decades(state, LASTING, view.size[LASTING])
    view.numbers[YOUNG_MORE] = 0.0
    weight = BODY_WEIGHT / (1.0 + (state.learned / GROWN) ** 2)
    for which in range(SIZES):
        start = state.tail[which, 0]
        if view.decades[which] > 0.0 and view.size[which] > start > 0.0:
            steeper = min(max(weight * state.tail[which, 2], 0.0), STEEPER_AT_MOST)
            view.numbers[YOUNG_MORE] = max(view.numbers[YOUNG_MORE], steeper * math.log10(view.size[which] / start))
    return _mean_decades(view.decades)


@subkernel
def lightness(state: Any) -> float:
    """How light the tails of the series' noise are, 0 to 1, by the lightest of its forecasts' errors."""
    index = 0.0
    for which in range(FORECASTS):
        index = max(index, state.tail[which, 2])
    return float(min(max((index - LIGHT_FROM) / (LIGHT_FULLY - LIGHT_FROM), 0.0), 1.0))


@subkernel
def is_daily(state: Any, view: Any) -> bool:
    """Whether odd readings come at about this hour on most days."""
    knot = int(view.numbers[KNOT])
    share = max(state.odd_share[knot], state.odd_share[(knot + 1) % KNOTS])
    return bool(max(share, state.odd_share[(knot + KNOTS - 1) % KNOTS]) >= DAILY)


@subkernel
def _note_day(state: Any, clock: int, odd: bool, view: Any) -> None:
    """Keep on how many days this half hour had an odd reading."""
    knot, today = int(view.numbers[KNOT]), clock // DAY
    before = state.day[knot]
    if before != today:
        if before >= 0:
            state.odd_share[knot] += DAILY_RATE * (float(state.odd_day[knot]) - state.odd_share[knot])
        state.day[knot] = today
        state.odd_day[knot] = 0
    if odd:
        state.odd_day[knot] = 1


@subkernel
def is_odd(view: Any, decades: float) -> bool:
    """Whether a reading is surely no normal one."""
    largest = 0.0
    for which in range(SIZES):
        largest = max(largest, view.size[which])
    return bool(decades > ODD_DECADES or largest > ODD_SIZE)


@subkernel
def _clipped(error: float, scale: float, known: bool) -> float:
    return min(error, CLIP * scale) if known and scale > 0.0 else error


@subkernel
def _learn_scales(state: Any, value: float, teach: float, view: Any) -> None:
    known = state.learned >= WARMUP
    rate = max(SCALE_RATE, 1.0 / (state.learned + 1.0)) * teach
    if rate <= 0.0:
        return
    course, part = view.numbers[COURSE], 1.0 / view.numbers[HOUR]
    for i in range(2 * FORECASTS):
        error = abs(value - state.level[i] - (course if i >= FORECASTS else 0.0)) * part
        scale = state.scale[i]
        state.scale[i] = scale + rate * (_clipped(error, scale, known) - scale)
    scale = state.mean_scale
    mean = abs(view.numbers[MEAN]) * part
    state.mean_scale = scale + rate * (_clipped(mean, scale, known) - scale)


@subkernel
def _move_levels(state: Any, value: float, interval: float, stale: bool, view: Any) -> None:
    """Each level follows the reading, or is held where it is odd; what has held it long enough is adopted."""
    learned = state.learned
    course = view.numbers[COURSE]
    for j in range(FORECASTS):
        odd = learned >= WARMUP and (view.size[j] > ODD_SIZE or view.decades[j] > ODD_DECADES)
        hold = min(max(HOLD_READINGS[j], HOLD_NS[j] / interval), 0.25 * learned)
        if stale and j != LEVEL:
            state.level[j] = value
            state.level[FORECASTS + j] = value - course
            state.held[j] = 0
        elif odd and state.held[j] < hold:
            first = state.held[j] == 0
            state.held[j] += 1
            state.seen[j] += (1.0 if first else 0.1) * (value - state.seen[j])
        elif odd:
            state.level[j] = state.seen[j]
            state.level[FORECASTS + j] = state.seen[j] - course
            state.held[j] = 0
        else:
            rate = max(RATES[j], 1.0 / (learned + 1.0))
            state.held[j] = 0
            state.level[j] += rate * (value - state.level[j])
            state.level[FORECASTS + j] += rate * (value - course - state.level[FORECASTS + j])


@subkernel
def _learn_course(state: Any, value: float, interval: float, view: Any) -> None:
    learned = state.learned
    state.base += max(1.0 / (learned + 1.0), interval / (BASE_DAYS * DAY)) * (value - state.base)
    most = COURSE_DAYS * max(DAY / KNOTS / interval, 1.0)
    error = value - state.base - view.numbers[COURSE]
    ratio = min(view.numbers[HOUR_RATIO], CLIP * view.numbers[HOUR])
    knot, share = int(view.numbers[KNOT]), view.numbers[NEXT_SHARE]
    for side in range(2):
        place = (knot + side) % KNOTS
        weight = share if side == 1 else 1.0 - share
        readings = min(float(state.hour_readings[place]) + weight, most)
        state.hour_readings[place] = readings
        part = weight / max(readings, 1.0)
        state.course[place] += part * error
        state.hour[place] += part * (ratio - float(state.hour[place]))


@subkernel
def _learn_past(state: Any, weight: float, view: Any) -> None:
    for which in range(SIZES):
        past = state.past[which]
        past[_bin(view.size[which])] += weight
        past[BINS] += weight
        if float(past[BINS]) > SIZES_MEMORY:
            for i in range(BINS + 1):
                past[i] *= 0.5


@subkernel
def _learn_clock(state: Any, time: int) -> None:
    if state.learned > 0:
        gap = float(time - state.last)
        if gap > 0.0:
            interval = state.interval
            if interval <= 0.0:
                state.interval = gap
            elif gap != interval:
                state.interval *= math.exp(0.05 * min(max(math.log(gap / interval), -2.0), 2.0))
    state.last = time


@subkernel
def deviation_begin(state: Any, time: int, value: float) -> None:
    """Take a series' first reading as its level."""
    state.first = time
    state.base = value
    for i in range(2 * FORECASTS):
        state.level[i] = value


@subkernel
def deviation_learn(state: Any, time: int, clock: int, value: float, odd: bool, is_switch: bool, view: Any) -> None:
    """Learn the reading of which `deviation_score` filled `view`; `odd` where any channel finds it no normal one.

    An odd one that `is_switch`, from one usual mode to another, teaches the size of errors all the same: else the quiet
    readings between make it smaller and smaller, and each start and stop of a machine odd for good.
    """
    _note_day(state, clock, odd, view)
    learned = state.learned
    interval = state.interval if state.interval > 0.0 else 60e9
    stale = _gap(state, time) > STALE
    odd = odd and learned >= WARMUP
    memory = max(HOLD_READINGS[LEVEL], HOLD_NS[LEVEL] / interval)
    state.odd += ((1.0 if odd else 0.0) - state.odd) / memory
    teach = 1.0
    if odd and state.odd < 0.6 and not is_daily(state, view):
        # Hours without a normal reading are a new behaviour, which is learned; else only a young series learns.
        teach = YOUNG_READINGS / (YOUNG_READINGS + learned * min(1.0, interval / 60e9))
    _learn_scales(state, value, 1.0 if is_switch else teach, view)
    _move_levels(state, value, interval, stale, view)
    state.mean = view.numbers[MEAN]
    if teach > 0.2:
        # Odd readings count by the time that they take: a minute of them at a reading a second teaches as one reading.
        _learn_past(state, min(1.0, interval / 60e9) if odd else 1.0, view)
        _learn_course(state, value, interval, view)
    _learn_clock(state, time)
    state.learned = learned + 1
    if (learned + 1) % REFRESH == 0 or learned + 1 == WARMUP:
        _fit_tails(state)


@subkernel
def usual_reach(state: Any, which: int) -> float:
    """The size that USUAL_DECADES stand for."""
    start = state.tail[which, 0]
    if not start > 0.0:
        return PRIOR_START
    return float(start * 10.0 ** ((USUAL_DECADES - state.tail[which, 1]) / TAIL_INDEX))
