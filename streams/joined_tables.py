"""Streams: the tables that SQL reads beside its window, each as it was at the message that made the window's result.

All of it is a function of the journal: what other streams have given, what people and rules say of devices, and which
series there are. A chunk of messages is one step, so everything is known by the message that brought it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from devices.batch import NO_TIME
from devices.records import DeviceRecord
from ingest.step_facts import StepFacts
from storage.store import StreamResult
from streams.columns import Column, Rows, loaded_column, saved_column, texts
from streams.definitions import JOINED_COLUMNS, Definition
from streams.evaluation import WindowError
from streams.kinds import INTEGER, NUMBER, TIME
from streams.reference_tables import ReferenceTable
from streams.windows import EARLY

MOST_JOINED_ROWS = 100_000
"""Most rows of another stream that a window may see."""

_DEVICES, _SERIES = "devices", "series"
_BY_STREAMS = "streams"


@dataclass(frozen=True, slots=True)
class MessagePlace:
    """Where a window's result is made: by the message of this offset, which arrived at `arrival` (ns)."""

    offset: int
    arrival: int


@dataclass(frozen=True, slots=True)
class _Past:
    """A result of a stream, and its rows."""

    offset: int
    start: int
    end: int
    key: str
    rows: Rows


@dataclass(slots=True)
class _History:
    """What a stream has given, in order, as far as others may still read it."""

    kinds: Mapping[str, str]
    results: list[_Past] = field(default_factory=list)
    lost_until: int = 0
    """The end of the newest window whose rows were let go since there were too many."""

    def rows(self, place: MessagePlace, start: int, end: int) -> Rows:
        """Rows of windows that ended after `start` and up to `end` (ns), as far as they were given at that moment.

        A correction stands in place of what it corrects. Raises WindowError where there are too many.
        """
        newest: dict[tuple[int, int, str], Rows] = {}
        for each in self.results:
            if each.offset <= place.offset and start < each.end <= end:
                newest[each.start, each.end, each.key] = each.rows
        if sum(map(len, newest.values())) > MOST_JOINED_ROWS or self.lost_until > start:
            raise WindowError(f"more than {MOST_JOINED_ROWS:,} rows of another stream: expected a shorter history")
        parts = [rows for rows in newest.values() if len(rows)]
        return Rows.joined(parts) if parts else _no_rows(self.kinds)

    def forget(self, up_to: int) -> None:
        """Let go of windows that ended up to a time, and of the oldest where they are far too many."""
        self.results = [each for each in self.results if each.end > up_to]
        count = sum(len(each.rows) for each in self.results)
        while count > 4 * MOST_JOINED_ROWS:
            oldest = self.results.pop(0)
            count -= len(oldest.rows)
            self.lost_until = max(self.lost_until, oldest.end)


class JoinedTables:
    """The tables beside the windows of all streams. `begin` is called at each step, before any window's result."""

    def __init__(self, definitions: Sequence[Definition]) -> None:
        kinds = {name: columns for each in definitions for name, columns in each.joins.items()}
        of_others = {each.name for each in definitions} & set(kinds)
        self._histories = {name: _History(kinds[name]) for name in sorted(of_others)}
        self._wants_devices, self._wants_series = _DEVICES in kinds, _SERIES in kinds
        self._references = {
            (each.name, name): _reference_rows(table) for each in definitions for name, table in each.references.items()
        }
        self._profiles = _Profiles()
        self._series = _MetSeries()
        self._facts: StepFacts | None = None
        self._records: list[DeviceRecord] | None = None

    @property
    def followed(self) -> Iterable[str]:
        """The streams whose results are read by others."""
        return self._histories

    def begin(self, facts: StepFacts) -> None:
        """Take note of what a step tells of devices and series."""
        self._facts, self._records = facts, None
        if self._wants_devices:
            self._profiles.begin(facts)
        if self._wants_series:
            self._series.begin(facts)

    def note(self, result: StreamResult, rows: Rows) -> None:
        """Keep what a stream gave, where others read it."""
        history = self._histories.get(result.stream)
        if history is not None and result.kind != EARLY:
            columns = {name: rows.columns[name] for name in history.kinds}
            kept = Rows(rows.time, rows.moment, columns)
            history.results.append(
                _Past(result.journal_offset, result.window_start, result.window_end, result.key, kept)
            )

    def tables(self, definition: Definition, place: MessagePlace, end: int) -> dict[str, Rows]:
        """The tables that a stream's SQL reads, for a window that ends at `end` (ns). Raises WindowError."""
        made = {}
        for name in definition.joins:
            if (definition.name, name) in self._references:
                made[name] = self._references[definition.name, name]
            elif name in self._histories:
                made[name] = self._histories[name].rows(place, end - definition.settings.history_ns, end)
            else:
                made[name] = self._devices(place) if name == _DEVICES else self._series.rows(place)
        return made

    def forget(self, needed_from: Mapping[str, int]) -> None:
        """Let go of what no window reads any more; `needed_from` is the earliest end of a window of each stream."""
        for name, history in self._histories.items():
            if name in needed_from:
                history.forget(needed_from[name])

    def _devices(self, place: MessagePlace) -> Rows:
        assert self._facts is not None, "a window that fires is in a step"
        if self._records is None:
            met = (each for each in self._facts.book if not each.merged_into)
            self._records = sorted(met, key=lambda each: each.device)
        profiles = self._profiles.at(place)
        there = [each for each in self._records if each.first_seen is None or each.first_seen <= place.arrival]

        def times(get: Callable[[DeviceRecord], int | None]) -> NDArray[np.int64]:
            return np.array([NO_TIME if (time := get(each)) is None else time for each in there], np.int64)

        columns = {
            "device": texts([each.device for each in there]),
            "name": texts([each.name or each.device for each in there]),
            "labels": texts([orjson.dumps(each.labels, option=orjson.OPT_SORT_KEYS).decode() for each in there]),
            "profile": texts([profiles.get(each.device) for each in there]),
            "first_seen": times(lambda each: each.first_seen),
            "retired_at": times(lambda each: each.retired_at),
            "muted_at": times(lambda each: each.muted_at),
        }
        return Rows.table(columns, len(there))

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """A copy of the state: arrays, and the rest as JSON."""
        arrays: dict[str, NDArray[Any]] = {"joined.series": self._series.state()}
        rest: dict[str, Any] = {"profiles": self._profiles.newest()}
        for name, history in self._histories.items():
            parts = [each.rows for each in history.results if len(each.rows)]
            joined = Rows.joined(parts) if parts else _no_rows(history.kinds)
            for number, column in enumerate(history.kinds):
                saved = saved_column(joined.columns[column])
                arrays |= {f"joined.{name}.{number}{suffix}": array for suffix, array in saved.items()}
            rest.setdefault(_BY_STREAMS, {})[name] = {
                "kinds": dict(history.kinds),
                "lost_until": history.lost_until,
                "results": [[each.offset, each.start, each.end, each.key, len(each.rows)] for each in history.results],
            }
        return arrays, rest

    def load(self, arrays: Mapping[str, NDArray[Any]], rest: Mapping[str, Any], streams: Iterable[str]) -> None:
        """Take over what `state` returned, of results those of these streams, whose columns are as they were."""
        self._profiles.known = dict(rest.get("profiles", {}))
        if "joined.series" in arrays:
            self._series.load(arrays["joined.series"])
        for name, saved in rest.get(_BY_STREAMS, {}).items():
            history = self._histories.get(name)
            if history is None or name not in streams or saved["kinds"] != dict(history.kinds):
                continue
            columns = {
                column: loaded_column(arrays, f"joined.{name}.{number}") for number, column in enumerate(history.kinds)
            }
            history.lost_until = int(saved["lost_until"])
            at = 0
            for offset, start, end, key, count in saved["results"]:
                rows = Rows.table({column: values[at : at + count] for column, values in columns.items()}, count)
                history.results.append(_Past(offset, start, end, key, rows))
                at += count


class _Profiles:
    """By which profile each device's newest message with readings was read, in `known` up to the step under way."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self._changes: list[tuple[int, str, str]] = []

    def begin(self, facts: StepFacts) -> None:
        """Take over the step before, and find what this one changes."""
        self.known = self.newest()
        if len(self.known) > len(facts.registry.device_names):
            self.known = {device: profile for device, profile in self.known.items() if facts.book.knows(device)}
        readings, device_of = facts.readings, facts.registry.device_of()
        series = np.concatenate([readings.series, *(each.series for each in readings.texts)])
        message = np.concatenate([readings.message, *(each.message for each in readings.texts)])
        names = ["" if route.profile is None else route.profile.name for route in facts.router.routes]
        route = facts.routes[message].astype(np.int64)
        device = device_of[series].astype(np.int64)
        changing = set()
        for pair in np.unique(device * len(names) + route).tolist():
            number, of_route = divmod(pair, len(names))
            if self.known.get(facts.registry.device_names[number], "") != names[of_route]:
                changing.add(number)
        self._changes = []
        if not changing:
            return
        rows = np.flatnonzero(np.isin(device, list(changing)))
        for row in rows[np.argsort(message[rows], kind="stable")].tolist():
            name = facts.registry.device_names[int(device[row])]
            arrival = int(facts.chunk.arrival[message[row]])
            self._changes.append((arrival, name, names[int(route[row])]))

    def newest(self) -> dict[str, str]:
        """The profile of each device at the end of this step; empty where it has none."""
        return self.known | {device: profile for _, device, profile in self._changes}

    def at(self, place: MessagePlace) -> dict[str, str | None]:
        """The profile of each device that has one, at a moment of this step."""
        found = {**self.known}
        for arrival, device, profile in self._changes:
            if arrival <= place.arrival:
                found[device] = profile
        return {device: profile or None for device, profile in found.items()}


class _MetSeries:
    """Which series have had a reading: of a series that is new, since which arrival."""

    def __init__(self) -> None:
        self._since = np.empty(0, np.int64)
        self._facts: StepFacts | None = None

    def begin(self, facts: StepFacts) -> None:
        """Find the series that a step brings."""
        self._facts = facts
        readings, count = facts.readings, len(facts.registry)
        if count > len(self._since):
            more = np.full(count - len(self._since), NO_TIME, np.int64)
            self._since = np.concatenate([self._since, more])
        series = np.concatenate([readings.series, *(each.series for each in readings.texts)])
        message = np.concatenate([readings.message, *(each.message for each in readings.texts)])
        new = self._since[series] == NO_TIME
        order = np.argsort(message[new], kind="stable")[::-1]
        self._since[series[new][order]] = facts.chunk.arrival[message[new][order]]

    def rows(self, place: MessagePlace) -> Rows:
        """The series that are there at a moment of this step."""
        assert self._facts is not None, "a window that fires is in a step"
        registry = self._facts.registry
        met = np.flatnonzero((self._since != NO_TIME) & (self._since <= place.arrival)).tolist()
        there = sorted(
            (each for number in met if (each := registry.records[number]).gone_at is None),
            key=lambda each: (each.device, each.metric),
        )
        columns = {name: texts([getattr(each, name) for each in there]) for name in JOINED_COLUMNS[_SERIES]}
        return Rows.table(columns, len(there))

    def state(self) -> NDArray[np.int64]:
        """Since when each series is met."""
        return self._since.copy()

    def load(self, saved: NDArray[np.int64]) -> None:
        """Take over what `state` returned."""
        self._since = np.array(saved, np.int64)


def _reference_rows(table: ReferenceTable) -> Rows:
    return Rows.table(
        {name: _reference_column(values, table.kinds[name]) for name, values in table.values.items()}, len(table)
    )


def _reference_column(values: Sequence[Any], kind: str) -> Column:
    if kind == NUMBER:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    if kind == TIME:
        return np.array([NO_TIME if value is None else value for value in values], np.int64)
    if kind == INTEGER:
        # As text, since a float64 does not hold every whole number.
        return texts([None if value is None else str(value) for value in values])
    return texts(list(values))


def _no_rows(kinds: Mapping[str, str]) -> Rows:
    types = {NUMBER: np.float64, INTEGER: np.float64, TIME: np.int64}
    return Rows.table({name: np.empty(0, types.get(kind, object)) for name, kind in kinds.items()}, 0)
