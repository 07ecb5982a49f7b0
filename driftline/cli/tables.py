"""Rows of a query printed: as a table for people, as CSV or JSON for programs."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


FormatOption = Annotated[
    Format, typer.Option("--format", "-f", help="table for people; csv with a header line, or a json array of objects.")
]


@dataclass(frozen=True, slots=True)
class Rows:
    """The answer to a query: column names, and rows of JSON values. `truncated` where there were more rows."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool = False


def print_rows(rows: Rows, form: Format) -> None:
    """Print to stdout; that there were more rows goes to stderr."""
    if form is Format.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(rows.columns)
        writer.writerows([[_text(value) for value in row] for row in rows.rows])
    elif form is Format.JSON:
        json.dump([dict(zip(rows.columns, row, strict=True)) for row in rows.rows], sys.stdout, ensure_ascii=False)
        print()
    else:
        _print_table(rows)
    if rows.truncated:
        print(f"driftline: only the first {len(rows.rows)} rows; there are more", file=sys.stderr)


def _print_table(rows: Rows) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, name in enumerate(rows.columns):
        is_number = all(isinstance(row[number], int | float | None) for row in rows.rows)
        table.add_column(Text(name), justify="right" if is_number else "left", overflow="fold")
    for row in rows.rows:
        table.add_row(*(Text(_text(value, digits=6)) for value in row))
    # A table that goes to a file or pipe is not folded to the width of a screen that is not there.
    Console(width=None if sys.stdout.isatty() else 10_000, highlight=False).print(table)


def _text(value: Any, *, digits: int | None = None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and digits is not None:
        return f"{value:.{digits}g}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
