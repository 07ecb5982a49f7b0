"""Store: rows of streams as InfluxDB line protocol: text as tags, numbers as fields, at the end of the window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from storage.external.line_text import float_text, tag_text
from storage.store import StreamResult

STREAM = "driftline_stream_"
"""The measurement of a stream's rows is its name behind this."""

_TEXT = ("VARCHAR", "ENUM", "UUID")
_NUMBERS = ("DOUBLE", "FLOAT", "DECIMAL", "BOOLEAN", "HUGEINT", "UHUGEINT", "BIGINT", "UBIGINT", "INTEGER", "UINTEGER",
            "SMALLINT", "USMALLINT", "TINYINT", "UTINYINT", '"NULL"')  # fmt: skip


def stream_lines(result: StreamResult) -> Iterable[str]:
    """A line for each row that has a number. The same result gives the same lines, whatever was written before.

    Rows with the same text are told apart by a tag `driftline_row`, from 1 for the second of them. Numbers are floats,
    since a column may be whole in one window and not in the next; truth is 1 or 0. Times and lists are left out.
    """
    seen: Counter[str] = Counter()
    kinds = [sql_type.partition("(")[0] for _, sql_type in result.columns]
    names = [tag_text(name) for name, _ in result.columns]
    for row in result.rows:
        of_row = list(zip(names, kinds, row, strict=True))
        tags = "".join(
            f",{name}={tag_text(value)}"
            for name, kind, value in of_row
            if kind in _TEXT and isinstance(value, str) and value
        )
        numbers = (
            (name, float_text(value))
            for name, kind, value in of_row
            if kind in _NUMBERS and isinstance(value, int | float)
        )
        fields = ",".join(f"{name}={value}" for name, value in numbers if value is not None)
        number = seen[tags]
        seen[tags] += 1
        if fields:
            beside = f",driftline_row={number}" if number else ""
            yield f"{STREAM}{result.stream}{tags}{beside} {fields} {result.window_end}"
