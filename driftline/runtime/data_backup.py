"""Copies of a data folder: taken while the service runs or stands still, checked when they are put back.

The files are copied in the order that keeps them consistent: snapshots, then the database, which is at least as far,
then the spool and the queue of functions, then the journal, which is further still. Nothing is compacted meanwhile.
What is restored goes on from the newest snapshot through the journal, as after any other end of the service.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from functools import partial
from pathlib import Path
from zlib import crc32

from common.sqlite import connect, storage_errors
from common.storage_errors import StorageCorruptError
from devices.messages import MessageChunk
from driftline.runtime.background_job import BackgroundJob
from driftline.runtime.backup_seal import is_sealed, key_path, seal
from driftline.runtime.data_folder import DataFolder
from storage.embedded.database import EmbeddedStore
from storage.journal.sqlite_journal import SqliteJournal
from storage.storage_settings import JournalSettings

log = logging.getLogger(__name__)

MANIFEST = "backup.json"
CONFIGURATION = "driftline.toml"
_REQUEST, _REPLY = "backup.request", "backup.reply"
_VERSION = 1
_POLL_SECONDS = 0.1
_BLOCK_BYTES = 1 << 20
_ROOM_BYTES = 1 << 20


class BackupError(Exception):
    """No backup could be made or put back; the message names the folder and what can be done. Nothing was changed."""


def back_up(
    folder: DataFolder,
    store: EmbeddedStore,
    config_file: Path | None,
    target: Path,
    *,
    held: Callable[[], AbstractContextManager[object]] = nullcontext,
    key_file: Path | None = None,
) -> int:
    """Copy everything that a service needs to go on into `target`, a new or empty folder; returns the bytes copied.

    `key_file` holds the key of the seal (`backup_seal.key_path`). `held` keeps the journal from being compacted while
    it is entered. The folder comes into being whole or not at all. Raises BackupError, StorageFullError or OSError.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupError(f'"{target}" is not an empty folder: name one that does not exist yet')
    partial = target.with_name(f"{target.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(mode=0o700, parents=True)
    try:
        with held():
            _copy_sqlite(folder.snapshots, partial)
            store.copy_to(partial / folder.database.name)
            _copy_sqlite(folder.dead_letters, partial)
            _copy_sqlite(folder.spool, partial)
            _copy_sqlite(folder.functions, partial)
            _copy_sqlite(folder.workflows, partial)
            _copy_sqlite(folder.journal, partial)
        for secret in (folder.accounts, folder.notices):
            _copy_sqlite(secret, partial)
            if secret.exists():
                (partial / secret.name).chmod(0o600)
        for file in (folder.session, folder.client):
            _copy_file(file, partial / file.name)
        if config_file is not None:
            _copy_file(config_file, partial / CONFIGURATION)
        files = {path.name: [path.stat().st_size, _checksum(path)] for path in sorted(partial.iterdir())}
        manifest = {"version": _VERSION, "made": time.time_ns(), "files": files}
        try:
            manifest["seal"] = seal(partial, list(files), key_path() if key_file is None else key_file)
        except OSError as error:
            log.warning("the backup has no seal, and needs --trust to be put back: %s", error)
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return sum(size for size, _ in files.values())


def restore(backup: Path, folder: DataFolder, *, trust: bool = False, key_file: Path | None = None) -> list[str]:
    """Put a backup back into a data folder that holds no data; returns the names of the files.

    Every file is checked first. One that this user has not made is put back only with `trust`. Raises BackupError,
    FolderInUseError or OSError.
    """
    try:
        manifest = json.loads((backup / MANIFEST).read_bytes())
        files = {str(name): (int(size), int(crc)) for name, (size, crc) in manifest["files"].items()}
        version = int(manifest["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f'"{backup}" is no backup: {MANIFEST} cannot be read ({error})') from None
    if version != _VERSION:
        raise BackupError(f'"{backup}" is a backup of version {version}: this Driftline reads version {_VERSION}')
    for name, (size, crc) in files.items():
        path = backup / name
        if Path(name).name != name or not path.is_file() or path.stat().st_size != size or _checksum(path) != crc:
            raise BackupError(f'"{path}" is missing or not what was backed up: take another backup')
    key = key_path() if key_file is None else key_file
    if not trust and not is_sealed(backup, list(files), manifest.get("seal"), key):
        raise BackupError(
            f'"{backup}" was not made by this user on this machine, or was changed since: it holds accounts, and '
            "models that run code when they are read. If you know where it comes from, put it back with --trust"
        )
    folder.lock()
    try:
        for path in (
            folder.journal,
            folder.database,
            folder.snapshots,
            folder.spool,
            folder.functions,
            folder.workflows,
        ):
            if path.exists():
                raise BackupError(f'"{folder.path}" holds data already ({path.name}): name another folder with --data')
        for name in files:
            _copy_file(backup / name, folder.path / name)
        _mark_journal(folder.journal)
    finally:
        folder.release()
    return list(files)


def _mark_journal(path: Path) -> None:
    """The broker has gone on since the backup: what it delivers again cannot be told by what this journal holds.

    A damaged journal is left for the service to refuse at its start, which says what can be done.
    """
    if not path.exists():
        return
    with (
        suppress(StorageCorruptError),
        SqliteJournal(path, JournalSettings(max_bytes=path.stat().st_size + _ROOM_BYTES)) as journal,
    ):
        journal.append(MessageChunk.session_mark(journal.last_arrival))


class BackupDesk:
    """Takes backups that `ask_running_service` asks for, in a thread, while the service goes on."""

    def __init__(
        self,
        folder: DataFolder,
        store: EmbeddedStore,
        config_file: Path | None,
        held: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._folder = folder
        self._store = store
        self._config_file = config_file
        self._held = held
        self._job = BackgroundJob("backup")

    def look(self) -> None:
        """Begin a backup where one is asked for; returns at once."""
        request = self._folder.path / _REQUEST
        if not request.exists() or self._job.is_running:
            return
        try:
            target = Path(json.loads(request.read_text())["target"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read: %s", request, error)
            request.unlink(missing_ok=True)
            return
        request.unlink(missing_ok=True)
        self._job.begin(partial(self._run, target))

    def stop(self) -> None:
        """Wait for the backup that is under way."""
        self._job.stop()

    def _run(self, target: Path) -> None:
        try:
            reply: dict[str, object] = {
                "bytes": back_up(self._folder, self._store, self._config_file, target, held=self._held)
            }
        except Exception as error:
            reply = {"error": str(error)}
        _write(self._folder.path / _REPLY, reply)


def ask_running_service(data: Path, target: Path, *, alive: Callable[[], bool]) -> int:
    """Have the service that runs on `data` make a backup; returns the bytes copied. Raises BackupError."""
    request, reply = data / _REQUEST, data / _REPLY
    reply.unlink(missing_ok=True)
    _write(request, {"target": str(target.absolute())})
    while not reply.exists():
        if not alive():
            request.unlink(missing_ok=True)
            raise BackupError("the service ended before the backup was made: try again")
        time.sleep(_POLL_SECONDS)
    said = json.loads(reply.read_text())
    reply.unlink()
    if "error" in said:
        raise BackupError(str(said["error"]))
    return int(said["bytes"])


def _write(path: Path, content: dict[str, object]) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps(content) + "\n")
    temporary.replace(path)


def _copy_sqlite(source: Path, folder: Path) -> None:
    """Copy a SQLite file as of one moment, whoever writes to it meanwhile (https://www.sqlite.org/backup.html)."""
    if not source.exists():
        return
    with (
        storage_errors(source, "making a backup"),
        closing(connect(source, wal=None)) as origin,
        closing(connect(folder / source.name, wal=None)) as copy,
    ):
        origin.backup(copy)


def _copy_file(source: Path, target: Path) -> None:
    if source.exists():
        shutil.copyfile(source, target)


def _checksum(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            crc = crc32(block, crc)
    return crc
