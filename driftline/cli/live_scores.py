"""The alarms that a service has raised, scored against its simulated fleet's known faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from devices.fault_labels import FaultLabel, read_labels
from driftline.cli.client import query
from driftline.runtime.data_folder import DataFolder
from tuning.plant_folder import watch_of_labels
from tuning.scorecard import Alarm, Score, score_alarms

MOST = 1_000_000
_ALARMS = "select device, metric, epoch_ns(opened), epoch_ns(cleared) from alarms"
_SERIES = (
    "select device, metric, count(*), epoch_ns(min(time)), epoch_ns(max(time)) from points group by device, metric"
)


def score_live(folder: Path, truth: Path | None = None) -> Score:
    """Score what lies in a data folder, whether or not a service runs on it.

    Without `truth` the labels are those of the folder's own simulated fleet. Faults that begin after the last reading
    are left out. Readings are taken to be evenly spaced. Raises ValueError where there are no labels, OSError.
    """
    file = truth or DataFolder(folder).simulator / "labels.csv"
    if not file.is_file():
        raise ValueError(f"{file}: no labels; start `driftline up --demo`, or name a file with --truth")
    times = {
        (device, metric): np.linspace(first, last, count).astype(np.int64)
        for device, metric, count, first, last in query(folder, _SERIES, limit=MOST).rows
    }
    labels = in_service_names(read_labels(file), list(dict.fromkeys(device for device, _ in times)))
    watch = watch_of_labels([], times)
    alarms = [
        Alarm(device, metric, opened, watch.end if cleared is None else cleared)
        for device, metric, opened, cleared in query(folder, _ALARMS, limit=MOST).rows
    ]
    known = [replace(label, end=min(label.end, watch.end)) for label in labels if label.start < watch.end]
    return score_alarms(replace(watch, world="live"), known, alarms)


def in_service_names(labels: Sequence[FaultLabel], devices: Sequence[str]) -> list[FaultLabel]:
    """The labels under the service's names of the devices, such as `plant/hall-1/press-01` for `press-01`."""
    by_last = {device.rpartition("/")[2]: device for device in devices}
    return [replace(label, device=by_last.get(label.device, label.device)) for label in labels]
