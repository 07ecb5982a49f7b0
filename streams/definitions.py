"""Streams, their declarations made whole: the order in which they run, the columns they read and those they give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from common.suggestions import unknown
from storage.embedded.sql_guard import VIEWS, QueryError
from streams.stream_settings import (
    PLACE,
    SOURCES,
    STREAM_NAME,
    WINDOW_PLACES,
    StreamAlarmSettings,
    StreamSettings,
)
from streams.stream_sql import StreamQuery, described, open_connection, parse_stream_sql, with_condition

TEXT, NUMBER, INTEGER, TRUTH, TIME, FIELD = "text", "number", "integer", "truth", "time", "field"
"""Kinds of columns; a `field` is what devices send: numbers, text, or nothing yet."""

SQL_TYPES = {
    TEXT: "VARCHAR",
    NUMBER: "DOUBLE",
    INTEGER: "BIGINT",
    TRUTH: "BOOLEAN",
    TIME: "TIMESTAMP_NS",
    FIELD: None,
}

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

BUILT_IN_TABLES = (*VIEWS, "readings", "window")
"""Names that no stream, and no table that functions write into, may take."""

_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_INTEGER_TYPES = {*_SIGNED, *(f"U{name}" for name in _SIGNED)}

_RESERVED = {"window_start", "window_end", "id", "stream", "kind", "revision", "complete", "journal_offset"}
"""Columns that stand beside those of the SQL where its rows are kept and published."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A stream that may run: its settings and SQL, the columns that it reads and those that it gives, with kinds."""

    settings: StreamSettings
    query: StreamQuery
    reads: Mapping[str, str]
    gives: Mapping[str, str]

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


def define(streams: Sequence[StreamSettings]) -> tuple[list[Definition], list[StreamMistake]]:
    """The streams in an order in which each comes after the one that it comes from, and all that is wrong with them."""
    mistakes = _names_and_sources(streams)
    numbers = {stream.name: number for number, stream in enumerate(streams)}
    made: dict[str, Definition] = {}
    if not streams:
        return [], mistakes
    with open_connection() as connection:
        for number in _in_order(streams, numbers):
            stream = streams[number]
            given = made[stream.from_].gives if stream.from_ in made else None
            if stream.from_ in numbers and given is None:
                # What it comes from is wrong itself: its columns are not known.
                mistakes += _parse_only(connection, number, stream)
                continue
            if stream.from_ in numbers or stream.from_ in SOURCES:
                try:
                    made[stream.name] = _defined(connection, stream, given)
                except QueryError as error:
                    mistakes.append(StreamMistake(number, "sql", str(error)))
                except _PlaceError as error:
                    mistakes.append(StreamMistake(number, error.key, str(error)))
            else:
                mistakes += _parse_only(connection, number, stream)
    return list(made.values()), sorted(mistakes, key=lambda mistake: mistake.number)


class _PlaceError(Exception):
    """Another key than `sql` is wrong: it names a column that is not there, say."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key


def table_columns(streams: Sequence[StreamSettings]) -> list[tuple[str, dict[str, str]]]:
    """The name of each stream's table and the types of its columns, as far as they are known before the first row."""
    definitions, _ = define(streams)
    return [
        (each.name, {name: SQL_TYPES[kind] or '"NULL"' for name, kind in each.gives.items()}) for each in definitions
    ]


def _names_and_sources(streams: Sequence[StreamSettings]) -> list[StreamMistake]:
    mistakes = []
    first: dict[str, int] = {}
    topics: dict[str, int] = {}
    known = [*SOURCES, *(stream.name for stream in streams)]
    of = {stream.name: stream.from_ for stream in streams}
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
        elif circle := _circle(stream.name, of):
            mistakes.append(StreamMistake(number, "from", f"a circle: {' comes from '.join(circle)}"))
    return mistakes


def _circle(name: str, of: Mapping[str, str]) -> list[str]:
    """The streams from one back to itself; empty where it does not come from itself."""
    way = [name]
    while (following := of.get(way[-1])) is not None and following not in SOURCES:
        way.append(following)
        if following == name:
            return way
        if following in way[:-1]:
            return []
    return []


def _in_order(streams: Sequence[StreamSettings], numbers: Mapping[str, int]) -> Iterable[int]:
    """Numbers of the streams, each after the one that it comes from; those of a circle last."""
    left = dict.fromkeys(range(len(streams)))
    while left:
        free = [number for number in left if numbers.get(streams[number].from_) not in left]
        for number in free or list(left):
            del left[number]
            yield number


def _parse_only(connection: duckdb.DuckDBPyConnection, number: int, stream: StreamSettings) -> list[StreamMistake]:
    try:
        parse_stream_sql(connection, stream.sql)
    except QueryError as error:
        return [StreamMistake(number, "sql", str(error))]
    return []


def _defined(
    connection: duckdb.DuckDBPyConnection, stream: StreamSettings, given: Mapping[str, str] | None
) -> Definition:
    query = parse_stream_sql(connection, stream.sql)
    known = dict(SOURCE_COLUMNS[stream.from_]) if given is None else {**OF_WINDOWS, **given}
    lower = {name.lower() for name in known}
    if stream.from_ == "readings":
        if query.all_columns:
            raise QueryError("readings have the fields that devices send, which * cannot know: name the columns")
        fields = sorted({*query.columns, *stream.by} - {"window"})
        known |= {name: FIELD for name in fields if name.lower() not in lower}
    for name in stream.by:
        if name not in known:
            raise _PlaceError("by", unknown(name, known, "column"))
        if known[name] not in (TEXT, FIELD):
            raise _PlaceError("by", f'"{name}" is no text: expected a column that names things, such as device')
    columns = described(connection, query, {name: SQL_TYPES[kind] for name, kind in known.items()})
    if taken := [name for name, _ in columns if name.lower() in _RESERVED - set(known)]:
        raise QueryError(f'the column "{taken[0]}" has a name that stands beside the rows already: use AS')
    wanted = {name.lower() for name in (*query.columns, *stream.by)}
    reads = {name: kind for name, kind in known.items() if query.all_columns or name.lower() in wanted}
    gives = {name: known[name] for name in stream.by}
    gives |= {name: kind_of_type(kind) for name, kind in columns if name not in OF_WINDOWS}
    if stream.alarm is not None:
        query = _with_alarm(
            connection, stream.alarm, query, {name: SQL_TYPES[kind] for name, kind in known.items()}, gives
        )
    return Definition(stream, query, reads, gives)


def _with_alarm(
    connection: duckdb.DuckDBPyConnection,
    alarm: StreamAlarmSettings,
    query: StreamQuery,
    columns: Mapping[str, str | None],
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
        kind = described(connection, query, columns, gives)[-1][1]
    except QueryError as error:
        raise _PlaceError("alarm.when", str(error)) from None
    if kind != "BOOLEAN":
        raise _PlaceError("alarm.when", f"expected a condition, which is true or false, got {kind}")
    return query


def kind_of_type(sql_type: str) -> str:
    """The kind of a column that DuckDB gives, by the type that it names."""
    if sql_type == '"NULL"':
        return FIELD
    if sql_type.startswith(("TIMESTAMP", "DATE")) and "[" not in sql_type:
        return TIME
    if sql_type in _INTEGER_TYPES:
        return INTEGER
    if sql_type in ("FLOAT", "DOUBLE") or (sql_type.startswith("DECIMAL") and "[" not in sql_type):
        return NUMBER
    return TRUTH if sql_type == "BOOLEAN" else TEXT
