"""Reads that go on in an external database, here a real VictoriaMetrics, where the embedded one's points begin."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from victoria import Victoria

from devices.batch import ScoredBatch
from devices.records import SeriesRecord
from storage.archive.parquet_archive import Archive
from storage.embedded.database import EmbeddedStore
from storage.external.influx import InfluxSink
from storage.external.influx_reader import FluxReader, InfluxQlReader
from storage.external.sink_registry import external_reader
from storage.external.victoria import VictoriaReader
from storage.storage_settings import ArchiveSettings, SinkSettings, StoreSettings
from storage.store import StepOutput

SECOND = 10**9
HOUR = 3600 * SECOND
NAMES = [SeriesRecord(0, "pump 1", "flow"), SeriesRecord(1, 'fan "2"', "speed")]


def made(hours: int, start: int) -> ScoredBatch:
    """A point a minute of two series, none of them in a whole millisecond."""
    at = np.repeat(np.arange(hours * 60), 2)
    value: NDArray[np.float64] = np.round(20 + 5 * np.sin(at / 30) + at % 7, 3)
    return ScoredBatch(
        np.tile(np.arange(2, dtype=np.int32), hours * 60),
        start + at * 60 * SECOND + 123_456,
        value,
        score=value + 0.0,
        expected=value + 0.5,
        lower=value - 2.0,
        upper=value + 3.0,
        anomaly=at % 50 == 49,
        late=np.zeros(len(at), np.bool_),
    )


@pytest.fixture
def server(tmp_path: Path, free_port: int, wait_until: Callable[..., None]) -> Iterator[Victoria]:
    with Victoria(tmp_path / "vm", free_port, wait_until) as started:
        yield started


@pytest.fixture
def points(server: Victoria, tmp_path: Path) -> Iterator[ScoredBatch]:
    """Five hours in VictoriaMetrics, of which the embedded database in `tmp_path` has the last one."""
    whole = made(5, time.time_ns() // HOUR * HOUR - 6 * HOUR)
    with (
        EmbeddedStore(tmp_path / "points.duckdb", StoreSettings(keep="1h")) as store,
        InfluxSink(settings_of(server.url)) as sink,
    ):
        store.commit(StepOutput(0, 1, whole, NAMES), sink.write)
        assert store.apply_retention(time.time_ns()) == 8 * 60 - 20
    server.get("/internal/force_flush")
    yield whole


def settings_of(url: str) -> SinkSettings:
    return SinkSettings(name="victoria", type="victoriametrics", url=url, timeout="5s")


def opened(tmp_path: Path, url: str | None, keep: str = "1h") -> EmbeddedStore:
    older = None if url is None else external_reader(settings_of(url))
    return EmbeddedStore(tmp_path / "points.duckdb", StoreSettings(keep=keep), older=older)


@pytest.mark.service("victoria-metrics")
def test_a_chart_goes_on_where_the_embedded_points_begin(points: ScoredBatch, server: Victoria, tmp_path: Path) -> None:
    own = points.series == 1
    stored = points.time[own]
    with opened(tmp_path, None) as store:
        alone = store.points(1)
        assert alone.total == 70
    with opened(tmp_path, server.url) as store:
        found = store.points(1)
        assert found.total == 300
        assert found.missing == ""
        assert found.value.tolist() == points.value[own].tolist()
        assert found.anomaly.tolist() == points.anomaly[own].tolist()
        # What came from VictoriaMetrics has whole milliseconds.
        assert found.time.tolist() == [*(stored[:239] // 10**6 * 10**6).tolist(), *stored[239:].tolist()]
        cuts = (stored[[10, 238, 239, 240, 290]] // 10**6 * 10**6).tolist()
        for low in cuts:
            for high in [cut for cut in cuts if cut > low]:
                between = (points.time >= low) & (points.time < high) & own
                part = store.points(1, low, high)
                assert part.value.tolist() == points.value[between].tolist()
        thin = store.points(1, None, None, 20)
        assert thin.total == 300
        assert 20 <= len(thin.time) <= 46
        assert {thin.value.min(), thin.value.max()} == {points.value[own].min(), points.value[own].max()}


@pytest.mark.service("victoria-metrics")
def test_history_for_a_warm_start_goes_back_as_far_as_asked(
    points: ScoredBatch, server: Victoria, tmp_path: Path
) -> None:
    with opened(tmp_path, server.url) as store:
        for n in (1, 61, 62, 200, 1_000):
            for series, found in store.history(n):
                assert found.value.tolist() == points.value[points.series == series][-n:].tolist()


@pytest.mark.service("victoria-metrics")
def test_a_point_far_behind_does_not_hide_what_lies_between(
    points: ScoredBatch, server: Victoria, tmp_path: Path
) -> None:
    with opened(tmp_path, server.url) as store:
        late = made(1, int(points.time[0]) - 10 * HOUR).take(np.arange(120) < 1)
        store.commit(StepOutput(1, 2, late))
        assert store.points(0).total == 300


@pytest.mark.service("victoria-metrics")
def test_the_archive_is_read_before_the_external_database(
    points: ScoredBatch, server: Victoria, tmp_path: Path
) -> None:
    chosen = Archive(ArchiveSettings(folder=str(tmp_path / "archive"), after="1h"))
    older = external_reader(settings_of(server.url))
    with EmbeddedStore(tmp_path / "points.duckdb", StoreSettings(keep="900d"), archive=chosen, older=older) as store:
        ahead = made(1, int(points.time[-1]) // HOUR * HOUR + 48 * HOUR)
        store.commit(StepOutput(1, 2, ahead))
        assert store.move_to_archive() == 140
        assert store.points(0).value.tolist() == [*points.value[::2].tolist(), *ahead.value[::2].tolist()]


@pytest.mark.service("victoria-metrics")
def test_where_it_is_away_the_rest_is_shown_and_the_gap_is_said(
    points: ScoredBatch, server: Victoria, tmp_path: Path
) -> None:
    server.stop()
    with opened(tmp_path, server.url) as store:
        found = store.points(1)
        assert found.total == 61
        assert found.missing.startswith("points before 2")
        assert server.url in found.missing
        assert store.points(1, int(found.time[0])).missing == ""
        assert [(each.total, server.url in each.missing) for _, each in store.history(100)] == [(70, True)] * 2


def test_the_reader_is_that_of_the_sink() -> None:
    settings = SinkSettings(name="a", url="http://localhost:1")
    assert type(external_reader(settings)) is FluxReader
    assert type(external_reader(settings.model_copy(update={"language": "influxql"}))) is InfluxQlReader
    assert type(external_reader(settings_of("http://localhost:1"))) is VictoriaReader
