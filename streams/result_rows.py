"""Streams: the rows that one stream gives, as rows for the streams that come from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import orjson

from devices.batch import NO_TIME
from storage.store import StreamResult
from streams.columns import Column, Rows, texts
from streams.definitions import OF_WINDOWS
from streams.evaluation import WindowError
from streams.kinds import INTEGER, NUMBER, TIME, TRUTH


def as_rows(result: StreamResult, rows: Sequence[Sequence[Any]], moment: int, kinds: Mapping[str, str]) -> Rows:
    """Rows of a result for the streams that come from this one, each at the last nanosecond of its window.

    Raises WindowError where a value is none of its column's kind.
    """
    names = [name for name, _ in result.columns]
    table = [dict(zip(names, row, strict=True)) for row in rows]
    time = np.full(len(table), result.window_end - 1, np.int64)
    columns: dict[str, Column] = {
        "time": time,
        "window_start": np.full(len(table), result.window_start, np.int64),
        "window_end": np.full(len(table), result.window_end, np.int64),
    }
    for name, kind in kinds.items():
        if name not in OF_WINDOWS:
            try:
                columns[name] = _column_of([values.get(name) for values in table], kind)
            except (TypeError, ValueError):
                raise WindowError(f'column "{name}": expected values of one kind, {kind}, in every window') from None
    return Rows(time, np.full(len(table), moment, np.int64), columns)


def _column_of(values: Sequence[Any], kind: str) -> Column:
    if kind in (NUMBER, INTEGER):
        return np.array([np.nan if value is None else float(value) for value in values], np.float64)
    if kind == TIME:
        return np.array([NO_TIME if value is None else _nanoseconds(value) for value in values], np.int64)
    if kind == TRUTH:
        return texts(values)
    return texts([value if value is None or isinstance(value, str) else _as_json(value) for value in values])


def _as_json(value: Any) -> Any:
    return value if isinstance(value, float) else orjson.dumps(value).decode()


def _nanoseconds(text: str) -> int:
    """Nanoseconds since the epoch; none for a year that they, or Python's times, cannot hold."""
    try:
        moment = datetime.fromisoformat(text.removesuffix("Z") + "+00:00" if "T" in text else f"{text}T00:00:00+00:00")
    except ValueError:
        return NO_TIME
    found = round(moment.timestamp() * 1e6) * 1000
    return found if abs(found) < 2**63 else NO_TIME
