"""Beside score: where a series will be over the next hours, with a band, and when it reaches a limit.

Several simple forecasts compete: the level, a trend, the course of the day or the week. Each is made at many times of
the series' own past, and the one that erred least is used. The band is where four of five readings came to lie around
it then; the time to a limit comes from the same past errors, path by path. So a series that cannot be forecast has a
wide band, and nothing is assumed of the shape of its errors.

Works where what comes is like what was. It fails, by too narrow a band, where the process has just changed. Source of
the idea: Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 5.5 and 5.10 (bootstrapped residuals,
rolling origins). That the band opens with distance: isotonic regression, Barlow et al., "Statistical Inference under
Order Restrictions", 1972.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.time_units import DAY

Floats = NDArray[np.float64]

LEADS = 48
"""A horizon is this many steps."""
BAND = 0.8
HISTORY_HORIZONS = 3
"""A forecast needs a history this many times as long as its horizon."""
MOST_ORIGINS = 400
LEAST_ORIGINS = 12
BLOCKS = 7
"""A trend is taken from the means of so many neighbouring blocks."""
DAYS, WEEKS = 7, 4
"""The course of the day, of the week, is the median of at most so many."""
HALF_LIFE = 4.0
"""What was tried so many horizons ago counts half."""
_CLEARLY = 0.97
"""A forecast further down the list has to err by so much less than those before it."""


class NoForecastError(ValueError):
    """Why there is no forecast, as a sentence."""


@dataclass(frozen=True, slots=True)
class History:
    """A series in n equal steps of `step` ns, the last of which ends at `end`, ns.

    `mean` and `last` (n,) are of the readings of each step, NaN where there are none. `day` are the steps of a day, 0
    where a day is not a whole number of them.
    """

    end: int
    step: int
    mean: Floats
    last: Floats

    @property
    def day(self) -> int:
        """Steps of a day, 0 where a day is no whole number of them."""
        return DAY // self.step if DAY % self.step == 0 else 0


@dataclass(frozen=True, slots=True)
class Forecast:
    """From `end` of the history on, in steps of `step` ns: `expected`, `lower` and `upper` of the readings, (leads,).

    Four of five readings are to lie within the band, whose ends never come nearer to `expected`. `paths` (m, leads) are
    as likely courses of the means as the past gives; `model` names what was used.
    """

    end: int
    step: int
    expected: Floats
    lower: Floats
    upper: Floats
    paths: Floats
    model: str

    @property
    def time(self) -> NDArray[np.int64]:
        """The times of the forecast, ns: the end of each step."""
        return self.end + self.step * np.arange(1, len(self.expected) + 1)


@dataclass(frozen=True, slots=True)
class Reach:
    """When a limit is reached, ns from now, inf beyond the horizon: four times of five from `earliest` to `latest`.

    `share` is the share of the courses that reach it in the time asked about.
    """

    median: float
    earliest: float
    latest: float
    share: float


def in_steps(time: NDArray[np.int64], value: Floats, end: int, step: int, steps: int) -> History:
    """The readings (n,) as `steps` steps of `step` ns up to `end`, ns, in order of time; those outside are left out."""
    place = steps - 1 - (end - 1 - time) // step
    kept = (place >= 0) & (time < end) & np.isfinite(value)
    place, value = place[kept], value[kept]
    count = np.bincount(place, minlength=steps)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(place, value, steps) / count
    last = np.full(steps, np.nan)
    last[place] = value
    return History(end, step, mean, last)


def forecast(history: History, leads: int = LEADS) -> Forecast:
    """The forecast of the next `leads` steps. Raises NoForecastError where the history is too short or full of gaps."""
    level = _filled(history.mean)
    n = len(level)
    known = np.flatnonzero(np.isfinite(level))
    first = int(known[0]) if len(known) else n
    if n - first < HISTORY_HORIZONS * leads:
        raise NoForecastError(f"the history is shorter than {HISTORY_HORIZONS} times the horizon")
    past = _past(first + max(leads, BLOCKS), n - 1)
    tried = [(name, made) for name, made in _candidates(level, history.day, first, past, leads)]
    ahead = past[:, None] + np.arange(1, leads + 1)
    within = ahead < n
    ahead = np.minimum(ahead, n - 1)
    mean, last = (np.where(within, column[ahead], np.nan) for column in (history.mean, history.last))
    weight = 0.5 ** ((past[-1] - past[:-1]) / (HALF_LIFE * leads))
    best = _best(tried, mean, weight)
    name, made = tried[best]
    now = made[-1]
    error, reading_error = (column[:-1] - made[:-1] for column in (mean, last))
    usable = np.isfinite(made[:-1]).all(axis=1)
    complete = usable & np.isfinite(error).all(axis=1)
    if np.count_nonzero(complete) < LEAST_ORIGINS:
        raise NoForecastError("too much of the history is missing")
    whole = _drawn(error[complete], weight[complete])
    stride = int(past[-1] - past[-2]) if len(past) > 1 else 1
    lower, upper = _band(reading_error[usable], weight[usable], stride / leads)
    return Forecast(history.end, history.step, now, now + lower, now + upper, now + whole, name)


def reach(made: Forecast, limit: float, *, above: bool, within: float = math.inf) -> Reach:
    """When the series comes to be at or above a limit, or at or below it; the share of courses is of `within`, ns."""
    side = 1.0 if above else -1.0
    over = side * (made.paths - limit) >= 0
    crosses = over.any(axis=1)
    lead = np.argmax(over, axis=1)
    rows = np.arange(len(made.paths))
    after = made.paths[rows, lead]
    before = np.where(lead > 0, made.paths[rows, np.maximum(lead - 1, 0)], made.expected[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip((limit - before) / (after - before), 0.0, 1.0)
    part = np.where(np.isfinite(part), part, 1.0)
    when = np.sort(np.where(crosses, (lead + part) * made.step, math.inf))
    tail = (1 - BAND) / 2
    earliest, median, latest = (
        float(when[min(int(share * len(when)), len(when) - 1)]) for share in (tail, 0.5, 1 - tail)
    )
    return Reach(
        median,
        earliest,
        latest,
        float(np.mean(when[np.isfinite(when)] <= within) * np.mean(crosses)) if crosses.any() else 0.0,
    )


def _past(first: int, last: int) -> NDArray[np.int64]:
    """The times at which forecasts are made: evenly from `first` on, and `last`, which is now."""
    stride = max(1, -(-(last - first) // MOST_ORIGINS))
    return np.arange(last, first - 1, -stride)[::-1].astype(np.int64)


def _candidates(
    level: Floats, day: int, first: int, past: NDArray[np.int64], leads: int
) -> Iterator[tuple[str, Floats]]:
    """Name and forecasts (m, leads) made at each time of `past`, NaN where it could not be made; the simplest first."""
    lead = np.arange(1, leads + 1)
    whole = np.concatenate(([0.0], np.cumsum(np.nan_to_num(level))))

    def mean(before: NDArray[np.int64], width: int) -> Floats:
        """The mean of `width` steps up to and with each place."""
        found: Floats = (whole[before + 1] - whole[before + 1 - width]) / width
        return found

    yield "level", np.repeat(level[past][:, None], leads, axis=1)
    yield "level", np.repeat(mean(past, min(4, leads))[:, None], leads, axis=1)
    yield "level", np.repeat(mean(past, leads)[:, None], leads, axis=1)
    for width in (leads // 4, leads):
        block = max(width // BLOCKS, 1)
        means = np.stack([mean(past - number * block, block) for number in range(BLOCKS)])
        # The median of the slopes between neighbours: a leap is no trend.
        slope = np.median(-np.diff(means, axis=0), axis=0) / block
        base = means[0] + slope * (block - 1) / 2
        for damping in (0.5 ** (4 / leads), 1.0):
            steps = lead if damping == 1.0 else damping * (1 - damping**lead) / (1 - damping)
            yield "trend", base[:, None] + slope[:, None] * steps
    for name, period, most in (("course of the day", day, DAYS), ("course of the week", 7 * day, WEEKS)):
        if not period or len(level) - first < 2 * period + leads // 2:
            continue
        yield from _courses(name, level, period, most, first, past, lead)


def _courses(
    name: str, level: Floats, period: int, most: int, first: int, past: NDArray[np.int64], lead: NDArray[np.int64]
) -> Iterator[tuple[str, Floats]]:
    """What was usual at the same times of earlier periods, and how far off it the series is now, for a while."""
    leads = len(lead)
    window = np.arange(-max(leads // 12, 1) + 1, 1)

    def usual(places: NDArray[np.int64], at: NDArray[np.int64]) -> Floats:
        """The median of the same place of the periods that were over `at` each time."""
        back = -(-np.maximum(places - at[:, None], 1) // period)
        found = np.full((most, *places.shape), np.nan)
        for number in range(most):
            row = places - (back + number) * period
            found[number] = np.where(row >= first, level[np.maximum(row, 0)], np.nan)
        with np.errstate(invalid="ignore"):
            return _nanmedian(found)

    course = usual(past[:, None] + lead, past)
    recent = past[:, None] + window
    off = np.mean(level[np.maximum(recent, 0)] - usual(recent, past), axis=1)
    for keeps in (0.0, 0.5 ** (8 / leads), 0.5 ** (2 / leads), 1.0):
        yield name, course + off[:, None] * keeps**lead


def _nanmedian(values: Floats) -> Floats:
    """The median over the first axis of what is there; NaN where nothing is."""
    ordered = np.sort(values, axis=0)
    count = np.count_nonzero(np.isfinite(values), axis=0)
    low, high = np.maximum((count - 1) // 2, 0), np.maximum(count // 2, 0)
    pair = [np.take_along_axis(ordered, np.minimum(one, len(values) - 1)[None], axis=0)[0] for one in (low, high)]
    return np.where(count > 0, 0.5 * (pair[0] + pair[1]), np.nan)


def _best(tried: list[tuple[str, Floats]], actual: Floats, weight: Floats) -> int:
    """Which forecast erred least, of late above all, where all could be made that can be made now."""
    there = [number for number, (_, made) in enumerate(tried) if np.isfinite(made[-1]).all()]
    common = np.isfinite(actual[:-1])
    for number in list(there):
        with_it = common & np.isfinite(tried[number][1][:-1])
        if np.count_nonzero(with_it.any(axis=1)) < LEAST_ORIGINS:
            there.remove(number)
        else:
            common = with_it
    if not there:
        raise NoForecastError("too much of the history is missing")
    best, least = there[0], math.inf
    share = np.where(common, weight[:, None], 0.0)
    for number in there:
        error = np.where(common, np.abs(actual[:-1] - tried[number][1][:-1]), 0.0)
        loss = float(np.sum(np.sqrt(error) * share))
        if loss < _CLEARLY * least:
            best, least = number, loss
    return best


def _drawn(errors: Floats, weight: Floats) -> Floats:
    """Errors (m, leads) as often as they count: MOST_ORIGINS of them, evenly by their weight."""
    reached = np.cumsum(weight) / np.sum(weight)
    drawn: Floats = errors[np.searchsorted(reached, (np.arange(MOST_ORIGINS) + 0.5) / MOST_ORIGINS)]
    return drawn


def _band(error: Floats, weight: Floats, stride: float) -> tuple[Floats, Floats]:
    """The ends of the band around a forecast, (leads,), of past errors (m, leads), NaN where they are not known yet.

    They are `stride` horizons apart. Where few horizons lie side by side in what counts, the tails are seen too seldom,
    so that the band is taken further out: the smallest of k errors is exceeded by the next one with a probability of
    1 / (k + 1), not of 0.
    """
    apart = max(1.0, float(np.sum(weight) ** 2 / np.sum(weight**2)) * stride)
    tail = (1 - BAND) / 2 * apart / (apart + 2.0)
    lower, upper = np.nanquantile(
        error,
        (tail, 1 - tail),
        axis=0,
        weights=np.where(np.isfinite(error), weight[:, None], 0.0),
        method="inverted_cdf",
    )
    return -_opening(-_smooth(lower)), _opening(_smooth(upper))


def _smooth(ends: Floats) -> Floats:
    """A mean over five neighbours, fewer at the edges."""
    kernel = np.ones(min(5, len(ends)))
    found: Floats = np.convolve(ends, kernel, "same") / np.convolve(np.ones(len(ends)), kernel, "same")
    return found


def _opening(ends: Floats) -> Floats:
    """The course nearest to `ends` that never falls: the means of neighbours that would.

    What is further ahead is not surer, whatever chance the past errors show; as many readings lie within on the whole.
    """
    n = len(ends)
    whole = np.concatenate(([0.0], np.cumsum(ends)))
    first, last = np.arange(n)[:, None], np.arange(n)
    mean = np.where(first <= last, (whole[last + 1] - whole[first]) / np.maximum(last - first + 1, 1), np.inf)
    # The least mean of those that begin at a row and end at or behind a place; the greatest of those up to it.
    least = np.minimum.accumulate(mean[:, ::-1], axis=1)[:, ::-1]
    found: Floats = np.max(np.where(first <= last, least, -np.inf), axis=0)
    return found


def _filled(values: Floats) -> Floats:
    """Each gap filled with what was before it."""
    place = np.where(np.isfinite(values), np.arange(len(values)), -1)
    place = np.maximum.accumulate(place)
    return np.where(place >= 0, values[np.maximum(place, 0)], np.nan)
