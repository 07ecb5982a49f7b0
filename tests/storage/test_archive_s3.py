"""The archive in a bucket, over HTTP and signed requests, on moto's server: a process of its own that speaks S3."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from devices.batch import ScoredBatch
from devices.records import SeriesRecord
from driftline.cli.command_line import main
from storage.archive.parquet_archive import MANIFEST, Archive
from storage.embedded.database import EmbeddedStore
from storage.storage_settings import ArchiveSettings, StoreSettings
from storage.store import CommitResult, StepOutput

DAY = 86_400 * 10**9
HOUR = 3600 * 10**9
START = 19_700 * DAY
FOLDER = "s3://points/plant/one"
SETTINGS = StoreSettings(keep="3650d")


@pytest.fixture
def endpoint(free_port: int, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """HOST:PORT of a server with the bucket "points", and keys in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(free_port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{free_port}/moto-api/"), what="the server of buckets", within=240)
        bucket_of(f"127.0.0.1:{free_port}").create()
        yield f"127.0.0.1:{free_port}"
    finally:
        server.terminate()
        server.wait(60)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return int(reply.status) == 200
    except (urllib.error.URLError, OSError):
        return False


def bucket_of(endpoint: str) -> Any:
    """The bucket as another program's library sees it."""
    return boto3.resource("s3", endpoint_url=f"http://{endpoint}", region_name="us-east-1").Bucket("points")


def objects(endpoint: str) -> dict[str, bytes]:
    return {each.key: each.get()["Body"].read() for each in bucket_of(endpoint).objects.all()}


def archive_on(endpoint: str, **more: object) -> Archive:
    chosen = {"s3_endpoint": endpoint, "s3_region": "us-east-1", "s3_tls": False, "after": "1d"} | more
    return Archive(ArchiveSettings(folder=FOLDER, **chosen))


def hourly(hours: range, series: int = 0) -> ScoredBatch:
    n = len(hours)
    value = np.array(hours, np.float64)
    no = np.zeros(n, np.bool_)
    time = START + np.array(hours, np.int64) * HOUR
    return ScoredBatch(np.full(n, series, np.int32), time, value, value, value, value - 1, value + 1, no, no)


def put(store: EmbeddedStore, points: ScoredBatch) -> CommitResult:
    names = [SeriesRecord(0, "pump", "flow"), SeriesRecord(1, "fan", "speed")]
    return store.commit(StepOutput(store.position, store.position + 1, points, names))


def test_days_go_to_the_bucket_and_are_read_as_one_table(endpoint: str, tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "points.duckdb", SETTINGS, archive=archive_on(endpoint)) as store:
        put(store, hourly(range(5 * 24)))
        put(store, hourly(range(5 * 24), 1))
        everything = store.query("SELECT * FROM points ORDER BY ALL").rows
        assert store.move_to_archive() == 2 * 3 * 24
        assert store.query("SELECT * FROM points ORDER BY ALL").rows == everything
        assert store.points(1).total == 120
        assert store.archive is not None
        assert store.archive.verify(store.archived) == []

    stored = objects(endpoint)
    days = sorted(name.split("/")[2] for name in stored if name.endswith(".parquet"))
    assert days == ["day=2023-12-09", "day=2023-12-10", "day=2023-12-11"]
    listed = json.loads(stored[f"plant/one/{MANIFEST}"])["files"]
    assert {f"plant/one/{file['path']}" for file in listed} == set(stored) - {f"plant/one/{MANIFEST}"}

    with EmbeddedStore(tmp_path / "points.duckdb", read_only=True) as store:
        assert store.query("SELECT * FROM points ORDER BY ALL").rows == everything


def test_late_points_reach_the_file_of_their_day_and_merged_files_leave_the_bucket(
    endpoint: str, tmp_path: Path
) -> None:
    with EmbeddedStore(tmp_path / "points.duckdb", SETTINGS, archive=archive_on(endpoint)) as store:
        put(store, hourly(range(0, 5 * 24, 12)))
        store.move_to_archive()
        for hour in range(1, 11):
            late = hourly(range(hour, hour + 1))
            assert put(store, late) == CommitResult(1, 0, 0)
            assert put(store, late) == CommitResult(0, 1, 0)
            assert store.move_to_archive() == 1
        first_day = [file for file in store.archived if file.day == "2023-12-09"]
        assert sum(file.rows for file in first_day) == 12
        assert len(first_day) < 9
        store.move_to_archive()
        assert store.points(0).value.tolist() == sorted({*range(0, 120, 12), *range(1, 11)})
        assert len([name for name in objects(endpoint) if name.endswith(".parquet")]) == len(store.archived)


def test_a_file_that_was_changed_in_the_bucket_is_found(
    endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "points.duckdb"
    with EmbeddedStore(path, SETTINGS, archive=archive_on(endpoint)) as store:
        put(store, hourly(range(5 * 24)))
        store.move_to_archive()
        damaged, gone = store.archived[0].path, store.archived[1].path
    assert main(["storage", "verify", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "3 files, every checksum is right\n"
    bucket = bucket_of(endpoint)
    content = bytearray(objects(endpoint)[f"plant/one/{damaged}"])
    content[100] ^= 1
    bucket.put_object(Key=f"plant/one/{damaged}", Body=bytes(content))
    bucket.Object(f"plant/one/{gone}").delete()
    assert main(["storage", "verify", "--data", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"{damaged}: wrong checksum" in said
    assert f"{gone}: cannot be read" in said
    with EmbeddedStore(path, SETTINGS, archive=archive_on(endpoint)) as store:
        found = store.points(0)
        assert found.total == 120 - 2 * 24, "what is not damaged is there"
        assert f"{damaged}: missing or damaged" in found.missing


def test_a_bucket_that_is_not_there_is_named(endpoint: str, tmp_path: Path) -> None:
    archive = Archive(archive_on(endpoint).settings.model_copy(update={"folder": "s3://nowhere/plant"}))
    with EmbeddedStore(tmp_path / "points.duckdb", SETTINGS, archive=archive) as store:
        assert "s3://nowhere/plant: the archive cannot be reached" in store.archive_problem


def test_points_stay_in_the_database_while_the_bucket_is_away(endpoint: str, free_port: int, tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "points.duckdb", SETTINGS, archive=archive_on(endpoint)) as store:
        put(store, hourly(range(5 * 24)))
        bucket = bucket_of(endpoint)
        bucket.objects.delete()
        bucket.delete()
        assert store.move_to_archive() == 0
        assert "plant/one" in store.archive_problem
        assert store.archived == ()
        assert store.points(0).total == 120
        bucket.create()
        assert store.move_to_archive() == 72
        assert store.points(0).total == 120
