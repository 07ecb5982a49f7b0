"""Backups: of a stopped folder here; of a running service in tests/faults."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import pytest

from common.time_units import SECOND
from driftline.http.view import Status
from driftline.runtime.backup_settings import BackupSettings
from driftline.runtime.backup_trial import Extent, try_backup
from driftline.runtime.data_backup import MANIFEST, BackupError, back_up, restore
from driftline.runtime.data_folder import DataFolder
from driftline.runtime.scheduled_backup import ScheduledBackups, made_backups
from storage.embedded.database import EmbeddedStore
from storage.journal.sqlite_journal import SqliteJournal
from storage.snapshots import SnapshotStore


@pytest.fixture(autouse=True)
def key_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A data folder as a service leaves it."""
    made = DataFolder(tmp_path / "var")
    made.path.mkdir()
    with SqliteJournal(made.journal), SnapshotStore(made.snapshots), EmbeddedStore(made.database):
        pass
    made.remember_subscribed({"#": 1})
    return made


def backed_up(folder: DataFolder, target: Path, config: Path | None = None) -> None:
    with EmbeddedStore(folder.database) as store:
        back_up(folder, store, config, target)


def test_a_backup_is_restored_with_its_configuration(folder: DataFolder, tmp_path: Path) -> None:
    config = tmp_path / "plant.toml"
    config.write_text("# plant\n")
    backed_up(folder, tmp_path / "backup", config)
    files = restore(tmp_path / "backup", DataFolder(tmp_path / "again"))
    assert {"driftline.toml", "journal.db", "points.duckdb", "session.json", "snapshots.db"} <= set(files)
    assert (tmp_path / "again" / "driftline.toml").read_text() == "# plant\n"
    assert DataFolder(tmp_path / "again").subscribed() == {"#": 1}
    with SqliteJournal(tmp_path / "again" / "journal.db", read_only=True) as journal:
        assert next(journal.newest_first()).begins_session


def test_a_folder_that_holds_something_is_never_written_into(folder: DataFolder, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("dear")
    with pytest.raises(BackupError, match="not an empty folder"):
        backed_up(folder, tmp_path / "full")
    backed_up(folder, tmp_path / "backup")
    with pytest.raises(BackupError, match="holds data already"):
        restore(tmp_path / "backup", folder)


def test_a_damaged_backup_is_refused_before_anything_is_written(folder: DataFolder, tmp_path: Path) -> None:
    backed_up(folder, tmp_path / "backup")
    data = bytearray((tmp_path / "backup" / "journal.db").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "backup" / "journal.db").write_bytes(data)
    with pytest.raises(BackupError, match=r"journal\.db.* is missing or not what was backed up"):
        restore(tmp_path / "backup", DataFolder(tmp_path / "again"))
    assert not (tmp_path / "again").exists()


def test_what_is_no_backup_is_refused(folder: DataFolder, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="is no backup"):
        restore(tmp_path, DataFolder(tmp_path / "again"))
    backed_up(folder, tmp_path / "backup")
    (tmp_path / "backup" / MANIFEST).write_text('{"version": 9, "files": {}}')
    with pytest.raises(BackupError, match="version 9"):
        restore(tmp_path / "backup", DataFolder(tmp_path / "again"))


def test_a_backup_of_somebody_else_needs_a_word_of_trust(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "var")
    folder.lock()
    with EmbeddedStore(folder.database) as store:
        back_up(folder, store, None, tmp_path / "backup", key_file=tmp_path / "mine.key")
    folder.release()
    assert (tmp_path / "mine.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0
    again = DataFolder(tmp_path / "again")
    with pytest.raises(BackupError, match=r"was not made by this user on this machine.*--trust"):
        restore(tmp_path / "backup", again, key_file=tmp_path / "other.key")
    assert not again.database.exists()
    manifest = json.loads((tmp_path / "backup" / "backup.json").read_text())
    del manifest["seal"]
    (tmp_path / "unsealed").mkdir()
    for file in (tmp_path / "backup").iterdir():
        (tmp_path / "unsealed" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "unsealed" / "backup.json").write_text(json.dumps(manifest))
    with pytest.raises(BackupError, match="--trust"):
        restore(tmp_path / "unsealed", again, key_file=tmp_path / "mine.key")
    restore(tmp_path / "unsealed", again, trust=True)
    restore(tmp_path / "backup", DataFolder(tmp_path / "own"), key_file=tmp_path / "mine.key")
    assert (tmp_path / "own" / folder.database.name).exists()


class Clock:
    """A clock that the test sets."""

    def __init__(self, text: str) -> None:
        self.set(text)

    def set(self, text: str) -> None:
        self.now = int(datetime.fromisoformat(text).timestamp()) * SECOND

    def __call__(self) -> int:
        return self.now


def test_backups_make_themselves_are_tried_and_the_oldest_go(folder: DataFolder, tmp_path: Path) -> None:
    clock, place = Clock("2026-03-01T02:59:00+00:00"), tmp_path / "backups"
    settings = BackupSettings(folder=place, keep=2)
    with EmbeddedStore(folder.database) as store:
        desk = ScheduledBackups(folder, store, None, nullcontext, clock=clock)
        desk.look(settings)
        assert (made_backups(place), desk.health(settings)[0].message) == ([], "none is due yet")
        for day in (1, 2, 4):  # the third was missed, and is made up for with the fourth
            clock.set(f"2026-03-0{day}T03:00:30+00:00")
            desk.look(settings)
            desk.stop()
            desk.look(settings)
            desk.stop()
        [stage] = desk.health(settings)
        assert [each.name for each in sorted(place.iterdir())] == [
            "driftline-20260302T030030Z",
            "driftline-20260304T030030Z",
        ]
        assert stage.status is Status.GREEN
        assert stage.message.startswith("driftline-20260304T030030Z: ")
        assert stage.message.endswith(" MiB, restored on trial with 0 messages")

        (folder.journal).write_bytes(b"no journal" * 1_000)
        clock.set("2026-03-05T03:00:30+00:00")
        desk.look(settings)
        desk.stop()
        [stage] = desk.health(settings)
        assert stage.status is Status.YELLOW
        assert stage.message.startswith("failed, and is made again in an hour: ")
        assert len(made_backups(place)) == 2, "the good ones stay"
    restore(made_backups(place)[-1], DataFolder(tmp_path / "again"))


def test_of_backups_that_cannot_be_put_back_the_newest_stays(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise BackupError("it cannot be put back")

    monkeypatch.setattr("driftline.runtime.scheduled_backup.try_backup", fails)
    clock, place = Clock("2026-03-01T02:59:00+00:00"), tmp_path / "backups"
    settings = BackupSettings(folder=place)
    with EmbeddedStore(folder.database) as store:
        desk = ScheduledBackups(folder, store, None, nullcontext, clock=clock)
        for day in (1, 2, 3):
            clock.set(f"2026-03-0{day}T03:00:30+00:00")
            desk.look(settings)
            desk.stop()
        [stage] = desk.health(settings)
    assert [each.name for each in place.iterdir()] == ["driftline-20260303T030030Z.bad"]
    assert stage.message == "failed, and is made again in an hour: it cannot be put back"


def test_a_backup_that_lacks_what_was_stored_is_told_from_one_that_does_not(folder: DataFolder, tmp_path: Path) -> None:
    backed_up(folder, tmp_path / "backup")
    nothing, more = Extent(0, 0), Extent(5, 900)
    assert try_backup(tmp_path / "backup", least=nothing, most=more) == nothing
    with pytest.raises(BackupError, match=r"its position is 0, expected between 5 and 5"):
        try_backup(tmp_path / "backup", least=more, most=more)
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".trial")] == []
