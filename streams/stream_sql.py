"""Streams: the SQL of a stream, checked before anything runs: one SELECT over `window`, the same at every replay.

Beside `window` it may read the tables that are named to it, each of which is known as of a place in the journal.

Which functions depend on the clock, on chance or on the connection is what DuckDB itself says of them
(https://duckdb.org/docs/stable/sql/meta/duckdb_table_functions#duckdb_functions, column `stability`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import duckdb

from common.suggestions import unknown
from storage.embedded.sql_guard import VIEWS, QueryError, check_query, query_nodes

WINDOW = "window"
_STORED = {*VIEWS, "readings"}
_NOT_JOINED = (
    '"{}" may not be joined: the database is written behind the engine, and its points are moved into the archive and '
    "removed by the clock, so that a replay would find other rows; expected one of {}, or a file of what is needed, "
    "such as `driftline query` writes, under tables"
)
CONDITION = "#condition"
"""The column that says whether a row meets the condition of its stream."""

_OPERATORS_AND_RANGES = {"+", "-", "range", "generate_series"}
_BY_CHANCE = {"reservoir_quantile"}
_CLOCK_WORDS = {
    "current_timestamp",
    "current_date",
    "current_time",
    "localtime",
    "localtimestamp",
    "current_localtime",
    "current_localtimestamp",
}
"""SQL's own words for the clock, which are written as a column is."""


@dataclass(frozen=True, slots=True)
class StreamQuery:
    """SQL that may run, with `window` in quotes; the columns that it names, and whether it sorts its rows itself.

    `names` are the names of columns, each behind the table that stands before it, "" where none does; `using` those
    that two tables share by USING. `all_columns`: a `*` stands for the columns of the window too. `tables` are those
    that it reads beside the window.
    """

    sql: str
    names: frozenset[tuple[str, str]]
    using: frozenset[str]
    all_columns: bool
    sorts: bool
    tables: frozenset[str] = frozenset()

    @property
    def columns(self) -> set[str]:
        """All names of columns."""
        return {name for _, name in self.names} | self.using

    def window_columns(self, others: Iterable[str]) -> set[str]:
        """The names that may be the window's, where `others` are the columns of the tables beside it."""
        elsewhere = {name.lower() for name in others}
        found = {name for table, name in self.names if table == WINDOW or not (table or name.lower() in elsewhere)}
        return found | self.using


def open_connection() -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that reaches no file and no network, with one thread and the time zone UTC."""
    connection = duckdb.connect(
        config={
            "threads": 1,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'; SET enable_external_access = false; SET lock_configuration = true")
    return connection


def parse_stream_sql(connection: duckdb.DuckDBPyConnection, sql: str, tables: Iterable[str] = ()) -> StreamQuery:
    """The SQL of a stream, if it may run, over the window and these tables.

    Raises QueryError with what is not allowed and what is expected.
    """
    text = quoted_window(sql)
    readable = (WINDOW, *tables)
    nodes = query_nodes(connection, text, readable)
    _refuse_stored(nodes, readable)
    views = check_query(connection, text, readable).views
    if WINDOW not in views:
        raise QueryError("the SQL reads no rows: expected FROM window")
    aliases = _aliases(nodes)
    columns: set[tuple[str, str]] = set()
    using: set[str] = set()
    for node in nodes:
        if node.get("class") == "FUNCTION":
            _check_function(node)
        if node.get("sample") is not None:
            raise QueryError("a sample is drawn by chance: expected SQL that gives the same rows at every replay")
        if node.get("class") == "COLUMN_REF":
            names = [str(name) for name in node["column_names"]]
            if len(names) == 1 and names[0].lower() in _CLOCK_WORDS:
                raise QueryError(_not_repeatable(names[0]))
            table = aliases.get(names[0].lower()) if len(names) > 1 else None
            columns.update([("", name) for name in names] if table is None else [(table, names[1])])
        using.update(str(name) for name in node.get("using_columns") or ())
    stars = [str(node.get("relation_name", "")).lower() for node in nodes if node.get("class") == "STAR"]
    all_columns = any(aliases.get(name, WINDOW) == WINDOW for name in stars)
    top = nodes[0].get("node", nodes[0])
    sorts = any(each.get("type") == "ORDER_MODIFIER" for each in top.get("modifiers", ()))
    return StreamQuery(
        text,
        frozenset(columns),
        frozenset(using),
        all_columns,
        sorts,
        views - {WINDOW},
    )


def _aliases(nodes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The table that each name before a column stands for, in small letters."""
    tables = [node for node in nodes if node.get("type") == "BASE_TABLE"]
    return {str(node.get("alias") or node["table_name"]).lower(): str(node["table_name"]).lower() for node in tables}


def _refuse_stored(nodes: Iterable[Mapping[str, Any]], readable: Sequence[str]) -> None:
    """Raise QueryError for what is stored: how much of it there is depends on the moment, and not on the journal."""
    for node in nodes:
        name = str(node.get("table_name", "")).lower()
        if node.get("type") == "BASE_TABLE" and name in _STORED and name not in readable:
            raise QueryError(_NOT_JOINED.format(name, ", ".join(readable)))


def with_condition(connection: duckdb.DuckDBPyConnection, query: StreamQuery, when: str) -> StreamQuery:
    """The query with one more column, the last: whether each row meets a condition over its columns.

    Raises QueryError where the condition may not stand there.
    """
    given = query.sql.rstrip().rstrip(";")
    text = f'SELECT given.*, (\n{when}\n) AS "{CONDITION}" FROM (\n{given}\n) AS given'
    try:
        parse_stream_sql(connection, text, query.tables)
    except QueryError as error:
        raise QueryError(f"expected a condition over the columns that the SQL gives: {error}") from None
    return replace(query, sql=text)


def described(
    connection: duckdb.DuckDBPyConnection,
    query: StreamQuery,
    tables: Mapping[str, Mapping[str, str | None]],
    known: Iterable[str] = (),
) -> list[tuple[str, str]]:
    """Names and types of what the SQL gives over `tables` of these columns (None: of a type that is not known).

    Raises QueryError where it does not fit them; `known` are columns that could be meant, by default these.
    """
    try:
        for table, columns in tables.items():
            empty = {name: "NULL" if kind is None else f"NULL::{kind}" for name, kind in columns.items()}
            kinds = ", ".join(f"{value} AS {quoted(name)}" for name, value in empty.items())
            connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(table)} AS SELECT {kinds} WHERE false")
        connection.execute(query.sql)
    except duckdb.BinderException as error:
        meant = list(known) or [name for columns in tables.values() for name in columns]
        raise QueryError(_with_suggestion(error, meant)) from None
    except duckdb.Error as error:
        raise QueryError(_one_line(error)) from None
    described = [(str(each[0]), str(each[1])) for each in connection.description or ()]
    names = [name for name, _ in described]
    if len({name.lower() for name in names}) < len(names):
        raise QueryError(f"two columns have one name, of {', '.join(names)}: expected names that differ; use AS")
    return described


def quoted(name: str) -> str:
    """An SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def quoted_window(sql: str) -> str:
    """The SQL with the table `window` in quotes, since the word is SQL's own where it defines windows of rows."""
    tokens = duckdb.tokenize(sql)
    ends = [start for start, _ in tokens[1:]] + [len(sql)]
    words = [sql[start:end].strip().lower() for (start, _), end in zip(tokens, ends, strict=True)]
    words = [word.split()[0] if word else "" for word in words]
    places = []
    for number, (start, kind) in enumerate(tokens):
        if kind != duckdb.token_type.keyword or sql[start : start + len(WINDOW)].lower() != WINDOW:
            continue
        before = words[number - 1] if number else ""
        after = sql[start + len(WINDOW) :].lstrip()[:1]
        if before in ("from", "join", ",") or after == ".":
            places.append(start)
    for start in reversed(places):
        sql = f'{sql[:start]}"{WINDOW}"{sql[start + len(WINDOW) :]}'
    return sql


def _check_function(node: Mapping[str, Any]) -> None:
    name = str(node.get("function_name", "")).lower()
    if name in _varying() or (name == "age" and len(node.get("arguments", ())) == 1):
        raise QueryError(_not_repeatable(name))


def _not_repeatable(name: str) -> str:
    return (
        f'"{name}" may not be used: it depends on the clock, on chance or on the connection; expected SQL that gives '
        "the same rows at every replay (the rows have time)"
    )


@cache
def _varying() -> frozenset[str]:
    """Functions no form of which gives the same for the same arguments."""
    with open_connection() as connection:
        rows = connection.execute(
            "SELECT function_name FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate') "
            "GROUP BY ALL HAVING count(*) FILTER (WHERE stability = 'CONSISTENT') = 0"
        ).fetchall()
    return frozenset({str(row[0]) for row in rows} - _OPERATORS_AND_RANGES | _BY_CHANCE)


def _with_suggestion(error: duckdb.Error, columns: Sequence[str]) -> str:
    text = _one_line(error)
    marker = 'Referenced column "'
    if marker in text:
        name = text.split(marker, 1)[1].split('"', 1)[0]
        return unknown(name, columns, "column")
    return text


def _one_line(error: duckdb.Error) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "DuckDB gave no reason")
