"""Backtests of what a store holds: the embedded database, and a real VictoriaMetrics by the name of its sink."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from victoria import Victoria

from devices.batch import ScoredBatch
from devices.records import SeriesRecord
from driftline.cli.command_line import main
from storage.embedded.database import EmbeddedStore
from storage.external.influx import InfluxSink
from storage.storage_settings import SinkSettings
from storage.store import StepOutput
from tuning.recordings import RecordingError, open_recording
from tuning.stored import write_recordings

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")

SECOND = 10**9
HOUR = 3600 * SECOND
NAMES = [
    SeriesRecord(0, "plant/pump 1", "flow"),
    SeriesRecord(1, "plant/pump 1", "temp"),
    SeriesRecord(2, "../fan", "speed"),
]
CONFIG = """
[detectors.tight]
type = "threshold"
upper = 150.0
[[routes]]
filter = "plant/#"
detectors = ["tight"]
[[sinks]]
name = "victoria"
type = "victoriametrics"
url = "{url}"
"""


@pytest.fixture
def output() -> StepOutput:
    """200 points of each series, the second one half a second behind the others at every other point."""
    start = time.time_ns() // HOUR * HOUR - 3 * HOUR
    row = np.repeat(np.arange(200), 3)
    series = np.tile(np.arange(3, dtype=np.int32), 200)
    at = start + row * SECOND + np.where((series == 1) & (row % 2 == 1), SECOND // 2, 0)
    none = np.full(600, np.nan)
    no = np.zeros(600, np.bool_)
    value = row + series / 10.0
    return StepOutput(0, 1, ScoredBatch(series, at, value, none, none, none, none, no, no), NAMES)


@pytest.fixture
def store(tmp_path: Path, output: StepOutput) -> Iterator[EmbeddedStore]:
    Path("var").mkdir()
    with EmbeddedStore(Path("var/points.duckdb")) as opened:
        opened.commit(output)
        yield opened


def test_a_device_is_one_recording_with_its_metrics_side_by_side(store: EmbeddedStore, tmp_path: Path) -> None:
    fan, pump = write_recordings(store, tmp_path / "out")
    assert (fan.name, pump.name) == ("..%2Ffan.parquet", "plant%2Fpump 1.parquet")
    assert fan.parent == tmp_path / "out"
    table = pq.read_table(pump)
    assert table.column_names == ["_time", "flow", "temp"]
    assert table.num_rows == 300
    assert table["flow"].drop_null().to_pylist() == list(range(200))
    assert table["temp"].drop_null().to_pylist() == [row + 0.1 for row in range(200)]
    assert open_recording(pump).topic == "plant/pump 1"


def test_devices_and_times_are_chosen(store: EmbeddedStore, output: StepOutput, tmp_path: Path) -> None:
    start = int(output.points.time[0])
    (pump,) = write_recordings(store, tmp_path, devices=["plant/*"], start=start + 10 * SECOND, end=start + 20 * SECOND)
    assert pq.read_table(pump)["flow"].drop_null().to_pylist() == list(range(10, 20))
    with pytest.raises(RecordingError, match="no points of pump in that time; expected some of 0 matching devices"):
        write_recordings(store, tmp_path, devices=["pump"])


def anomalies(path: str) -> list[bool]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return [row["anomaly"] == "1" for row in csv.DictReader(file)]


def test_the_embedded_database_is_scored_by_the_route_of_each_device(store: EmbeddedStore) -> None:
    store.close()
    Path("driftline.toml").write_text(CONFIG.format(url="http://127.0.0.1:1"))
    assert main(["backtest", "--from", "embedded", "--device", "plant/*", "--out", "out", "--workers", "1"]) == 0
    assert sum(anomalies("out/plant%2Fpump 1.csv")) == 75  # 150.1 to 199.1 and 151 to 199, half of them at one time


@pytest.mark.service("victoria-metrics")
def test_an_external_database_is_scored_as_the_embedded_one_is(
    store: EmbeddedStore, output: StepOutput, tmp_path: Path, free_port: int, wait_until: Callable[..., None]
) -> None:
    store.close()
    with Victoria(tmp_path / "vm", free_port, wait_until) as server:
        Path("driftline.toml").write_text(CONFIG.format(url=server.url))
        with InfluxSink(SinkSettings(name="victoria", type="victoriametrics", url=server.url)) as sink:
            sink.write(output)
        server.get("/internal/force_flush")
        for name in ("embedded", "victoria"):
            assert main(["backtest", "--from", name, "--out", name, "--workers", "1"]) == 0
    for file in ("plant%2Fpump 1.csv", "..%2Ffan.csv"):
        assert Path("victoria", file).read_text() == Path("embedded", file).read_text()


def test_what_is_wrong_is_said(store: EmbeddedStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.close()
    Path("driftline.toml").write_text(CONFIG.format(url="http://127.0.0.1:1"))
    assert main(["backtest", "--from", "victorai", "--out", "out"]) == 2
    assert 'unknown "victorai"; did you mean "victoria"? (known: embedded, victoria)' in capsys.readouterr().err
    assert main(["backtest", "--from", "victoria", "--out", "out"]) != 0
    assert "http://127.0.0.1:1/api/v1/series" in capsys.readouterr().err
    assert main(["backtest", "--from", "embedded", "--since", "yesterday", "--out", "out"]) == 2
    assert "--since" in capsys.readouterr().err
    assert main(["backtest", "a.csv", "--from", "embedded", "--out", "out"]) == 2
