"""The alarms that a service has raised, scored against the known faults of the simulated devices that it watches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from devices.fault_labels import FaultLabel
from tuning.plant_folder import watch_of_labels
from tuning.scorecard import Alarm, Score, score_alarms

MOST = 1_000_000
_ALARMS = "select device, metric, epoch_ns(opened), epoch_ns(cleared), parts from alarms"
_SERIES = (
    "select device, metric, count(*), epoch_ns(min(time)), epoch_ns(max(time)) from points group by device, metric"
)

Query = Callable[[str, int], Sequence[Sequence[Any]]]
"""Answers SQL with at most so many rows."""


def score_live(query: Query, labels: Sequence[FaultLabel], simulated: Iterable[str] | None = None) -> Score:
    """Score what a store holds: of the `simulated` devices and of those with labels, or where None is given, of all.

    Faults that begin after the last reading are left out. Readings are taken to be evenly spaced.
    """
    series = query(_SERIES, MOST)
    devices = list(dict.fromkeys(device for device, *_ in sorted(series, key=lambda row: int(row[3]))))
    names = _service_names(devices)
    known = [replace(label, device=names.get(label.device, label.device)) for label in labels]
    if simulated is None:
        kept = set(devices)
    else:
        kept = {names[name] for name in (*simulated, *(label.device for label in labels)) if name in names}
    times = {
        (device, metric): np.linspace(first, last, count).astype(np.int64)
        for device, metric, count, first, last in series
        if device in kept
    }
    watch = watch_of_labels([], times)
    alarms = [
        Alarm(device, metric, opened, watch.end if cleared is None else cleared, _largest(parts))
        for device, metric, opened, cleared, parts in query(_ALARMS, MOST)
        if device in kept
    ]
    begun = [replace(label, end=min(label.end, watch.end)) for label in known if label.start < watch.end]
    return score_alarms(replace(watch, world="live"), begun, alarms)


def _largest(parts: str | None) -> str:
    """The part of an alarm's score that weighed most; empty where it has none."""
    named: dict[str, float] = json.loads(parts) if parts else {}
    return max(named, key=lambda name: named[name], default="")


def _service_names(devices: Sequence[str]) -> dict[str, str]:
    """The service's names of devices, such as `plant/hall-1/press-01` for `press-01`, by the whole and the last part.

    Of several that end alike the first of `devices` counts: another fleet has labels of its own.
    """
    names: dict[str, str] = {}
    for device in devices:
        names.setdefault(device.rpartition("/")[2], device)
    return names | {device: device for device in devices}
