"""Store, beside the database: rejected messages in a SQLite file of their own, which never outgrows its bound.

They come from whoever publishes, as large and as many as that likes. So nothing of them lies in the database, which
must keep in memory what it has not yet written to its file, and the oldest give way where the newest need the room.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import orjson

from common.sqlite import connect, ensure_schema, storage_errors, transaction
from common.storage_errors import StorageCorruptError
from devices.records import DeadLetter

VERSION = 1
_NO_OFFSET = 2**63 - 1
_BYTES_BESIDE = 256
"""Counted for each letter beside its texts: its numbers, and its part of the tree that finds it."""

_SHARE_LEFT = 0.9
"""Where the bound is passed, letters go until this share of it is left, so that they do not go one by one."""

_SCHEMA = """
CREATE TABLE letter(
    "offset" INTEGER PRIMARY KEY, arrival INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
    payload_bytes INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, rejected TEXT NOT NULL,
    size INTEGER NOT NULL
)
"""
_PROPERTIES = """
CREATE TABLE IF NOT EXISTS letter_properties("offset" INTEGER PRIMARY KEY, properties BLOB NOT NULL);
CREATE TRIGGER IF NOT EXISTS properties_of_removed AFTER DELETE ON letter BEGIN
    DELETE FROM letter_properties WHERE "offset" = old."offset";
END
"""
"""The properties of letters that have any: a table that a file of an earlier version is given when it is opened."""
_PUT_PROPERTIES = "INSERT OR REPLACE INTO letter_properties VALUES (?, ?)"
_PROPERTIES_AT = 'SELECT properties FROM letter_properties WHERE "offset" = ?'
_PUT = "INSERT OR REPLACE INTO letter VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = 'SELECT "offset", arrival, topic, payload, payload_bytes, reason, detail, rejected FROM letter '
_NEWEST = f'{_SELECT} WHERE "offset" < ? ORDER BY "offset" DESC LIMIT ?'
_AT = f'{_SELECT} WHERE "offset" = ?'
_OF_REASON = f'{_SELECT} WHERE reason = ? ORDER BY "offset" DESC LIMIT ?'
_COUNT = "SELECT reason, count(*) FROM letter GROUP BY reason ORDER BY count(*) DESC, reason"
_REMOVE = (
    'DELETE FROM letter WHERE "offset" <= (SELECT "offset" FROM (SELECT "offset", '
    'sum(size) OVER (ORDER BY "offset" DESC) AS up_to_here FROM letter) WHERE up_to_here > ? '
    'ORDER BY "offset" DESC LIMIT 1)'
)


def letters_path(database: Path) -> Path:
    """Where the dead letters of a database lie: beside it."""
    return database.with_suffix(".dead-letters.db")


class DeadLetters:
    """Rejected messages, the newest within a number of bytes and of letters. Any thread may call it.

    `word` says what happened to an earlier file that could not be read; empty where nothing did.
    """

    def __init__(self, path: Path, *, max_bytes: int, max_letters: int, read_only: bool = False) -> None:
        self.path = path
        self.word = ""
        self._max_bytes = max_bytes
        self._max_letters = max_letters
        self._read_only = read_only
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._bytes = 0
        self._letters = 0

    def open(self) -> Self:
        """Open or create the file; a damaged one is set aside and a new one begun. Returns self.

        Raises StorageFullError or OSError.
        """
        with self._lock:
            if self._connection is not None or (self._read_only and not self.path.exists()):
                return self
            try:
                self._connect()
            except StorageCorruptError as error:
                if self._read_only:
                    raise
                self._set_aside(error)
                self._connect()
        return self

    def close(self) -> None:
        """Close the file. Closing twice does nothing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep these too; they are on disk when this returns. One whose offset is there already replaces it.

        Raises StorageFullError or OSError. A file that turns out damaged is set aside.
        """
        if not letters:
            return
        with self._lock:
            try:
                self._put(letters)
            except StorageCorruptError as error:
                self._set_aside(error)
                self._connect()
                self._put(letters)

    def remove_before(self, arrival: int) -> int:
        """Remove those that arrived before `arrival` (ns), and return how many."""
        with self._lock, storage_errors(self.path, "removing old dead letters"):
            if self._connection is None:
                return 0
            removed = self._connection.execute("DELETE FROM letter WHERE arrival < ?", (arrival,)).rowcount
            if removed:
                self._measure()
            return removed

    def find(self, offsets: Sequence[int] = (), *, reason: str = "", limit: int = 1_000) -> list[DeadLetter]:
        """Those with these offsets, or the newest `limit` of a reason, in the order of their arrival."""
        with self._lock, storage_errors(self.path, "looking for dead letters"):
            if self._connection is None:
                return []
            if reason:
                rows = self._connection.execute(_OF_REASON, (reason, limit)).fetchall()
            else:
                rows = [row for each in offsets for row in self._connection.execute(_AT, (each,))]
            found = [replace(letter, properties=self._properties(letter.offset)) for letter in map(_letter, rows)]
            return sorted(found, key=lambda letter: letter.offset)

    def reasons(self) -> dict[str, int]:
        """How many there are by reason, the most first."""
        with self._lock, storage_errors(self.path, "counting dead letters"):
            return {} if self._connection is None else dict(self._connection.execute(_COUNT).fetchall())

    def remove(self, offsets: Sequence[int]) -> None:
        """Remove those with these offsets."""
        with self._lock, storage_errors(self.path, "removing dead letters"):
            if self._connection is not None:
                self._connection.executemany('DELETE FROM letter WHERE "offset" = ?', [(each,) for each in offsets])
                self._measure()

    def newest(self, limit: int, *, before: int | None = None, max_bytes: int | None = None) -> list[DeadLetter]:
        """The newest `limit` of those with an offset under `before`, the newest first.

        Fewer where they would hold more than `max_bytes`, but one at least. A file that turns out damaged is set aside.
        """
        with self._lock:
            try:
                return self._newest(limit, _NO_OFFSET if before is None else before, max_bytes)
            except StorageCorruptError as error:
                if self._read_only:
                    raise
                self._set_aside(error)
                self._connect()
                return []

    def _properties(self, offset: int) -> bytes:
        assert self._connection is not None
        if self._read_only:
            return b""
        row = self._connection.execute(_PROPERTIES_AT, (offset,)).fetchone()
        return b"" if row is None else bytes(row[0])

    def _newest(self, limit: int, before: int, max_bytes: int | None) -> list[DeadLetter]:
        found: list[DeadLetter] = []
        if self._connection is None:
            return found
        held = 0
        with storage_errors(self.path, "reading dead letters"):
            for row in self._connection.execute(_NEWEST, (before, limit)):
                letter = _letter(row)
                held += _size(letter)
                if max_bytes is not None and held > max_bytes and found:
                    break
                found.append(replace(letter, properties=self._properties(letter.offset)))
        return found

    @property
    def size_bytes(self) -> int:
        """Bytes of the file and its write-ahead log."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def _put(self, letters: Sequence[DeadLetter]) -> None:
        connection = self._connection
        if connection is None:
            raise ValueError(f"{self.path}: the dead letters are not open")
        with storage_errors(self.path, "keeping dead letters"):
            rows = [_row(letter) for letter in letters]
            with transaction(connection):
                connection.executemany(_PUT, rows)
                connection.executemany(
                    _PUT_PROPERTIES, [(each.offset, each.properties) for each in letters if each.properties]
                )
                self._bytes += sum(row[-1] for row in rows)
                self._letters += len(rows)
                if self._bytes > self._max_bytes or self._letters > self._max_letters:
                    self._remove_oldest(connection)

    def _remove_oldest(self, connection: sqlite3.Connection) -> None:
        # What was counted twice, since a letter replaced itself, is put right first.
        self._measure()
        if self._bytes > self._max_bytes:
            connection.execute(_REMOVE, (int(_SHARE_LEFT * self._max_bytes),))
        if self._letters > self._max_letters:
            connection.execute(
                'DELETE FROM letter WHERE "offset" <= (SELECT "offset" FROM letter ORDER BY "offset" DESC '
                "LIMIT 1 OFFSET ?)",
                (self._max_letters,),
            )
        self._measure()

    def _measure(self) -> None:
        if self._connection is not None:
            rows = self._connection.execute("SELECT coalesce(sum(size), 0), count(*) FROM letter").fetchone()
            self._bytes, self._letters = int(rows[0]), int(rows[1])

    def _connect(self) -> None:
        with storage_errors(self.path, "opening the dead letters"):
            connection = connect(self.path, read_only=self._read_only)
            try:
                if not self._read_only:
                    ensure_schema(connection, self.path, kind="dead letters", version=VERSION, schema=_SCHEMA)
                    connection.executescript(_PROPERTIES)
                self._connection = connection
                self._measure()
            except BaseException:
                self._connection = None
                connection.close()
                raise

    def _set_aside(self, error: StorageCorruptError) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        aside = self.path.with_name(f"{self.path.name}.damaged")
        self.path.replace(aside)
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.word = f"{error}; it was moved to {aside.name}, and new dead letters go to a new file"


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    offset, arrival, topic, payload, size, reason, detail, rejected = row
    return DeadLetter(offset, arrival, topic, payload, size, reason, detail, orjson.loads(rejected))


def _size(letter: DeadLetter) -> int:
    return (
        _BYTES_BESIDE
        + len(letter.properties)
        + len(letter.payload)
        + len(letter.topic.encode())
        + len(letter.detail.encode())
    )


def _row(letter: DeadLetter) -> tuple[int, int, str, bytes, int, str, str, str, int]:
    rejected = orjson.dumps(letter.rejected).decode()
    return (
        letter.offset,
        letter.arrival,
        letter.topic,
        letter.payload,
        letter.payload_bytes,
        letter.reason,
        letter.detail,
        rejected,
        _size(letter),
    )
