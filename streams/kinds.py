"""Streams: the kinds of columns, in the windows and in the tables beside them."""

from __future__ import annotations

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

_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_INTEGER_TYPES = {*_SIGNED, *(f"U{name}" for name in _SIGNED)}


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
