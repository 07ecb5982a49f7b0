"""Store: what streams gave, and how far each has come, in the tables of the embedded database.

The rows of all streams lie in one table, each as JSON; a view for each stream, under its name, gives its columns their
types. The view is made anew where a column is new or has another type than before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

import duckdb
import numpy as np
import orjson

from storage.store import StepOutput, StreamResult

STREAM_TABLES = """
CREATE TABLE IF NOT EXISTS stored.stream(
    name VARCHAR PRIMARY KEY,
    columns VARCHAR NOT NULL,
    counts VARCHAR NOT NULL,
    watermark TIMESTAMP_NS,
    problem VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS stored.stream_row(
    stream VARCHAR NOT NULL,
    id VARCHAR NOT NULL,
    window_start TIMESTAMP_NS NOT NULL,
    window_end TIMESTAMP_NS NOT NULL,
    key VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    revision INTEGER NOT NULL,
    complete BOOLEAN NOT NULL,
    journal_offset BIGINT NOT NULL,
    content VARCHAR NOT NULL
);
CREATE SEQUENCE IF NOT EXISTS stored.stream_message_number;
CREATE TABLE IF NOT EXISTS stored.stream_message(
    number BIGINT NOT NULL,
    topic VARCHAR NOT NULL,
    payload VARCHAR NOT NULL
);
"""
"""Streams by name, their rows, and the rows that wait to be published. They may be added to any database."""

PUBLISHED, REFUSED, UNPUBLISHED = "published", "refused", "unpublished"
"""Counts of a stream's rows that the broker took, that it refused, and that were left out since too many waited."""

WRITTEN = "written"
"""The count of a table that functions write into; no stream has it."""

MOST_WAITING = 100_000
"""Rows that wait to be published; beyond that the oldest are left out, and stay in the table alone."""

_WHOLE, _WIDEST, _REAL, _ANY, _UNKNOWN = "BIGINT", "HUGEINT", "DOUBLE", "VARCHAR", '"NULL"'
_INSERT_ROWS = """
INSERT INTO stored.stream_row
SELECT unnest($1), unnest($2), make_timestamp_ns(unnest($3)), make_timestamp_ns(unnest($4)), unnest($5), unnest($6),
    unnest($7), unnest($8), unnest($9), unnest($10)
"""
_DELETE_BEFORE = """
DELETE FROM stored.stream_row WHERE stream = ? AND key = ?
    AND window_start = make_timestamp_ns(?) AND window_end = make_timestamp_ns(?)
"""
_PUT_STREAM = "INSERT OR REPLACE INTO stored.stream VALUES (?, ?, ?, make_timestamp_ns(?), ?)"


@dataclass(frozen=True, slots=True)
class StoredStream:
    """How far a stream has come: its columns with their types, its counts, its watermark (ns), what failed last."""

    name: str
    columns: dict[str, str]
    counts: dict[str, int]
    watermark: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A row of a stream that waits to be published; `number` tells the order."""

    number: int
    topic: str
    payload: bytes
    stream: str


def stored_streams(connection: duckdb.DuckDBPyConnection) -> dict[str, StoredStream]:
    """All streams that the database knows, by name; none in a database that is older than streams."""
    try:
        rows = connection.execute(
            "SELECT name, columns, counts, epoch_ns(watermark), problem FROM stored.stream ORDER BY name"
        ).fetchall()
    except duckdb.CatalogException:
        return {}
    return {
        name: StoredStream(name, orjson.loads(columns), orjson.loads(counts), watermark, problem)
        for name, columns, counts, watermark, problem in rows
    }


def declare_streams(connection: duckdb.DuckDBPyConnection, columns: Iterable[tuple[str, dict[str, str]]]) -> None:
    """Make the streams of a configuration known, so that their tables are there before the first row."""
    known = stored_streams(connection)
    for name, types in columns:
        before = known.get(name) or StoredStream(name, {}, {}, None, "")
        _put(connection, before, _merged_types(before.columns, types.items()), known.get(name))


def write_streams(connection: duckdb.DuckDBPyConnection, output: StepOutput) -> None:
    """Write what streams gave; a result takes the place of the one before it of the same window and key."""
    if not output.stream_progress and not output.stream_results:
        return
    known = stored_streams(connection)
    _write_progress(connection, output, known)
    _write_rows(connection, [result for result in output.stream_results if result.in_table])
    messages = [
        (result.topic, orjson.dumps(row_content(result, number)).decode())
        for result in output.stream_results
        if result.topic
        for number in range(len(result.rows))
    ]
    if messages:
        connection.execute(
            "INSERT INTO stored.stream_message SELECT nextval('stored.stream_message_number'), unnest($1), unnest($2)",
            [list(column) for column in zip(*messages, strict=True)],
        )


def _write_progress(connection: duckdb.DuckDBPyConnection, output: StepOutput, known: dict[str, StoredStream]) -> None:
    now = dict(known)
    for progress in output.stream_progress:
        before = now.get(progress.stream) or StoredStream(progress.stream, {}, {}, None, "")
        counts = dict(before.counts)
        for name, count in progress.counts.items():
            counts[name] = counts.get(name, 0) + count
        now[progress.stream] = StoredStream(
            progress.stream, before.columns, counts, progress.watermark, progress.problem
        )
    types = {name: stream.columns for name, stream in now.items()}
    for result in output.stream_results:
        types[result.stream] = _merged_types(types.get(result.stream, {}), result.columns)
    for name, stream in now.items():
        if stream is not known.get(name) or types[name] != stream.columns:
            _put(connection, stream, types[name], known.get(name))


def _put(
    connection: duckdb.DuckDBPyConnection, stream: StoredStream, types: dict[str, str], known: StoredStream | None
) -> None:
    columns, counts = (orjson.dumps(each).decode() for each in (types, stream.counts))
    connection.execute(_PUT_STREAM, [stream.name, columns, counts, stream.watermark, stream.problem])
    if known is None or types != known.columns:
        view = _view_of_written if WRITTEN in stream.counts else _view
        connection.execute(view(stream.name, types))


def _merged_types(known: dict[str, str], found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Types of columns that hold the values of both: of numbers the wider one, of others text."""
    merged = dict(known)
    for name, sql_type in found:
        mine = _column_type(sql_type)
        before = merged.get(name, _UNKNOWN)
        if before in (_UNKNOWN, mine):
            merged[name] = mine
        elif mine != _UNKNOWN:
            merged[name] = _wider(before, mine)
    return merged


def _wider(one: str, other: str) -> str:
    both = {one, other}
    if both == {_WHOLE, _WIDEST}:
        return _WIDEST
    return _REAL if both <= {_WHOLE, _WIDEST, _REAL} else _ANY


def _column_type(sql_type: str) -> str:
    """The type of a view's column, by the type that DuckDB gave the value."""
    if sql_type in (_UNKNOWN, "BOOLEAN", "DATE", _WIDEST):
        return sql_type
    if sql_type == "UBIGINT":
        return _WIDEST
    if sql_type.startswith("TIMESTAMP") and "[" not in sql_type:
        return "TIMESTAMP_NS"
    if sql_type in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"):
        return _WHOLE
    if sql_type in ("FLOAT", "DOUBLE") or (sql_type.startswith("DECIMAL") and "[" not in sql_type):
        return _REAL
    return _ANY


def _view(name: str, types: dict[str, str]) -> str:
    beside = ["window_start", "window_end"]
    values = [_selected(column, sql_type) for column, sql_type in types.items() if column not in beside]
    return _made_view(name, [*beside, *values, "kind", "revision", "complete", "journal_offset", "id"])


def _view_of_written(name: str, types: dict[str, str]) -> str:
    taken = {"written_at", "row_id"}
    values = []
    for column, sql_type in types.items():
        if column.lower() not in taken:
            taken.add(column.lower())
            values.append(_selected(column, sql_type))
    return _made_view(name, ["window_end AS written_at", *values, "id AS row_id"])


def _selected(column: str, sql_type: str) -> str:
    """A column of the rows' JSON, in a type."""
    pointer = "/" + column.replace("~", "~0").replace("/", "~1").replace("'", "''")
    wanted = _ANY if sql_type == _UNKNOWN else sql_type
    quoted = column.replace('"', '""')
    return f"TRY_CAST(content ->> '{pointer}' AS {wanted}) AS \"{quoted}\""


def _made_view(name: str, selected: Sequence[str]) -> str:
    rows = f"SELECT {', '.join(selected)} FROM stored.stream_row WHERE stream = '{name}'"
    return f'CREATE OR REPLACE VIEW "{name}" AS {rows}'


def _write_rows(connection: duckdb.DuckDBPyConnection, results: Sequence[StreamResult]) -> None:
    newest: dict[tuple[str, str, int, int], StreamResult] = {}
    for result in results:
        place = (result.stream, result.key, result.window_start, result.window_end)
        newest.pop(place, None)
        newest[place] = result
    for place, result in newest.items():
        if result.revision:
            connection.execute(_DELETE_BEFORE, list(place))
    rows = [
        (
            result.stream,
            row_id(result, number),
            result.window_start,
            result.window_end,
            result.key,
            result.kind,
            result.revision,
            result.complete,
            result.journal_offset,
            orjson.dumps(_content(result, number)).decode(),
        )
        for result in newest.values()
        for number in range(len(result.rows))
    ]
    if rows:
        connection.execute(_INSERT_ROWS, [list(column) for column in zip(*rows, strict=True)])


def write_row(
    connection: duckdb.DuckDBPyConnection, table: str, values: dict[str, Any], *, key: str, time: int
) -> None:
    """Write a row into a table that is no stream's; one that was written under the same key before is left.

    Raises ValueError where the table is a stream's.
    """
    ident = blake2b(orjson.dumps([table, key]), digest_size=12).hexdigest()
    found = connection.execute("SELECT 1 FROM stored.stream_row WHERE stream = ? AND id = ?", [table, ident]).fetchone()
    if found is not None:
        return
    known = stored_streams(connection).get(table)
    if known is not None and WRITTEN not in known.counts:
        raise ValueError(f'"{table}" is the table of a stream; choose another name')
    before = known or StoredStream(table, {}, {}, None, "")
    # SQL does not tell "A" from "a": the column stays as it was written first.
    spelled = {name.lower(): name for name in before.columns}
    values = {spelled.get(name.lower(), name): value for name, value in values.items()}
    counts = {WRITTEN: before.counts.get(WRITTEN, 0) + 1}
    types = _merged_types(before.columns, ((name, _type_of(value)) for name, value in values.items()))
    _put(connection, StoredStream(table, before.columns, counts, None, ""), types, known)
    row = [table, ident, time, time, "", "row", 0, True, -1, orjson.dumps(values).decode()]
    connection.execute(_INSERT_ROWS, [[value] for value in row])


def _type_of(value: Any) -> str:
    """The type of a JSON value in a table."""
    if value is None:
        return _UNKNOWN
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int | float):
        return _WHOLE if isinstance(value, int) else _REAL
    return _ANY


def row_id(result: StreamResult, number: int) -> str:
    """A name for one row of a result that no other row has, and that it has again at every replay."""
    place = (result.stream, result.window_start, result.window_end, result.key, result.revision, number)
    return blake2b(orjson.dumps(place), digest_size=12).hexdigest()


def _content(result: StreamResult, number: int) -> dict[str, Any]:
    return dict(zip((name for name, _ in result.columns), result.rows[number], strict=True))


def row_content(result: StreamResult, number: int) -> dict[str, Any]:
    """One row of a result as it is published, and given to functions."""
    start, end = (
        f"{np.datetime_as_string(np.datetime64(time, 'ns'), unit='ms')}Z"
        for time in (result.window_start, result.window_end)
    )
    about: dict[str, Any] = {"stream": result.stream, "window_start": start, "window_end": end}
    about |= _content(result, number)
    return {
        **about,
        "kind": result.kind,
        "revision": result.revision,
        "complete": result.complete,
        "journal_offset": result.journal_offset,
        "id": row_id(result, number),
    }


def waiting_messages(connection: duckdb.DuckDBPyConnection, after: int, limit: int) -> list[StreamMessage]:
    """Rows that wait to be published, in order, behind the one of number `after`."""
    rows = connection.execute(
        "SELECT number, topic, payload, payload ->> '$.stream' FROM stored.stream_message "
        "WHERE number > ? ORDER BY number LIMIT ?",
        [after, limit],
    ).fetchall()
    return [StreamMessage(number, topic, payload.encode(), stream) for number, topic, payload, stream in rows]


def forget_messages(
    connection: duckdb.DuckDBPyConnection, up_to: int, outcomes: Mapping[tuple[str, str], int] = MappingProxyType({})
) -> None:
    """Remove rows that have been published, and count what became of them: `outcomes` by stream and count."""
    connection.execute("DELETE FROM stored.stream_message WHERE number <= ?", [up_to])
    _add_counts(connection, outcomes)


def _add_counts(connection: duckdb.DuckDBPyConnection, added: Mapping[tuple[str, str], int]) -> None:
    known = stored_streams(connection) if added else {}
    for stream in {stream for stream, _ in added} & set(known):
        counts = dict(known[stream].counts)
        for (name, count), number in added.items():
            if name == stream:
                counts[count] = counts.get(count, 0) + number
        connection.execute(
            "UPDATE stored.stream SET counts = ? WHERE name = ?", [orjson.dumps(counts).decode(), stream]
        )


def _leave_out_oldest(connection: duckdb.DuckDBPyConnection, most: int) -> None:
    """Let no more rows wait to be published than `most`; those that go are counted."""
    [(last,)] = connection.execute("SELECT max(number) FROM stored.stream_message").fetchall()
    if last is None:
        return
    rows = connection.execute(
        "SELECT payload ->> '$.stream', count(*) FROM stored.stream_message WHERE number <= ? GROUP BY ALL",
        [last - most],
    ).fetchall()
    if rows:
        forget_messages(connection, last - most, {(stream, UNPUBLISHED): count for stream, count in rows})


def remove_old_rows(connection: duckdb.DuckDBPyConnection, keep: int) -> int:
    """Remove rows whose window ended more than `keep` ns before the newest of their stream; returns how many went.

    Of rows that wait to be published the newest `MOST_WAITING` stay; the others are counted.
    """
    _leave_out_oldest(connection, MOST_WAITING)
    [(removed,)] = connection.execute(
        """
        DELETE FROM stored.stream_row r USING (
            SELECT stream, epoch_ns(max(window_end)) AS newest FROM stored.stream_row GROUP BY stream
        ) n WHERE r.stream = n.stream AND epoch_ns(r.window_end) < n.newest - ?
        """,
        [keep],
    ).fetchall()
    return int(removed)
