"""Score: a forecast from the hour of the day, the day of the week and a cycle found online, over a level."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from common.compiled import njit
from common.durations import parse_positive_duration
from detectors.detector import Scores
from detectors.fleet_detector import Column, empty_scores, take_inputs
from detectors.forecast import PRIOR, forecast_reach
from detectors.part import PartDetector, PartParameters
from detectors.season import correlation, detrended, find_period, fold, place_in_season, to_calendar
from detectors.statistics import buckets
from detectors.statistics.buckets import add, fill_up, forget_half, is_next, measure_interval, start_over, widen
from detectors.statistics.calendar_time import DAY, WEEK, offsets, wall_clock
from detectors.statistics.calibration import clamp, compress, decades, learn_score

DAY_KNOTS, WEEK_KNOTS = 48, 168
"""Half hours of the day, hours of the week."""
HISTORY = 128
CYCLE_KNOTS = HISTORY // 3 + 1

BUCKET_MEAN, CYCLE_SHARE = range(2)
"""Columns of a row: mean of the bucket being filled; share of an error that the cycle learns."""
LAST, PERIOD, KNOTS, RICHEST = range(buckets.FIELDS, buckets.FIELDS + 4)
"""Columns of the clock beyond those of `buckets`: time of the last learned reading (ns); the cycle's period in use (ns)
and the knots of its course, 0 while there is none; the forecast of most parts that was used so far."""

MODELS = 6
"""Forecasts kept side by side: none, day, day and week; each without the cycle and, three further on, with it."""
BY_DAY, BY_WEEK, WITH_CYCLE = 1, 2, 3

SIMPLER = 1.03
"""A forecast of more parts is used where it errs by this factor less."""
ERROR_RATE = 1.0 / 500.0
MEMORY_DAYS, MEMORY_WEEKS = 14.0, 5.0
"""Days and weeks that a knot is a mean over; of days two weeks, so that a weekend does not bend the course of the
next Monday."""
CYCLE_RATE = 0.2
CLIP = 4.0
"""An error is learned up to so many usual ones, so that one fault bends no course."""
SETTLED = 10
LEAST_CORRELATION = 0.3


class SeasonalParameters(PartParameters):
    """Whose clock the day and the week go by, how fast the level moves, and how long a cycle may be."""

    timezone: str = Field(default="UTC", description='Time zone of day and week, such as "Europe/Berlin".')
    level_half_life: str = Field(default="1d", description="Time after which a reading counts half in the level.")
    longest_cycle: str = Field(default="2d", description="Longest cycle looked for beside day and week.")

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, timezone: str) -> str:
        offsets(timezone)
        return timezone

    @field_validator("level_half_life", "longest_cycle")
    @classmethod
    def _is_duration(cls, text: str) -> str:
        parse_positive_duration(text)
        return text


class SeasonalState(NamedTuple):
    """Per slot: row and clock (see their columns), level and mean absolute error of each forecast; for each knot of
    day and week its course, how often it was met, and for the day's its usual error; the cycle's course; the history
    of what level, day and week leave."""

    row: NDArray[np.float64]
    clock: NDArray[np.int64]
    level: NDArray[np.float64]
    error: NDArray[np.float64]
    day: NDArray[np.float32]
    day_met: NDArray[np.float32]
    day_error: NDArray[np.float32]
    week: NDArray[np.float32]
    week_met: NDArray[np.float32]
    cycle: NDArray[np.float32]
    history: NDArray[np.float32]


LAYOUT = {
    "row": Column(np.float64, (2,)),
    "clock": Column(np.int64, (buckets.FIELDS + 4,)),
    "level": Column(np.float64, (MODELS,)),
    "error": Column(np.float64, (MODELS,)),
    "day": Column(np.float32, (DAY_KNOTS,)),
    "day_met": Column(np.float32, (DAY_KNOTS,)),
    "day_error": Column(np.float32, (DAY_KNOTS,)),
    "week": Column(np.float32, (WEEK_KNOTS,)),
    "week_met": Column(np.float32, (WEEK_KNOTS,)),
    "cycle": Column(np.float32, (CYCLE_KNOTS,)),
    "history": Column(np.float32, (HISTORY,)),
}


class Seasonal(PartDetector):
    """Error of the forecast from level, time of day, day of week and a found cycle, over its usual error at that hour.

    Three courses are added to a level: one over the day in half hours, how each hour of the week differs from it, and a
    cycle of any other length, found from the autocorrelation of what the calendar leaves (`detectors.season`). Day and
    week go by the clock of `timezone`, summer time included. A course is read and learned between two knots by
    nearness, at a rate that follows elapsed time, so sampling may be irregular and gaps do no harm. Six forecasts, with
    and without each course, run side by side, and the one that errs least is used: a series without a season is
    forecast by its level. The raw score is calibrated on the series' own past, anew where a forecast of more parts is
    first used.

    Works: on what follows people and machines at once: a load with working days and weekends over a compressor's cycle;
    a peak that does not come, a weekend that looks like a working day, heating that stays on at night. Fails: on
    holidays, which are like no day of their week; on series without a season, where it is a slow z-score; in the
    first two days for the course of the day, and two weeks for that of the week. A level shift that stays is learned
    in about two times `level_half_life`.

    Cost: about 0.6 us a reading. Memory: 3.0 KiB a slot. Source: Taylor, J. Operational Research Society 54, 2003
    (double seasonal smoothing); De Livera, Hyndman and Snyder, JASA 106, 2011 (several seasons as one additive
    state); choice by recent error as in Herbster and Warmuth, Machine Learning 32, 1998.
    """

    name: ClassVar[str] = "seasonal"
    Parameters: ClassVar[type[SeasonalParameters]] = SeasonalParameters
    part_layout: ClassVar[dict[str, Column]] = LAYOUT

    def __init__(self, parameters: SeasonalParameters) -> None:
        self.changes, self.offsets = offsets(parameters.timezone)
        self.half_life = parse_positive_duration(parameters.level_half_life)
        self.longest = parse_positive_duration(parameters.longest_cycle)
        super().__init__(parameters)

    @classmethod
    def examples(cls) -> tuple[dict[str, object], ...]:
        """In UTC, and by a clock with summer time."""
        return ({}, {"timezone": "Europe/Berlin", "level_half_life": "6h"})

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each reading by the calibrated error of its forecast, then learn it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        self.run((inputs.slot, inputs.time, inputs.value, inputs.learn), scores)
        return scores

    def run(self, rows: Any, scores: Scores) -> None:
        """Score and learn the rows (slot, time, value, learn) in order."""
        arrays = self.arrays
        state = SeasonalState(*(arrays[name] for name in LAYOUT))
        slots, times, values, learns = rows
        half_life = float(self.half_life)
        _run(
            slots, times, values, learns, state, arrays["learned"], arrays["counts"], self.changes, self.offsets,
            half_life, self.longest, self.needed, PRIOR, scores.score, scores.expected, scores.lower, scores.upper,
        )  # fmt: skip

    def cycles(self) -> NDArray[np.int64]:
        """The cycle in use by slot (size,), in ns; 0 while there is none."""
        return self.arrays["clock"][: self.size, PERIOD].copy()


@njit
def _course(course: Any, met: Any, k: int, knot: int, part: float) -> float:
    """The course between two knots, of those that were met; 0 where neither was."""
    other = knot + 1 if knot + 1 < course.shape[1] else 0
    near, far = met[k, knot] > 0.0, met[k, other] > 0.0
    if near and far:
        return float((1.0 - part) * course[k, knot] + part * course[k, other])
    if near:
        return float(course[k, knot])
    return float(course[k, other]) if far else 0.0


@njit
def _teach(course: Any, met: Any, k: int, knot: int, part: float, error: float, passed: float, memory: float) -> None:
    """Move two knots by their share of `error`; `passed` is the part of a knot's stretch that has gone by."""
    other = knot + 1 if knot + 1 < course.shape[1] else 0
    for place, share in ((knot, 1.0 - part), (other, part)):
        seen = share * passed
        if seen > 0.0:
            met[k, place] = min(met[k, place] + seen, memory)
            course[k, place] += min(seen / met[k, place], 1.0) * error


@njit
def _best(state: Any, k: int) -> int:
    """The forecast that errs least, a simpler one preferred."""
    best = 0
    for model in range(1, MODELS if state.clock[k, KNOTS] > 0 else WITH_CYCLE):
        if state.error[k, model] * SIMPLER < state.error[k, best]:
            best = model
    return best


@njit
def _scale(state: Any, k: int, best: int, knot: int) -> float:
    """The best forecast's usual error at this hour, never zero: rounding noise is no evidence."""
    usual = state.error[k, best]
    if best % WITH_CYCLE != 0 and state.day_met[k, knot] > 1.0:
        usual = 0.5 * usual + 0.5 * state.day_error[k, knot]
    return float(max(usual, 1e-9 * abs(state.level[k, best]), 1e-300))


@njit
def _watch(state: Any, k: int, now: int, rest: float, longest: int) -> None:
    """Add what level and calendar leave to the history, and look for a cycle where that fills it."""
    clock = state.clock[k]
    if clock[buckets.WIDTH] == 0 and not measure_interval(clock, now, longest):
        return
    if is_next(k, state.clock, now):
        while fill_up(k, state.row, BUCKET_MEAN, state.clock, state.history, now):
            _review(state, k, longest)
    add(k, state.row, BUCKET_MEAN, state.clock, rest)


@njit
def _review(state: Any, k: int, longest: int) -> None:
    """The history is full: find the cycle or check it, then make room."""
    clock, history = state.clock[k], state.history[k]
    width = clock[buckets.WIDTH]
    if clock[KNOTS] > 0:
        if correlation(detrended(history), round(clock[PERIOD] / width)) < LEAST_CORRELATION:
            clock[KNOTS] = 0
            clock[PERIOD] = 0
            start_over(clock)
            return
    else:
        period = to_calendar(find_period(history), width)
        if 0 < period <= longest and not _is_drawn_by_day(period):
            start = clock[buckets.ORIGIN] + (clock[buckets.BUCKET] - HISTORY) * width
            knots = min(CYCLE_KNOTS, round(period / width))
            fold(history, start, width, period, state.cycle[k], knots)
            clock[PERIOD] = period
            clock[KNOTS] = knots
            state.row[k, CYCLE_SHARE] = CYCLE_RATE / (width // clock[buckets.BASE])
            for model in range(WITH_CYCLE):
                state.level[k, WITH_CYCLE + model] = state.level[k, model]
                state.error[k, WITH_CYCLE + model] = state.error[k, model]
        elif width < longest // (HISTORY // 3):
            widen(state.row[k], BUCKET_MEAN, clock, history)
            return
    forget_half(clock, history)


@njit
def _is_drawn_by_day(period: int) -> bool:
    """Whether the courses of day and week hold such a cycle already."""
    return bool((WEEK % period == 0 and period >= DAY) or (DAY % period == 0 and period >= 4 * DAY // DAY_KNOTS))


@njit
def _learn(
    state: Any, k: int, count: int, now: int, value: float, best: int, courses: Any, places: Any, half_life: float,
    longest: int,
) -> None:  # fmt: skip
    """Move levels, errors and courses towards `value`, reading number `count`, by the time since the one before."""
    elapsed = max(now - state.clock[k, LAST], 0)
    state.clock[k, LAST] = now
    day_knot, day_part, week_knot, week_part, cycle_knot, cycle_part = places
    if count == 0:
        state.level[k, :] = value
        state.clock[k, buckets.ORIGIN] = now
        return
    level_rate = max(1.0 - 0.5 ** (elapsed / half_life), 1.0 / (count + 1.0))
    level_rate = min(level_rate, 0.2) if count > SETTLED else level_rate
    error_rate = max(ERROR_RATE, 1.0 / count)
    usual = state.error[k, best]
    limit = CLIP * usual if count > SETTLED and usual > 0.0 else math.inf
    for model in range(MODELS if state.clock[k, KNOTS] > 0 else WITH_CYCLE):
        deviation = value - state.level[k, model] - courses[model]
        deviation = min(max(deviation, -limit), limit)
        state.error[k, model] += error_rate * (abs(deviation) - state.error[k, model])
        state.level[k, model] += level_rate * deviation
    with_cycle = best - best % WITH_CYCLE
    error = value - state.level[k, with_cycle + BY_DAY] - courses[with_cycle + BY_DAY]
    error = min(max(error, -limit), limit)
    passed = min(elapsed / (DAY // DAY_KNOTS), 1.0)
    _teach(state.day, state.day_met, k, day_knot, day_part, error, passed, MEMORY_DAYS)
    met = state.day_met[k, day_knot]
    state.day_error[k, day_knot] += min(passed / max(met, 1e-9), 1.0) * (abs(error) - state.day_error[k, day_knot])
    error = value - state.level[k, with_cycle + BY_WEEK] - courses[with_cycle + BY_WEEK]
    error = min(max(error, -limit), limit)
    passed = min(elapsed / (WEEK // WEEK_KNOTS), 1.0)
    _teach(state.week, state.week_met, k, week_knot, week_part, error, passed, MEMORY_WEEKS)
    calendar = best % WITH_CYCLE
    rest = value - state.level[k, calendar] - courses[calendar]
    if state.clock[k, KNOTS] > 0:
        error = value - state.level[k, calendar + WITH_CYCLE] - courses[calendar + WITH_CYCLE]
        error = state.row[k, CYCLE_SHARE] * min(max(error, -limit), limit)
        other = cycle_knot + 1 if cycle_knot + 1 < state.clock[k, KNOTS] else 0
        state.cycle[k, cycle_knot] += (1.0 - cycle_part) * error
        state.cycle[k, other] += cycle_part * error
    _watch(state, k, now, min(max(rest, -buckets.LARGEST_KEPT), buckets.LARGEST_KEPT), longest)


@njit
def _run(
    slots: Any, times: Any, values: Any, learns: Any, state: Any, learned: Any, counts: Any,
    changes: Any, offsets: Any, half_life: float, longest: int, needed: int, prior: Any,
    scores: Any, expected: Any, lower: Any, upper: Any,
) -> None:  # fmt: skip
    courses = np.zeros(MODELS)
    for i in range(len(slots)):
        if not np.isfinite(values[i]):
            continue
        k, value, now = slots[i], clamp(values[i]), times[i]
        local = wall_clock(now, changes, offsets)
        day_knot, day_part = place_in_season(local, DAY, DAY_KNOTS)
        week_knot, week_part = place_in_season(local, WEEK, WEEK_KNOTS)
        courses[BY_DAY] = _course(state.day, state.day_met, k, day_knot, day_part)
        courses[BY_WEEK] = courses[BY_DAY] + _course(state.week, state.week_met, k, week_knot, week_part)
        cycle_knot, cycle_part, cycle = 0, 0.0, 0.0
        knots = state.clock[k, KNOTS]
        if knots > 0:
            cycle_knot, cycle_part = place_in_season(now, state.clock[k, PERIOD], knots)
            other = cycle_knot + 1 if cycle_knot + 1 < knots else 0
            cycle = (1.0 - cycle_part) * state.cycle[k, cycle_knot] + cycle_part * state.cycle[k, other]
        for model in range(WITH_CYCLE):
            courses[WITH_CYCLE + model] = courses[model] + cycle
        best = _best(state, k)
        scale = _scale(state, k, best, day_knot)
        forecast = state.level[k, best] + courses[best]
        raw = min(abs(value - forecast) / scale, 1e6) if learned[k] > 0 else 0.0
        if learned[k] >= needed:
            scores[i] = compress(decades(counts, k, raw, prior))
            reach = forecast_reach(counts, k, prior)
            expected[i] = forecast
            lower[i] = forecast - reach * scale
            upper[i] = forecast + reach * scale
        if learns[i]:
            places = (day_knot, day_part, week_knot, week_part, cycle_knot, cycle_part)
            _learn(state, k, learned[k], now, value, best, courses, places, half_life, longest)
            if best > state.clock[k, RICHEST]:
                # What one forecast left unexplained says nothing of the errors of a better one.
                state.clock[k, RICHEST] = best
                counts[k] = 0.0
            learn_score(counts, k, raw, prior)
            learned[k] += 1
