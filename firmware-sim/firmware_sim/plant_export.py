"""A plant written to a folder: readings, recorded MQTT traffic, truth, and how to score alarms."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from enum import StrEnum
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
from numpy.typing import NDArray

from common.extras import optional
from devices.fault_labels import write_labels
from firmware_sim.payload_style import DeviceIdentity
from firmware_sim.payload_styles import JsonStyle
from firmware_sim.plants import Plant
from firmware_sim.samples import NEVER, SampleStream
from firmware_sim.worlds.sampling import Series
from firmware_sim.worlds.world import Floats

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = optional("pyarrow", extra="archive", purpose="Parquet")
    pq = optional("pyarrow.parquet", extra="archive", purpose="Parquet")

TIME = "timestamp"


class ExportFormat(StrEnum):
    """How the readings are written."""

    CSV = "csv"
    PARQUET = "parquet"


def export_plant(plant: Plant, folder: Path, form: ExportFormat = ExportFormat.CSV, *, prefix: str = "plant") -> None:
    """Write `readings/DEVICE.csv` (or `.parquet`), `truth.csv`, `series.csv`, `plant.json`, `README.md` to a folder.

    With CSV the MQTT traffic is written too, in order of time, to `traffic.jsonl.gz`: time, topic, payload. A row of
    readings is a time at which the device reports; metrics without a reading then are empty. Raises OSError.
    """
    readings = folder / "readings"
    readings.mkdir(parents=True, exist_ok=True)
    devices = by_device(plant.series)
    for device, series in devices.items():
        times, columns = device_columns(series)
        if form is ExportFormat.PARQUET:
            _write_parquet(readings / f"{device}.parquet", times, columns)
        else:
            _write_csv(readings / f"{device}.csv", times, columns)
    if form is ExportFormat.CSV:
        _write_traffic(folder / "traffic.jsonl.gz", devices, prefix)
    write_labels(folder / "truth.csv", plant.labels)
    _write_series(folder / "series.csv", plant.series)
    about = {
        "world": plant.world,
        "seed": plant.seed,
        "start": plant.start,
        "learned_by": plant.learned_by,
        "end": plant.end,
        "readings": plant.readings,
        "faults": len(plant.labels),
    }
    (folder / "plant.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_PAGE.format(**about, devices=len(devices)), encoding="utf-8")


def by_device(series: Sequence[Series]) -> dict[str, list[Series]]:
    """The series of each device."""
    found: dict[str, list[Series]] = {}
    for one in series:
        found.setdefault(one.device, []).append(one)
    return found


def device_columns(series: Sequence[Series]) -> tuple[NDArray[np.int64], dict[str, Floats]]:
    """All times at which any metric of a device is reported, ns (n,), and each metric there, NaN where it is not."""
    times = np.unique(np.concatenate([one.time for one in series]))
    columns = {}
    for one in series:
        columns[one.metric.name] = np.full(len(times), np.nan)
        columns[one.metric.name][np.searchsorted(times, one.time)] = one.value
    return times, columns


def _write_csv(path: Path, times: NDArray[np.int64], columns: dict[str, Floats]) -> None:
    stamps = np.datetime_as_string(times.astype("datetime64[ns]").astype("datetime64[ms]"), timezone="UTC")
    texts = [["" if isnan(value) else repr(value) for value in column.tolist()] for column in columns.values()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([TIME, *columns])
        writer.writerows(zip(stamps.tolist(), *texts, strict=True))


def _write_parquet(path: Path, times: NDArray[np.int64], columns: dict[str, Floats]) -> None:
    arrays = [pa.array(times // 1_000_000, pa.timestamp("ms", "UTC"))]
    arrays += [pa.array(column, from_pandas=True) for column in columns.values()]
    pq.write_table(pa.table(arrays, names=[TIME, *columns]), path, compression="zstd", compression_level=1)


def _write_traffic(path: Path, devices: dict[str, list[Series]], prefix: str) -> None:
    style = JsonStyle()
    sent: list[tuple[int, str, bytes]] = []
    for device, series in devices.items():
        units = {one.metric.name: one.metric.unit for one in series}
        identity = DeviceIdentity(prefix, series[0].kind, device, units)
        for leaves, sample in SampleStream(series).read_sent(NEVER):
            sent += [(leaves, topic, payload) for topic, payload in style.messages(identity, [sample])]
    sent.sort(key=lambda message: message[0])
    with gzip.open(path, "wb", compresslevel=1) as file:
        for time, topic, payload in sent:
            file.write(b'{"time":%d,"topic":%b,"payload":%b}\n' % (time, orjson.dumps(topic), payload))


def _write_series(path: Path, series: Sequence[Series]) -> None:
    lines = ["device,metric,unit,signal,readings,reports\n"]
    for one in series:
        reports = "on change" if one.metric.report_change is not None else "regularly"
        metric = one.metric
        lines.append(f"{one.device},{metric.name},{metric.unit},{metric.signal.value},{len(one.time)},{reports}\n")
    path.write_text("".join(lines), encoding="utf-8")


_PAGE = """# A simulated plant with known faults: {world}, seed {seed}

{devices} devices, {readings} readings, {faults} labels. Until `learned_by` in `plant.json` (ns since 1970) nothing is
wrong on purpose.

| file | what |
|---|---|
| `readings/` | a file a device: `timestamp` (UTC) and a column a metric; empty where a metric reports nothing then |
| `traffic.jsonl.gz` | the same as MQTT messages in order of time: time (ns), topic, payload (absent with Parquet) |
| `series.csv` | unit and kind of each metric, and whether it reports regularly or on change |
| `truth.csv` | the faults: device, metric, kind, start, end, severity, root and more |

A metric of `*` is the whole device, a device of `*` the whole plant. Labels with one `root` are one fault. `expected`
is `alarm` for a fault, `silence` for ordinary operation that looks odd, `either` where an alarm should not count.
`unseen` says why a fault cannot be seen by anything that only knows the past.

## Score a product's alarms

Write them to a CSV with the columns `device,metric,from,to` (ISO 8601, or ns since 1970; `metric` may be `*`; `to` may
be empty for an alarm that is still open), then:

```sh
driftline score --alarms ALARMS.csv --truth THIS_FOLDER
```

Use no reading from after an alarm's start to raise it, and no label at all.
"""
