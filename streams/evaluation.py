"""Streams: the SQL of one window, run over its rows."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import duckdb
import numpy as np
import orjson
from numpy.typing import NDArray

from devices.batch import NO_TIME
from storage.embedded.query_watch import QueryWatch
from streams.columns import Column, Rows
from streams.definitions import Definition
from streams.kinds import FIELD, INTEGER, NUMBER, TEXT, TIME, TRUTH
from streams.stream_sql import WINDOW, open_connection, quoted

_LONGEST_RUN = 2_000_000_000
"""Nanoseconds after which the SQL of one window is given up: everything else waits for it."""

_MEMORY = 1 << 30


@dataclass(frozen=True, slots=True)
class Answer:
    """Columns (name and DuckDB type), rows of values as JSON holds them, and which of them meet the condition."""

    columns: tuple[tuple[str, str], ...]
    rows: list[tuple[Any, ...]]
    holds: list[bool]


class WindowError(Exception):
    """The SQL failed over the rows of a window; the message says why, in one line."""


class WindowQueries:
    """Runs the SQL of streams in a database in memory that holds the rows of the window, and of what it joins."""

    def __init__(self) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = None

    def run(self, definition: Definition, rows: Rows, tables: Mapping[str, Rows] = MappingProxyType({})) -> Answer:
        """What the SQL gives over the rows, and over the tables that it joins, by name. Raises WindowError."""
        if self._connection is None:
            self._connection = open_connection()
        connection = self._connection
        most = definition.settings.max_result_rows
        watch = QueryWatch(connection, timeout=_LONGEST_RUN, memory_bytes=_MEMORY)
        try:
            _put(connection, WINDOW, definition.reads, rows)
            for name, table in tables.items():
                _put(connection, name, definition.joins[name], table)
            with watch.watching():
                connection.execute(definition.query.sql)
                columns = tuple((str(each[0]), str(each[1])) for each in connection.description or ())
                found = connection.fetchmany(most + 1)
        except duckdb.InterruptException:
            raise WindowError(watch.why or "stopped") from None
        except duckdb.Error as error:
            raise WindowError(next(iter(str(error).splitlines()), "DuckDB gave no reason")) from None
        if len(found) > most:
            raise WindowError(f"more than max_result_rows = {most:,} rows: expected SQL that sums up")
        has_condition = definition.settings.alarm is not None
        width = len(columns) - has_condition
        made = [tuple(json_value(value) for value in row[:width]) for row in found]
        holds = [has_condition and bool(row[width]) for row in found]
        # What the store and the broker are given is JSON: what cannot be is found here, in the window that gave it.
        keyed = [(orjson.dumps(row), row, met) for row, met in zip(made, holds, strict=True)]
        if not definition.query.sorts:
            keyed.sort(key=lambda each: each[0])
        return Answer(columns[:width], [row for _, row, _ in keyed], [met for _, _, met in keyed])


def _put(connection: duckdb.DuckDBPyConnection, name: str, kinds: Mapping[str, str], rows: Rows) -> None:
    """Let SQL read the rows under a name."""
    given, selected = _registered(kinds, rows)
    source = quoted(f"#{name}")
    connection.register(f"#{name}", given)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT {', '.join(selected)} FROM {source}")


def _registered(kinds: Mapping[str, str], rows: Rows) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The rows as DuckDB takes them, and the expression of each column."""
    given: dict[str, NDArray[Any]] = {"#": np.zeros(len(rows), np.bool_)}
    selected = []
    for number, (name, kind) in enumerate(kinds.items()):
        column, place = rows.columns[name], f"c{number}"
        settled, column = _settled(column) if kind == FIELD else (kind, column)
        if settled is None:
            selected.append(f"NULL AS {quoted(name)}")
            continue
        given[place] = column
        expression = _WHOLE_AS_TEXT if settled == INTEGER and column.dtype == object else _EXPRESSIONS[settled]
        selected.append(f"{expression.format(place)} AS {quoted(name)}")
    return given, selected or ['"#"']


_EXPRESSIONS = {
    TEXT: "{}::VARCHAR",
    NUMBER: "nullif({}, 'nan'::DOUBLE)",
    INTEGER: "nullif({}, 'nan'::DOUBLE)::BIGINT",
    TRUTH: "{}::BOOLEAN",
    TIME: f"make_timestamp_ns(nullif({{}}, {NO_TIME}))",
}

_WHOLE_AS_TEXT = "{}::VARCHAR::BIGINT"


def _settled(column: Column) -> tuple[str | None, Column]:
    """The kind of a field in this window: text where any of it is, numbers, or None where it has no value."""
    if column.dtype != object:
        return (None if np.isnan(column).all() else NUMBER), column
    said = [value for value in column if value is not None]
    if not said:
        return None, column
    if any(isinstance(value, str) for value in said):
        if all(isinstance(value, str) for value in said):
            return TEXT, column
        made = np.full(len(column), None, object)
        made[:] = [value if value is None or isinstance(value, str) else f"{value:.15g}" for value in column]
        return TEXT, made
    return NUMBER, np.array([math.nan if value is None else value for value in column], np.float64)


def json_value(value: Any) -> Any:
    """A value of DuckDB's as JSON holds it, and as a query's answer shows it.

    Null: numbers that are not finite, and times without end. Text: whole numbers beyond 64 bits, intervals, and bytes
    in base64.
    """
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return _json_time(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, list | tuple):
        return [json_value(each) for each in value]
    if isinstance(value, dict):
        return {str(key): json_value(each) for key, each in value.items()}
    return str(value)


def _json_time(value: date) -> str | None:
    """A date or a time in UTC; None for one without end, which DuckDB gives as Python's first or last."""
    if not isinstance(value, datetime):
        return None if value in (date.min, date.max) else value.isoformat()
    moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return None if moment in (datetime.min, datetime.max) else f"{moment.isoformat()}Z"
