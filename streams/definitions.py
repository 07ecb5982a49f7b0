"""Streams, their declarations made whole: the order in which they run, the columns they read and those they give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

import duckdb

from common.suggestions import unknown
from storage.embedded.sql_guard import VIEWS, QueryError
from streams.kinds import FIELD, INTEGER, NUMBER, SQL_TYPES, TEXT, TIME, TRUTH, kind_of_type
from streams.reference_tables import ReferenceTable
from streams.stream_settings import (
    PLACE,
    SOURCES,
    STREAM_NAME,
    WINDOW_PLACES,
    StreamAlarmSettings,
    StreamSettings,
)
from streams.stream_sql import WINDOW, StreamQuery, described, open_connection, parse_stream_sql, with_condition

Tables = Mapping[str, Mapping[str, ReferenceTable]]
"""The contents of people's own tables: by the stream that declares them, and by their name in its SQL."""

_POINT_NUMBERS = dict.fromkeys(("value", "score", "expected", "lower", "upper", "novelty"), NUMBER)
SOURCE_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "readings": {"device": TEXT, "time": TIME, "arrival": TIME, "topic": TEXT},
    "points": {"device": TEXT, "metric": TEXT, "time": TIME, **_POINT_NUMBERS, "anomaly": TRUTH, "late": TRUTH},
    "alarms": {
        "time": TIME,
        "alarm": INTEGER,
        "device": TEXT,
        "metric": TEXT,
        "state": TEXT,
        "severity": TEXT,
        "opened": TIME,
        "cleared": TIME,
        "peak_score": NUMBER,
        "value": NUMBER,
        "expected": NUMBER,
        "reason": TEXT,
    },
    "dead_letters": {"time": TIME, "topic": TEXT, "reason": TEXT, "detail": TEXT, "payload": TEXT},
    "devices": {"time": TIME, "device": TEXT, "change": TEXT},
}
"""Columns of the rows of each source; `readings` have every field that a device sends beside these."""

OF_WINDOWS = {"time": TIME, "window_start": TIME, "window_end": TIME}
"""Columns of the rows of a stream beside those that its SQL gives."""

JOINED_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "devices": {
        "device": TEXT,
        "name": TEXT,
        "labels": TEXT,
        "profile": TEXT,
        "first_seen": TIME,
        "retired_at": TIME,
        "muted_at": TIME,
    },
    "series": {"device": TEXT, "metric": TEXT, "unit": TEXT, "kind": TEXT},
}
"""Columns of what may be joined in every stream: what the engine knows itself, at every place in the journal."""

BUILT_IN_TABLES = (*VIEWS, "readings", "window")
"""Names that no stream, and no table that functions write into, may take."""

_RESERVED = {"window_start", "window_end", "id", "stream", "kind", "revision", "complete", "journal_offset"}
"""Columns that stand beside those of the SQL where its rows are kept and published."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A stream that may run: its settings and SQL, the columns that it reads and those that it gives, with kinds.

    `joins` are the tables that the SQL reads beside the window, with the kinds of their columns; `references` those of
    them that are a person's own.
    """

    settings: StreamSettings
    query: StreamQuery
    reads: Mapping[str, str]
    gives: Mapping[str, str]
    joins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    references: Mapping[str, ReferenceTable] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name


@dataclass(frozen=True, slots=True)
class StreamMistake:
    """What is wrong with one declaration: its number in the list, the key, and a sentence."""

    number: int
    key: str
    sentence: str


def define(
    streams: Sequence[StreamSettings], tables: Tables = MappingProxyType({})
) -> tuple[list[Definition], list[StreamMistake]]:
    """The streams in an order in which each comes after those that it reads, and all that is wrong with them."""
    mistakes = _names_and_sources(streams)
    made: dict[str, Definition] = {}
    if not streams:
        return [], mistakes
    with open_connection() as connection:
        parsed: dict[int, StreamQuery] = {}
        for number, stream in enumerate(streams):
            try:
                parsed[number] = parse_stream_sql(connection, stream.sql, _readable(stream, streams))
            except QueryError as error:
                mistakes.append(StreamMistake(number, "sql", str(error)))
        reads = _what_each_reads(streams, parsed)
        mistakes += _circles(streams, reads)
        for number in _in_order(streams, reads):
            stream = streams[number]
            unknown_source = stream.from_ not in SOURCES and stream.from_ not in made
            # Where what it reads is wrong itself, its columns are not known.
            if number not in parsed or unknown_source or not all(name in made for name in reads[stream.name]):
                continue
            try:
                made[stream.name] = _defined(connection, stream, parsed[number], made, tables.get(stream.name, {}))
            except QueryError as error:
                mistakes.append(StreamMistake(number, "sql", str(error)))
            except _PlaceError as error:
                mistakes.append(StreamMistake(number, error.key, str(error)))
    return list(made.values()), sorted(mistakes, key=lambda mistake: mistake.number)


def _readable(stream: StreamSettings, streams: Sequence[StreamSettings]) -> list[str]:
    """What the SQL of a stream may read beside the window."""
    return [*JOINED_COLUMNS, *stream.tables, *(each.name for each in streams if each.name != stream.name)]


def _what_each_reads(streams: Sequence[StreamSettings], parsed: Mapping[int, StreamQuery]) -> dict[str, list[str]]:
    """The other streams that each stream reads: the one that it comes from first, then those that its SQL joins."""
    names = {stream.name for stream in streams}
    reads = {}
    for number, stream in enumerate(streams):
        joined = parsed[number].tables - set(stream.tables) if number in parsed else frozenset()
        reads[stream.name] = [name for name in (stream.from_, *sorted(joined - {stream.from_})) if name in names]
    return reads


class _PlaceError(Exception):
    """Another key than `sql` is wrong: it names a column that is not there, say."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key


def table_columns(
    streams: Sequence[StreamSettings], tables: Tables = MappingProxyType({})
) -> list[tuple[str, dict[str, str]]]:
    """The name of each stream's table and the types of its columns, as far as they are known before the first row."""
    definitions, _ = define(streams, tables)
    return [
        (each.name, {name: SQL_TYPES[kind] or '"NULL"' for name, kind in each.gives.items()}) for each in definitions
    ]


def _names_and_sources(streams: Sequence[StreamSettings]) -> list[StreamMistake]:
    mistakes = []
    first: dict[str, int] = {}
    topics: dict[str, int] = {}
    known = [*SOURCES, *(stream.name for stream in streams)]
    for number, stream in enumerate(streams):
        if first.setdefault(stream.name, number) != number:
            sentence = f'"{stream.name}" is taken by streams[{first[stream.name]}]; give each its own name'
            mistakes.append(StreamMistake(number, "name", sentence))
        if stream.name in BUILT_IN_TABLES:
            mistakes.append(StreamMistake(number, "name", f'"{stream.name}" is a table already; choose another name'))
        if stream.topic and topics.setdefault(stream.topic, number) != number:
            sentence = f'"{stream.topic}" is published to by streams[{topics[stream.topic]}]; give each its own topic'
            mistakes.append(StreamMistake(number, "to", sentence))
        if stream.from_ not in known:
            mistakes.append(StreamMistake(number, "from", unknown(stream.from_, known)))
        mistakes += [
            StreamMistake(number, f"tables.{name}", f'"{name}" is a table already; choose another name')
            for name in stream.tables
            if name in (*BUILT_IN_TABLES, *known)
        ]
    return mistakes


def _circles(streams: Sequence[StreamSettings], reads: Mapping[str, Sequence[str]]) -> list[StreamMistake]:
    """What each stream that reads itself by way of others says of that."""
    mistakes = []
    sources = {stream.name: stream.from_ for stream in streams}
    for number, stream in enumerate(streams):
        if way := _way_back(stream.name, reads):
            of_sources = all(sources[one] == other for one, other in pairwise(way))
            key, word = ("from", "comes from") if of_sources else ("sql", "reads")
            mistakes.append(StreamMistake(number, key, f"a circle: {f' {word} '.join(way)}"))
    return mistakes


def _way_back(name: str, reads: Mapping[str, Sequence[str]]) -> list[str]:
    """The streams from one back to itself; empty where it does not read itself."""
    waiting, seen = [[name]], set[str]()
    while waiting:
        way = waiting.pop(0)
        for following in reads[way[-1]]:
            if following == name:
                return [*way, following]
            if following not in seen:
                seen.add(following)
                waiting.append([*way, following])
    return []


def _in_order(streams: Sequence[StreamSettings], reads: Mapping[str, Sequence[str]]) -> Iterable[int]:
    """Numbers of the streams, each after those that it reads; those of a circle last."""
    left = {stream.name: number for number, stream in enumerate(streams)}
    while left:
        free = [name for name in left if not any(other in left for other in reads[name])]
        for name in free or list(left):
            yield left.pop(name)


def _defined(
    connection: duckdb.DuckDBPyConnection,
    stream: StreamSettings,
    query: StreamQuery,
    made: Mapping[str, Definition],
    tables: Mapping[str, ReferenceTable],
) -> Definition:
    """The stream made whole; `made` are those that it reads. Raises QueryError, and _PlaceError for other keys."""
    joins = {name: _joined_columns(name, stream, made, tables) for name in sorted(query.tables)}
    known = dict(SOURCE_COLUMNS.get(stream.from_) or {**OF_WINDOWS, **made[stream.from_].gives})
    lower = {name.lower() for name in known}
    if stream.from_ == "readings":
        if query.all_columns:
            raise QueryError("readings have the fields that devices send, which * cannot know: name the columns")
        others = [name for columns in joins.values() for name in columns]
        fields = sorted({*query.window_columns(others), *stream.by})
        known |= {name: FIELD for name in fields if name.lower() not in lower}
    for name in stream.by:
        if name not in known:
            raise _PlaceError("by", unknown(name, known, "column"))
        if known[name] not in (TEXT, FIELD):
            raise _PlaceError("by", f'"{name}" is no text: expected a column that names things, such as device')
    types = {
        table: {name: SQL_TYPES[kind] for name, kind in columns.items()}
        for table, columns in {WINDOW: known, **joins}.items()
    }
    columns = described(connection, query, types)
    if taken := [name for name, _ in columns if name.lower() in _RESERVED - set(known)]:
        raise QueryError(f'the column "{taken[0]}" has a name that stands beside the rows already: use AS')
    wanted = {name.lower() for name in (*query.columns, *stream.by)}
    reads = {name: kind for name, kind in known.items() if query.all_columns or name.lower() in wanted}
    gives = {name: known[name] for name in stream.by}
    gives |= {name: kind_of_type(kind) for name, kind in columns if name not in OF_WINDOWS}
    if stream.alarm is not None:
        query = _with_alarm(connection, stream.alarm, query, types, gives)
    return Definition(
        stream, query, reads, gives, joins, {name: table for name, table in tables.items() if name in joins}
    )


def _joined_columns(
    name: str, stream: StreamSettings, made: Mapping[str, Definition], tables: Mapping[str, ReferenceTable]
) -> Mapping[str, str]:
    """The columns of a table beside the window, with their kinds."""
    if name in stream.tables:
        if name not in tables:
            raise _PlaceError(f"tables.{name}", f'"{stream.tables[name]}" was not read')
        return tables[name].kinds
    if name in made:
        beside = {key: kind for key, kind in OF_WINDOWS.items() if key != "time"}
        return beside | {key: kind for key, kind in made[name].gives.items() if key not in OF_WINDOWS}
    return JOINED_COLUMNS[name]


def _with_alarm(
    connection: duckdb.DuckDBPyConnection,
    alarm: StreamAlarmSettings,
    query: StreamQuery,
    types: Mapping[str, Mapping[str, str | None]],
    gives: Mapping[str, str],
) -> StreamQuery:
    """The query with the condition of its alarm. Raises _PlaceError where the alarm does not fit what the SQL gives."""
    places = [*gives, *WINDOW_PLACES, STREAM_NAME]
    for key, template in (("device", alarm.device), ("sentence", alarm.sentence)):
        for name in PLACE.findall(template):
            if name not in places:
                raise _PlaceError(f"alarm.{key}", unknown(name, places, "column"))
    if alarm.value and gives.get(alarm.value) not in (NUMBER, INTEGER, FIELD):
        numbers = [name for name, kind in gives.items() if kind in (NUMBER, INTEGER, FIELD)]
        raise _PlaceError("alarm.value", unknown(alarm.value, numbers, "column of numbers"))
    try:
        query = with_condition(connection, query, alarm.when)
        kind = described(connection, query, types, gives)[-1][1]
    except QueryError as error:
        raise _PlaceError("alarm.when", str(error)) from None
    if kind != "BOOLEAN":
        raise _PlaceError("alarm.when", f"expected a condition, which is true or false, got {kind}")
    return query
