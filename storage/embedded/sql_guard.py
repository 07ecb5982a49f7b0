"""Store: which SQL of a person's runs: one SELECT over the views, as DuckDB's own parser reads it.

The text is never searched for words. DuckDB parses it to a tree (https://duckdb.org/docs/stable/data/json/sql_to_and_from_json),
and every node of the tree must be one that is known to only read. What the parser cannot give as a tree is no SELECT.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import orjson

VIEWS = ("points", "alarms", "actions", "devices", "series", "states", "excluded", "dead_letters", "counts")
"""What a query may read."""

_TABLE_FUNCTIONS = {"range", "generate_series", "unnest"}
_OTHER_TABLES = {"CTE", "COLUMN_DATA", "DELIM_GET", "BOUND_TABLE_REF", "INVALID"}
_LIST_OF_VIEWS = '"tables"'

_UNWANTED = {
    # What tells of the machine, or keeps something.
    "getenv": "it reads the environment",
    "current_setting": "it reads the settings",
    "getvariable": "it reads settings of the connection",
    "write_log": "it writes",
    "nextval": "it writes",
    "currval": "it reads what others wrote",
    "query": "it runs SQL out of a text",
    "query_table": "it reads any table",
    "enable_logging": "it writes",
    "sleep_ms": "it holds up others",
} | dict.fromkeys(
    # What makes gigabytes out of a short text, within one step that cannot be stopped.
    (
        *("repeat", "repeat_row", "lpad", "rpad", "printf", "format", "bar", "list_resize", "array_resize"),
        *("list_reduce", "array_reduce", "reduce", "bitstring", "bitstring_agg", "to_base", "equi_width_bins"),
    ),
    "its result can be of any size",
)
_UNWANTED_AS_VALUES = dict.fromkeys(("range", "generate_series"), "its result can be of any size; use it after FROM")


class QueryError(Exception):
    """A user's SQL cannot be run; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """SQL that may run, and the views that it reads."""

    sql: str
    views: frozenset[str]


def check_query(connection: duckdb.DuckDBPyConnection, sql: str, tables: Sequence[str] = VIEWS) -> CheckedQuery:
    """The query, if it is one SELECT (or FROM, WITH, DESCRIBE, SHOW TABLES, SUMMARIZE) over the `tables`.

    Raises QueryError with what is not allowed and what is expected.
    """
    nodes = query_nodes(connection, sql, tables)
    named = {name for node in nodes for name in _common_tables(node)}
    views: set[str] = set()
    for node in nodes:
        _check_node(node, named, views, tables)
    return CheckedQuery(sql, frozenset(views))


def query_nodes(connection: duckdb.DuckDBPyConnection, sql: str, tables: Sequence[str] = VIEWS) -> list[dict[str, Any]]:
    """Every node of DuckDB's own tree of one SELECT, outer ones first. Raises QueryError where it is none."""
    [(text,)] = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise QueryError("nested too deeply: expected a simpler SELECT") from None
    if tree["error"]:
        if tree.get("error_type") == "parser":
            raise QueryError(f"Parser Error: {_first_line(tree['error_message'])}")
        raise QueryError(f"only a SELECT may run, over {', '.join(tables)}")
    if len(tree["statements"]) != 1:
        raise QueryError(f"{len(tree['statements'])} statements were given: expected one")
    return list(_nodes(tree["statements"][0]))


def _check_node(node: dict[str, Any], named: set[str], views: set[str], tables: Sequence[str]) -> None:
    kind = str(node.get("type"))
    if kind == "BASE_TABLE":
        views.update(_view(node, named, tables))
    elif kind == "TABLE_FUNCTION":
        function = node["function"].get("function_name", "")
        if function.lower() not in _TABLE_FUNCTIONS:
            raise QueryError(f'"{function}" may not be read from: expected one of {", ".join(tables)}')
        node["function"]["is_table"] = True
    elif kind == "SHOW_REF" and not node.get("query") and node.get("table_name") != _LIST_OF_VIEWS:
        raise QueryError("expected SHOW TABLES, DESCRIBE or SUMMARIZE of a view or a SELECT")
    elif kind == "RECURSIVE_CTE_NODE":
        raise QueryError("a recursive query may never end: expected one without RECURSIVE")
    elif kind in _OTHER_TABLES and "from_table" not in node and "class" not in node:
        raise QueryError(f"only a SELECT may run, over {', '.join(tables)}")
    elif node.get("class") == "FUNCTION":
        _check_function(node)


def _check_function(node: dict[str, Any]) -> None:
    name = str(node.get("function_name", "")).lower()
    why = _UNWANTED.get(name)
    if why is None and not node.get("is_table"):
        why = _UNWANTED_AS_VALUES.get(name)
    if why is not None:
        raise QueryError(f'the function "{name}" may not be used: {why}')


def _view(node: dict[str, Any], named: set[str], tables: Sequence[str]) -> list[str]:
    """The view that a table of the query is; none where the query itself names it."""
    schema, name = node.get("schema_name", ""), str(node.get("table_name", ""))
    qualified = ".".join(part for part in (node.get("catalog_name", ""), schema, name) if part)
    if not schema and name.lower() in named:
        return []
    if node.get("catalog_name") or schema not in ("", "main") or name.lower() not in tables:
        raise QueryError(f'"{qualified}" may not be read: expected one of {", ".join(tables)}')
    return [name.lower()]


def _common_tables(node: dict[str, Any]) -> Iterator[str]:
    """Names that a WITH of this node gives to queries."""
    given = node.get("cte_map")
    for entry in given.get("map", ()) if isinstance(given, dict) else ():
        yield str(entry["key"]).lower()


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object within the tree, outer ones first."""
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "the text is no SQL")
