"""Functions: what an event says, as JSON: alarms, rows of streams, readings, devices."""

from __future__ import annotations

from typing import Any

import numpy as np

from devices.batch import NO_TIME
from devices.records import AlarmRecord, SeriesRecord
from storage.embedded.stream_tables import row_content
from storage.store import StreamResult


def text_of_time(time: int | None) -> str | None:
    """A time (ns since the epoch) as ISO 8601 in UTC, to the millisecond."""
    if time is None or time == NO_TIME:
        return None
    return f"{np.datetime_as_string(np.datetime64(time, 'ns'), unit='ms')}Z"


def alarm_content(alarm: AlarmRecord, series: SeriesRecord, time: int) -> dict[str, Any]:
    """An alarm that has changed."""
    return {
        "type": "alarm",
        "alarm": alarm.alarm,
        "device": series.device,
        "metric": series.metric,
        "unit": series.unit,
        "state": alarm.state.value,
        "severity": alarm.severity,
        "time": text_of_time(time),
        "opened": text_of_time(alarm.opened),
        "cleared": text_of_time(alarm.cleared),
        "peak_score": _number(alarm.peak_score),
        "value": _number(alarm.value),
        "expected": _number(alarm.expected),
        "reason": alarm.reason,
    }


def device_content(device: str, change: str, time: int) -> dict[str, Any]:
    """A device that is new, silent, heard again, or says that it is there or gone."""
    return {"type": "device", "device": device, "change": change, "time": text_of_time(time)}


def reading_content(device: str, topic: str, time: int, arrival: int, fields: dict[str, Any]) -> dict[str, Any]:
    """What one message says of one device at one time."""
    return {
        "device": device,
        "topic": topic,
        "time": text_of_time(time),
        "arrival": text_of_time(arrival),
        "fields": fields,
    }


def row_contents(result: StreamResult) -> list[dict[str, Any]]:
    """The rows of a stream's result, as it publishes them."""
    return [row_content(result, number) for number in range(len(result.rows))]


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
