"""Score: snapshots of detector and alarm state, each with the journal position that it stands at.

After a crash the newest intact snapshot is loaded and the journal is read on from there. Three are kept, so that a
damaged one costs time and not state; of large ones two, so that the file is never longer than twice the state.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import orjson
from numpy.typing import NDArray

from common.sqlite import reading, transaction
from common.sqlite_file import FileForm, SqliteFile
from common.storage_errors import StorageCorruptError

log = logging.getLogger(__name__)

VERSION = 1
KEPT, KEPT_OF_LARGE = 3, 2
MOST_BYTES = 1 << 30
"""Three are kept where they are not longer than this together."""
_PAGE_BYTES = 32768
_BLOCK_BYTES = 8 << 20
_MOST_SNAPSHOTS = 1 << 40
_NOT_OF_THE_FILE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOLFS,
}
"""SQLite's words for what another process, the disk or the machine does."""

_SCHEMA = """
CREATE TABLE snapshot(
    id INTEGER PRIMARY KEY AUTOINCREMENT, position INTEGER NOT NULL, fingerprint TEXT NOT NULL, meta TEXT NOT NULL,
    parts INTEGER NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE part(
    id INTEGER PRIMARY KEY, snapshot INTEGER NOT NULL, name TEXT NOT NULL, dtype TEXT NOT NULL, shape TEXT NOT NULL,
    crc INTEGER NOT NULL, UNIQUE(snapshot, name)
);
CREATE TABLE block(part INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY(part, number))
"""
_FORM = FileForm("snapshot store", "the snapshots", VERSION, _SCHEMA, wal=False, page_bytes=_PAGE_BYTES)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State as it stood before journal position `position`.

    `fingerprint` names the configuration that made it. `warnings` says which newer snapshots were damaged and passed
    over, a sentence each.
    """

    position: int
    fingerprint: str
    parts: dict[str, NDArray[Any]]
    meta: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


class SnapshotStore(SqliteFile):
    """The last few snapshots in one SQLite file. Any thread may call it; one call runs at a time.

    Where three of the size to be saved would be longer than `most_bytes`, two are kept, and the older of them makes
    room before the next is written, once the other is known to be intact.

    Damaged ones that `load` has passed over leave with the next `save`, so that they take no place of an intact one.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        super().__init__(path, _FORM)
        self._most_bytes = most_bytes
        self._damaged: list[int] = []

    @property
    def positions(self) -> list[int]:
        """Journal positions of the snapshots kept, the oldest first: the journal is needed from the first one on."""
        with self._using() as connection:
            rows = connection.execute(
                "SELECT position FROM snapshot WHERE typeof(position) = 'integer' ORDER BY id"
            ).fetchall()
        return [int(row[0]) for row in rows]

    def save(self, position: int, fingerprint: str, parts: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        """Write a snapshot whole; it is on disk when this returns, and the oldest beyond those kept are gone.

        `parts` are arrays of any dtype and shape but objects, `meta` anything that JSON holds. Raises ValueError for an
        array of objects, StorageFullError where there is no room: then the snapshots before stay as they are. What was
        written is read back as the next start reads it; a file that is too damaged for that is set aside, and a new
        one begun.
        """
        for name, array in parts.items():
            if array.dtype.hasobject:
                raise ValueError(f"snapshot part {name!r} has dtype {array.dtype}: expected one without objects")
        text = orjson.dumps(dict(meta)).decode()
        head = (position, fingerprint, text, len(parts), _head_checksum(position, fingerprint, text, len(parts)))
        with self._lock:
            try:
                self._write(head, parts)
            except (StorageCorruptError, OSError) as error:
                if not _tells_of_damage(error):
                    raise
                self._begin_anew(error, head, parts)

    def _write(self, head: _Head, parts: Mapping[str, NDArray[Any]]) -> None:
        is_large = KEPT * sum(array.nbytes for array in parts.values()) > self._most_bytes
        with self._using("saving a snapshot") as connection:
            if is_large:
                _leave_one(connection)
            with transaction(connection):
                connection.executemany("DELETE FROM snapshot WHERE id = ?", [(each,) for each in self._damaged])
                _remove_parts_of_none(connection)
                snapshot = _next_id(connection)
                connection.execute("INSERT INTO snapshot VALUES (?, ?, ?, ?, ?, ?)", (snapshot, *head))
                for name, array in parts.items():
                    _write_part(connection, snapshot, name, np.ascontiguousarray(array).reshape(array.shape))
                _remove_all_but(connection, KEPT_OF_LARGE if is_large else KEPT)
            self._damaged = []
        with SnapshotStore(self.path) as as_at_the_start:
            as_at_the_start._expect_newest(snapshot)

    def _expect_newest(self, snapshot: int) -> None:
        """Raises StorageCorruptError where the snapshot is not the newest one, or not intact."""
        with self._using("reading back the snapshot that was saved") as connection:
            newest = connection.execute("SELECT id FROM snapshot ORDER BY id DESC").fetchall()[:1]
            if newest != [(snapshot,)] or not _is_intact(connection, snapshot):
                raise StorageCorruptError(f"{self.path}: what was saved is not what is read back")

    def _begin_anew(self, error: Exception, head: _Head, parts: Mapping[str, NDArray[Any]]) -> None:
        """Set the damaged file aside: the state to be saved is whole, and takes its place once it is on disk."""
        aside, begun = (self.path.with_name(f"{self.path.name}.{ending}") for ending in ("damaged", "new"))
        _remove(begun)
        try:
            with SnapshotStore(begun, most_bytes=self._most_bytes) as new:
                new._write(head, parts)
        except BaseException:
            _remove(begun)
            raise
        log.error(
            "%s is damaged (%s): it is moved to %s, and a new one is begun",
            self.path,
            error.__cause__ or error,
            aside.name,
        )
        self.close()
        _journal_of(self.path).unlink(missing_ok=True)
        self.path.replace(aside)
        begun.replace(self.path)
        self._damaged = []
        self.open()

    def load(self, *, at_most: int | None = None) -> Snapshot | None:
        """The newest intact snapshot of those that stand at journal position `at_most` or before, None where none does.

        Raises StorageCorruptError where there are such snapshots and every one is damaged.
        """
        # Another process may save one, and remove the oldest, meanwhile.
        with self._using("loading a snapshot") as connection, reading(connection):
            chosen = "SELECT id FROM snapshot WHERE ?1 IS NULL OR position <= ?1 ORDER BY id DESC"
            saved = [int(row[0]) for row in connection.execute(chosen, (at_most,)).fetchall()]
            warnings: list[str] = []
            for snapshot in saved:
                try:
                    return _read(connection, snapshot, warnings)
                except (sqlite3.DatabaseError, UnicodeDecodeError, _DamageError) as error:
                    warnings.append(f"{self.path}: snapshot {snapshot} is damaged ({error}); an older one is used")
                    self._damaged.append(snapshot)
        if warnings:
            raise StorageCorruptError(
                f"{self.path}: all {len(warnings)} snapshots are damaged; restore the file from a backup, or move it "
                "away to start with fresh state"
            )
        return None


class _DamageError(Exception):
    pass


_Head = tuple[int, str, str, int, int]
"""Position, fingerprint, meta, number of parts and checksum of a snapshot."""
_PartRow = tuple[int, str, str, str, int]
"""Id, name, dtype, shape and checksum of a part."""


def _tells_of_damage(error: Exception) -> bool:
    """Whether the file is at fault: a damaged one may read as one without a table, or with a row twice."""
    if isinstance(error, StorageCorruptError):
        return True
    code = getattr(error.__cause__, "sqlite_errorcode", sqlite3.SQLITE_IOERR)
    return (code & 0xFF) not in _NOT_OF_THE_FILE


def _next_id(connection: sqlite3.Connection) -> int:
    """Behind all others. SQLite's own count is a number in the file, which says that it is full where it is damaged."""
    newest = connection.execute("SELECT max(id) FROM snapshot").fetchone()[0] or 0
    if not 0 <= newest < _MOST_SNAPSHOTS:
        raise StorageCorruptError(f"the newest snapshot has the number {newest}")
    return int(newest) + 1


def _journal_of(path: Path) -> Path:
    return Path(f"{path}-journal")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _journal_of(path).unlink(missing_ok=True)


def _write_part(connection: sqlite3.Connection, snapshot: int, name: str, array: NDArray[Any]) -> None:
    dtype = orjson.dumps(np.lib.format.dtype_to_descr(array.dtype)).decode()
    shape = orjson.dumps(list(array.shape)).decode()
    data = array.reshape(-1).view(np.uint8).data if array.size and array.dtype.itemsize else memoryview(b"")
    head = f"{name} {dtype} {shape}".encode()
    part = connection.execute(
        "INSERT INTO part(snapshot, name, dtype, shape, crc) VALUES (?, ?, ?, ?, ?)",
        (snapshot, name, dtype, shape, crc32(data, crc32(head))),
    ).lastrowid
    for number, start in enumerate(range(0, len(data), _BLOCK_BYTES)):
        block = data[start : start + _BLOCK_BYTES]
        connection.execute("INSERT INTO block VALUES (?, ?, ?)", (part, number, block))


def _read(connection: sqlite3.Connection, snapshot: int, warnings: list[str]) -> Snapshot:
    (position, fingerprint, meta), rows = _parts_of(connection, snapshot)
    parts = {str(name): _read_part(connection, part, name, dtype, shape, sum) for part, name, dtype, shape, sum in rows}
    return Snapshot(position, fingerprint, parts, orjson.loads(meta), warnings)


def _parts_of(connection: sqlite3.Connection, snapshot: int) -> tuple[tuple[int, str, str], list[_PartRow]]:
    """Position, fingerprint and meta of a snapshot, and its parts: id, name, dtype, shape, checksum of each."""
    head = connection.execute(
        "SELECT position, fingerprint, meta, parts, crc FROM snapshot WHERE id = ?", (snapshot,)
    ).fetchone()
    if head is None:
        raise _DamageError("its head is not found where the index says")
    position, fingerprint, meta, count, crc = head
    if crc != _head_checksum(position, fingerprint, meta, count):
        raise _DamageError("wrong checksum of its head")
    rows = connection.execute(
        "SELECT id, name, dtype, shape, crc FROM part WHERE snapshot = ? ORDER BY id", (snapshot,)
    ).fetchall()
    if len(rows) != count:
        raise _DamageError(f"{len(rows)} of {count} parts are left")
    return (position, fingerprint, meta), rows


def _read_part(
    connection: sqlite3.Connection, part: int, name: str, dtype: str, shape: str, checksum: int
) -> NDArray[Any]:
    try:
        array = np.empty(orjson.loads(shape), _dtype(orjson.loads(dtype)))
    except (ValueError, TypeError, MemoryError) as error:
        raise _DamageError(f"the shape of part {name!r} is damaged") from error
    crc = crc32(f"{name} {dtype} {shape}".encode())
    target = array.reshape(-1).view(np.uint8) if array.size and array.dtype.itemsize else np.empty(0, np.uint8)
    place = 0
    for (data,) in connection.execute("SELECT data FROM block WHERE part = ? ORDER BY number", (part,)):
        if not isinstance(data, bytes):  # a flipped byte in the row's header can change a column's type
            raise _DamageError(f"a block of part {name!r} is no bytes")
        block = np.frombuffer(data, np.uint8)
        if place + len(block) > len(target):
            raise _DamageError(f"part {name!r} is too long")
        target[place : place + len(block)] = block
        crc = crc32(data, crc)
        place += len(block)
    if place != len(target) or crc != checksum:
        raise _DamageError(f"wrong checksum of part {name!r}")
    return array


def _leave_one(connection: sqlite3.Connection) -> None:
    """Remove all but the newest intact snapshot; none where there is only one, or none is intact."""
    saved = [int(row[0]) for row in connection.execute("SELECT id FROM snapshot ORDER BY id DESC").fetchall()]
    if len(saved) < 2:
        return
    intact = next((snapshot for snapshot in saved if _is_intact(connection, snapshot)), None)
    if intact is not None:
        with transaction(connection):
            connection.execute("DELETE FROM snapshot WHERE id != ?", (intact,))
            _remove_parts_of_none(connection)


def _is_intact(connection: sqlite3.Connection, snapshot: int) -> bool:
    """Whether a snapshot's checksums are right. It is read block by block."""
    try:
        parts = _parts_of(connection, snapshot)[1]
        for part, name, dtype, shape, checksum in parts:
            crc = crc32(f"{name} {dtype} {shape}".encode())
            for (data,) in connection.execute("SELECT data FROM block WHERE part = ? ORDER BY number", (part,)):
                crc = crc32(data, crc)
            if crc != checksum:
                return False
    except (sqlite3.DatabaseError, UnicodeDecodeError, TypeError, _DamageError):
        return False
    return True


def _dtype(descr: Any) -> np.dtype[Any]:
    # JSON has no tuples, which NumPy tells from lists in a structured dtype.
    def restore(field: Any) -> tuple[Any, ...]:
        name, kind, *shape = field
        name = tuple(name) if isinstance(name, list) else name
        return (name, [restore(inner) for inner in kind] if isinstance(kind, list) else kind, *map(tuple, shape))

    return np.dtype([restore(field) for field in descr] if isinstance(descr, list) else descr)


def _remove_all_but(connection: sqlite3.Connection, kept: int) -> None:
    old = "SELECT id FROM snapshot ORDER BY id DESC LIMIT -1 OFFSET ?"
    connection.execute(f"DELETE FROM snapshot WHERE id IN ({old})", (kept,))
    _remove_parts_of_none(connection)


def _remove_parts_of_none(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM part WHERE snapshot NOT IN (SELECT id FROM snapshot)")
    connection.execute("DELETE FROM block WHERE part NOT IN (SELECT id FROM part)")


def _head_checksum(position: int, fingerprint: str, meta: str, parts: int) -> int:
    return crc32(f"{position} {fingerprint} {meta} {parts}".encode())
