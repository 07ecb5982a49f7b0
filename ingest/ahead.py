"""Beside score: alarms ahead of a limit, from a forecast that is made anew at each step of event time.

A series that is to be warned of (`warn_ahead`) is kept as means of equal steps. When a reading opens a new step, what
was before is forecast as far as the warning reaches. The forecast becomes a point of a series of its own, `PREFIX` and
the metric's name, whose alarm says when the limit is reached. All follows from the readings and their order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_step import Opening, Scored
from alerts.feedback import HIGHEST_SCORE
from alerts.limit_words import LIKELY, Limit, reach_sentence
from common.durations import parse_duration
from common.time_units import DAY
from detectors.detector import State
from detectors.horizon import Forecast, History, NoForecastError, forecast, reach
from devices.batch import Batch, ScoredBatch
from devices.records import SeriesRecord
from devices.series_registry import SeriesRegistry, TooManySeriesError
from ingest.knowledge_settings import KnowledgeSettings

PREFIX = "forecast:"
"""Begins the metric of a series that holds forecasts."""
LEADS = 24
BEYOND = 1.5
"""The forecast reaches so many times as far as the warning, so that it can say until when the limit is reached."""
LONGEST = 14 * DAY
MOST_STEPS = 4096
STAYS = 0.3
"""A warning ends where less than this share of the likely courses reach the limit."""
STEPS = tuple(
    seconds * 1_000_000_000
    for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)
)
"""Steps, ns, of which a day is a whole number."""


@dataclass(frozen=True, slots=True)
class AheadRow:
    """One forecast, made at `time`, ns, by row `at` of the readings: of series `series`, for the end of the horizon."""

    series: int
    time: int
    at: int
    value: float
    lower: float
    upper: float
    score: float
    opening: Opening


def allowed_limits(facts: KnowledgeSettings) -> list[Limit]:
    """The limits that a person has set for operation."""
    pairs = ((facts.highest_allowed, True, "highest_allowed"), (facts.lowest_allowed, False, "lowest_allowed"))
    return [Limit(value, above, source) for value, above, source in pairs if value is not None]


def step_within(duration: int) -> int:
    """The longest step, ns, that is no longer than `duration`; the shortest there is where none is."""
    return max((step for step in STEPS if step <= duration), default=STEPS[0])


class Course:
    """One series as means of equal steps, the newest of which is still open."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.size = min(LONGEST // step, MOST_STEPS)
        self.mean = np.full(self.size, math.nan)
        self.place = -1
        self.total = 0.0
        self.count = 0
        self.warns = False

    def add(self, time: int, value: float) -> History | None:
        """Take a reading; the history before it where it opens a step."""
        place = time // self.step
        if place < self.place or not math.isfinite(value):
            return None
        if place == self.place:
            self.total += value
            self.count += 1
            return None
        before = self.place
        if before >= 0:
            self.mean[before % self.size] = self.total / self.count
            passed = np.arange(max(before + 1, place - self.size), place)
            self.mean[passed % self.size] = math.nan
        self.place, self.total, self.count = place, value, 1
        if before < 0 or place - before > LEADS:
            return None
        mean = np.concatenate((self.mean[place % self.size :], self.mean[: place % self.size]))
        return History(place * self.step, self.step, mean, mean)

    def state(self) -> tuple[NDArray[np.float64], list[float]]:
        """A copy: the means, and the rest."""
        return self.mean.copy(), [self.step, self.place, self.total, self.count, self.warns]

    def load(self, mean: NDArray[np.float64], rest: Sequence[float]) -> None:
        """Take over what `state` gave, where the step is the same."""
        step, place, total, count, warns = rest
        if int(step) == self.step and len(mean) == self.size:
            self.mean, self.place, self.total = np.array(mean), int(place), float(total)
            self.count, self.warns = int(count), bool(warns)


class AheadWatch:
    """Which limits are coming near. `facts` says what is known of a series."""

    def __init__(
        self, registry: SeriesRegistry, facts: Callable[[int], KnowledgeSettings], *, any_wanted: bool
    ) -> None:
        self._registry = registry
        self._facts = facts
        self._any_wanted = any_wanted
        self._courses: dict[int, Course | None] = {}
        self._saved: dict[int, tuple[NDArray[np.float64], list[float]]] = {}

    def meet(self, series: int) -> None:
        """Take note of a series that is met for the first time: the one of its forecasts is numbered now."""
        if self._any_wanted and self._course(series) is not None:
            with suppress(TooManySeriesError):
                self._series_of(series)

    def step(self, batch: Batch, moments: NDArray[np.int64]) -> list[AheadRow]:
        """Take readings on time, in order; the forecasts that they bring about. `moments` (n,) released each."""
        if not self._any_wanted or not len(batch):
            return []
        rows: list[AheadRow] = []
        watched = [series for series in np.unique(batch.series).tolist() if self._course(series) is not None]
        for at in np.flatnonzero(np.isin(batch.series, watched)).tolist() if watched else ():
            series = int(batch.series[at])
            course = self._courses[series]
            assert course is not None
            history = course.add(int(batch.time[at]), float(batch.value[at]))
            if history is not None:
                record = self._registry.record_at(series, int(moments[at]))
                row = self._forecast(record, course, history, at)
                rows += [] if row is None else [row]
        return rows

    def _course(self, series: int) -> Course | None:
        if series not in self._courses:
            ahead = self._facts(series).warn_ahead
            course = None if ahead is None else Course(step_within(parse_duration(ahead) // LEADS))
            if course is not None and series in self._saved:
                course.load(*self._saved.pop(series))
            self._courses[series] = course
        return self._courses[series]

    def _forecast(self, record: SeriesRecord, course: Course, history: History, at: int) -> AheadRow | None:
        facts = self._facts(record.series)
        ahead = parse_duration(facts.warn_ahead or "")
        try:
            made = forecast(history, round(BEYOND * ahead / course.step))
            own = self._series_of(record.series)
        except (NoForecastError, TooManySeriesError):
            return None
        level = float(history.mean[np.isfinite(history.mean)][-1])
        share, sentence = self._nearest(record, made, level, allowed_limits(facts), ahead)
        course.warns = share >= (STAYS if course.warns else LIKELY)
        last = ahead // course.step - 1
        return AheadRow(
            own,
            made.end,
            at,
            float(made.expected[last]),
            float(made.lower[last]),
            float(made.upper[last]),
            HIGHEST_SCORE if course.warns else 0.0,
            Opening(level, math.nan, sentence, {"forecast": HIGHEST_SCORE}),
        )

    def _nearest(
        self, record: SeriesRecord, made: Forecast, level: float, limits: Sequence[Limit], ahead: int
    ) -> tuple[float, str]:
        """The share of the likely courses that come to the nearest limit within `ahead`, ns, and the sentence on it."""
        found = []
        for limit in limits:
            one = reach(made, limit.value, above=limit.above, within=ahead)
            share = 1.0 if limit.is_reached(level) else one.share
            times = (one.median, one.earliest, one.latest)
            horizon = made.step * len(made.expected)
            found.append((share, reach_sentence(record.metric, record.unit, limit, level, horizon, times, share)))
        return max(found, key=lambda pair: pair[0])

    def _series_of(self, series: int) -> int:
        record = self._registry.records[series]
        own, _ = self._registry.find_or_add(record.device, PREFIX + record.metric, record.unit, "diagnostic")
        return own

    def state(self) -> tuple[State, dict[str, list[float]]]:
        """A copy of the whole state: the means of each series, and the rest as JSON."""
        saved = {**self._saved, **{s: course.state() for s, course in self._courses.items() if course is not None}}
        return {str(s): mean for s, (mean, _) in saved.items()}, {str(s): rest for s, (_, rest) in saved.items()}

    def load(self, arrays: State, rest: Mapping[str, Sequence[float]]) -> None:
        """Take over what `state` gave, as far as the settings are the same."""
        self._courses.clear()
        self._saved = {int(series): (np.asarray(arrays[series]), list(saved)) for series, saved in rest.items()}


def scored(rows: Sequence[AheadRow], in_service: Callable[[NDArray[np.int32]], NDArray[np.bool_]]) -> Scored:
    """The forecasts as the alarms take them."""
    series = np.array([row.series for row in rows], np.int32)
    score = np.array([row.score for row in rows], np.float64)
    return Scored(
        series,
        np.array([row.time for row in rows], np.int64),
        np.where(in_service(series), score, np.nan),
        np.array([row.at for row in rows], np.intp),
        opening=lambda row: rows[row].opening,
    )


def points(rows: Sequence[AheadRow], anomaly: NDArray[np.bool_]) -> ScoredBatch:
    """The forecasts as points: the value expected at the end of the horizon, with its band."""
    value, lower, upper, score = (
        np.array([getattr(row, name) for row in rows], np.float64) for name in ("value", "lower", "upper", "score")
    )
    return ScoredBatch(
        np.array([row.series for row in rows], np.int32),
        np.array([row.time for row in rows], np.int64),
        value,
        score,
        value,
        lower,
        upper,
        anomaly,
        np.zeros(len(rows), np.bool_),
    )
