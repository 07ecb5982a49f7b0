"""Bytes of a stored point, column by column; a chart's time from a large database; points to line protocol."""

from __future__ import annotations

import time
from pathlib import Path

import duckdb
import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks import line_protocol
from benchmarks.processes import Mosquitto, Service
from benchmarks.setting import Setting, configuration
from detectors.detector_registry import create
from devices.batch import ScoredBatch
from devices.records import SeriesRecord
from storage.embedded import schema
from storage.embedded.database import EmbeddedStore
from storage.store import StepOutput

BYTES_GROUP = "stored point in DuckDB after compaction"
CHART_GROUP = "chart of one series, 24 h at 1 Hz, over the API"
LINES_GROUP = "line protocol"

DAY = 86_400
START = 1_760_000_000_000_000_000

_SERIES_OF_A_DAY = 40
_CHARTS = 60
_NOISY, _COARSE = "noisy sensors, three decimals", "typical sensors, resolution of a tenth"


def run(setting: Setting) -> None:
    """Add the figures."""
    _bytes(setting)
    _chart(setting)
    for _ in range(max(3, setting.runs)):
        _lines(setting)


def _bytes(setting: Setting) -> None:
    """A day of sensors at 1 Hz, scored by the ensemble without its shape part, committed as it would arrive."""
    for kind in (_COARSE, _NOISY):
        setting.say(f"bytes of a stored point: {kind}")
        path = setting.fresh("bytes") / "points.duckdb"
        with EmbeddedStore(path) as store:
            detector = create("ensemble", {"shape": False})
            detector.grow(_SERIES_OF_A_DAY)
            seconds = 3_600
            for hour in range(DAY // seconds):
                batch = _hour(hour * seconds, seconds, kind)
                scores = detector.step(*batch, np.ones(len(batch[0]), np.bool_))
                points = ScoredBatch(
                    *batch, scores.score, scores.expected, scores.lower, scores.upper,
                    scores.score >= 6.0, np.zeros(len(batch[0]), np.bool_),
                )  # fmt: skip
                store.commit(StepOutput(hour, hour + 1, points))
                store.compact()
            store.compact(1)
            store.checkpoint()
        limit = 8.0 if kind == _COARSE else None
        columns = {name: _column_bytes(path, name) for name in schema.POINT_COLUMNS.split(", ")}
        setting.figures.add(
            BYTES_GROUP, f"all columns, {kind}", sum(columns.values()), "B", at_most=limit,
            note=f"file / points: {path.stat().st_size / (_SERIES_OF_A_DAY * DAY):.2f} B",
        )  # fmt: skip
        for name, size in columns.items():
            setting.figures.add(BYTES_GROUP, f"{name}, {kind.split(',', 1)[0]}", size, "B")


def _hour(first: int, seconds: int, kind: str) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
    """All series' readings of some seconds, in order of time: a daily course, slow drift and noise."""
    random = np.random.default_rng(first)
    at = np.repeat(np.arange(first, first + seconds), _SERIES_OF_A_DAY)
    series = np.tile(np.arange(_SERIES_OF_A_DAY, dtype=np.int32), seconds)
    level = 20.0 + series + 5.0 * np.sin(2 * np.pi * (at / DAY + series / 7.0))
    value = level + 0.15 * random.standard_normal(len(at))
    jitter = random.integers(0, 4, len(at)) * 1_000_000
    decimals = 1 if kind == _COARSE else 3
    return series, START + at * 1_000_000_000 + jitter, np.round(value, decimals)


def _column_bytes(path: Path, column: str) -> float:
    """Bytes a point of one column alone, in the order of the compacted table, in a file of its own."""
    alone = path.with_name(f"{column}.duckdb")
    with duckdb.connect(str(alone)) as connection:
        connection.execute(f"ATTACH '{path}' AS whole (READ_ONLY)")
        connection.execute(
            f"CREATE TABLE own AS SELECT {column} FROM whole.stored.point_merged UNION ALL "
            f"SELECT {column} FROM whole.stored.point_sorted"
        )
        [(points,)] = connection.execute("SELECT count(*) FROM own").fetchall()
        connection.execute("CHECKPOINT")
        used = connection.execute(
            "SELECT count(DISTINCT block_id) FROM pragma_storage_info('own') WHERE block_id >= 0"
        ).fetchall()[0][0]
        [(size,)] = connection.execute("SELECT block_size FROM pragma_database_size() LIMIT 1").fetchall()
    return float(used * size / points)


def _chart(setting: Setting) -> None:
    series = 1_158 if setting.long else 116
    setting.say(f"charts from {series * DAY:,} points")
    folder = setting.fresh("chart")
    data = folder / "data"
    data.mkdir()
    _fill(data / "points.duckdb", series)
    with Mosquitto(folder) as broker, Service(folder, configuration(broker.port), data=data) as service:
        service.ready()
        for _ in range(setting.runs):
            p50, p95 = _ask_for_charts(service.url, series)
            note = f"from {series * DAY / 1e6:.0f} million points"
            setting.figures.add(CHART_GROUP, "p50", p50, "ms", note=note)
            setting.figures.add(CHART_GROUP, "p95", p95, "ms", at_most=50.0)


def _fill(path: Path, series: int) -> None:
    """A database of one day of so many series at 1 Hz, as compaction leaves it."""
    with EmbeddedStore(path) as store:
        store.commit(
            StepOutput(0, 1, _one_point(), series=[SeriesRecord(n, f"plant/m{n}", "x") for n in range(series)])
        )
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM stored.point_recent")
        for first in range(0, series, 100):
            connection.execute(
                f"""
                INSERT INTO stored.point_merged
                SELECT s::INTEGER, make_timestamp_ns({START} + t * 1000000000),
                    round(20 + 5 * sin(t / 9000.0 + s) + (hash(t * 7919 + s) % 1000) / 2000.0, 2),
                    round((hash(t + s * 31) % 1000) / 700.0, 2)::FLOAT,
                    round(20.25 + 5 * sin(t / 9000.0 + s), 1)::FLOAT, 0.9::FLOAT, NULL, false, false
                FROM range({first}, {min(series, first + 100)}) a(s), range({DAY}) b(t) ORDER BY s, t
                """
            )
        connection.execute("CHECKPOINT")


def _one_point() -> ScoredBatch:
    one = np.array([0.0])
    flag = np.zeros(1, np.bool_)
    return ScoredBatch(np.zeros(1, np.int32), np.array([START - 1]), one, one, one, one, one, flag, flag)


def _ask_for_charts(url: str, series: int) -> tuple[float, float]:
    """Milliseconds of a request for a random series' day, p50 and p95, thinned as the page asks for it."""
    random = np.random.default_rng(11)
    delays = []
    ends = {"from": START // 1_000_000_000, "to": START // 1_000_000_000 + DAY}
    with httpx.Client(base_url=url, timeout=60) as client:
        for turn in range(_CHARTS + 5):
            number = int(random.integers(series))
            began = time.perf_counter()
            reply = client.get("points", params={"series": number, **ends})
            seconds = time.perf_counter() - began
            reply.raise_for_status()
            if turn >= 5:
                delays.append(seconds * 1e3)
    return float(np.quantile(delays, 0.5)), float(np.quantile(delays, 0.95))


def _lines(setting: Setting) -> None:
    """Points a second of one core, to line protocol and to a server, against influxdb-client's batching write API."""
    setting.say("line protocol")
    rates = line_protocol.run()
    add = setting.figures.add
    add(LINES_GROUP, "Driftline, lines built", rates["built_per_second"], "/s", at_least=500_000)
    add(LINES_GROUP, "Driftline, lines built and written", rates["written_per_second"], "/s", at_least=500_000)
    add(LINES_GROUP, "influxdb-client's WriteApi, batching", rates["client_per_second"], "/s")
    add(LINES_GROUP, "Driftline's / influxdb-client's", rates["written_to_client"], "x")
