"""What the tests of cuts share: the same messages, cut into other entries of the journal, give the same tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from alerts.alarm_settings import AlarmSettings
from devices.batch import ScoredBatch
from ingest.ingest_settings import ComponentSettings
from storage.store import StepOutput

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
DETECTORS = {
    "default": ComponentSettings(type="zscore", warmup=5),
    "limits": ComponentSettings(type="threshold", upper=50.0),
    "joint": ComponentSettings(type="joint", warmup=8, channels=3),
}
ALARM = AlarmSettings(threshold=2.0, clear_after="3s", clear_readings=2)

Message = tuple[bytes, bytes, int, int]
"""Topic, payload, arrival (ns), flags."""


def stored_tables(outputs: Sequence[StepOutput]) -> dict[str, Any]:
    """What a store would hold of readings and alarms, and the counts."""
    whole = StepOutput.merged(list(outputs))
    points = whole.points
    order = np.lexsort((np.arange(len(points)), points.time, points.series))
    return {
        "points": {name: getattr(points, name)[order].tolist().__repr__() for name in ScoredBatch.__slots__},
        "series": {record.series: record for record in whole.series},
        "alarms": [repr(record) for record in whole.alarms],
        "dead letters": sorted(repr(letter) for letter in whole.dead_letters),
        "counts": {name: count for name, count in whole.counts.items() if count},
    }


def encoded(drawn: Sequence[tuple[str, int, list[int], int, int]]) -> list[Message]:
    """Messages of a topic, how many seconds their own time lies behind, values, flags, and the gap before each, ns."""
    rows, arrival = [], START
    for topic, behind, values, flags, gap in drawn:
        arrival += gap
        if topic.startswith("plain"):
            body = b"broken" if values[0] == 13 else b"%d" % values[0]
        else:
            metrics = {f"m{number}": value for number, value in enumerate(values)}
            body = json.dumps({"ts": (arrival // SECOND - behind) * 1000, **metrics}).encode()
        rows.append((topic.encode(), body, arrival, flags))
    return rows
