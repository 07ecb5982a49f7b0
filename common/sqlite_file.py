"""A SQLite file that is kept open: made where it is missing, its kind and version checked, used one call at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from common.sqlite import connect, ensure_schema, storage_errors, transaction


@dataclass(frozen=True, slots=True)
class FileForm:
    """What stands in a file: its `kind`, as the file says it, the `version` of its tables, and their `schema`.

    `title` is what it is called in errors, such as "the outbox". `wal` and `page_bytes` are as in
    `common.sqlite.connect`; only its owner may read a file that is `private`.
    """

    kind: str
    title: str
    version: int
    schema: str
    wal: bool = True
    page_bytes: int = 4096
    private: bool = False


class SqliteFile:
    """The base of those who keep one file. Any thread may use it; one call runs at a time.

    Everything raises StorageFullError, StorageCorruptError or OSError, which name the file.
    """

    def __init__(self, path: Path, form: FileForm) -> None:
        self.path = path
        self._form = form
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def open(self) -> Self:
        """Open or make the file; opening twice does nothing. Returns self.

        Raises StorageCorruptError where the file is damaged, something else, or of another version.
        """
        with self._lock:
            if self._connection is None:
                if self._form.private:
                    self.path.touch(mode=0o600, exist_ok=True)
                    self.path.chmod(0o600)
                with storage_errors(self.path, f"opening {self._form.title}"):
                    self._connection = self._opened()
        return self

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> sqlite3.Connection:
        connection = connect(self.path, wal=self._form.wal, page_bytes=self._form.page_bytes)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables or check what is there, before the first use. A file with more to do adds that to it."""
        form = self._form
        ensure_schema(connection, self.path, kind=form.kind, version=form.version, schema=form.schema)

    @contextmanager
    def _using(self, what: str = "") -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone. `what` is done, as errors say it; without a word it is read."""
        with self._lock, storage_errors(self.path, what or f"reading {self._form.title}"):
            if self._connection is None:
                raise RuntimeError(f"{self.path}: {self._form.title}: not open")
            yield self._connection

    @contextmanager
    def _transaction(self, what: str = "") -> Iterator[sqlite3.Connection]:
        """As `_using`, but it is written: everything within, or nothing."""
        with self._using(what or f"writing {self._form.title}") as connection, transaction(connection):
            yield connection
