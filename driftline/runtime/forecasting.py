"""A forecast on demand, from the store: of one series over a horizon, and when it reaches its limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from alerts.limit_words import POSSIBLE, Limit, length, reach_sentence
from alerts.reasons import digits
from common.durations import format_duration, spoken_duration
from common.time_units import DAY, MINUTE
from detectors.horizon import (
    HISTORY_HORIZONS,
    LEADS,
    Floats,
    Forecast,
    History,
    NoForecastError,
    forecast,
    reach,
)
from detectors.physical_range import LIMITS
from devices.records import SeriesRecord
from ingest.ahead import allowed_limits, step_within
from ingest.knowledge_settings import KnowledgeSettings
from storage.embedded.database import EmbeddedStore
from storage.embedded.query_watch import QueryStop

LONGEST_HISTORY = 28 * DAY
LEAST_LEADS = 6
FEW_VALUES = 2
DEFAULT_HORIZON = "24h"
SHORTEST_HORIZON, LONGEST_HORIZON = MINUTE, 28 * DAY
OPERATION = ("highest_allowed", "lowest_allowed")


@dataclass(frozen=True, slots=True)
class ReachedLimit:
    """A limit and when it is reached: times in ns, None beyond the horizon; `share` of the likely courses reach it."""

    limit: float
    above: bool
    source: str
    median: int | None
    earliest: int | None
    latest: int | None
    share: float
    sentence: str


@dataclass(frozen=True, slots=True)
class SeriesForecast:
    """What is told of a series: columns over the horizon, all as long, empty where there is no forecast.

    `sentence` says in words what comes, or why nothing can be said; `horizon` ns is what the history allows for.
    """

    device: str
    metric: str
    unit: str
    series: int
    made: int | None
    horizon: int
    history: int
    model: str
    time: Sequence[int]
    expected: Sequence[float]
    lower: Sequence[float]
    upper: Sequence[float]
    limits: Sequence[ReachedLimit]
    sentence: str

    def as_json(self) -> dict[str, object]:
        """For the API and the command."""
        return asdict(self)


def check_horizon(length: int) -> int:
    """The horizon, ns. Raises ValueError where it is too short or too long to be forecast."""
    if not SHORTEST_HORIZON <= length <= LONGEST_HORIZON:
        raise ValueError(f"expected 1m to 28d, got {format_duration(length)}")
    return length


def possible_range(facts: KnowledgeSettings, unit: str) -> tuple[Limit | None, Limit | None]:
    """The lowest and highest value that can be: as set, else of a share by its unit."""
    of_unit = LIMITS[unit] if unit == "%" else (None, None)
    found = []
    for above, own, by_unit, source in (
        (False, facts.lower_limit, of_unit[0], "lower_limit"),
        (True, facts.upper_limit, of_unit[1], "upper_limit"),
    ):
        value = by_unit if own is None else own
        found.append(None if value is None else Limit(value, above, "unit" if own is None else source))
    return found[0], found[1]


def limits_of(facts: KnowledgeSettings, unit: str) -> list[Limit]:
    """What a series should not reach: as set for operation, else what is physically possible."""
    found = allowed_limits(facts)
    sides = {limit.above for limit in found}
    return [*found, *(limit for limit in possible_range(facts, unit) if limit is not None and limit.above not in sides)]


def forecast_series(
    store: EmbeddedStore, record: SeriesRecord, facts: KnowledgeSettings, horizon: int, stop: QueryStop | None = None
) -> SeriesForecast:
    """The forecast of a series from its newest reading on. Raises QueryError."""
    latest = store.latest([record.series])
    if not len(latest):
        return _none(record, horizon, f"{record.metric}: no reading yet, so no forecast")
    end = int(latest.time[0]) + 1
    first, count, different = _extent(store, record, end, stop)
    history = end - first
    cadence = history // max(count - 1, 1)
    wanted = horizon
    horizon = min(horizon, history // HISTORY_HORIZONS)
    step = max(step_within(horizon // LEADS), step_within(2 * cadence))
    leads = horizon // step
    if different <= FEW_VALUES:
        return _none(
            record, wanted, f"{record.metric} has had no more than {FEW_VALUES} values: nothing to forecast", end
        )
    if leads < LEAST_LEADS:
        seen = f"{count} reading{'s' if count != 1 else ''} in {spoken_duration(history)}"
        return _none(record, wanted, f"{record.metric}: {seen} are too few for a forecast", end)
    try:
        made = forecast(_history(store, record, end, step, history, stop), int(leads))
    except NoForecastError as error:
        return _none(record, wanted, f"{record.metric}: no forecast, {error}", end)
    return _told(record, made, facts, wanted, history)


def _told(record: SeriesRecord, made: Forecast, facts: KnowledgeSettings, wanted: int, history: int) -> SeriesForecast:
    horizon = made.step * len(made.expected)
    level = float(made.expected[0])
    reached = [_reached(record, made, limit, level) for limit in limits_of(facts, record.unit)]
    lowest, highest = (None if limit is None else limit.value for limit in possible_range(facts, record.unit))
    expected, below, above = (np.clip(column, lowest, highest) for column in (made.expected, made.lower, made.upper))
    sentences = [one.sentence for one in reached if one.share >= POSSIBLE or one.source in OPERATION]
    if below[-1] < above[-1] or not sentences:
        half = float(made.upper[-1] - made.lower[-1]) / 2
        sentences.append(_band_sentence(record, made, horizon, below, above, half))
    if horizon < 0.9 * wanted:
        sentences.append(f"no further, since there are {spoken_duration(history)} of history")
    return SeriesForecast(
        record.device,
        record.metric,
        record.unit,
        record.series,
        made.end,
        horizon,
        history,
        made.model,
        made.time.tolist(),
        expected.tolist(),
        below.tolist(),
        above.tolist(),
        reached,
        "; ".join(sentences),
    )


def _band_sentence(
    record: SeriesRecord, made: Forecast, horizon: int, lower: Floats, upper: Floats, half: float
) -> str:
    """Between what the readings lie over the whole horizon, and at its end."""
    unit = f" {record.unit}" if record.unit else ""
    whole, end = (
        f"{digits(float(low), half)} and {digits(float(high), half)}{unit}"
        for low, high in ((lower.min(), upper.max()), (lower[-1], upper[-1]))
    )
    last = f", at the end between {end}" if end != whole else ""
    return (
        f"over the next {length(horizon)} {record.metric} is between {whole}{last}, four times of five, "
        f"by its {made.model}"
    )


def _reached(record: SeriesRecord, made: Forecast, limit: Limit, level: float) -> ReachedLimit:
    one = reach(made, limit.value, above=limit.above)
    share = 1.0 if limit.is_reached(level) else one.share
    times = (one.median, one.earliest, one.latest)
    horizon = made.step * len(made.expected)
    sentence = reach_sentence(record.metric, record.unit, limit, level, horizon, times, share)
    median, earliest, latest = (made.end + round(each) if math.isfinite(each) else None for each in times)
    return ReachedLimit(limit.value, limit.above, limit.source, median, earliest, latest, round(share, 3), sentence)


def _none(record: SeriesRecord, horizon: int, why: str, end: int | None = None) -> SeriesForecast:
    return SeriesForecast(
        record.device, record.metric, record.unit, record.series, end, horizon, 0, "", (), (), (), (), (), why
    )


def _where(record: SeriesRecord, end: int) -> str:
    named = [name.replace("'", "''") for name in (record.device, record.metric)]
    since = f"make_timestamp_ns({end - LONGEST_HISTORY})"
    return f"from points where device = '{named[0]}' and metric = '{named[1]}' and time >= {since} and isfinite(value)"


def _extent(store: EmbeddedStore, record: SeriesRecord, end: int, stop: QueryStop | None) -> tuple[int, int, int]:
    """Time of the first reading that counts, how many there are, and how many different values, 100 at most."""
    where = _where(record, end)
    rows = store.query(f"select epoch_ns(min(time)), count(*), approx_count_distinct(value) {where}", 1, stop=stop).rows
    first, count, different = rows[0]
    return (end if first is None else int(first)), int(count), int(different)


def _history(
    store: EmbeddedStore, record: SeriesRecord, end: int, step: int, span: int, stop: QueryStop | None
) -> History:
    """The readings in steps, worked out where they are stored."""
    place = f"(({end - 1} - epoch_ns(time)) // {step})"
    sql = (
        f"select {place} as place, avg(value), arg_max(value, time) {_where(record, end)} group by place order by place"
    )
    steps = int(span // step)
    rows = [row for row in store.query(sql, steps + 1, max_bytes=64 << 20, stop=stop).rows if row[0] < steps]
    mean, last = np.full(steps, np.nan), np.full(steps, np.nan)
    for back, average, newest in rows:
        mean[steps - 1 - int(back)], last[steps - 1 - int(back)] = average, newest
    return History(end, step, mean, last)
