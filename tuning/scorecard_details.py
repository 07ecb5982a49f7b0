"""Every fault and every alarm of a score card as rows, to look at one by one."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from devices.fault_labels import iso_time
from tuning.scorecard import Score

FAULT_COLUMNS = (
    "world", "kind", "device", "metric", "start", "end", "occurrence", "unseen", "found", "found_by",
    "delay_seconds", "delay_readings", "open_share", "alarms", "missed", "peak",
)  # fmt: skip
ALARM_COLUMNS = ("world", "device", "metric", "from", "to", "detector", "verdict", "learning")


def write_details(score: Score, folder: Path) -> None:
    """Write `faults.csv` and `alarms.csv`; a figure that there is not is empty. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(
        folder / "faults.csv",
        FAULT_COLUMNS,
        (
            [
                fault.world, fault.kind, fault.device, fault.metric, iso_time(fault.start), iso_time(fault.end),
                fault.occurrence, fault.unseen, fault.found, fault.found_by, _number(fault.delay_seconds),
                _number(fault.delay_readings), _number(fault.open_share), _number(fault.alarms), fault.missed,
                _number(fault.peak),
            ]
            for fault in score.faults
        ),
    )  # fmt: skip
    _write(
        folder / "alarms.csv",
        ALARM_COLUMNS,
        (
            [
                one.world, one.alarm.device, one.alarm.metric, iso_time(one.alarm.start), iso_time(one.alarm.end),
                one.alarm.detector, one.verdict.value, one.learning,
            ]
            for one in score.alarms
        ),
    )  # fmt: skip


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
