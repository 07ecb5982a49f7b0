"""Streams, composed: what one engine step means for every stream. A pure function of state and step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from alerts.stream_alarms import ConditionChange
from common.time_units import SECOND
from detectors.detector import State
from ingest.step_facts import StepFacts
from storage.store import StreamProgress, StreamResult
from streams.columns import Rows, loaded_column, saved_column, texts
from streams.conditions import Conditions, Moment
from streams.declarations import is_declared_so, saved_declaration
from streams.definitions import OF_WINDOWS, Definition, Tables, define
from streams.evaluation import WindowError, WindowQueries
from streams.joined_tables import JoinedTables, MessagePlace
from streams.kinds import FIELD
from streams.open_stream import KEY, SEEN, OpenStream, keys_of, open_stream, rows_within, with_columns
from streams.result_rows import as_rows
from streams.sources import SOURCE_ROWS, DeviceRows, FieldColumns
from streams.stream_settings import StreamSettings
from streams.windows import BEFORE_ALL, EARLY, FINAL, Firing, SessionWindows

_STATE_VERSION = 2

_STANDS_FOR = 10_000_000_000
"""So long (ns) after a time in which nothing was received event time waits for what the broker has kept."""


class Streams:
    """All streams of a configuration, each after the one that it comes from. See `ingest.step_facts.StreamStage`.

    Raises ValueError where the declarations do not fit each other.
    """

    def __init__(self, settings: Sequence[StreamSettings], tables: Tables = MappingProxyType({})) -> None:
        definitions, mistakes = define(settings, tables)
        if mistakes:
            raise ValueError(f"streams[{mistakes[0].number}].{mistakes[0].key}: {mistakes[0].sentence}")
        self._settings = [saved_declaration(each, tables.get(each.name, {})) for each in settings]
        self._streams = [open_stream(each) for each in definitions]
        fields = {
            name.lower(): name
            for each in definitions
            if each.settings.from_ == "readings"
            for name, kind in each.reads.items()
            if kind == FIELD
        }
        self._fields = FieldColumns(fields.values())
        self._field_names = fields
        self._devices = DeviceRows()
        self._queries = WindowQueries()
        self._conditions = Conditions(definitions)
        self._joined = JoinedTables(definitions)
        self._followed = {*(each.settings.from_ for each in definitions), *self._joined.followed}

    @property
    def settings(self) -> list[dict[str, Any]]:
        """What was declared, as JSON."""
        return self._settings

    @property
    def definitions(self) -> list[Definition]:
        """The streams in the order in which they run."""
        return [stream.definition for stream in self._streams]

    @property
    def due(self) -> int | None:
        """The arrival at which something is due where no message comes before; None where nothing waits."""
        times = [
            arrival
            for stream in self._streams
            if (at := stream.windows.next_firing) is not None and (arrival := stream.clock.arrival_at(at)) is not None
        ]
        if self._conditions:
            times += [
                due for due in (self._conditions.due, *map(self._end_of_condition, self._streams)) if due is not None
            ]
        return min(times, default=None)

    def _end_of_condition(self, stream: OpenStream) -> int | None:
        """The arrival at which a stream's condition holds no longer for a device where no message comes before."""
        condition = self._conditions.of(stream.definition.name)
        end = None if condition is None else condition.next_end
        return None if end is None else stream.clock.arrival_at(end)

    def until_condition(self, moments: NDArray[np.int64]) -> int:
        """How many of the arrivals `moments` (m,) are to be one step: with conditions, those of one second."""
        if not self._conditions or len(moments) < 2:
            return len(moments)
        others = np.flatnonzero(moments // SECOND != moments[0] // SECOND)
        return int(others[0]) if len(others) else len(moments)

    def changed_conditions(self, moment: int) -> list[ConditionChange]:
        """What has changed of conditions in another second of arrival than that of `moment`; once."""
        return self._conditions.changed(moment)

    def followed_conditions(self) -> list[tuple[str, str]]:
        """Streams and devices whose alarms are open, or are to change."""
        return self._conditions.followed()

    def step(self, facts: StepFacts) -> tuple[list[StreamResult], list[StreamProgress]]:
        """What follows for every stream from one step."""
        chunk = facts.entry.chunk
        moments = chunk.arrival if len(chunk) else np.array([chunk.ticked_at], np.int64)
        made: dict[str, Rows] = {}
        results: list[StreamResult] = []
        progress: list[StreamProgress] = []
        sources: dict[str, Any] = {}
        self._joined.begin(facts)
        for stream in self._streams:
            if chunk.after_reception_gap:
                stream.clock.stand_until(chunk.ticked_at + _STANDS_FOR)
            rows = self._rows(stream, facts, sources, made)
            given, counts = self._advance(stream, rows, moments, facts.entry.offset, made)
            results += given
            if counts:
                watermark = None if stream.clock.watermark == BEFORE_ALL else stream.clock.watermark
                progress.append(StreamProgress(stream.definition.name, counts, watermark, stream.problem))
        self._joined.forget(self._joined_from())
        return results, progress

    def _joined_from(self) -> dict[str, int]:
        """Of each stream that others join: windows that ended up to there are read by none of them any more."""
        needed: dict[str, int] = {}
        for stream in self._streams:
            earliest = stream.windows.needed_from(stream.clock.watermark) - stream.definition.settings.history_ns
            for name in stream.definition.joins:
                needed[name] = min(earliest, needed.get(name, earliest))
        return needed

    def _rows(self, stream: OpenStream, facts: StepFacts, sources: dict[str, Any], made: Mapping[str, Rows]) -> Rows:
        """The rows that a step brings to a stream, with the columns that it reads."""
        name, reads = stream.definition.settings.from_, stream.definition.reads
        if name in made:
            return with_columns(made[name], reads)
        if name != "readings":
            if name not in sources:
                sources[name] = self._devices.rows(facts) if name == "devices" else SOURCE_ROWS[name](facts)
            return with_columns(sources[name], reads)
        if name not in sources:
            rows, message = self._fields.rows(facts)
            sources[name] = rows, facts.topics[message]
        rows, topics = sources[name]
        columns = {
            column: rows.columns[self._field_names.get(column.lower(), column)] for column in reads if column != "topic"
        }
        if "topic" in reads:
            names = {number: "/".join(facts.router.levels(number)) for number in np.unique(topics).tolist()}
            columns["topic"] = texts([names[number] for number in topics.tolist()])
        return Rows(rows.time, rows.moment, columns).take(stream.topics.mask(topics, facts.router))

    def _advance(
        self, stream: OpenStream, rows: Rows, moments: NDArray[np.int64], offset: int, made: dict[str, Rows]
    ) -> tuple[list[StreamResult], dict[str, int]]:
        """Take rows in, and give the results of windows that are due."""
        settings = stream.definition.settings
        condition = self._conditions.of(settings.name)
        hold = 0 if condition is None else condition.hold
        at = np.searchsorted(moments, rows.moment)
        after, seen = stream.clock.advance(
            moments, rows.time, stream.windows.over(rows.time) + hold, np.minimum(at, len(moments) - 1)
        )
        keys = keys_of(rows, settings.by)
        taken = stream.windows.take(rows.time, seen, keys)
        if taken.taken.any():
            columns = {**rows.columns, SEEN: seen, **({} if keys is None else {KEY: texts(keys)})}
            stream.held.append(Rows(rows.time, rows.moment, columns).take(taken.taken))
        counts = {
            "received": len(rows),
            "taken": int(np.count_nonzero(taken.taken)),
            "corrected": int(np.count_nonzero(taken.corrected)),
            "late": int(np.count_nonzero(taken.late)),
            "over_limit": int(np.count_nonzero(taken.dropped)),
        }
        results, parts = self._fire(stream, after, moments, offset, counts)
        made[settings.name] = Rows.joined(parts) if parts else Rows.empty([*OF_WINDOWS, *stream.definition.gives])
        return results, {name: count for name, count in counts.items() if count}

    def _fire(
        self,
        stream: OpenStream,
        after: NDArray[np.int64],
        moments: NDArray[np.int64],
        offset: int,
        counts: dict[str, int],
    ) -> tuple[list[StreamResult], list[Rows]]:
        """The results of windows that are due, and their rows for other streams; `after` is the watermark after each of
        the `moments`."""
        results: list[StreamResult] = []
        parts: list[Rows] = []
        changes: list[Moment] = []
        condition = self._conditions.of(stream.definition.name)

        def moment_of(watermark: int) -> int:
            return int(moments[np.searchsorted(after, watermark)])

        firings = stream.windows.due(stream.clock.watermark)
        held = Rows.joined(stream.held) if firings and stream.held else None
        for firing in firings:
            assert held is not None, "a window that fires has rows"
            within = rows_within(held, firing)
            rows = held.take(within)
            if isinstance(stream.windows, SessionWindows):
                # They are of no session that comes later, though its times may reach back among theirs.
                held = held.take(~within)
            moment = int(np.searchsorted(after, firing.at))
            if condition is not None:
                changes += condition.end(firing.at - 1, moment_of)
            try:
                result, given, holds = self._given(stream, firing, rows, offset + moment, int(moments[moment]))
            except WindowError as error:
                start = np.datetime_as_string(np.datetime64(firing.start, "ns"), unit="ms")
                stream.problem = f"the window from {start}Z: {error}"[:500]
                counts["failed"] = counts.get("failed", 0) + 1
                continue
            results.append(result)
            self._joined.note(result, given)
            if firing.kind == FINAL:
                parts.append(given)
            if condition is not None and firing.kind == FINAL:
                changes += condition.take(result, holds, int(moments[moment]))
            counts["windows"] = counts.get("windows", 0) + 1
            counts["rows"] = counts.get("rows", 0) + len(result.rows)
        if held is not None:
            kept = held.time >= stream.windows.needed_from(stream.clock.watermark)
            stream.held = [held.take(kept)] if kept.any() else []
        if condition is not None:
            self._conditions.note(changes + condition.end(stream.clock.watermark, moment_of))
        return results, parts

    def _given(
        self, stream: OpenStream, firing: Firing, rows: Rows, offset: int, moment: int
    ) -> tuple[StreamResult, Rows, list[bool]]:
        """What a window gives, its rows for the streams that come from this one, and which rows meet the condition.

        Raises WindowError.
        """
        try:
            tables = self._joined.tables(stream.definition, MessagePlace(offset, moment), firing.end)
            result, holds = self._result(stream, firing, rows, offset, tables)
            wanted = result.kind != EARLY and stream.definition.name in self._followed
            return result, as_rows(result, result.rows if wanted else [], moment, stream.definition.gives), holds
        except WindowError:
            raise
        except Exception as error:
            # Nothing that one stream's SQL gives may end the engine, on which everything else waits.
            raise WindowError(f"{type(error).__name__}: {error}") from error

    def _result(
        self, stream: OpenStream, firing: Firing, within: Rows, offset: int, tables: Mapping[str, Rows]
    ) -> tuple[StreamResult, list[bool]]:
        """What a window gives, and which of its rows meet the condition. Raises WindowError where its SQL fails."""
        definition = stream.definition
        answer = self._queries.run(definition, within, tables)
        columns, rows = answer.columns, answer.rows
        by = definition.settings.by
        if by:
            values = orjson.loads(firing.key)
            missing = [(name, value) for name, value in zip(by, values, strict=True) if name not in dict(columns)]
            columns = (*((name, "VARCHAR") for name, _ in missing), *columns)
            rows = [(*(value for _, value in missing), *row) for row in rows]
        result = StreamResult(
            stream=definition.name,
            window_start=firing.start,
            window_end=firing.end,
            key=firing.key,
            kind=firing.kind,
            revision=firing.revision,
            journal_offset=offset,
            columns=columns,
            rows=rows,
            complete=firing.complete,
            in_table=definition.settings.in_table,
            topic=definition.settings.topic,
            sinks=definition.settings.sinks,
        )
        return result, answer.holds

    def state(self) -> tuple[State, dict[str, Any]]:
        """A copy of the state: arrays, and the rest as JSON."""
        arrays: State = {}
        rest = []
        for number, stream in enumerate(self._streams):
            held = Rows.joined(stream.held) if stream.held else Rows.empty([])
            columns = list(held.columns)
            arrays |= {f"{number}.time": held.time, f"{number}.moment": held.moment}
            for place, name in enumerate(columns):
                saved = saved_column(held.columns[name])
                arrays |= {f"{number}.{place}{suffix}": array for suffix, array in saved.items()}
            rest.append(
                {
                    "settings": saved_declaration(stream.definition.settings, {}),
                    "clock": stream.clock.state(),
                    "windows": stream.windows.state(),
                    "columns": columns,
                    "problem": stream.problem,
                }
            )
        heard = None if self._devices.heard is None else sorted(self._devices.heard)
        joined_arrays, joined = self._joined.state()
        return arrays | joined_arrays, {
            "version": _STATE_VERSION,
            "streams": rest,
            "devices": heard,
            "conditions": self._conditions.state(),
            "joined": joined,
        }

    def load(self, arrays: State, rest: Mapping[str, Any]) -> None:
        """Take over a saved state of streams that are declared as they were; the others begin anew.

        So do all of them where the state is of another version: what detectors have learned does not depend on it.
        """
        if rest.get("version") != _STATE_VERSION:
            return
        if (heard := rest.get("devices")) is not None:
            self._devices.heard = set(heard)
        going_on: list[str] = []
        saved = {each["settings"]["name"]: (number, each) for number, each in enumerate(rest["streams"])}
        for stream in self._streams:
            number, of_stream = saved.get(stream.definition.name, (0, None))
            if of_stream is None or not is_declared_so(stream.definition.settings, of_stream["settings"]):
                continue
            if of_stream["columns"] and not set(stream.definition.reads) <= set(of_stream["columns"]):
                # Another file is joined, so that names are the window's that were the table's before.
                continue
            going_on.append(stream.definition.name)
            stream.clock.load(of_stream["clock"])
            stream.windows.load(of_stream["windows"])
            stream.problem = of_stream["problem"]
            columns = {
                name: loaded_column(arrays, f"{number}.{place}") for place, name in enumerate(of_stream["columns"])
            }
            held = Rows(np.array(arrays[f"{number}.time"]), np.array(arrays[f"{number}.moment"]), columns)
            stream.held = [held] if len(held) else []
        if "conditions" in rest:
            self._conditions.load(rest["conditions"], going_on)
        if "joined" in rest:
            self._joined.load(arrays, rest["joined"], going_on)
