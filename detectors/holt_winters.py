"""Score: the Holt-Winters detector: how far a reading lies from the forecast of level, trend and season."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from common.compiled import njit
from common.durations import parse_positive_duration
from detectors.detector import Scores
from detectors.fleet_detector import Column, FleetDetector, empty_scores, take_inputs
from detectors.season import correlation, detrended, find_period, fold, place_in_season, to_calendar
from detectors.statistics import buckets
from detectors.statistics.buckets import (
    BASE,
    BUCKET,
    LARGEST_KEPT,
    ORIGIN,
    WIDTH,
    add,
    fill_up,
    forget_half,
    is_next,
    measure_interval,
    start_over,
    widen,
)
from detectors.statistics.tails import LARGEST, first_change_score, normal_score
from detectors.statistics.winsor import (
    AGE,
    COUNT,
    FIELDS,
    LEVEL,
    RESTART,
    RUN,
    SIGMA,
    USUAL,
    is_usual,
    learn_deviation,
    learning_rate,
    usual_sigma,
)

TREND, SEASON_SHARE, BUCKET_MEAN = FIELDS, FIELDS + 1, FIELDS + 2
"""Columns of a row beyond those of `winsor`: change of the level a reading; share of an error that the season's knots
learn; mean of the bucket being filled."""

PERIOD, KNOTS = buckets.FIELDS, buckets.FIELDS + 1
"""Columns of the clock beyond those of `buckets`: period in use (ns, or readings) and the knots of its course, 0 while
there is none."""

NO_SEASON, BY_COUNT, BY_TIME, FOUND = range(4)
"""How the place in the season is told."""

_LONGEST_COUNT = 20_160
_LEAST_CORRELATION_KEPT = 0.3


class HoltWintersParameters(BaseModel):
    """How fast level, trend, season and deviation move, and where the season comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    season: int | str = Field(
        default="auto",
        description='Season: "auto" (found online), "none", a duration such as "24h", or a number of readings.',
    )
    longest_season: str = Field(default="8d", description='Longest season looked for with season = "auto".')
    history: int = Field(
        default=128, ge=64, le=4096, description='Stretches of time kept a series to find the season with "auto".'
    )
    knots: int = Field(
        default=96, ge=2, le=4096, description="Points of the seasonal course, for a season by duration."
    )
    alpha: float = Field(default=0.2, gt=0, le=1, description="Share of an error that the level learns.")
    beta: float = Field(default=0.05, ge=0, le=1, description="Share of a level's correction that the trend learns.")
    gamma: float = Field(default=0.3, ge=0, le=1, description="Share of what the level leaves that the season learns.")
    damping: float = Field(default=0.98, gt=0, le=1, description="Factor on the trend from one reading to the next.")
    half_life: float = Field(
        default=200.0, ge=1.0, le=1e7, description="Readings after which an error counts half in the deviation."
    )
    warmup: int = Field(default=30, ge=4, le=1_000_000, description="Readings learned before the first score.")
    band: float = Field(default=3.0, gt=0, le=100, description="Half the width of the expected band, in deviations.")
    clip: float = Field(
        default=3.0, ge=1.5, le=100, description="Deviations beyond which a reading does not move the forecast."
    )
    relearn_after: int = Field(
        default=30, ge=2, le=1_000_000, description="Consecutive readings beyond `clip` after which the level restarts."
    )

    @field_validator("season")
    @classmethod
    def _is_season(cls, season: int | str) -> int | str:
        if isinstance(season, int):
            if not 2 <= season <= _LONGEST_COUNT:
                raise ValueError(f"expected 2 to {_LONGEST_COUNT} readings, got {season}")
        elif season not in ("auto", "none"):
            try:
                parse_positive_duration(season)
            except ValueError as error:
                raise ValueError(f'expected "auto", "none" or a number of readings; or: {error}') from error
        return season

    @field_validator("longest_season")
    @classmethod
    def _is_duration(cls, longest_season: str) -> str:
        parse_positive_duration(longest_season)
        return longest_season


class HoltWinters(FleetDetector):
    """Error of the one-step forecast from level, damped trend and additive season, as its tail probability.

    Error-correction form: level += damping x trend + alpha e; trend = damping x trend + alpha beta e; the season's
    knots += gamma (1 - alpha) e, shared among the readings that meet a knot in one season. The deviation of the
    errors is exponentially weighted, the score is the normal law's two-sided tail. A reading beyond `clip` deviations
    moves neither level nor trend nor season, and is learned into the deviation as if it lay at `clip`. What stays is
    learned: after `relearn_after` such readings in a row the level restarts from them.

    The season is a course over knots, read and learned between two knots by nearness. With a duration the place in it
    is told by the time (UTC), so gaps and irregular sampling do no harm; with a number of readings by counting the
    learned readings. With "auto" it is found for each slot from the autocorrelation of a history of bounded size
    (`detectors.season`), placed by time, checked again each time half of the history is new, and dropped where the
    correlation is gone. Before a season is found, and during the first season of a given length, level and trend
    alone make the forecast. Level and trend count readings.

    Works: on daily or machine cycles and on slow drift, with spikes, dips, shifts and missed cycles as faults. Fails:
    where the season is not additive or changes its length, on two seasons at once (the shorter one is used), on edges
    sharper than the knots are apart, and on faults inside the usual error. A season is found only after three of it.

    Cost: about 27 ns a reading without a season, 40 ns with a given one, 60 ns with "auto". Memory: 160 bytes + 4 a
    knot; with "auto" 4 bytes x (4/3 history) more: 844 bytes by default. Source: Holt 1957, Winters, Management Science
    6, 1960; Hyndman et al., "Forecasting with Exponential Smoothing", 2008, chapter 2 (error correction, damping);
    Gelper, Fried and Croux, J. Forecasting 29, 2010 (clipped errors).
    """

    name: ClassVar[str] = "holt_winters"
    Parameters: ClassVar[type[BaseModel]] = HoltWintersParameters

    def __init__(self, parameters: HoltWintersParameters) -> None:
        self.settings = parameters
        season = parameters.season
        self.period, self.knots, self.history = 0, 0, 0
        if isinstance(season, int):
            self.mode, self.period, self.knots = BY_COUNT, season, season
        elif season == "auto":
            self.mode, self.history, self.knots = FOUND, parameters.history, parameters.history // 3 + 1
        elif season == "none":
            self.mode = NO_SEASON
        else:
            self.mode, self.period, self.knots = BY_TIME, parse_positive_duration(season), parameters.knots
        self.longest = parse_positive_duration(parameters.longest_season)
        super().__init__(parameters)

    @classmethod
    def examples(cls) -> tuple[Mapping[str, object], ...]:
        """One set for each way to tell the season."""
        return ({}, {"season": "none"}, {"season": 24}, {"season": "1h", "knots": 12})

    def layout(self) -> dict[str, Column]:
        """`baseline` (size, 11), `clock` (size, 9), `season` (size, knots), `history` (size, buckets)."""
        return {
            "baseline": Column(np.float64, (FIELDS + 3,)),
            "clock": Column(np.int64, (buckets.FIELDS + 2,)),
            "season": Column(np.float32, (self.knots,)),
            "history": Column(np.float32, (self.history,)),
        }

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each reading's forecast error, then learn it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        arrays, settings = self.arrays, self.settings
        _forecast(
            *inputs, arrays["baseline"], arrays["clock"], arrays["season"], arrays["history"],
            self.mode, self.period, self.longest,
            settings.alpha, settings.beta, settings.gamma, settings.damping, 1.0 - 0.5 ** (1.0 / settings.half_life),
            float(settings.warmup), settings.band, settings.clip, float(settings.relearn_after),
            scores.score, scores.expected, scores.lower, scores.upper,
        )  # fmt: skip
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed; the season comes later."""
        count = self.arrays["baseline"][: self.size, COUNT].astype(np.int64)
        return count, np.full(self.size, self.settings.warmup, np.int64)

    def periods(self) -> NDArray[np.int64]:
        """The season in use by slot (size,): ns, or readings where `season` is a number; 0 while there is none."""
        return self.arrays["clock"][: self.size, PERIOD].copy()


@njit(error_model="numpy")
def _forecast(
    slot: Any, time: Any, value: Any, learn: Any, baseline: Any, clocks: Any, seasons: Any, histories: Any,
    mode: int, given_period: int, longest: int,
    alpha: float, beta: float, gamma: float, damping: float, rate: float,
    warmup: float, band: float, clip: float, relearn: float,
    score: Any, expected: Any, lower: Any, upper: Any,
) -> None:  # fmt: skip
    season_share = gamma * (1.0 - alpha)
    for i in range(slot.shape[0]):
        current = value[i]
        k = slot[i]
        if not math.isfinite(current):
            continue
        current = max(-LARGEST, min(LARGEST, current))
        count, sigma = baseline[k, COUNT], baseline[k, SIGMA]
        now: Any = np.int64(count) if mode == BY_COUNT else time[i]
        knot, other, part, course = 0, 0, 0.0, 0.0
        knots = clocks[k, KNOTS]
        if knots > 0:
            knot, part = place_in_season(now, clocks[k, PERIOD], knots)
            other = knot + 1 if knot + 1 < knots else 0
            course = (1.0 - part) * seasons[k, knot] + part * seasons[k, other]
        level = baseline[k, LEVEL] + damping * baseline[k, TREND]
        forecast = level + course
        deviation = current - forecast
        distance = deviation / sigma if sigma > 0.0 else 0.0
        if count >= warmup:
            if sigma > 0.0:
                score[i] = normal_score(abs(distance))
            else:
                score[i] = 0.0 if deviation == 0.0 else first_change_score(count)
            expected[i] = forecast
            lower[i] = forecast - band * sigma
            upper[i] = forecast + band * sigma
        if not learn[i]:
            continue
        if count == 0.0:
            baseline[k, COUNT] = 1.0
            baseline[k, AGE] = 1.0
            baseline[k, LEVEL] = current
            clocks[k, ORIGIN] = now
        else:
            age = baseline[k, AGE] + 1.0
            spread_rate = learning_rate(age, rate)
            if is_usual(age, baseline[k, RUN], sigma, distance, clip):
                learned, kind = distance * sigma, USUAL
                baseline[k, COUNT] = count + 1.0
                baseline[k, AGE] = age
                baseline[k, SIGMA] = usual_sigma(sigma, distance, spread_rate)
            else:
                learned, kind = learn_deviation(baseline[k], deviation, distance, spread_rate, clip, relearn)
            baseline[k, LEVEL] = level
            baseline[k, TREND] *= damping
            if kind == USUAL:
                share = learning_rate(age, alpha)
                baseline[k, LEVEL] += share * learned
                baseline[k, TREND] += share * beta * learned
                if knots > 0 and abs(learned) < LARGEST_KEPT:
                    seasons[k, knot] += baseline[k, SEASON_SHARE] * (1.0 - part) * learned
                    seasons[k, other] += baseline[k, SEASON_SHARE] * part * learned
            elif kind == RESTART:
                baseline[k, LEVEL] += learned
                baseline[k, TREND] = 0.0
        if mode == FOUND:
            _watch(k, baseline, clocks, seasons, histories, now, current, longest, season_share)
        elif mode != NO_SEASON and clocks[k, KNOTS] == 0:
            _learn_first_season(baseline[k], clocks[k], seasons[k], now, current, given_period, season_share)


@njit
def _course_at(season: Any, knots: int, period: int, now: int) -> float:
    knot, part = place_in_season(now, period, knots)
    return float((1.0 - part) * season[knot] + part * season[(knot + 1) % knots])


@njit
def _learn_first_season(row: Any, clock: Any, season: Any, now: int, current: float, period: int, share: float) -> None:
    """Note the first season's readings at their nearest knots; once it is over, put their course to use."""
    knots = season.shape[0]
    if row[COUNT] == 1.0:
        season[:] = math.nan
    if now - clock[ORIGIN] < period:
        knot, part = place_in_season(now, period, knots)
        nearest = (knot + 1) % knots if part > 0.5 else knot
        current = max(-LARGEST_KEPT, min(LARGEST_KEPT, current))
        season[nearest] = current if math.isnan(season[nearest]) else 0.5 * season[nearest] + 0.5 * current
        return
    _fill_gaps(season)
    mean = 0.0
    for k in range(knots):
        mean += season[k] / knots
    for k in range(knots):
        season[k] -= mean
    clock[PERIOD] = period
    clock[KNOTS] = knots
    row[LEVEL] -= _course_at(season, knots, period, now)
    row[TREND] = 0.0
    row[SEASON_SHARE] = share / max(1.0, row[COUNT] / knots)


@njit
def _fill_gaps(season: Any) -> None:
    """Put each knot that no reading met (NaN) on the straight line between its neighbours that one did."""
    knots = season.shape[0]
    start = 0
    while math.isnan(season[start]):
        start += 1
    last = 0
    for step in range(1, knots + 1):
        here = season[(start + step) % knots]
        if math.isfinite(here):
            before = season[(start + last) % knots]
            for j in range(last + 1, step):
                share = (j - last) / (step - last)
                season[(start + j) % knots] = (1.0 - share) * before + share * here
            last = step


@njit(error_model="numpy")
def _watch(
    k: int, baseline: Any, clocks: Any, seasons: Any, histories: Any, now: int, current: float, longest: int,
    share: float,
) -> None:  # fmt: skip
    """Add a reading to the history of buckets, and look for the season where that fills the history."""
    # A row is cut out of its array only where it must be: counting the references to one takes longer than the rest.
    if clocks[k, WIDTH] == 0 and not measure_interval(clocks[k], now, longest):
        return
    if is_next(k, clocks, now):
        while fill_up(k, baseline, BUCKET_MEAN, clocks, histories, now):
            _review(baseline[k], clocks[k], seasons[k], histories[k], now, longest, share)
    add(k, baseline, BUCKET_MEAN, clocks, current)


@njit
def _review(row: Any, clock: Any, season: Any, history: Any, now: int, longest: int, share: float) -> None:
    """The history is full: find or check the season, then make room by merging or by forgetting half."""
    n = history.shape[0]
    if clock[KNOTS] > 0:
        lag = round(clock[PERIOD] / clock[WIDTH])
        if correlation(detrended(history), lag) < _LEAST_CORRELATION_KEPT:
            row[LEVEL] += _course_at(season, clock[KNOTS], clock[PERIOD], now)
            clock[KNOTS] = 0
            clock[PERIOD] = 0
            start_over(clock)
            return
    else:
        period = to_calendar(find_period(history), clock[WIDTH])
        if 0 < period <= longest:
            start = clock[ORIGIN] + (clock[BUCKET] - n) * clock[WIDTH]
            knots = min(season.shape[0], round(period / clock[WIDTH]))
            left = fold(history, start, clock[WIDTH], period, season, knots)
            clock[PERIOD] = period
            clock[KNOTS] = knots
            row[LEVEL] -= _course_at(season, knots, period, now)
            row[TREND] = 0.0
            row[SIGMA] = max(row[SIGMA], left)
            row[SEASON_SHARE] = share / (clock[WIDTH] // clock[BASE])
        elif clock[WIDTH] < longest // (n // 3):
            widen(row, BUCKET_MEAN, clock, history)
            return
    forget_half(clock, history)
