"""Store: what readers of external databases share: names of series, thinning, and alarms from their events."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from devices.batch import Batch, ScoredBatch
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from storage.external.lines import ALARM_STATES, QUALITY_LATE, RISES_AFTER
from storage.store import SeriesPoints

FIELDS = ("value", "score", "expected", "lower", "upper", "anomaly", "quality")
"""Fields of a point in an external database."""

_STATES = {code: state for state, code in ALARM_STATES.items()}

Columns = Mapping[str, NDArray[np.float64]]
"""A series' fields, each (n,), NaN where a point has none, beside `time` (n,) int64 ns elsewhere."""


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """One line of `driftline_alarm` as it was read back.

    One without the number of its alarm ends an alarm under a severity above which it has risen.
    """

    device: str
    metric: str
    severity: str
    time: int
    numbers: Mapping[str, float]
    reason: str = ""
    parts: dict[str, float] = field(default_factory=dict)


class ExternalReader(ABC):
    """A `storage.store.Reader` on a database that knows series by name. Only the queries differ.

    Indices of series are those of `known`; a name that is not among them gets the next index, in order of names.
    What is asked for by name may be asked for by several threads at once.
    """

    resolution = 1
    """Times are kept in whole multiples of so many ns, those between rounded down."""

    def __init__(self, known: Iterable[SeriesRecord] = ()) -> None:
        self._known = list(known)
        self._index = {(record.device, record.metric): record.series for record in self._known}

    @abstractmethod
    def _names(self) -> Iterable[tuple[str, str]]:
        """Device and metric of every series stored."""

    @abstractmethod
    def _read(self, device: str, metric: str, start: int | None, end: int | None) -> tuple[NDArray[np.int64], Columns]:
        """Points of one series in time order."""

    @abstractmethod
    def _read_last(self, device: str, metric: str, n: int, end: int | None) -> tuple[NDArray[np.int64], Columns]:
        """The last `n` points of one series before `end`, in time order."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""

    @abstractmethod
    def _newest(self) -> Iterable[tuple[str, str, int, Mapping[str, float]]]:
        """Device, metric, time and fields of every series' newest point."""

    @abstractmethod
    def _alarm_events(self) -> Iterable[AlarmEvent]:
        """Everything in `driftline_alarm`."""

    def series(self) -> list[SeriesRecord]:
        """Every series stored, in order of its index. Units are not stored there, but taken from the known series."""
        stored = set(self._names())
        for device, metric in sorted(stored - self._index.keys()):
            self._add(device, metric)
        return [record for record in self._known if (record.device, record.metric) in stored]

    def points(
        self, series: int, start: int | None = None, end: int | None = None, max_points: int | None = None
    ) -> SeriesPoints:
        """Points of one series from `start` up to and without `end` (ns since the epoch), in time order.

        More than `max_points` are thinned as the embedded database does it. Raises ValueError for an unknown series.
        """
        record = self._record(series)
        return self.points_of(record.device, record.metric, start, end, max_points)

    def points_of(
        self,
        device: str,
        metric: str,
        start: int | None = None,
        end: int | None = None,
        max_points: int | None = None,
    ) -> SeriesPoints:
        """As `points`, of a series by its name; no points where it is not stored."""
        if max_points is not None and max_points < 2:
            raise ValueError(f"max_points is {max_points}: expected 2 or more")
        time, columns = self._read(device, metric, start, end)
        found = _points(time, columns)
        return found if max_points is None or len(time) <= max_points else thinned(found, max_points)

    def last_of(self, device: str, metric: str, n: int, end: int | None = None) -> SeriesPoints:
        """The last `n` points before `end` (ns) of a series by its name, in time order; `total` is their number."""
        if n < 1:
            raise ValueError(f"the last {n} points were asked for: expected 1 or more")
        time, columns = self._read_last(device, metric, n, end)
        return _points(time, columns)

    def latest(self, series: Sequence[int] | None = None) -> ScoredBatch:
        """The newest point of each of `series` (of all by default) that has any, in order of series."""
        wanted = None if series is None else set(series)
        rows = []
        for device, metric, time, fields in self._newest():
            number = self._number(device, metric)
            if wanted is None or number in wanted:
                rows.append((number, time, fields))
        rows.sort(key=lambda row: row[0])
        if not rows:
            return ScoredBatch.unscored(Batch.empty(), late=False)
        columns = {name: np.array([row[2].get(name, math.nan) for row in rows]) for name in FIELDS}
        return ScoredBatch(
            np.array([row[0] for row in rows], np.int32),
            np.array([row[1] for row in rows], np.int64),
            columns["value"],
            columns["score"],
            columns["expected"],
            columns["lower"],
            columns["upper"],
            columns["anomaly"] > 0,
            columns["quality"] == QUALITY_LATE,
        )

    def history(self, n: int) -> Iterator[tuple[int, SeriesPoints]]:
        """The last `n` points of each series in time order, series by series: what detectors warm up on."""
        for record in self.series():
            found = self.last_of(record.device, record.metric, n)
            if found.total:
                yield record.series, found

    def alarms(
        self, state: AlarmState | None = None, series: int | None = None, limit: int = 200, open_only: bool = False
    ) -> list[AlarmRecord]:
        """Alarms, the newest first; `open_only` leaves out those that are cleared."""
        newest: dict[tuple[int, int], tuple[AlarmEvent, AlarmRecord]] = {}
        parts: dict[int, dict[str, float]] = {}
        for event in _standing(self._alarm_events()):
            record = self._alarm(event)
            parts.setdefault(record.alarm, {}).update(event.parts)
            newest[record.alarm, record.series] = event, record
        found = [
            record
            for _, record in newest.values()
            if (state is None or record.state is state)
            and (series is None or record.series == series)
            and (not open_only or record.state is not AlarmState.CLEARED)
        ]
        for record in found:
            record.parts.update(parts[record.alarm])
        return sorted(found, key=lambda record: (record.opened, record.alarm), reverse=True)[:limit]

    def _alarm(self, event: AlarmEvent) -> AlarmRecord:
        numbers = event.numbers
        state = _STATES[int(numbers["state"])]
        cleared = event.time if state is AlarmState.CLEARED else None
        return AlarmRecord(
            alarm=int(numbers["alarm"]),
            series=self._number(event.device, event.metric),
            state=state,
            opened=int(numbers["opened"]) if cleared is not None else event.time,
            cleared=cleared,
            severity=event.severity,
            peak_score=float(numbers.get("peak_score", math.nan)),
            value=float(numbers.get("value", math.nan)),
            expected=float(numbers.get("expected", math.nan)),
            reason=event.reason,
            parts={},
        )

    def _record(self, series: int) -> SeriesRecord:
        if not any(record.series == series for record in self._known):
            self.series()
        for record in self._known:
            if record.series == series:
                return record
        raise ValueError(f"series {series} is not known: expected one of {len(self._known)}")

    def _number(self, device: str, metric: str) -> int:
        known = self._index.get((device, metric))
        return self._add(device, metric) if known is None else known

    def _add(self, device: str, metric: str) -> int:
        number = max((record.series for record in self._known), default=-1) + 1
        self._known.append(SeriesRecord(number, device, metric))
        self._index[device, metric] = number
        return number


def thinned(points: SeriesPoints, max_points: int) -> SeriesPoints:
    """The least and the greatest value of each of `max_points // 2` equal stretches of time, and every anomaly.

    `points` must be in time order; the earliest of equal values stays.
    """
    time = points.time
    stretch = (int(time[-1]) - int(time[0])) // (max_points // 2) + 1
    bucket = (time - time[0]) // stretch
    keep = points.anomaly.copy()
    for values in (points.value, -points.value):
        order = np.lexsort((time, values, bucket))
        first = np.ones(len(order), np.bool_)
        first[1:] = bucket[order][1:] != bucket[order][:-1]
        keep[order[first]] = True
    return _rows(points, np.flatnonzero(keep), len(time))


def _standing(events: Iterable[AlarmEvent]) -> list[AlarmEvent]:
    """In order of time, without those of a severity above which their alarm has risen."""
    known = sorted(events, key=lambda event: event.time)
    risen = {(e.device, e.metric, e.severity, e.time - RISES_AFTER) for e in known if "alarm" not in e.numbers}
    return [
        event
        for event in known
        if "alarm" in event.numbers and (event.device, event.metric, event.severity, event.time) not in risen
    ]


def _points(time: NDArray[np.int64], columns: Columns) -> SeriesPoints:
    return SeriesPoints(
        time,
        columns["value"],
        columns["score"],
        columns["expected"],
        columns["lower"],
        columns["upper"],
        columns["anomaly"] > 0,
        len(time),
    )


def _rows(points: SeriesPoints, rows: NDArray[np.intp], total: int) -> SeriesPoints:
    return SeriesPoints(
        points.time[rows],
        points.value[rows],
        points.score[rows],
        points.expected[rows],
        points.lower[rows],
        points.upper[rows],
        points.anomaly[rows],
        total,
    )
