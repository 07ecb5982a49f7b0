"""One stream as it stands: its clock, its windows, and the rows that they may still need, each with its key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
from numpy.typing import NDArray

from common.durations import parse_duration
from streams.columns import Column, Rows
from streams.definitions import Definition
from streams.sources import TopicMatch
from streams.windows import EventClock, Firing, PaneWindows, SessionWindows, Windows

SEEN, KEY = "#seen", "#key"
"""Columns beside those of the rows: where the watermark stood when a row came, and its key."""


@dataclass(slots=True)
class OpenStream:
    """One stream as it stands: its clock, its windows, and the rows that they may still need."""

    definition: Definition
    topics: TopicMatch
    clock: EventClock
    windows: Windows
    held: list[Rows] = field(default_factory=list)
    problem: str = ""


def open_stream(definition: Definition) -> OpenStream:
    """A stream before its first row, with the windows that its settings ask for."""
    settings = definition.settings
    window = settings.window
    windows: Windows
    if window.type == "session":
        windows = SessionWindows(window.size_ns, settings.max_rows, settings.max_keys)
    else:
        windows = PaneWindows(
            window.size_ns,
            window.hop_ns,
            settings.max_rows,
            settings.max_keys,
            sliding=window.type == "sliding",
            early=parse_duration(settings.early) if settings.early else 0,
            corrections=parse_duration(settings.corrections),
        )
    return OpenStream(definition, TopicMatch(settings.topics), EventClock(parse_duration(settings.lateness)), windows)


def rows_within(held: Rows, firing: Firing) -> NDArray[np.bool_]:
    """Which of the rows, (n,), are in the window."""
    within = (held.time >= firing.start) & (held.time < firing.end) & (held.columns[SEEN] < firing.at)
    if KEY in held.columns:
        within &= held.columns[KEY] == firing.key
    return within


def with_columns(rows: Rows, names: Mapping[str, str]) -> Rows:
    """The rows with the named columns alone."""
    return Rows(rows.time, rows.moment, {name: rows.columns[name] for name in names})


def keys_of(rows: Rows, by: Sequence[str]) -> list[str] | None:
    """The key of each row: the values of the columns `by`, as JSON; None where nothing splits the rows."""
    if not by:
        return None
    columns = [_as_texts(rows.columns[name]) for name in by]
    return [orjson.dumps(values).decode() for values in zip(*columns, strict=True)]


def _as_texts(column: Column) -> list[str | None]:
    return [
        value if isinstance(value, str) else None if value is None or math.isnan(value) else f"{value:.15g}"
        for value in column.tolist()
    ]
