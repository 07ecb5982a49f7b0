"""An archive that is gone, not mounted, or damaged: said, and everything else goes on; nothing is lost or doubled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from devices.batch import Batch, ScoredBatch
from devices.records import SeriesRecord
from storage.archive.parquet_archive import Archive
from storage.embedded.database import EmbeddedStore
from storage.embedded.sql_guard import QueryError
from storage.storage_settings import ArchiveSettings, StoreSettings
from storage.store import CommitResult, StepOutput

HOUR = 3600 * 10**9
DAY = 24 * HOUR
START = 1_702_080_000 * 10**9


def points(first: int, count: int, value: float = 1.0) -> ScoredBatch:
    batch = Batch(np.zeros(count, np.int32), START + (first + np.arange(count)) * HOUR, np.full(count, value))
    return ScoredBatch.unscored(batch, late=False)


def put(store: EmbeddedStore, batch: ScoredBatch) -> CommitResult:
    names = [SeriesRecord(0, "pump", "flow")]
    return store.commit(StepOutput(store.position, store.position + 1, batch, series=names))


def opened(folder: Path) -> EmbeddedStore:
    archive = Archive(ArchiveSettings(folder=str(folder / "archive"), after="1d"))
    return EmbeddedStore(folder / "points.duckdb", StoreSettings(keep="3d"), archive=archive).open()


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Path]:
    """Ten days in the archive, the last two in the database."""
    with opened(tmp_path) as store:
        put(store, points(0, 12 * 24))
        store.move_to_archive()
        assert len(store.archived) == 10
    yield tmp_path


def test_without_its_archive_the_store_goes_on_and_has_all_again_once_it_is_back(filled: Path) -> None:
    (filled / "archive").rename(filled / "unmounted")
    with opened(filled) as store:
        assert "the archive with 240 points is not there: mount it" in store.archive_problem
        assert put(store, points(5, 1, 7.0)) == CommitResult(1, 0, 0), "stored hot: whether it is double is seen later"
        assert put(store, points(12 * 24, 5 * 24)) == CommitResult(120, 0, 0)
        assert store.points(0).total == 48 + 1 + 120
        assert store.points(0).missing == store.archive_problem
        assert store.query("SELECT count(*) FROM points").rows == [(169,)]
        assert store.move_to_archive() == 0
        assert store.apply_retention(START + 60 * DAY) == 0, "what has not moved yet is here alone"
        assert not (filled / "archive").exists(), "no new archive begins in the place where the old one was mounted"
    with opened(filled) as store:
        (filled / "unmounted").rename(filled / "archive")
        assert store.move_to_archive() == 5 * 24
        assert store.archive_problem == ""
        assert store.points(0).total == 17 * 24
        assert store.points(0).missing == ""
        assert store.points(0, START + 5 * HOUR, START + 6 * HOUR).value.tolist() == [1.0]


@pytest.mark.parametrize("damage", ["gone", "cut short", "flipped"])
def test_a_damaged_file_is_set_aside_and_the_rest_answers(filled: Path, damage: str) -> None:
    with opened(filled) as store:
        file = store.archived[3]
        path = filled / "archive" / file.path
        whole = path.read_bytes()
        broken = {"gone": b"", "cut short": whole[:-100], "flipped": bytes(byte ^ 0xFF for byte in whole)}[damage]
        path.write_bytes(broken)
        if damage == "gone":
            path.unlink()
        assert store.query("SELECT count(*) FROM points").rows == [(11 * 24,)]
        assert store.points(0).total == 11 * 24
        assert f"{file.path}: missing or damaged" in store.points(0).missing
        assert "1 of the archive's files with 24 points" in store.archive_problem
        assert put(store, points(3 * 24 + 2, 1, 7.0)) == CommitResult(1, 0, 0)
        assert store.points(0, START, START + DAY).missing == ""
        path.write_bytes(whole)
        store.move_to_archive()
        assert store.archive_problem == ""
        assert store.points(0).total == 12 * 24


def test_a_pipe_in_place_of_a_file_holds_up_nothing(filled: Path) -> None:
    with opened(filled) as store:
        path = filled / "archive" / store.archived[3].path
        path.unlink()
        os.mkfifo(path)
        store.move_to_archive()
        assert "missing or damaged" in store.archive_problem
        assert store.query("SELECT count(*) FROM points").rows == [(11 * 24,)]


def test_a_file_whose_bytes_changed_in_silence_is_found_by_housekeeping(filled: Path) -> None:
    with opened(filled) as store:
        path = filled / "archive" / store.archived[3].path
        whole = bytearray(path.read_bytes())
        whole[len(whole) // 2] ^= 1
        path.write_bytes(whole)
        store.move_to_archive()
        assert "missing or damaged" in store.archive_problem


def test_sql_cannot_write_over_the_archive(filled: Path) -> None:
    with opened(filled) as store:
        file = store.archived[3]
        target = filled / "archive" / file.path
        before = target.read_bytes()
        for sql in (
            f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{target}'",
            f"COPY (SELECT 1) TO '{target}'",
            f"WITH x AS (SELECT 1) COPY x TO '{target}'",
            f"SELECT * FROM '{target}'",
        ):
            with pytest.raises(QueryError):
                store.query(sql)
        assert target.read_bytes() == before
        assert store.query("SELECT count(*) FROM points").rows == [(12 * 24,)]
