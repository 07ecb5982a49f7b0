"""Streams: the rows of each source, out of what one engine step made, in the order of their messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_step import OF_STREAM
from common.growth import grown
from devices.batch import NO_TIME
from devices.records import AlarmRecord
from devices.series_registry import SeriesRegistry
from devices.topics import matches
from ingest.route import Router
from ingest.step_facts import StepFacts
from streams.columns import Column, Rows, texts

_NO_FIELD, _UNKNOWN = -1, -2


class FieldColumns:
    """Readings as rows: one for each message, device and time, with a column for each field that is asked for.

    `fields` are names of metrics, in small or capital letters. It keeps which series is which field.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        self.fields = list(fields)
        self._numbers = {name.lower(): number for number, name in enumerate(self.fields)}
        self._field_of = np.empty(0, np.int32)

    def rows(self, facts: StepFacts) -> tuple[Rows, NDArray[np.int32]]:
        """The rows of a step, and the message of each, an index into its chunk."""
        readings = facts.readings
        series = np.concatenate([readings.series, *(each.series for each in readings.texts)])
        time = np.concatenate([readings.time, *(each.time for each in readings.texts)])
        message = np.concatenate([readings.message, *(each.message for each in readings.texts)])
        device = facts.registry.device_of()[series]
        order = np.lexsort((time, device, message))
        group, first = _grouped(message[order], device[order], time[order])
        row_of = np.empty(len(series), np.intp)
        row_of[order] = group
        leaders = order[first]
        field = self._fields(facts.registry)[series]
        names = texts(facts.registry.device_names)
        arrival = facts.chunk.arrival[message[leaders]]
        columns: dict[str, Column] = {"device": names[device[leaders]], "time": time[leaders], "arrival": arrival}
        numbers = len(readings.series)
        said = np.concatenate([each.text for each in readings.texts]) if readings.texts else np.empty(0, object)
        for number, name in enumerate(self.fields):
            columns[name] = _column(len(leaders), number, field, row_of, readings.value, said, numbers)
        return Rows(time[leaders], arrival, columns), message[leaders]

    def _fields(self, registry: SeriesRegistry) -> NDArray[np.int32]:
        known = len(self._field_of)
        if known < len(registry):
            new = [self._numbers.get(record.metric.lower(), _NO_FIELD) for record in registry.records[known:]]
            self._field_of = np.concatenate([self._field_of, np.array(new, np.int32)])
        return self._field_of


def _grouped(
    message: NDArray[np.int32], device: NDArray[np.int32], time: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of sorted readings: the number of the row of each, and the first reading of each row."""
    if not len(message):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    new = np.ones(len(message), np.bool_)
    new[1:] = (message[1:] != message[:-1]) | (device[1:] != device[:-1]) | (time[1:] != time[:-1])
    return np.cumsum(new) - 1, np.flatnonzero(new)


def _column(
    rows: int,
    number: int,
    field: NDArray[np.int32],
    row_of: NDArray[np.intp],
    value: NDArray[np.float64],
    said: NDArray[np.object_],
    numbers: int,
) -> Column:
    """One field: float64 where it is told in numbers alone, else objects."""
    mine = field == number
    of_number, of_text = mine[:numbers], mine[numbers:]
    if not of_text.any():
        column = np.full(rows, np.nan)
        column[row_of[:numbers][of_number]] = value[of_number]
        return column
    mixed = np.full(rows, None, object)
    mixed[row_of[:numbers][of_number]] = value[of_number]
    mixed[row_of[numbers:][of_text]] = said[of_text]
    return mixed


class TopicMatch:
    """Which topics a stream takes: those that match its filters."""

    def __init__(self, filters: Iterable[str]) -> None:
        self._filters = list(filters)
        self._allowed = np.empty(0, np.int8)

    def mask(self, topics: NDArray[np.int32], router: Router) -> NDArray[np.bool_]:
        """Which of these topic numbers, none of them negative, are taken."""
        self._allowed = grown(self._allowed, int(topics.max(initial=-1)) + 1, _UNKNOWN)
        unknown = topics[self._allowed[topics] == _UNKNOWN]
        for topic in np.unique(unknown).tolist() if len(unknown) else ():
            name = "/".join(router.levels(topic))
            self._allowed[topic] = any(matches(each, name) for each in self._filters)
        return self._allowed[topics] > 0


def point_rows(facts: StepFacts) -> Rows:
    """Points with their scores: of each message those on time, those of devices, forecasts, and the late ones."""
    followed, points = facts.followed, facts.followed.points()
    moment = followed.moments()
    order = np.argsort(moment, kind="stable")
    points, moment = points.take(order), moment[order]
    records = facts.registry.records
    columns: dict[str, Column] = {
        "device": texts([records[series].device for series in points.series.tolist()]),
        "metric": texts([records[series].metric for series in points.series.tolist()]),
        "time": points.time,
        "anomaly": points.anomaly,
        "late": points.late,
    }
    columns |= {name: getattr(points, name) for name in ("value", "score", "expected", "lower", "upper", "novelty")}
    return Rows(points.time, moment, columns)


def alarm_changes(facts: StepFacts) -> tuple[list[AlarmRecord], NDArray[np.int64], NDArray[np.int64]]:
    """Every change of an alarm, first those that somebody made; its time, and the arrival of what brought it (ns).

    The time is that of the reading, of what somebody did, of a silence, or of the end of a stream's window. That the
    highest score of an open alarm rises is no change.
    """
    followed = facts.followed
    rose = set(followed.alarms.rose)
    told = [row for row in range(len(followed.alarms.records)) if row not in rose]
    places = np.array([followed.alarms.places[row] for row in told], np.intp)
    acted = np.full(len(facts.acted), facts.entry.chunk.ticked_at, np.int64)
    # A silence, which has no place among the readings, begins and ends by arrival time.
    records = [followed.alarms.records[row] for row in told]
    made = np.array([each.opened if each.cleared is None else each.cleared for each in records], np.int64)
    moments, read = made.copy(), places >= 0
    made[read], moments[read] = followed.on_time.batch.time[places[read]], followed.on_time.released[places[read]]
    raised = np.array([each.opened if each.cleared is None else each.cleared for each in facts.raised], np.int64)
    chunk = facts.entry.chunk
    now = np.full(len(raised), chunk.arrival[0] if len(chunk) else chunk.ticked_at, np.int64)
    return (
        [*facts.acted, *facts.raised, *records],
        np.concatenate([acted, raised, made]),
        np.concatenate([acted, now, moments]),
    )


def alarm_rows(facts: StepFacts) -> Rows:
    """A row for each change of an alarm, those apart that streams raise, which would be circles."""
    changes, time, moment = alarm_changes(facts)
    kept = np.array([OF_STREAM not in change.parts for change in changes], np.bool_)
    changes, time, moment = [each for each, mine in zip(changes, kept, strict=True) if mine], time[kept], moment[kept]
    series = facts.registry.records

    def of(get: Callable[[AlarmRecord], str]) -> Column:
        return texts([get(change) for change in changes])

    columns: dict[str, Column] = {
        "time": time,
        "alarm": np.array([change.alarm for change in changes], np.int64),
        "device": of(lambda change: series[change.series].device),
        "metric": of(lambda change: series[change.series].metric),
        "state": of(lambda change: change.state.value),
        "severity": of(lambda change: change.severity),
        "reason": of(lambda change: change.reason),
        "opened": np.array([change.opened for change in changes], np.int64),
        "cleared": np.array([NO_TIME if c.cleared is None else c.cleared for c in changes], np.int64),
    }
    columns |= {
        name: np.array([getattr(change, name) for change in changes], np.float64)
        for name in ("peak_score", "value", "expected")
    }
    order = np.argsort(moment, kind="stable")
    return Rows(time, moment, columns).take(order)


def letter_rows(facts: StepFacts) -> Rows:
    """A row for each message that went to the dead letters."""
    letters = sorted(facts.dead_letters, key=lambda letter: letter.offset)
    time = np.array([letter.arrival for letter in letters], np.int64)
    columns: dict[str, Column] = {
        "time": time,
        "topic": texts([letter.topic for letter in letters]),
        "reason": texts([letter.reason for letter in letters]),
        "detail": texts([letter.detail for letter in letters]),
        "payload": texts([letter.payload.decode("utf-8", "replace") for letter in letters]),
    }
    return Rows(time, time, columns)


class DeviceRows:
    """A row for each device at its first reading, and for each message that says that one is there or gone.

    It keeps the names of those that it has heard of; at its first step, all that were known before it.
    """

    def __init__(self) -> None:
        self.heard: set[str] | None = None

    def rows(self, facts: StepFacts) -> Rows:
        """The rows of a step."""
        if self.heard is None:
            self.heard = set(facts.registry.device_names[: facts.known_devices])
        found = self._new(facts, self.heard)
        for presence in facts.readings.presence:
            change = "online" if presence.online else "offline"
            found.append((int(facts.chunk.arrival[presence.message]), presence.device, change))
        found.sort()
        time = np.array([arrival for arrival, _, _ in found], np.int64)
        columns: dict[str, Column] = {
            "time": time,
            "device": texts([device for _, device, _ in found]),
            "change": texts([change for _, _, change in found]),
        }
        return Rows(time, time, columns)

    def _new(self, facts: StepFacts, heard: set[str]) -> list[tuple[int, str, str]]:
        readings, of_series = facts.readings, facts.registry.device_of()
        device = np.concatenate([of_series[readings.series], *(of_series[each.series] for each in readings.texts)])
        message = np.concatenate([readings.message, *(each.message for each in readings.texts)])
        numbers = np.unique(device).tolist()
        new = [number for number in numbers if facts.registry.device_names[number] not in heard]
        names = [facts.registry.device_names[number] for number in new]
        heard.update(names)
        firsts = [int(facts.chunk.arrival[message[device == number].min()]) for number in new]
        return [(first, name, "new") for first, name in zip(firsts, names, strict=True)]


SOURCE_ROWS: Mapping[str, Callable[[StepFacts], Rows]] = {
    "points": point_rows,
    "alarms": alarm_rows,
    "dead_letters": letter_rows,
}
"""The rows of each source that keeps nothing between steps."""
