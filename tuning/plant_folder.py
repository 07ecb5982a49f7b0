"""Before the flow: a plant's folder with its truth, and a file of alarms, as anyone's product may write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.extras import optional
from devices.fault_labels import FaultLabel, read_labels
from devices.times import BadTimeError, parse_time
from tuning.scorecard import Alarm, Watch

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = optional("pyarrow", extra="archive", purpose="Parquet")
    pq = optional("pyarrow.parquet", extra="archive", purpose="Parquet")

ALARM_COLUMNS = ("device", "metric", "from", "to")


def read_alarms(path: Path, *, end: int) -> list[Alarm]:
    """Read a CSV of alarms: device, metric, from, to, and perhaps detector; without `to` an alarm is open until `end`.

    Raises ValueError naming file, line, column and value; OSError.
    """
    alarms: list[Alarm] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in ALARM_COLUMNS if name not in (reader.fieldnames or [])]:
            raise ValueError(f"{path}: line 1: no column {missing[0]!r}; expected {', '.join(ALARM_COLUMNS)}")
        for row in reader:
            place = f"{path}: line {reader.line_num}"
            start = _time(row["from"], f"{place}: from")
            over = _time(row["to"], f"{place}: to") if row["to"] else max(end, start)
            if over < start:
                raise ValueError(f"{place}: to {row['to']!r}: expected a time from {row['from']!r} on")
            alarms.append(Alarm(row["device"], row["metric"], start, over, row.get("detector") or ""))
    return alarms


def read_plant(path: Path) -> tuple[Watch, list[FaultLabel]]:
    """A plant's folder, or a file of labels alone: what was watched, and the truth.

    Labels alone tell nothing of the readings, so no rate of false alarms follows. Raises ValueError, OSError.
    """
    if path.is_file():
        labels = read_labels(path)
        return watch_of_labels(labels, {}), labels
    labels = read_labels(path / "truth.csv")
    about = json.loads((path / "plant.json").read_text(encoding="utf-8"))
    times: dict[tuple[str, str], NDArray[np.int64]] = {}
    for file in sorted((path / "readings").iterdir()):
        if file.suffix == ".csv":
            times.update(_csv_times(file))
        elif file.suffix == ".parquet":
            times.update(_parquet_times(file))
    return Watch(about["world"], times, about["start"], about["end"], about["learned_by"]), labels


def watch_of_labels(labels: Sequence[FaultLabel], times: Mapping[tuple[str, str], NDArray[np.int64]]) -> Watch:
    """What was watched, as far as labels and perhaps times of readings tell."""
    ends = [label.end for label in labels] + [int(t[-1]) for t in times.values() if len(t)]
    starts = [label.start for label in labels] + [int(t[0]) for t in times.values() if len(t)]
    first = min(starts, default=0)
    return Watch("", times, first, max(ends, default=0), first)


def _csv_times(path: Path) -> dict[tuple[str, str], NDArray[np.int64]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        names = next(rows)[1:]
        found: list[list[int]] = [[] for _ in names]
        for row in rows:
            time = parse_time(row[0])
            for times, cell in zip(found, row[1:], strict=True):
                if cell:
                    times.append(time)
    return {(path.stem, name): np.array(times, np.int64) for name, times in zip(names, found, strict=True)}


def _parquet_times(path: Path) -> dict[tuple[str, str], NDArray[np.int64]]:
    table = pq.read_table(path)
    time = table.column(0).cast(pa.timestamp("ns", "UTC")).to_numpy().astype(np.int64)
    return {(path.stem, name): time[table.column(name).is_valid().to_numpy()] for name in table.column_names[1:]}


def _time(text: str, place: str) -> int:
    try:
        return parse_time(text)
    except BadTimeError as error:
        raise ValueError(f"{place}: {error}") from None
