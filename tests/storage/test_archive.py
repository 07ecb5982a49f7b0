from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs
from pydantic import ValidationError

from common.storage_errors import StorageCorruptError
from devices.batch import ScoredBatch
from devices.records import PointsMark, SeriesMove, SeriesRecord
from storage.archive.parquet_archive import Archive
from storage.embedded.database import EmbeddedStore
from storage.embedded.sql_guard import QueryError
from storage.storage_settings import ArchiveSettings, StoreSettings
from storage.store import CommitResult, StepOutput

SECOND = 10**9
HOUR = 3600 * SECOND
DAY = 24 * HOUR
START = 19_700 * DAY
NAMES = [SeriesRecord(0, "pump", "flow", "m³/h"), SeriesRecord(1, "pump", "temp"), SeriesRecord(2, "fan", "speed")]


def open_store(folder: Path, **more: object) -> EmbeddedStore:
    chosen = ArchiveSettings(folder=str(folder / "it's an archive"), **more)
    return EmbeddedStore(folder / "points.duckdb", StoreSettings(keep="3650d"), archive=Archive(chosen)).open()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with open_store(tmp_path, after="1d") as opened:
        yield opened


def scored(rows: list[tuple[int, int, float]]) -> ScoredBatch:
    series, time, value = (np.array(column) for column in zip(*rows, strict=True))
    value = value.astype(np.float64)
    no = np.zeros(len(value), np.bool_)
    score = np.where(value > 0, 0.5, np.nan)
    return ScoredBatch(
        series.astype(np.int32), time.astype(np.int64), value, score, value + 0.5, value - 2, value + 3, no, no
    )


def put(store: EmbeddedStore, rows: list[tuple[int, int, float]]) -> CommitResult:
    return store.commit(StepOutput(store.position, store.position + 1, scored(rows), NAMES))


def hourly(days: int, series: int = 0, first: int = START) -> list[tuple[int, int, float]]:
    return [(series, first + hour * HOUR, float(hour)) for hour in range(days * 24)]


def everything(store: EmbeddedStore) -> list[tuple[object, ...]]:
    return store.query("SELECT device, metric, epoch_ns(time), value FROM points ORDER BY ALL", 100_000).rows


def test_old_days_move_and_are_read_as_before(store: EmbeddedStore, tmp_path: Path) -> None:
    put(store, [*hourly(5), *hourly(2, 1), *hourly(5, 2)])
    before, charts = everything(store), [store.points(series) for series in range(3)]
    thin, latest = store.points(0, START + DAY, START + 3 * DAY, 6), store.latest()
    assert store.move_to_archive() == 24 * (3 + 2 + 3) - 1, "the newest of a series that has ended stays"
    assert [file.day for file in store.archived] == ["2023-12-09", "2023-12-10", "2023-12-11"]
    assert everything(store) == before
    for series, chart in enumerate(charts):
        found = store.points(series)
        assert found.total == chart.total
        for name in ("time", "value", "score", "expected", "lower", "upper", "anomaly"):
            np.testing.assert_array_equal(getattr(found, name), getattr(chart, name))
    assert store.points(0, START + DAY, START + 3 * DAY, 6).time.tolist() == thin.time.tolist()
    assert store.latest().time.tolist() == latest.time.tolist()
    assert store.query("SELECT device, points FROM devices ORDER BY device").rows == [("fan", 120), ("pump", 168)]
    assert store.move_to_archive() == 0
    store.close()
    with EmbeddedStore(store.path, read_only=True) as reader:
        assert everything(reader) == before, "the database knows where its archive is"
    with open_store(tmp_path, after="1d") as again:
        assert everything(again) == before
        assert again.latest().time.tolist() == latest.time.tolist()


def change(store: EmbeddedStore, **more: object) -> None:
    nothing = scored([(0, START, 0.0)]).take(np.empty(0, np.intp))
    store.commit(StepOutput(store.position, store.position + 1, nothing, **more))  # type: ignore[arg-type]


def in_files(store: EmbeddedStore) -> set[tuple[str, int]]:
    """Device and series of all rows of the archive's files, the files that lie about counted too."""
    assert store.archive is not None
    assert store.archive.local is not None
    tables = [pq.read_table(path, partitioning=None) for path in store.archive.local.rglob("*.parquet")]
    return {pair for t in tables for pair in zip(t["device"].to_pylist(), t["series"].to_pylist(), strict=True)}


def test_a_device_that_is_deleted_is_gone_from_the_archive_at_once_and_from_its_files_soon(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    put(store, [*hourly(5), *hourly(5, 2)])
    store.move_to_archive()
    gone = [replace(NAMES[2], gone_at=store.position)]
    change(store, deleted=[2], series=gone)
    assert store.query("SELECT DISTINCT device FROM points").rows == [("pump",)]
    assert (store.points(2).total, store.points(0).total) == (0, 120)
    assert in_files(store) == {("pump", 0), ("fan", 2)}
    store.close()
    with open_store(tmp_path, after="1d") as again:
        assert again.query("SELECT DISTINCT device FROM points").rows == [("pump",)]
        again.move_to_archive()
        again.move_to_archive()
        assert in_files(again) == {("pump", 0)}
        assert again.points(0).total == 120
        assert again.archive is not None
        assert again.archive.verify(again.archived) == []


def test_a_device_that_is_merged_has_its_archived_points_under_the_other(store: EmbeddedStore) -> None:
    put(store, [*hourly(3), *hourly(3, 2), *hourly(2, 1, START + 3 * DAY)])
    store.move_to_archive()
    change(store, moved=[SeriesMove(2, 1, 2.0, 10.0)], series=[replace(NAMES[2], gone_at=store.position)])

    def told() -> list[tuple[object, ...]]:
        return store.query("SELECT device, metric, count(*), max(value) FROM points GROUP BY ALL ORDER BY 1, 2").rows

    assert told() == [("pump", "flow", 72, 71.0), ("pump", "temp", 120, 152.0)]
    change(store, moved=[SeriesMove(1, 0, 1.0, 0.0)], series=[replace(NAMES[1], gone_at=store.position)])
    store.move_to_archive()
    store.move_to_archive()
    assert in_files(store) == {("pump", 0)}
    assert told() == [("pump", "flow", 192, 152.0)]


def test_a_stretch_of_the_archive_is_left_out_and_put_back(store: EmbeddedStore) -> None:
    put(store, hourly(5))
    store.move_to_archive()
    mark = PointsMark(0, START + HOUR, START + 3 * HOUR, excluded=True)
    change(store, marked=[mark])
    assert store.points(0, START, START + 4 * HOUR).value.tolist() == [0.0, 3.0]
    assert store.query("SELECT value FROM excluded ORDER BY 1").rows == [(1.0,), (2.0,)]
    assert store.exclusion_counts("pump", "flow", START, START + DAY) == (2, 22)
    assert store.exclusions(0, None, None) == [(START + HOUR, START + 3 * HOUR, 2)]
    assert put(store, [(0, START + HOUR, 1.0)]) == CommitResult(0, 1, 0), "it is stored, if not shown"
    change(store, marked=[replace(mark, excluded=False)])
    assert store.points(0).total == 120
    assert store.exclusions(0, None, None) == []


def test_files_say_what_they_hold(store: EmbeddedStore) -> None:
    put(store, [*hourly(5, 2), *hourly(5)])
    store.move_to_archive()
    archive = store.archive
    assert archive is not None
    assert archive.local is not None
    manifest = json.loads((archive.local / "manifest.json").read_text())
    assert [file["rows"] for file in manifest["files"]] == [48, 48, 48]
    table = pq.read_table(archive.local / manifest["files"][0]["path"], partitioning=None)
    rows = list(zip(table["series"].to_pylist(), table["time"].cast("int64").to_pylist(), strict=True))
    assert rows == sorted(rows)
    assert set(table["device"].to_pylist()) == {"pump", "fan"}
    assert archive.verify(store.archived) == []
    first, second, *_ = store.archived
    with (archive.local / first.path).open("r+b") as file:
        file.seek(100)
        file.write(b"\x00\x01\x02")
    (archive.local / second.path).unlink()
    words = archive.verify(store.archived)
    assert [file.path in word for file, word in zip((first, second), words, strict=True)] == [True, True]
    assert "wrong checksum" in words[0]
    assert "cannot be read" in words[1]


def test_late_points_reach_their_day_and_duplicates_stay_out(store: EmbeddedStore) -> None:
    put(store, hourly(5))
    store.move_to_archive()
    half = START + HOUR // 2
    assert put(store, [(0, START, 0.0), (0, half, 7.0)]) == CommitResult(1, 1, 0)
    assert (store.points(0).total, store.query("SELECT count(*) FROM points").rows) == (121, [(121,)])
    assert store.move_to_archive() == 1
    assert [file.rows for file in store.archived if file.day == "2023-12-09"] in ([24, 1], [1, 24])
    assert put(store, [(0, half, 7.0)]) == CommitResult(0, 1, 0)
    assert store.points(0, START, START + HOUR).value.tolist() == [0.0, 7.0]


def test_another_value_at_a_time_that_is_archived_is_kept_beside_it(store: EmbeddedStore) -> None:
    put(store, hourly(5))
    store.move_to_archive()
    assert put(store, [(0, START, 99.0)]) == CommitResult(1, 0, 0, conflicts=1)
    assert put(store, [(0, START, 99.0)]) == CommitResult(0, 1, 0), "the same again is a duplicate of the moved one"
    assert store.move_to_archive() == 1
    assert put(store, [(0, START, 99.0), (0, START, 0.0)]) == CommitResult(0, 2, 0)
    points = store.points(0, START, START + HOUR)
    assert (points.time.tolist(), points.value.tolist()) == ([START, START + 1], [0.0, 99.0])


def test_many_files_of_a_day_are_merged(store: EmbeddedStore) -> None:
    put(store, hourly(5))
    for minute in range(1, 12):
        put(store, [(0, START + minute * 60 * SECOND, 1.0)])
        assert store.move_to_archive() == (72 + 1 if minute == 1 else 1)
    files = [file for file in store.archived if file.day == "2023-12-09"]
    assert sum(file.rows for file in files) == 24 + 11
    assert len(files) < 8
    assert store.points(0).total == 131
    store.move_to_archive()
    archive = store.archive
    assert archive is not None
    assert archive.local is not None
    assert len(list(archive.local.rglob("*.parquet"))) == len(store.archived)


def test_files_that_a_kill_left_behind_are_removed(store: EmbeddedStore) -> None:
    archive = store.archive
    assert archive is not None
    assert archive.local is not None
    stray = archive.local / "day=2023-12-09" / "stray.parquet"
    stray.parent.mkdir()
    stray.write_bytes(b"half")
    stray.with_suffix(".tmp").write_bytes(b"half")
    put(store, hourly(5))
    store.move_to_archive()
    assert not stray.exists()
    assert not stray.with_suffix(".tmp").exists()
    assert store.points(0).total == 120


def test_days_past_their_keeping_are_removed(tmp_path: Path) -> None:
    with open_store(tmp_path, after="1d", keep="2d") as store:
        put(store, hourly(6))
        store.move_to_archive()
        assert [file.day for file in store.archived] == ["2023-12-12"]
        assert store.points(0).time[0] == START + 3 * DAY


def test_queries_see_each_point_once_while_days_move(store: EmbeddedStore, wait_until: Callable[..., None]) -> None:
    put(store, [*hourly(30), *hourly(30, 1)])
    counted: list[int] = []
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            counted.append(store.query("SELECT count(*) FROM points").rows[0][0])
            counted.append(store.points(0).total * 2)

    reader = threading.Thread(target=count)
    reader.start()
    wait_until(lambda: counted, what="a first count")
    store.move_to_archive()
    done.set()
    reader.join()
    assert set(counted) == {1440}


def test_sql_reaches_the_archive_and_nothing_else(store: EmbeddedStore, tmp_path: Path) -> None:
    put(store, hourly(5))
    store.move_to_archive()
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    assert store.query("SELECT count(*) FROM points WHERE time < '2023-12-10'").rows == [(24,)]
    for sql in (
        f"SELECT * FROM read_csv('{tmp_path}/secret.csv')",
        "SELECT * FROM read_text('/etc/hostname')",
        f"SELECT * FROM read_csv('{tmp_path}/it''s an archive/../secret.csv')",
    ):
        with pytest.raises(QueryError):
            store.query(sql)


def test_an_archive_of_another_database_is_refused(store: EmbeddedStore, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert store.archive is not None
    other = EmbeddedStore(tmp_path / "other" / "points.duckdb", archive=Archive(store.archive.settings))
    with pytest.raises(StorageCorruptError, match="belongs to another database"):
        other.open()
    put(store, hourly(5))
    store.move_to_archive()
    store.close()
    with pytest.raises(StorageCorruptError, match=r"72 points are in an archive, but archive\.folder is not set"):
        EmbeddedStore(store.path).open()


def test_a_bucket_serves_as_a_folder_does(tmp_path: Path) -> None:
    for day in ("2023-12-09", "2023-12-10", "2023-12-11"):  # a bucket has no folders to be made
        (tmp_path / "bucket" / f"day={day}").mkdir(parents=True)
    bucket = fs.SubTreeFileSystem(str(tmp_path / "bucket"), fs.LocalFileSystem())
    archive = Archive(ArchiveSettings(folder="s3://points/plant", after="1d"), bucket=bucket)
    with EmbeddedStore(tmp_path / "points.duckdb", StoreSettings(keep="3650d"), archive=archive) as store:
        put(store, [*hourly(5), *hourly(5, 2)])
        before, chart = everything(store), store.points(2, START, START + 2 * DAY, 10)
        assert store.move_to_archive() == 144
        assert everything(store) == before
        assert store.points(2, START, START + 2 * DAY, 10).time.tolist() == chart.time.tolist()
        assert put(store, [(0, START, 0.0), (0, START + 1, 7.0)]) == CommitResult(1, 1, 0)
        assert store.move_to_archive() == 1
        assert archive.verify(store.archived) == []
        with pytest.raises(QueryError):
            store.query(f"SELECT * FROM read_parquet('{tmp_path}/bucket/{store.archived[0].path}')")


def test_a_write_that_fails_leaves_everything_where_it_was(store: EmbeddedStore) -> None:
    assert store.archive is not None
    assert store.archive.local is not None
    put(store, hourly(5))
    before = everything(store)
    (store.archive.local / "day=2023-12-10").write_text("in the way")
    with pytest.raises(OSError, match="day=2023-12-10"):
        store.move_to_archive()
    assert everything(store) == before
    assert put(store, [(0, START + 200 * HOUR, 1.0)]) == CommitResult(1, 0, 0)
    (store.archive.local / "day=2023-12-10").unlink()
    store.move_to_archive()
    assert everything(store)[:-1] == before


def test_the_settings_are_checked() -> None:
    for folder in ("s3://", "s3:///", "ftp://host/path"):
        with pytest.raises(ValidationError, match="expected a folder or s3://BUCKET/PREFIX"):
            ArchiveSettings(folder=folder)
    with pytest.raises(ValueError, match=r"archive\.folder is empty"):
        Archive(ArchiveSettings())


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 200)), min_size=1, max_size=12), max_size=8))
def test_whatever_comes_in_whatever_order_is_there_once(steps: list[list[tuple[int, int]]]) -> None:
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder), after="12h") as store:
        expected: dict[tuple[int, int], float] = {}
        for number, step in enumerate(steps):
            rows = [(series, START + hour * HOUR, float(number * 100 + i)) for i, (series, hour) in enumerate(step)]
            put(store, rows)
            for series, time, value in rows:
                while expected.setdefault((series, time), value) != value:
                    time += 1  # noqa: PLW2901 - another value there: the next nanosecond is free
            store.move_to_archive()
            found: dict[tuple[int, int], float] = {}
            for series in range(3):
                points = store.points(series)
                found |= {(series, t): v for t, v in zip(points.time.tolist(), points.value.tolist(), strict=True)}
                assert points.total == len(points.time)
            assert found == expected
            assert store.query("SELECT count(*) FROM points").rows == [(len(expected),)]


def test_an_archive_begins_in_folders_that_are_made_for_it(tmp_path: Path) -> None:
    archive = Archive(ArchiveSettings(folder=str(tmp_path / "disk" / "plant" / "old")))
    with EmbeddedStore(tmp_path / "points.duckdb", archive=archive) as store:
        assert store.archive_problem == ""
    assert json.loads((tmp_path / "disk" / "plant" / "old" / "manifest.json").read_text())["files"] == []
