"""Store: the spool: outputs that wait for external databases, with a cursor for each.

A database that is away falls behind alone, and catches up alone from its cursor.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from common.sqlite import connect, ensure_schema, storage_errors, transaction
from common.sqlite_file import FileForm, SqliteFile
from common.storage_errors import StorageCorruptError
from devices.batch import Batch, ScoredBatch
from storage.external.outputs import decode_output, encode_output
from storage.storage_settings import GIBIBYTE
from storage.store import DevicePresence, StepOutput

VERSION = 1
_PAGE_BYTES = 16384
_REFUSED_KEPT = 10_000
_FORGET_REFUSED = "DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - ?"

_SCHEMA = """
CREATE TABLE entry(
    id INTEGER PRIMARY KEY AUTOINCREMENT, points INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE TABLE cursor(
    sink TEXT PRIMARY KEY, id INTEGER NOT NULL, dropped INTEGER NOT NULL, refused INTEGER NOT NULL,
    written INTEGER NOT NULL
);
CREATE TABLE refused(
    id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, line TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE progress(position INTEGER NOT NULL);
INSERT INTO progress VALUES (0)
"""
_FORM = FileForm("spool", "the spool", VERSION, _SCHEMA, page_bytes=_PAGE_BYTES)


@dataclass(frozen=True, slots=True)
class SinkLag:
    """How far a sink is behind, and what became of the rest.

    `outputs` and `points` wait for it, `written` points went there, `refused` lines it would not take, `dropped` points
    left the spool before it took them, because the spool was full.
    """

    outputs: int
    points: int
    written: int
    refused: int
    dropped: int


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that a sink would not take, with the reason."""

    sink: str
    line: str
    reason: str


class Spool(SqliteFile):
    """A durable, bounded outbox in one SQLite file. Any thread may call it.

    Outputs are appended before the embedded database commits them, so that `position` is never behind that database's:
    after a kill, what is scored again from a snapshot is either here already, and ignored, or still to come.
    A sink that is new begins with the next output; the cursor of one that is no longer named is forgotten.
    It holds at most `max_bytes`: beyond, the oldest outputs go although a sink has not taken them, and their points are
    counted as dropped for it.
    """

    def __init__(self, path: Path, sinks: Sequence[str], *, max_bytes: int = 4 * GIBIBYTE) -> None:
        repeated = {sink for sink in sinks if list(sinks).count(sink) > 1}
        if repeated:
            raise ValueError(f"sink {sorted(repeated)[0]!r} is named twice: expected each name once")
        if max_bytes < 1:
            raise ValueError(f"max_bytes is {max_bytes}: expected 1 or more")
        super().__init__(path, _FORM)
        self.sinks = tuple(sinks)
        self.max_bytes = max_bytes
        self._position = 0
        self._bytes = 0

    @property
    def position(self) -> int:
        """The journal position up to which every output is in the spool or past it."""
        return self._position

    def is_behind(self, stored: int) -> bool:
        """Whether it lacks outputs that the embedded database holds up to `stored`.

        After a run that had sinks that means that the file was lost, or is an older copy.
        """
        return self._position < stored

    def align(self, stored: int, journal_end: int) -> str | None:
        """Bring `position` to where the embedded database (`stored`) and the journal stand at the start.

        A spool that is behind the database, being new or having had no sinks, goes on from there; one that is ahead of
        the journal belongs to another journal, and goes back. Returns a sentence where outputs will be missing or come
        twice, else None.
        """
        word = None
        with self._using("setting up the spool") as connection:
            if stored <= self._position <= journal_end:
                return None
            if self._position > journal_end:
                word = (
                    f"{self.path}: external databases stand at journal position {self._position}, but the journal ends "
                    f"at {journal_end}: what is scored from {stored} on goes to them again"
                )
            elif self._position:
                word = (
                    f"{self.path}: external databases get nothing of journal positions {self._position} to {stored}, "
                    "which were stored while there were none"
                )
            with transaction(connection):
                connection.execute("UPDATE progress SET position = ?", (stored,))
            self._position = stored
        return word

    def append(self, output: StepOutput) -> bool:
        """Add an output for every sink; it is on disk when this returns. Says whether it was new.

        Output wholly before `position` is ignored. Raises ValueError where the output begins before `position` and ends
        behind it, StorageFullError where the disk is full.
        """
        data = encode_output(output)
        with self._using("appending to the spool") as connection:
            if output.next_position <= self._position:
                return False
            if output.position < self._position:
                raise ValueError(
                    f"output of journal positions {output.position} to {output.next_position} begins before the "
                    f"spool's position {self._position} and ends behind it: expected outputs to break there"
                )
            self._insert(connection, data, len(output.points), output.next_position)
            return True

    def note(self, devices: Sequence[DevicePresence]) -> None:
        """Add changes of device states for every sink: they stand beside the journal, so `position` stays."""
        nothing = ScoredBatch.unscored(Batch.empty(), late=False)
        data = encode_output(StepOutput(self._position, self._position, nothing, devices=list(devices)))
        with self._using("appending to the spool") as connection:
            self._insert(connection, data, 0, self._position)

    def read(self, sink: str) -> Iterator[tuple[int, StepOutput]]:
        """Outputs that wait for `sink`, each with its id, oldest first, to the end of the spool.

        Raises StorageCorruptError where one is damaged.
        """
        last = self._cursor(sink)
        while True:
            with self._using() as connection:
                row = connection.execute(
                    "SELECT id, crc, data FROM entry WHERE id > ? ORDER BY id LIMIT 1", (last,)
                ).fetchone()
            if row is None:
                return
            last, crc, data = row
            if crc != crc32(data):
                raise StorageCorruptError(
                    f"{self.path}: entry {last} is damaged: wrong checksum; move the file away, and export what is "
                    "missing from the embedded database"
                )
            yield last, decode_output(data)

    def advance(self, sink: str, entry: int, refused: Sequence[RefusedLine] = (), written: int = 0) -> None:
        """Note that `sink` holds everything up to and with `entry`, and remove what every sink holds.

        `written` points went there; of the lines that it `refused` the newest 10,000 are kept.
        """
        self._cursor(sink)
        with self._using("advancing the spool") as connection:
            with transaction(connection):
                connection.execute(
                    "UPDATE cursor SET id = max(id, ?), refused = refused + ?, written = written + ? WHERE sink = ?",
                    (entry, len(refused), written, sink),
                )
                if refused:
                    rows = [(sink, each.line, each.reason) for each in refused[-_REFUSED_KEPT:]]
                    connection.executemany("INSERT INTO refused(sink, line, reason) VALUES (?, ?, ?)", rows)
                    connection.execute(_FORGET_REFUSED, (_REFUSED_KEPT,))
                everywhere = connection.execute("SELECT min(id) FROM cursor").fetchone()[0]
                done = "FROM entry WHERE id <= ?"
                freed = connection.execute(f"SELECT total(length(data)) {done}", (everywhere,)).fetchone()[0]
                connection.execute(f"DELETE {done}", (everywhere,))
            self._bytes -= int(freed)

    def lag(self, sink: str) -> SinkLag:
        """How far `sink` is behind."""
        last = self._cursor(sink)
        with self._using() as connection:
            waiting = "SELECT count(*), total(points) FROM entry WHERE id > ?"
            outputs, points = connection.execute(waiting, (last,)).fetchone()
            counts = "SELECT written, refused, dropped FROM cursor WHERE sink = ?"
            written, refused, dropped = connection.execute(counts, (sink,)).fetchone()
        return SinkLag(int(outputs), int(points), int(written), int(refused), int(dropped))

    def _insert(self, connection: sqlite3.Connection, data: bytes, points: int, position: int) -> None:
        with transaction(connection):
            freed = self._make_room(connection, len(data))
            connection.execute("INSERT INTO entry(points, crc, data) VALUES (?, ?, ?)", (points, crc32(data), data))
            connection.execute("UPDATE progress SET position = ?", (position,))
        self._position = position
        self._bytes += len(data) - freed

    def _prepare(self, connection: sqlite3.Connection) -> None:
        super()._prepare(connection)
        with transaction(connection):
            self._set_up_cursors(connection)
        self._position = int(connection.execute("SELECT position FROM progress").fetchone()[0])
        self._bytes = int(connection.execute("SELECT total(length(data)) FROM entry").fetchone()[0])

    def _set_up_cursors(self, connection: sqlite3.Connection) -> None:
        known = {row[0] for row in connection.execute("SELECT sink FROM cursor")}
        newest = connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'entry'")
        end = int(newest.fetchone()[0])
        connection.executemany("DELETE FROM cursor WHERE sink = ?", [(sink,) for sink in known - set(self.sinks)])
        new = [(sink, end) for sink in self.sinks if sink not in known]
        connection.executemany("INSERT INTO cursor VALUES (?, ?, 0, 0, 0)", new)
        connection.execute("DELETE FROM entry WHERE id <= coalesce((SELECT min(id) FROM cursor), ?)", (end,))

    def _make_room(self, connection: sqlite3.Connection, needed: int) -> int:
        """Drop the oldest entries until `needed` bytes fit; returns the bytes freed."""
        freed = 0
        while self._bytes - freed + needed > self.max_bytes:
            oldest = connection.execute("SELECT id, points, length(data) FROM entry ORDER BY id LIMIT 1").fetchone()
            if oldest is None:
                break
            entry, points, size = oldest
            connection.execute("DELETE FROM entry WHERE id = ?", (entry,))
            connection.execute("UPDATE cursor SET dropped = dropped + ?, id = ? WHERE id < ?", (points, entry, entry))
            freed += int(size)
        return freed

    def _cursor(self, sink: str) -> int:
        with self._using() as connection:
            row = connection.execute("SELECT id FROM cursor WHERE sink = ?", (sink,)).fetchone()
        if row is None:
            raise ValueError(f"the spool knows no sink {sink!r}: expected one of {', '.join(self.sinks) or 'none'}")
        return int(row[0])


def refused_lines(path: Path, limit: int = 10_000) -> list[RefusedLine]:
    """Lines that sinks would not take, the newest first, of the spool in this file, also while a service uses it.

    Raises StorageCorruptError, OSError.
    """
    with storage_errors(path, "reading the spool"):
        connection = connect(path, read_only=True)
        try:
            ensure_schema(connection, path, kind="spool", version=VERSION, schema=_SCHEMA)
            rows = connection.execute("SELECT sink, line, reason FROM refused ORDER BY id DESC LIMIT ?", (limit,))
            return [RefusedLine(*row) for row in rows]
        finally:
            connection.close()
