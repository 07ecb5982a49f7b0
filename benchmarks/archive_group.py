"""A month in the archive: how fast days move there, their size, and an aggregate over it and the database as one.

The points take the way of all points: they are committed in order of time, compacted, and moved by the archive's own
code. 100 million of them with `--long`, else 10.
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.setting import Setting
from devices.batch import ScoredBatch
from devices.records import SeriesRecord
from storage.archive.parquet_archive import Archive
from storage.embedded.database import EmbeddedStore
from storage.storage_settings import ArchiveSettings, StoreSettings
from storage.store import StepOutput

GROUP = "archive: a month of 1,000 series, three days of it still in the database"

DAYS = 30
SERIES = 1_000
METRICS = ("temperature", "pressure", "flow", "vibration")
START = 1_759_276_800 * 10**9
"""1 October 2025 in ns."""

AGGREGATE = """
SELECT device, count(*) AS points, avg(value) AS mean, min(value) AS least, max(value) AS greatest
FROM points WHERE time >= '2025-10-01' AND time < '2025-10-31' GROUP BY device ORDER BY device
"""
_DAY = 86_400 * 10**9
_COMMITTED_AT_ONCE = 250
_ASKED = 5


def run(setting: Setting) -> None:
    """Add the figures."""
    rows = (100_000_000 if setting.long else 10_000_000) // (SERIES * DAYS)
    folder = setting.fresh("archive")
    settings = ArchiveSettings(folder=str(folder / "archive"), after="2d")
    with EmbeddedStore(folder / "points.duckdb", StoreSettings(), archive=Archive(settings)) as store:
        moving = _fill(setting, store, rows)
        archived = sum(file.rows for file in store.archived)
        size = sum(file.bytes for file in store.archived)
    note = f"{archived / 1e6:.0f} of {rows * SERIES * DAYS / 1e6:.0f} million points"
    setting.figures.add(GROUP, "points moved a second", archived / moving, "/s", note=note)
    setting.figures.add(GROUP, "an archived point, names of device and metric included", size / archived, "B")
    with EmbeddedStore(folder / "points.duckdb", read_only=True) as store:
        for _ in range(_ASKED):
            began, worked = time.perf_counter(), time.process_time()
            found = store.query(AGGREGATE)
            seconds, processor = time.perf_counter() - began, time.process_time() - worked
            counted = sum(row[1] for row in found.rows)
            if (len(found.rows), counted) != (SERIES // len(METRICS), rows * SERIES * DAYS):
                raise AssertionError(f"{counted} points of {len(found.rows)} devices are not what was stored")
            limit = 2.0 if setting.long else None
            setting.figures.add(GROUP, "the month's aggregate per device", seconds, "s", at_most=limit)
            setting.figures.add(GROUP, "the same, processor time", processor, "s")
    began = time.perf_counter()
    command = [sys.executable, "-m", "driftline", "query", AGGREGATE, "--data", str(folder), "--format", "csv"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    name = "the same by `driftline query`, its start included"
    setting.figures.add(GROUP, name, time.perf_counter() - began, "s", note=f"{answer.count(chr(10)) - 1} rows")


def _fill(setting: Setting, store: EmbeddedStore, rows: int) -> float:
    """Commit day by day and let old days move; returns the seconds that moving took."""
    names = [
        SeriesRecord(n, f"plant/line-{n // 40 + 1}/machine-{n // len(METRICS):03d}", METRICS[n % len(METRICS)])
        for n in range(SERIES)
    ]
    moving = 0.0
    for day in range(DAYS):
        setting.say(f"a month in the archive: day {day + 1} of {DAYS}")
        for first in range(0, rows, _COMMITTED_AT_ONCE):
            count = min(_COMMITTED_AT_ONCE, rows - first)
            points = _points(START + day * _DAY + np.arange(first, first + count) * (_DAY // rows))
            store.commit(StepOutput(store.position, store.position + 1, points, names if store.position == 0 else []))
        store.compact(1)
        began = time.perf_counter()
        store.move_to_archive()
        moving += time.perf_counter() - began
    store.checkpoint()
    return moving


def _points(times: NDArray[np.int64]) -> ScoredBatch:
    """Every series at each of `times`: a daily course of its own, noise, two decimals, and what a detector adds."""
    random = np.random.default_rng(int(times[0]) % 2**32)
    series = np.tile(np.arange(SERIES, dtype=np.int32), len(times))
    time_of = np.repeat(times, SERIES)
    n = len(series)
    expected = 20.0 + series % 50 + 5.0 * np.sin(2 * np.pi * (time_of / _DAY + series / 7.0))
    value = np.round(expected + 0.15 * random.standard_normal(n), 2)
    score = np.round(random.exponential(0.43, n), 2)
    return ScoredBatch(
        series, time_of, value, score, expected, expected - 0.5, expected + 0.5, score >= 6.0, np.zeros(n, np.bool_)
    )
