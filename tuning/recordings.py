"""Recordings, files of readings in CSV or Parquet, read in file order as columns.

Replay publishes them, backtest and tuning score them. A recording has one column of times and one or more of numbers.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.extras import optional
from common.suggestions import did_you_mean
from devices.numbers import NO_VALUE_WORDS
from devices.times import BadTimeError, parse_time

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = optional("pyarrow", extra="archive", purpose="Reading and writing Parquet files")
    pq = optional("pyarrow.parquet", extra="archive", purpose="Reading and writing Parquet files")

TIME_NAMES = ("timestamp", "time", "datetime", "date_time", "date", "ts", "event_time", "_time", "t")
DELIMITERS = (",", ";", "\t", "|")
NO_VALUE = NO_VALUE_WORDS | {""}
TOPIC_KEY = b"driftline.topic"
"""Key in a Parquet file's metadata: the topic that its readings came on, where it was written from a store."""

SAMPLE_ROWS = 1000
CHUNK_ROWS = 5000

Cells = list[list[Any]]
"""Columns of cells: text from CSV, what pyarrow gives from Parquet."""


class RecordingError(ValueError):
    """A recording that cannot be read; the message names file, line or row, column and value."""


@dataclass(frozen=True, slots=True)
class RecordingChunk:
    """Rows of a recording in file order.

    `line` is the first row's line in a CSV file, or row in a Parquet file, from 1. `time` int64 ns (n,); `time_written`
    the same as the file has it; `values` float64 (n, columns), NaN where the cell holds no finite number.
    """

    line: int
    time: NDArray[np.int64]
    time_written: list[str | int | float]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that was looked at: which column holds times (empty: none does), and which hold numbers."""

    path: Path
    time_column: str
    value_columns: tuple[str, ...]
    rows: int
    """How many rows it has; where CSV cells hold line breaks, at most that many."""
    every: int = 0
    """Nanoseconds between rows where the file holds no times: row i from 0 is taken to be at i times that."""
    topic: str = ""
    """The topic that its readings came on; empty where the file does not say."""

    @property
    def stem(self) -> str:
        """The file's name without its endings."""
        return self.path.name.removesuffix(".gz").rsplit(".", 1)[0]

    def chunks(self, *, rows: int = CHUNK_ROWS) -> Iterator[RecordingChunk]:
        """All rows in file order, at most `rows` at a time.

        Raises RecordingError at a time that cannot be read, once the rows before it are given.
        """
        table = _table(self.path)
        positions = [table.columns.index(name) for name in self.value_columns]
        place_of_time = table.columns.index(self.time_column) if self.time_column else None
        row = 0
        for lines, columns in table.read(rows):
            cells = [columns[position] for position in positions]
            if place_of_time is None:
                written: list[Any] = list(range(row, row + len(lines)))
                times, bad = np.arange(row, row + len(lines), dtype=np.int64) * self.every, None
            else:
                written = columns[place_of_time]
                times, bad = _times(written)
            good = len(times)
            row += good
            values = np.column_stack([_numbers(column[:good], table.decimal_comma) for column in cells])
            yield RecordingChunk(lines[0], times, [_as_written(value) for value in written[:good]], values)
            if bad is not None:
                place = f"{self.path}: {table.row_word} {lines[good]}: column {self.time_column!r}"
                raise RecordingError(f"{place}: {bad}") from bad


def open_recording(
    path: Path,
    *,
    time_column: str | None = None,
    value_columns: Sequence[str] = (),
    ignore: Sequence[str] = (),
    every: int | None = None,
) -> Recording:
    """Look at a CSV (also .csv.gz) or Parquet file, and find its columns.

    The time column is the one named, else one with a customary name whose cells are times, else the first one that
    holds date-times. Value columns are those named, else all others that hold numbers only, but for those in `ignore`
    (labels, say). With `every`, a file without times is taken to have a row each so many nanoseconds; its `time_column`
    is empty. Raises RecordingError, OSError.
    """
    table = _table(path)
    sample: Cells = next((cells for _, cells in table.read(SAMPLE_ROWS)), [])
    if not sample:
        raise RecordingError(f"{path}: holds no rows; expected a header and rows of readings")
    columns = table.columns
    for name in (*([time_column] if time_column else []), *value_columns):
        if name not in columns:
            raise RecordingError(f"{path}: no column {name!r}; {_nearest(name, columns)}")
    by_name = dict(zip(columns, sample, strict=True))
    time_column = time_column or _find_time(path, by_name, needed=every is None)
    if not value_columns:
        value_columns = [
            name
            for name, cells in by_name.items()
            if name != time_column and name not in ignore and _is_numeric(cells, table.decimal_comma)
        ]
    if not value_columns:
        others = ", ".join(name for name in columns if name != time_column) or "none"
        raise RecordingError(f"{path}: no column of numbers beside the times in {time_column!r}; columns: {others}")
    rows, apart = table.count_rows(), 0 if time_column else every or 0
    return Recording(path, time_column, tuple(value_columns), rows, apart, table.topic)


class _CsvTable:
    """A CSV file as columns of text. The delimiter is the one that is most frequent in the header."""

    row_word = "line"
    topic = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as file:
            header = file.readline()
        self._delimiter = max(DELIMITERS, key=header.count)
        self.decimal_comma = self._delimiter != ","
        self.columns = [name.strip() for name in next(csv.reader([header], delimiter=self._delimiter), [])]
        if not self.columns:
            raise RecordingError(f"{path}: line 1: empty; expected a header with column names")
        if twice := sorted({name for name in self.columns if self.columns.count(name) > 1}):
            raise RecordingError(f"{path}: line 1: column {twice[0]!r} is there twice; expected distinct names")

    def read(self, rows: int) -> Iterator[tuple[list[int], Cells]]:
        """Line numbers and columns of at most `rows` rows at a time."""
        width = len(self.columns)
        try:
            with self._open() as file:
                reader = csv.reader(file, delimiter=self._delimiter)
                next(reader)
                while chunk := [(reader.line_num, row) for row in islice(reader, rows)]:
                    lines = [line for line, row in chunk if row]
                    for line, row in chunk:
                        if row and len(row) != width:
                            raise RecordingError(f"{self._path}: line {line}: {len(row)} cells; expected {width}")
                    if lines:
                        yield lines, [list(column) for column in zip(*(row for _, row in chunk if row), strict=True)]
        except (csv.Error, UnicodeDecodeError, gzip.BadGzipFile) as error:
            raise RecordingError(f"{self._path}: not a CSV file in UTF-8: {error}") from error

    def count_rows(self) -> int:
        """Lines after the header."""
        last, lines = "\n", 0
        with self._open() as file:
            while block := file.read(1 << 20):
                lines += block.count("\n")
                last = block[-1]
        return lines - 1 + (last != "\n")

    def _open(self) -> IO[str]:
        if self._path.suffix == ".gz":
            return gzip.open(self._path, "rt", newline="", encoding="utf-8-sig")
        return self._path.open(newline="", encoding="utf-8-sig")


class _ParquetTable:
    """A Parquet file as columns; date-times become ISO text in UTC."""

    row_word = "row"
    decimal_comma = False

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise RecordingError(f"{path}: not a Parquet file: {error}") from error
        self.columns: list[str] = self._file.schema_arrow.names
        self.topic = (self._file.schema_arrow.metadata or {}).get(TOPIC_KEY, b"").decode(errors="replace")

    def read(self, rows: int) -> Iterator[tuple[list[int], Cells]]:
        """Row numbers and columns of at most `rows` rows at a time."""
        first = 1
        for batch in self._file.iter_batches(batch_size=rows):
            if batch.num_rows:
                yield list(range(first, first + batch.num_rows)), [_cells(column) for column in batch.columns]
            first += batch.num_rows

    def count_rows(self) -> int:
        """Rows as the file's metadata has them."""
        return int(self._file.metadata.num_rows)


def _table(path: Path) -> _CsvTable | _ParquetTable:
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes[-1:] in ([".parquet"], [".pq"]):
        return _ParquetTable(path)
    if suffixes[-1:] in ([".csv"], [".tsv"], [".txt"]) or suffixes[-2:] == [".csv", ".gz"]:
        return _CsvTable(path)
    raise RecordingError(f"{path}: unknown kind of file; expected .csv, .csv.gz, .tsv, .txt, .parquet or .pq")


def _cells(column: Any) -> list[Any]:
    if pa.types.is_temporal(column.type):
        stamps = column.cast(pa.timestamp("ns")).to_numpy(zero_copy_only=False)
        return [None if np.isnat(stamp) else f"{stamp}Z" for stamp in stamps]
    cells: list[Any] = column.to_pylist()
    return cells


def _find_time(path: Path, sample: dict[str, list[Any]], *, needed: bool) -> str:
    customary = sorted(
        (name for name in sample if name.lower() in TIME_NAMES), key=lambda name: TIME_NAMES.index(name.lower())
    )
    for name in customary:
        if any(_is_time(cell) for cell in sample[name][:20]):
            return name
    for name, cells in sample.items():
        if all(_is_time(cell) and not _is_number(cell) for cell in cells[:20]):
            return name
    if not needed:
        return ""
    shown = ", ".join(f"{name} ({cells[0]!r})" for name, cells in sample.items())
    raise RecordingError(
        f"{path}: no column of times found; expected one of ISO 8601 or epoch times; columns and first cells: {shown}"
    )


def _is_time(cell: object) -> bool:
    try:
        parse_time(cell)
    except BadTimeError:
        return False
    return True


def _is_number(cell: object) -> bool:
    return not np.isnan(_number(cell, decimal_comma=False))


def _is_numeric(cells: list[Any], decimal_comma: bool) -> bool:
    """Whether each cell is a number or says that there is none, and one at least is a number."""
    numbers = [_number(cell, decimal_comma) for cell in cells]
    if np.isnan(numbers).all():
        return False
    return all(
        not np.isnan(number) or cell is None or str(cell).strip().lower() in NO_VALUE
        for number, cell in zip(numbers, cells, strict=True)
    )


def _number(cell: object, decimal_comma: bool) -> float:
    """The cell's finite number, else NaN."""
    if cell is None or "_" in (text := str(cell)):
        return np.nan
    try:
        number = float(text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        return np.nan
    return number if np.isfinite(number) else np.nan


def _numbers(cells: list[Any], decimal_comma: bool) -> NDArray[np.float64]:
    return np.array([_number(cell, decimal_comma) for cell in cells])


def _times(written: list[Any]) -> tuple[NDArray[np.int64], BadTimeError | None]:
    """The times up to the first that cannot be read, and why that one cannot."""
    times = np.empty(len(written), np.int64)
    for i, cell in enumerate(written):
        try:
            times[i] = parse_time(cell)
        except BadTimeError as error:
            return times[:i], error
    return times, None


def _as_written(cell: Any) -> str | int | float:
    return cell if isinstance(cell, int | float) else str(cell).strip()


def _nearest(name: str, known: list[str]) -> str:
    return did_you_mean(name, known).removeprefix("; ") or f"columns: {', '.join(known)}"
