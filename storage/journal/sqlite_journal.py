"""Journal: the journal on SQLite, one row a chunk of raw messages.

SQLite in WAL mode with `synchronous=FULL` has the row on disk when the insert returns, and survives a kill and a
power cut (https://www.sqlite.org/wal.html, https://www.sqlite.org/atomiccommit.html). Rows are large, so the cost of a
message is mostly the copying of its bytes.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from common.durations import parse_duration
from common.sqlite import connect, ensure_schema, storage_errors, transaction, used_bytes
from common.storage_errors import StorageCorruptError, StorageFullError
from devices.messages import MessageChunk
from storage.storage_settings import JournalSettings
from storage.store import JournalEntry

VERSION = 1
_PAGE_BYTES = 16384
_COMPACT_TO = 0.75
_COMPACT_BATCH_BYTES = 32 << 20
_COMPACT_BATCH_ROWS = 4096

_SCHEMA = """
CREATE TABLE chunk(
    position INTEGER PRIMARY KEY,
    offset INTEGER NOT NULL,
    count INTEGER NOT NULL,
    ticked_at INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    flags BLOB NOT NULL,
    arrival BLOB NOT NULL,
    spans BLOB NOT NULL,
    data BLOB NOT NULL
)
"""
_INSERT = "INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT position, offset, count, ticked_at, crc, flags, arrival, spans, data FROM chunk WHERE position = ?"
_SIZES = """
SELECT position, ticked_at, length(data) + length(spans) + length(arrival) + length(flags)
FROM chunk WHERE position < ? ORDER BY position LIMIT ?
"""

_Row = tuple[int, int, int, int, int, bytes, bytes, bytes, bytes]


class SqliteJournal:
    """A durable, ordered, replayable log of message chunks in one SQLite file (see `storage.store.Journal`).

    One thread appends; any thread may read or compact meanwhile. Other processes may open the same file with
    `read_only=True`.
    """

    def __init__(self, path: Path, settings: JournalSettings | None = None, *, read_only: bool = False) -> None:
        self.path = path
        self.settings = settings or JournalSettings()
        self._read_only = read_only
        self._keep = parse_duration(self.settings.keep)
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._next_position = 0
        self._next_offset = 0
        self._last_arrival = 0
        self._refused_bytes = 0

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    def open(self) -> Self:
        """Open or create the file and find its end. Returns self.

        Raises StorageCorruptError where the file is no journal, of another version, or damaged at its end; OSError
        where it cannot be opened.
        """
        with storage_errors(self.path, "opening the journal"):
            if not self._read_only:
                self._writer = connect(self.path, page_bytes=_PAGE_BYTES)
                ensure_schema(self._writer, self.path, kind="journal", version=VERSION, schema=_SCHEMA)
                page = int(self._writer.execute("PRAGMA page_size").fetchone()[0])
                self._writer.execute(f"PRAGMA max_page_count={self.settings.max_bytes // page}")
            self._reader = connect(self.path, read_only=True)
            if self._read_only:
                ensure_schema(self._reader, self.path, kind="journal", version=VERSION, schema=_SCHEMA)
            self._find_end(self._reader)
        return self

    def close(self) -> None:
        """Close the file. What was appended is on disk already; closing twice does nothing."""
        with self._write_lock, self._read_lock:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def next_position(self) -> int:
        """The position that the next chunk will get."""
        return self._next_position

    @property
    def next_offset(self) -> int:
        """The offset that the next message will get: messages appended since the journal began."""
        return self._next_offset

    @property
    def last_arrival(self) -> int:
        """How far arrival time has come: the newest arrival or tick, ns since the epoch; 0 in an empty journal."""
        return self._last_arrival

    @property
    def first_position(self) -> int:
        """The oldest position that is still here; `next_position` in an empty journal."""
        with self._read_lock, storage_errors(self.path, "reading the journal"):
            first = self._open_reader().execute("SELECT min(position) FROM chunk").fetchone()[0]
        return self._next_position if first is None else self._whole(first)

    @property
    def size_bytes(self) -> int:
        """Bytes that the chunks take in the file."""
        with self._read_lock, storage_errors(self.path, "reading the journal"):
            return used_bytes(self._open_reader())

    def append(self, chunk: MessageChunk) -> int:
        """Write the chunk and return its position; it is on disk when this returns.

        Raises StorageFullError where the disk or `max_bytes` is full: nothing was written, and a later append goes on
        where this one stood.
        """
        return self._append(chunk)

    def _append(self, chunk: MessageChunk, beside: Callable[[sqlite3.Connection], object] | None = None) -> int:
        """As `append`; what `beside` writes is written in the same transaction."""
        flags = _bytes(chunk.flags, np.uint8)
        arrival = _bytes(chunk.arrival, np.int64)
        spans = _bytes(chunk.spans, np.int32)
        position, offset, count = self._next_position, self._next_offset, len(chunk)
        crc = _checksum(position, offset, count, chunk.ticked_at, flags, arrival, spans, chunk.data)
        row = (position, offset, count, chunk.ticked_at, crc, flags, arrival, spans, chunk.data)
        with self._write_lock:
            if self._writer is None:
                raise ValueError(f"{self.path}: the journal is not open for writing")
            try:
                with storage_errors(self.path, "appending to the journal"):
                    if beside is None:
                        self._writer.execute(_INSERT, row)
                    else:
                        with transaction(self._writer):
                            self._writer.execute(_INSERT, row)
                            beside(self._writer)
            except StorageFullError:
                self._refused_bytes = len(flags) + len(arrival) + len(spans) + len(chunk.data)
                raise
            self._refused_bytes = 0
            self._next_position = position + 1
            self._next_offset = offset + count
            self._last_arrival = max(chunk.ticked_at, int(chunk.arrival[-1]) if count else chunk.ticked_at)
        return position

    def read(self, position: int) -> Iterator[JournalEntry]:
        """Entries in order from `position` to the end at the time of the call.

        No lock or transaction is held between entries, so a slow reader hinders nobody. Raises StorageCorruptError
        where `position` lies outside the journal, and where an entry is damaged or was compacted away.
        """
        first, end = self.first_position, self._next_position
        if not first <= position <= end:
            raise StorageCorruptError(
                f"{self.path}: position {position} was asked for, but the journal holds {first} to {end}: "
                + ("what lies before was compacted away" if position < first else "the journal was removed or replaced")
            )
        return (self._entry(at) for at in range(position, end))

    def newest_first(self) -> Iterator[MessageChunk]:
        """The chunks from the end at the time of the call backwards, as far as they have not been compacted away.

        Raises StorageCorruptError where one is damaged.
        """
        for position in range(self._next_position - 1, self.first_position - 1, -1):
            try:
                entry = self._entry(position)
            except StorageCorruptError:
                if position < self.first_position:
                    return
                raise
            yield entry.chunk

    def go_on_from(self, position: int, offset: int) -> None:
        """Go on at a later position and offset, for a journal that has lost its tail; marks of a new session stand in
        for what is gone, since what the broker delivers again cannot be told by what is left.

        An empty journal begins one before `position`. Raises ValueError where `position` is not ahead, StorageFullError
        where there is no room: then nothing was written.
        """
        if position <= self._next_position:
            raise ValueError(f"{self.path}: position {position} is not ahead of {self._next_position}")
        first = self._next_position if self._next_position else position - 1
        offset = max(offset, self._next_offset)
        time = self._last_arrival
        mark = MessageChunk.session_mark(time).data
        rows = (
            (at, offset, 0, time, _checksum(at, offset, 0, time, b"", b"", b"", mark), b"", b"", b"", mark)
            for at in range(first, position)
        )
        with self._write_lock, storage_errors(self.path, "mending the journal"):
            if self._writer is None:
                raise ValueError(f"{self.path}: the journal is not open for writing")
            with transaction(self._writer):
                self._writer.executemany(_INSERT, rows)
            self._next_position = position
            self._next_offset = offset

    def compact(self, before_position: int, now: int) -> int:
        """Remove the oldest chunks that every reader is past, and return how many went.

        Only chunks before `before_position` go, and never the last one of the journal. Of these, those go that are
        older than `keep` at `now` (ns since the epoch), or that take the journal over three quarters of `max_bytes`, or
        that stand where a chunk that was refused for want of room would go.
        """
        before = min(before_position, self._next_position - 1)
        limit = min(int(self.settings.max_bytes * _COMPACT_TO), self.settings.max_bytes - 2 * self._refused_bytes)
        removed = 0
        while batch := self._removable(before, now - self._keep, limit):
            with self._write_lock, storage_errors(self.path, "compacting the journal"):
                if self._writer is None:
                    break
                removed += self._writer.execute("DELETE FROM chunk WHERE position <= ?", (batch[-1],)).rowcount
        return removed

    def _removable(self, before: int, oldest: int, limit: int) -> list[int]:
        """Positions of the next chunks to remove, a bounded number, so that appends wait for a short time only."""
        with self._read_lock, storage_errors(self.path, "compacting the journal"):
            reader = self._open_reader()
            used = used_bytes(reader)
            rows = reader.execute(_SIZES, (before, _COMPACT_BATCH_ROWS)).fetchall()
        batch: list[int] = []
        taken = 0
        for position, ticked_at, size in ((self._whole(number) for number in row) for row in rows):
            if taken > _COMPACT_BATCH_BYTES or (ticked_at >= oldest and used - taken <= limit):
                break
            batch.append(position)
            taken += size
        return batch

    def _entry(self, position: int) -> JournalEntry:
        with self._read_lock, storage_errors(self.path, f"reading journal position {position}"):
            row: _Row | None = self._open_reader().execute(_SELECT, (position,)).fetchone()
        if row is None:
            raise StorageCorruptError(
                f"{self.path}: position {position} is gone: compacted away, or the file is damaged"
            )
        if not _is_intact(row):
            raise StorageCorruptError(
                f"{self.path}: position {position} is damaged: wrong checksum; "
                "restore the journal from a backup or move it away"
            )
        _, offset, _, ticked_at, _, flags, arrival, spans, data = row
        chunk = MessageChunk(
            data,
            np.frombuffer(spans, np.int32).reshape(-1, 4),
            np.frombuffer(arrival, np.int64),
            np.frombuffer(flags, np.uint8),
            ticked_at,
        )
        return JournalEntry(position, offset, chunk)

    def _find_end(self, reader: sqlite3.Connection) -> None:
        last = reader.execute("SELECT max(position) FROM chunk").fetchone()[0]
        if last is None:
            return
        entry = self._entry(self._whole(last))
        count = len(entry.chunk)
        self._next_position = entry.position + 1
        self._next_offset = entry.offset + count
        self._last_arrival = max(entry.chunk.ticked_at, int(entry.chunk.arrival[-1]) if count else 0)

    def _whole(self, number: object) -> int:
        # Where the file's own words are damaged, a column of whole numbers may hold anything.
        if not isinstance(number, int):
            raise StorageCorruptError(
                f"{self.path}: a position, time or size is damaged: expected a whole number; "
                "restore the journal from a backup or move it away"
            )
        return number

    def _open_reader(self) -> sqlite3.Connection:
        if self._reader is None:
            raise ValueError(f"{self.path}: the journal is not open")
        return self._reader


def _bytes(column: NDArray[np.generic], dtype: type[np.generic]) -> memoryview:
    return np.ascontiguousarray(column, dtype).reshape(-1).view(np.uint8).data


def _is_intact(row: _Row) -> bool:
    # A flipped byte in the row's header can change a column's type as well as its bytes.
    position, offset, count, ticked_at, crc, *blobs = row
    if not all(isinstance(number, int) for number in row[:5]) or not all(isinstance(blob, bytes) for blob in blobs):
        return False
    return crc == _checksum(position, offset, count, ticked_at, *blobs)


def _checksum(
    position: int,
    offset: int,
    count: int,
    ticked_at: int,
    flags: bytes | memoryview,
    arrival: bytes | memoryview,
    spans: bytes | memoryview,
    data: bytes,
) -> int:
    crc = crc32(b"%d,%d,%d,%d" % (position, offset, count, ticked_at))
    for part in (flags, arrival, spans, data):
        crc = crc32(part, crc)
    return crc
