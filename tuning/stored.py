"""Before the flow: what a store holds as recordings, one Parquet file a device, for backtest, tuning and replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from common.extras import optional
from storage.store import Reader, SeriesPoints
from tuning.recordings import TOPIC_KEY, RecordingError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = optional("pyarrow", extra="archive", purpose="Reading and writing Parquet files")
    pq = optional("pyarrow.parquet", extra="archive", purpose="Reading and writing Parquet files")

TIME = "_time"
"""Column of times in a device's file; its other columns are its metrics."""


def write_recordings(
    reader: Reader,
    folder: Path,
    *,
    devices: Sequence[str] = ("*",),
    start: int | None = None,
    end: int | None = None,
    done: Callable[[Path], object] = lambda _: None,
) -> list[Path]:
    """Write a file for each device that matches one of `devices`, with its points from `start` up to `end` (ns).

    A row is a time at which the device has a reading; a metric without one then has no value there. The device's name
    is kept in the file, so that routes are looked up by it. Devices without points in that time get no file. Returns
    the files in order of devices. Raises RecordingError where there is nothing to write, OSError.
    """
    metrics: dict[str, dict[str, int]] = {}
    for record in reader.series():
        if any(fnmatchcase(record.device, pattern) for pattern in devices):
            metrics.setdefault(record.device, {})[record.metric] = record.series
    written = []
    for device in sorted(metrics):
        columns = {name: reader.points(number, start, end) for name, number in sorted(metrics[device].items())}
        columns = {name: points for name, points in columns.items() if points.total}
        if columns:
            path = folder / f"{quote(device, safe=' ')}.parquet"
            _write(path, device, columns)
            written.append(path)
            done(path)
    if not written:
        wanted = ", ".join(devices)
        raise RecordingError(f"no points of {wanted} in that time; expected some of {len(metrics)} matching devices")
    return written


def _write(path: Path, device: str, columns: dict[str, SeriesPoints]) -> None:
    if TIME in columns:
        raise RecordingError(f'{device}: a metric is called "{TIME}", as the column of times is; leave the device out')
    times = np.unique(np.concatenate([points.time for points in columns.values()]))
    arrays = [pa.array(times, pa.timestamp("ns", "UTC"))]
    for points in columns.values():
        value = np.full(len(times), np.nan)
        value[np.searchsorted(times, points.time)] = points.value
        arrays.append(pa.array(value, from_pandas=True))
    table = pa.table(arrays, names=[TIME, *columns]).replace_schema_metadata({TOPIC_KEY: device.encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
