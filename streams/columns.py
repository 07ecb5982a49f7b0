"""Streams: rows as columns, with the time and the message of each, as windows hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]
"""Float64, int64 (times in ns), bool, or objects: text, None where a row has none, and in a field numbers too."""

_NO_TEXT, _NUMBER = -1, -2


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows in the order in which they came.

    `time` int64 (n,) is event time and `moment` int64 (n,) the arrival of the message or tick that brought the row, in
    ns; `columns` are those that somebody asked for, by name, each (n,).
    """

    time: NDArray[np.int64]
    moment: NDArray[np.int64]
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[Any]) -> Rows:
        """The rows of a mask or of indices."""
        return Rows(self.time[rows], self.moment[rows], {name: each[rows] for name, each in self.columns.items()})

    @classmethod
    def table(cls, columns: Mapping[str, Column], count: int) -> Self:
        """Rows that are of no time: those of a table."""
        none = np.zeros(count, np.int64)
        return cls(none, none, columns)

    @classmethod
    def empty(cls, names: Sequence[str]) -> Self:
        """No rows."""
        none = np.empty(0, np.int64)
        return cls(none, none, {name: np.empty(0, object) for name in names})

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Rows one after the other; needs at least one part."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.time for part in parts]),
            np.concatenate([part.moment for part in parts]),
            {name: joined_column([part.columns[name] for part in parts]) for name in parts[0].columns},
        )


def joined_column(parts: Sequence[Column]) -> Column:
    """Columns one after the other; of different types, as objects."""
    if len({part.dtype for part in parts}) > 1:
        parts = [_as_objects(part) for part in parts]
    return np.concatenate(parts)


def _as_objects(column: Column) -> Column:
    made = column.astype(object)
    if column.dtype == np.float64:
        made[np.isnan(column)] = None
    return made


def texts(values: Sequence[str | None]) -> Column:
    """A column of text."""
    made = np.empty(len(values), object)
    made[:] = values
    return made


def saved_column(column: Column) -> dict[str, NDArray[Any]]:
    """A column as arrays that a snapshot holds: text as bytes with their lengths."""
    if column.dtype != object:
        return {"": column}
    encoded = [value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b"" for value in column]
    lengths = np.array(
        [
            len(text) if isinstance(value, str) else _NO_TEXT if value is None else _NUMBER
            for value, text in zip(column, encoded, strict=True)
        ],
        np.int32,
    )
    numbers = np.array([float(value) for value in column if value is not None and not isinstance(value, str)])
    return {
        ".bytes": np.frombuffer(b"".join(encoded), np.uint8).copy(),
        ".lengths": lengths,
        ".numbers": numbers,
    }


def loaded_column(saved: Mapping[str, NDArray[Any]], name: str) -> Column:
    """What `saved_column` was given, from arrays under `name` and its suffixes."""
    if name in saved:
        return np.array(saved[name])
    data, numbers = saved[f"{name}.bytes"].tobytes(), iter(saved[f"{name}.numbers"].tolist())
    values: list[Any] = []
    at = 0
    for length in saved[f"{name}.lengths"].tolist():
        if length < 0:
            values.append(None if length == _NO_TEXT else next(numbers))
            continue
        values.append(data[at : at + length].decode("utf-8", "surrogatepass"))
        at += length
    return texts(values)
