"""A backup tried: put back into a scratch folder, opened as the service opens it, and its counts compared."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from common.storage_errors import StorageCorruptError
from driftline.runtime.data_backup import BackupError, restore
from driftline.runtime.data_folder import DataFolder
from storage.embedded.database import EmbeddedStore
from storage.journal.sqlite_journal import SqliteJournal
from storage.snapshots import SnapshotStore


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a database was: its journal position, and the messages that it had counted."""

    position: int
    messages: int


def extent_of(store: EmbeddedStore) -> Extent:
    """How far the database is now."""
    return Extent(store.position, store.counts().get("messages", 0))


def try_backup(backup: Path, *, least: Extent, most: Extent, key_file: Path | None = None) -> Extent:
    """Put the backup back beside itself, open it, and take it away again; how far it goes.

    It must go at least as far as the database was before it was made (`least`), no further than after (`most`), and
    what its journal and snapshots hold must lead on from there. Raises BackupError, OSError.
    """
    with tempfile.TemporaryDirectory(prefix=".trial-", dir=backup.parent) as scratch:
        folder = DataFolder(Path(scratch) / "var")
        restore(backup, folder, key_file=key_file)
        try:
            with EmbeddedStore(folder.database, read_only=True) as store:
                found = extent_of(store)
                store.alarms(limit=1)
            _require_a_way_on(folder, found)
        except StorageCorruptError as error:
            raise BackupError(f'"{backup}" was restored on trial, and cannot be read: {error}') from None
    for name in ("position", "messages"):
        got, low, high = getattr(found, name), getattr(least, name), getattr(most, name)
        if not low <= got <= high:
            raise BackupError(
                f'"{backup}" was restored on trial: its {name} is {got:,}, expected between {low:,} and {high:,}, what '
                "the database had before and after it was made"
            )
    return found


def _require_a_way_on(folder: DataFolder, found: Extent) -> None:
    """From the newest snapshot at or before the database's position the journal must lead there without a gap."""
    if not folder.journal.exists():
        # It is kept elsewhere, and is no part of the backup.
        return
    with SqliteJournal(folder.journal, read_only=True) as journal, SnapshotStore(folder.snapshots) as snapshots:
        if journal.next_position < found.position:
            raise BackupError(
                f"restored on trial: the journal ends at {journal.next_position:,}, before the database's position "
                f"{found.position:,}"
            )
        start = max((each for each in snapshots.positions if each <= found.position), default=journal.first_position)
        for _ in journal.read(max(start, journal.first_position)):
            pass
