"""Durable SQLite files with a version, and errors in our words: for all who keep one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.storage_errors import StorageCorruptError, StorageFullError

_PRIMARY_CODE = 0xFF
_FULL_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_CORRUPT_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextmanager
def storage_errors(path: Path, what: str) -> Iterator[None]:
    """Turn SQLite's errors about the file `path` into StorageFullError, StorageCorruptError or OSError."""
    try:
        yield
    except UnicodeDecodeError as error:
        # What SQLite says of a damaged file may hold bytes of it.
        raise StorageCorruptError(
            f"{path}: {what}: the file is damaged; restore it from a backup or move it away"
        ) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None) or 0
        if code in _FULL_CODES or code & _PRIMARY_CODE in _FULL_CODES:
            raise StorageFullError(f"{path}: no room left for {what}: the disk or the set limit is full") from error
        undecodable = code == 0 and isinstance(error, sqlite3.OperationalError)
        if undecodable or code & _PRIMARY_CODE in _CORRUPT_CODES:
            raise StorageCorruptError(
                f"{path}: {what}: the file is damaged ({error}); restore it from a backup or move it away"
            ) from error
        raise OSError(f"{path}: {what}: {error}") from error


def connect(
    path: Path, *, read_only: bool = False, wal: bool | None = True, page_bytes: int = 4096, wal_bytes: int = 8 << 20
) -> sqlite3.Connection:
    """A connection in autocommit mode whose every write is on disk (fsync) when the statement returns.

    The caller sees to it that one thread at a time uses it. With `wal` the write-ahead log is carried over into the
    file whenever it has grown by `wal_bytes`, and is cut back to that size; without it a rollback journal is kept,
    which writes large new rows once only, but makes readers and the writer wait for each other. None leaves that as it
    is in the file.
    """
    mode = "ro" if read_only else "rwc"
    uri = f"file:{_escaped(path)}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        if not read_only:
            connection.execute(f"PRAGMA page_size={page_bytes}")
            if wal is not None:
                connection.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA secure_delete=OFF")
            page = int(connection.execute("PRAGMA page_size").fetchone()[0])
            connection.execute(f"PRAGMA wal_autocheckpoint={max(1, wal_bytes // page)}")
            connection.execute(f"PRAGMA journal_size_limit={wal_bytes}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything within is written whole or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def reading(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything within is read as of one moment, whoever writes meanwhile."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def ensure_schema(connection: sqlite3.Connection, path: Path, *, kind: str, version: int, schema: str) -> None:
    """Create the tables in an empty file, or check that the file is of this kind and version.

    The kind stands in the table `meta`, the version there and in `PRAGMA user_version`. Raises StorageCorruptError
    where the file is something else, or was written by a version that this one cannot read.
    """
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        statements = [line for line in schema.split(";") if line.strip()]
        with transaction(connection):
            for statement in statements:
                connection.execute(statement)
            connection.execute("CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            connection.execute("INSERT INTO meta VALUES ('kind', ?), ('version', ?)", (kind, str(version)))
            connection.execute(f"PRAGMA user_version={version}")
        return
    found = dict(connection.execute("SELECT name, value FROM meta")) if "meta" in tables else {}
    if found.get("kind") != kind:
        raise StorageCorruptError(f"{path}: this is not a Driftline {kind} but another SQLite file; name another path")
    written = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if written != version:
        age = "a newer" if written > version else "an older"
        raise StorageCorruptError(
            f"{path}: the {kind} is of version {written}, from {age} Driftline; this one reads version {version}: "
            f"start the Driftline that wrote it, or move the file away"
        )


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the pages that hold something; free pages within the file are used again before it grows."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
