"""Store: DuckDB's errors as those of the house."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from common.storage_errors import StorageCorruptError, StorageFullError


@contextmanager
def database_errors(path: Path, what: str) -> Iterator[None]:
    """Turn DuckDB's errors about the file `path` into StorageFullError, StorageCorruptError or OSError."""
    try:
        yield
    except duckdb.Error as error:
        text = str(error).splitlines()[0]
        if "No space left" in str(error) or "Disk quota" in str(error):
            raise StorageFullError(f"{path}: no room left for {what}: the disk is full") from error
        damaged = isinstance(error, duckdb.SerializationException | duckdb.InternalException)
        if damaged or any(sign in text for sign in ("orrupt", "does not match stored checksum", "not a valid DuckDB")):
            raise StorageCorruptError(
                f"{path}: {what}: the file is damaged ({text}); restore it from a backup, or move it away and "
                "replay the journal"
            ) from error
        if isinstance(error, duckdb.OutOfMemoryException):
            text = f"{text}: raise store.memory_bytes"
        raise OSError(f"{path}: {what}: {text}") from error
