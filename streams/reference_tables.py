"""Streams: a person's own small tables, which SQL may join: CSV or Parquet, read once, typed, and kept as they were.

A table is a part of the configuration: its rows stand in the settings that a snapshot keeps, so that a replay has those
that were in force, whatever became of the file.
"""

from __future__ import annotations

import csv
import io
import math
import re
import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, Self

import duckdb

from devices.times import parse_time
from streams.kinds import INTEGER, NUMBER, SQL_TYPES, TEXT, TIME, TRUTH, kind_of_type

MOST_ROWS = 10_000
MOST_BYTES = 2 << 20
"""Most rows and bytes of a file: they stand in every snapshot."""
MOST_COLUMNS = 500

Value = str | float | int | bool | None

_INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})", re.ASCII)
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d+|(?<=\d)\.)?([eE][+-]?\d{1,3})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d.*)?", re.ASCII)
_TEXT_TYPES = ("VARCHAR", "UUID", "ENUM")


class ReferenceTableError(Exception):
    """A file is no table; the message says what of it is wrong, without its name."""


@dataclass(frozen=True, slots=True)
class ReferenceTable:
    """Columns in the order of the file: their kinds, and their values; times as ns since the epoch."""

    kinds: Mapping[str, str]
    values: Mapping[str, Sequence[Value]]

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), ()))

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {"kinds": dict(self.kinds), "values": {name: list(values) for name, values in self.values.items()}}

    @classmethod
    def of_json(cls, saved: Mapping[str, Any]) -> Self:
        """What `to_json` gave. Raises KeyError or TypeError where it is none."""
        return cls(dict(saved["kinds"]), {name: list(values) for name, values in saved["values"].items()})


def read_reference_table(path: Path, *, within: Path | None = None) -> ReferenceTable:
    """The table of a file, `.csv` or `.parquet`, which lies in the folder `within`. Raises ReferenceTableError."""
    if "\0" in str(path):
        raise ReferenceTableError("no name of a file: it has a character NUL")
    try:
        if within is not None and not path.resolve().is_relative_to(within.resolve()):
            raise ReferenceTableError(f"lies elsewhere: expected a file in the folder {within}, or in one within it")
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ReferenceTableError("is no file")  # What waits for a writer would be waited for.
        size = found.st_size
        if size > MOST_BYTES:
            raise ReferenceTableError(f"{size:,} bytes, expected a small table: at most {MOST_BYTES:,}")
        if path.suffix.lower() == ".parquet":
            return _of_parquet(path)
        if path.suffix.lower() == ".csv":
            return _of_csv(path.read_bytes())
    except OSError as error:
        raise ReferenceTableError(f"cannot be read: {error.strerror or error}") from None
    raise ReferenceTableError("expected a name that ends in .csv or .parquet")


def _of_csv(data: bytes) -> ReferenceTable:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReferenceTableError(f"not UTF-8: byte {error.start} is 0x{data[error.start]:02x}") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] = []
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not row:
                continue
            if not names:
                names = _checked_names([name.strip() for name in row])
                continue
            if len(row) != len(names):
                raise ReferenceTableError(f"line {reader.line_num}: {len(row)} values, expected {len(names)}")
            rows.append([value.strip() for value in row])
            if len(rows) > MOST_ROWS:
                raise ReferenceTableError(f"more than {MOST_ROWS:,} rows: expected a small table")
    except csv.Error as error:
        raise ReferenceTableError(f"line {reader.line_num}: {error}") from None
    if not names:
        raise ReferenceTableError("it is empty: expected a first line with the names of the columns")
    typed = {name: _typed([row[at] for row in rows], delimiter) for at, name in enumerate(names)}
    return ReferenceTable(
        {name: kind for name, (kind, _) in typed.items()}, {name: values for name, (_, values) in typed.items()}
    )


def _checked_names(names: list[str]) -> list[str]:
    if "" in names:
        raise ReferenceTableError(f"column {names.index('') + 1} has no name: expected a first line with all names")
    if len(names) > MOST_COLUMNS:
        raise ReferenceTableError(f"{len(names):,} columns, expected a small table: at most {MOST_COLUMNS}")
    times = Counter(name.lower() for name in names)
    twice = next((name for name in names if times[name.lower()] > 1), None)
    if twice is not None:
        raise ReferenceTableError(f'two columns are called "{twice}": expected names that differ')
    return names


def _typed(texts: Sequence[str], delimiter: str) -> tuple[str, list[Value]]:
    """The kind of a column of text, and its values: the first kind that all of them are of; empty ones are none.

    A number with a zero before it, such as 007, is a name, and stays text. Beside semicolons a comma is a decimal one.
    """
    said = [text for text in texts if text]
    plain = [text.replace(",", ".") for text in said] if delimiter == ";" else said
    kinds: Sequence[tuple[str, Sequence[str], Callable[[str], Value]]] = (
        (INTEGER, said, _whole),
        (NUMBER, plain, _number),
        (TRUTH, said, _truth),
        (TIME, said, _time),
    )
    for kind, given, read in kinds if said else ():
        values = [read(text) for text in given]
        if None not in values:
            following = iter(values)
            return kind, [next(following) if text else None for text in texts]
    return TEXT, [text or None for text in texts]


def _whole(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None


def _number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text) or not any(each.isdigit() for each in text):
        return None
    found = float(text)
    return found if math.isfinite(found) else None


def _truth(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _time(text: str) -> int | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return parse_time(text)
    except ValueError:
        return None


def _of_parquet(path: Path) -> ReferenceTable:
    with duckdb.connect() as connection:
        try:
            relation = connection.execute("SELECT * FROM read_parquet($1) LIMIT 0", [escape(str(path))]).description
            types = {str(each[0]): str(each[1]) for each in relation or ()}
            _checked_names(list(types))
            kinds = {name: _parquet_kind(name, sql_type) for name, sql_type in types.items()}
            wanted = ", ".join(_expression(name, kind) for name, kind in kinds.items())
            rows = connection.execute(
                f"SELECT {wanted} FROM read_parquet($1) LIMIT {MOST_ROWS + 1}", [escape(str(path))]
            ).fetchall()
        except duckdb.Error as error:
            reason = next(iter(str(error).splitlines()), "DuckDB gave no reason")
            raise ReferenceTableError(f"expected Parquet: {reason}") from None
    if len(rows) > MOST_ROWS:
        raise ReferenceTableError(f"more than {MOST_ROWS:,} rows: expected a small table")
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(kinds)
    return ReferenceTable(kinds, {name: _finite(values) for name, values in zip(kinds, columns, strict=True)})


def _parquet_kind(name: str, sql_type: str) -> str:
    kind = kind_of_type(sql_type)
    is_text = sql_type.startswith(_TEXT_TYPES) and not sql_type.endswith("]")
    if is_text or (kind != TEXT and SQL_TYPES[kind] is not None):
        return kind
    raise ReferenceTableError(f'column "{name}" is of type {sql_type}: expected text, numbers, true or false, or times')


def _expression(name: str, kind: str) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    return f"epoch_ns({quoted}::TIMESTAMP_NS)" if kind == TIME else f"{quoted}::{SQL_TYPES[kind]}"


def _finite(values: Sequence[Any]) -> list[Value]:
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]
