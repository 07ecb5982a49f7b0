"""Score: detectors that keep all that belongs to one series in one record, as compiled kernels take it.

A kernel that is handed a hundred arrays takes a minute to compile; one that is handed a record takes a second, and
finds a series' state in one stretch of memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydantic import BaseModel

from common.growth import grown
from detectors.detector import State
from detectors.fleet_detector import MINIMUM_CAPACITY, Column, FleetDetector

Records = NDArray[Any]
"""One record a slot. Columns named `part.column` are fields of a record within it."""


def record_type(columns: Mapping[str, Column], leading: int = 0) -> np.dtype[Any]:
    """The type of a record with these columns; `leading` axes of each stand before the record and are left out.

    Wide fields come first, so that nothing is lost between them.
    """
    fields: list[tuple[Any, ...]] = []
    parts: dict[str, dict[str, Column]] = {}
    for name, column in columns.items():
        part, dot, rest = name.partition(".")
        if dot:
            parts.setdefault(part, {})[rest] = column
        else:
            fields.append((name, column.dtype, column.shape[leading:]))
    fields.sort(key=lambda field: -np.dtype(field[1]).itemsize)
    fields.extend((part, record_type(within, leading)) for part, within in parts.items())
    return np.dtype(fields, align=True)


def new_records(columns: Mapping[str, Column], size: int, leading: int = 0) -> Records:
    """Fresh records for `size` slots, their fields open to attribute access."""
    axes = next(iter(columns.values())).shape[:leading]
    records = np.zeros((size, *axes), record_type(columns, leading)).view(np.recarray)
    for name, column in columns.items():
        if column.fill:
            field(records, name)[...] = column.fill
    return records


def field(records: Records, name: str) -> NDArray[Any]:
    """The column of this name in all records, (size, ...), a view."""
    for step in name.split("."):
        records = records[step]
    return np.asarray(records)


class RecordDetector(FleetDetector):
    """A fleet detector whose kernels take a series' state as a record. `arrays` are views into the records.

    `record_parts` names the parts that are kept as records, each with the axes that stand before its record: columns
    `part.column` go into `records[part]`; the part "" takes every column. Other columns stay arrays of their own.
    """

    record_parts: ClassVar[Mapping[str, int]] = {"": 0}

    def __init__(self, parameters: BaseModel) -> None:
        super().__init__(parameters)
        self._columns_of = {part: _within(part, self.columns) for part in self.record_parts}
        self._columns_of = {part: columns for part, columns in self._columns_of.items() if columns}
        in_records = {_column(part, name): c for part, each in self._columns_of.items() for name, c in each.items()}
        self._fills = [(name, column.fill) for name, column in in_records.items() if column.fill]
        self._others = [name for name in self.columns if name not in in_records]
        self.records: dict[str, Records] = {}
        self._make_records(0)

    def grow(self, size: int) -> None:
        """Make room for slots 0 to `size` - 1; capacity at least doubles."""
        if size <= self.size:
            return
        longer = {part: grown(records, size, 0, MINIMUM_CAPACITY) for part, records in self.records.items()}
        # A fleet mostly grows one by one, within its room: the views are made again only where the records have moved.
        if any(records is not self.records[part] for part, records in longer.items()):
            self.records = {part: records.view(np.recarray) for part, records in longer.items()}
            self._show_records()
        for name, fill in self._fills:
            # What a fresh slot starts with is written when it is taken, so that spare room costs no memory.
            self.arrays[name][self.size : size] = fill
        for name in self._others:
            self.arrays[name] = grown(self.arrays[name], size, self.columns[name].fill, MINIMUM_CAPACITY)
        self.size = size

    def load(self, state: State) -> None:
        """Replace the state. Raises ValueError where names, types or shapes do not fit."""
        super().load(state)
        loaded = self.arrays
        self._make_records(self.size)
        for name in self.columns:
            if self.arrays[name] is not loaded[name]:
                self.arrays[name][...] = loaded[name]

    def _make_records(self, size: int) -> None:
        self.arrays = dict(self.arrays)
        for part, columns in self._columns_of.items():
            self.records[part] = new_records(columns, size, self.record_parts[part])
        self._show_records()

    def _show_records(self) -> None:
        for part, columns in self._columns_of.items():
            for name in columns:
                self.arrays[_column(part, name)] = field(self.records[part], name)

    @property
    def bytes_per_slot(self) -> int:
        """Bytes of state that one series takes."""
        others = [self.columns[name] for name in self._others]
        records = sum(int(np.prod(r.shape[1:], dtype=np.int64)) * r.dtype.itemsize for r in self.records.values())
        return records + sum(_bytes(column.dtype, column.shape) for column in others)


def _within(part: str, columns: Mapping[str, Column]) -> dict[str, Column]:
    if not part:
        return dict(columns)
    return {name.removeprefix(f"{part}."): column for name, column in columns.items() if name.startswith(f"{part}.")}


def _column(part: str, name: str) -> str:
    return f"{part}.{name}" if part else name


def _bytes(dtype: DTypeLike, shape: tuple[int, ...]) -> int:
    return np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
