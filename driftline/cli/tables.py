"""Rows of a query printed: as a table for people, as CSV or JSON for programs."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import sys
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from common.visible import visible


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    SPREADSHEET = "spreadsheet"
    JSON = "json"


FormatOption = Annotated[
    Format,
    typer.Option(
        "--format",
        "-f",
        help="table for people; csv with a header line; spreadsheet: csv in which no text runs as a formula; "
        "or a json array of objects.",
    ),
]
WideOption = Annotated[
    bool, typer.Option("--wide", "-w", help="table: every column in full, however wide the lines become.")
]

_RUNS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a cell begins with that a spreadsheet takes for a formula (owasp.org, CSV injection)."""

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)?")


@dataclass(frozen=True, slots=True)
class Rows:
    """The answer to a query: column names, and rows of JSON values. `truncated` where there were more rows."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool = False


def print_rows(
    rows: Rows,
    form: Format,
    *,
    wide: bool = False,
    narrow: Sequence[str] = (),
    below: str | None = None,
    none: str = "no rows",
) -> None:
    """Print to stdout; that there were more rows goes to stderr. A table without rows is the sentence `none`.

    A table keeps to the width of the screen, or to COLUMNS where that is set: it shows the columns `narrow`, and under
    each row the text of the column `below`. To a file or pipe nothing is cut, and `below` is the last column. A `wide`
    one shows all columns in full. Times in a table are UTC, which its header says; CSV and JSON have them as ISO 8601.
    """
    if form in (Format.CSV, Format.SPREADSHEET):
        cell = _harmless if form is Format.SPREADSHEET else _text
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([cell(name) for name in rows.columns])
        writer.writerows([[cell(value) for value in row] for row in rows.rows])
    elif form is Format.JSON:
        json.dump([dict(zip(rows.columns, row, strict=True)) for row in rows.rows], sys.stdout, ensure_ascii=False)
        print()
    elif not rows.rows:
        print(none)
    elif wide:
        _print_table(rows, None)
    elif (width := _line_width()) is None:
        _print_table(_selected(rows, [*narrow, below] if narrow and below else narrow), None)
    else:
        _print_table(_selected(rows, narrow), width, _below(rows, below))
    if rows.truncated:
        print(f"driftline: only the first {len(rows.rows)} rows; there are more", file=sys.stderr)


def counted(number: int, noun: str) -> str:
    """The number with its noun: "1 plant", "1,200 plants"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _line_width() -> int | None:
    """Columns of COLUMNS or of the screen; None where lines go to a file or pipe, which has no width."""
    width = shutil.get_terminal_size((0, 0)).columns
    is_set = os.environ.get("COLUMNS", "").isdecimal() and width > 0
    return (width or 80) if is_set or sys.stdout.isatty() else None


def _selected(rows: Rows, names: Sequence[str]) -> Rows:
    places = [rows.columns.index(name) for name in names if name in rows.columns]
    if not places:
        return rows
    return Rows([rows.columns[place] for place in places], [[row[place] for place in places] for row in rows.rows])


def _below(rows: Rows, name: str | None) -> list[str]:
    if name is None or name not in rows.columns:
        return []
    place = rows.columns.index(name)
    return [_text(row[place]) for row in rows.rows]


def _print_table(rows: Rows, width: int | None, below: Sequence[str] = ()) -> None:
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    times = [_is_time([row[number] for row in rows.rows]) for number in range(len(rows.columns))]
    header = [f"{name} (UTC)" if time else name for name, time in zip(rows.columns, times, strict=True)]
    cells = [[_cell(value, time=time) for value, time in zip(row, times, strict=True)] for row in rows.rows]
    numeric = [all(isinstance(row[number], int | float | None) for row in rows.rows) for number in range(len(header))]
    widths = [max(map(cell_len, column)) for column in zip(header, *cells, strict=True)]
    if width is not None:
        widths = _fitting(widths, width)
    console = Console(width=width or 80, highlight=False)

    def line(values: Sequence[str]) -> str:
        shown = [_cut(value, size) for value, size in zip(values, widths, strict=True)]
        padded = [
            " " * (size - cell_len(value)) + value if right else set_cell_size(value, size)
            for value, size, right in zip(shown, widths, numeric, strict=True)
        ]
        return "  ".join(padded).rstrip()

    console.print(Text(line(header), style="bold"), no_wrap=True, overflow="ignore", crop=False)
    for number, row in enumerate(cells):
        console.print(Text(line(row)), no_wrap=True, overflow="ignore", crop=False)
        if below and below[number]:
            for each in Text(below[number]).wrap(console, max(console.width - 4, 20)):
                each.rstrip()
                console.print(Text("    ") + each, no_wrap=True, overflow="ignore", crop=False)


def _fitting(widths: list[int], width: int) -> list[int]:
    """Column widths that fit a line with two spaces between columns: the widest give way first, to no less than 8."""
    fitting = list(widths)
    while sum(fitting) + 2 * (len(fitting) - 1) > width and max(fitting, default=0) > 8:
        widest = max(range(len(fitting)), key=fitting.__getitem__)
        fitting[widest] -= 1
    return fitting


def _cut(text: str, size: int) -> str:
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415

    return text if cell_len(text) <= size else set_cell_size(text, size - 1).rstrip() + "…"


def _is_time(values: Sequence[Any]) -> bool:
    given = [value for value in values if value not in (None, "")]
    return bool(given) and all(isinstance(value, str) and _TIME.fullmatch(value) for value in given)


def _cell(value: Any, *, time: bool) -> str:
    if time and value and (match := _TIME.fullmatch(value)):
        return f"{match[1]} {match[2]}"
    return visible(_text(value, digits=6).replace("\n", " "))


def _harmless(value: Any) -> str:
    """The cell's text; one that a spreadsheet would run gets an apostrophe in front, which shows it as it is."""
    text = _text(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_RUNS) else text


def _text(value: Any, *, digits: int | None = None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and digits is not None:
        return f"{value:.{digits}g}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    # As the service answers it.
    return b64encode(value).decode() if isinstance(value, bytes) else str(value)


def time_text(nanoseconds: int) -> str:
    """A time, ns since the epoch, in UTC to the second: in a table its column is named "(UTC)"."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
