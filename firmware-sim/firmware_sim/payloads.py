"""What devices write: JSON objects, arrays of them for a backlog, and broken ones on request."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from math import isnan
from random import Random

import numpy as np
import orjson
from numpy.typing import NDArray

from firmware_sim.faults import WHOLE_DEVICE, Fault
from firmware_sim.publisher import Message
from firmware_sim.simulated_fleet import GroupBlock

Row = dict[str, str | float]


def single_messages(block: GroupBlock) -> Iterator[tuple[int, Message]]:
    """One message a reading: its time in ns, and topic with `{"ts": "2026-...Z", "temperature": 21.53, ...}`."""
    for column, topic in enumerate(block.topics):
        rows = _rows(block, column)
        times = block.times[:, column].tolist()
        for time, present, row in zip(times, block.present[:, column].tolist(), rows, strict=True):
            if present:
                yield time, (topic, orjson.dumps(row))


def array_messages(block: GroupBlock, *, readings: int) -> Iterator[tuple[int, Message]]:
    """Up to `readings` readings a message, as a device sends what it kept while offline: a JSON array of objects.

    Yields how many readings the message holds, and topic with payload; all devices' first messages come first.
    """
    columns = [_rows(block, column) for column in range(len(block.topics))]
    for first in range(0, len(block.times), readings):
        part = slice(first, first + readings)
        for column, topic in enumerate(block.topics):
            rows = list(compress(columns[column][part], block.present[part, column].tolist()))
            if rows:
                yield len(rows), (topic, orjson.dumps(rows))


def truth_message(fault: Fault) -> bytes:
    """A fault's label: its fields, and its metric ("all" for a whole device) 1 at its start and 0 at its end.

    The two times let a database draw it as a signal beside the metric.
    """
    label = fault.label().fields()
    metric = "all" if fault.metric == WHOLE_DEVICE else fault.metric
    named = {name: label[name] for name in ("device", "kind", "end", "severity", "root")}
    return orjson.dumps([{"ts": label["start"], metric: 1, **named}, {"ts": label["end"], metric: 0}])


def garble(payload: bytes, random: Random) -> bytes:
    """The payload as a faulty device might send it: cut off, NaN, wrong types, absurd times, not UTF-8."""
    match random.randrange(6):
        case 0:
            return payload[: random.randrange(1, len(payload))]
        case 1:
            return payload.replace(b":", b":NaN,", 1)
        case 2:
            return b'{"ts":"now","temperature":"hot","vibration":[],"current":{}}'
        case 3:
            return b'{"ts":"1970-01-01T00:00:00Z","temperature":21.5}'
        case 4:
            return b'{"ts":"2099-12-31T23:59:59Z","temperature":21.5}'
        case _:
            return b'{"temp\xff\xfe":21.5}'


def _rows(block: GroupBlock, column: int) -> list[Row]:
    """The readings of one device as JSON objects; a channel that is missing is left out of its object."""
    stamps = _stamps(block.times[:, column])
    names = ["ts", *(channel.name for channel in block.channels)]
    values = block.values[:, :, column]
    lists = [_numbers(plane, channel.decimals) for plane, channel in zip(values, block.channels, strict=True)]
    rows: list[Row] = [dict(zip(names, row, strict=True)) for row in zip(stamps, *lists, strict=True)]
    if np.isnan(values).any():
        rows = [
            {name: value for name, value in row.items() if isinstance(value, str) or not isnan(value)} for row in rows
        ]
    return rows


def _numbers(values: NDArray[np.float64], decimals: int) -> list[float]:
    """Plain numbers, whole ones where the channel has no decimals, so that JSON shows 12 and not 12.0."""
    whole = decimals == 0 and not np.isnan(values).any()
    numbers: list[float] = (values.astype(np.int64) if whole else values).tolist()
    return numbers


def _stamps(times: NDArray[np.int64]) -> list[str]:
    milliseconds = times.astype("datetime64[ns]").astype("datetime64[ms]")
    stamps: list[str] = np.datetime_as_string(milliseconds, timezone="UTC").tolist()
    return stamps
