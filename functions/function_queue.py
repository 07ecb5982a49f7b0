"""Functions: the durable queue of events, the newest calls, and the counts, in a SQLite file.

An event is in the file before the journal position that it comes from counts as stored, and leaves it once its function
has taken it. A kill in between lets it be called again under the same key: that is what "at least once" means.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from common.sqlite_file import FileForm, SqliteFile
from functions.call_records import CallRecord
from storage.store import FunctionEvent

COUNTS = (
    "events",
    "done",
    "failed",
    "dropped",
    "calls",
    "errors",
    "timeouts",
    "crashes",
    "cold_starts",
    "milliseconds",
)
"""Counts of a function. events = done + failed + dropped + what waits; the rest is of calls, by hand too."""

_KEPT_CALLS = 500
_KEPT_FAILED = 10_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS event(
    id INTEGER PRIMARY KEY AUTOINCREMENT, function TEXT NOT NULL, key TEXT NOT NULL, shard INTEGER NOT NULL,
    state TEXT NOT NULL, created INTEGER NOT NULL, due INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '', trigger TEXT NOT NULL, content TEXT NOT NULL, UNIQUE(function, key));
CREATE INDEX IF NOT EXISTS event_due ON event(function, state, shard, id);
CREATE TABLE IF NOT EXISTS call(
    id INTEGER PRIMARY KEY AUTOINCREMENT, function TEXT NOT NULL, record TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS call_of ON call(function, id);
CREATE TABLE IF NOT EXISTS total(function TEXT NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY(function, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mark(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_FORM = FileForm("queue of functions", "the queue of functions", version=1, schema=_SCHEMA, private=True)
_CALLS = {"error": "errors", "memory": "errors", "broken": "errors", "timeout": "timeouts", "crash": "crashes"}


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that waits, or that was set aside: `tries` so far, and the last `error`. Times in ns."""

    ident: int
    function: str
    key: str
    shard: int
    created: int
    tries: int
    error: str
    trigger: dict[str, Any]
    content: Any


class FunctionQueue(SqliteFile):
    """The file of events. Any thread may use it. `open` makes it, for its owner alone.

    Raises StorageFullError, StorageCorruptError or OSError, which name the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _FORM)

    def begin_at(self, journal_end: int) -> None:
        """Let the position be one of this journal: one that was begun anew is shorter than what was taken before."""
        if self.mark("position") > journal_end:
            self.set_mark("position", journal_end)

    def take(self, events: Sequence[FunctionEvent], next_position: int, most: Mapping[str, int]) -> None:
        """Queue what a run of the journal up to `next_position` gave; what was taken before is left out.

        `most` is how many may wait, by function. Raises StorageFullError.
        """
        with self._transaction() as connection:
            taken = self._mark(connection, "position")
            new = [event for event in events if event.position >= taken]
            if not new:
                return
            self._insert(connection, new)
            for name in dict.fromkeys(event.function for event in new):
                self._bound(connection, name, most.get(name, _KEPT_FAILED))
            self._set_mark(connection, "position", next_position)

    def put(self, event: FunctionEvent) -> bool:
        """Queue an event that does not come from the journal; False where one of its key waits already."""
        with self._transaction() as connection:
            return self._insert(connection, [event]) > 0

    def fire(self, event: FunctionEvent, at: int) -> None:
        """Queue the event of a schedule, and note that it has fired at `at`, in one transaction."""
        with self._transaction() as connection:
            self._insert(connection, [event])
            self._set_mark(connection, f"schedule {event.function}", at)

    def fired(self, function: str) -> int:
        """When the schedule fired last; 0 where it never has."""
        return self.mark(f"schedule {function}")

    def due(self, function: str, now: int, limit: int) -> list[WaitingEvent]:
        """Events of a function that may be called for now, the oldest first."""
        return self._events("function = ? AND state = 'waiting' AND due <= ? ORDER BY id LIMIT ?", function, now, limit)

    def lane(self, function: str, shard: int, now: int, limit: int) -> list[WaitingEvent]:
        """The oldest events of a lane; none while the first of them is not due."""
        with self._using() as connection:
            row = connection.execute(
                "SELECT due FROM event WHERE function = ? AND state = 'waiting' AND shard = ? ORDER BY id LIMIT 1",
                (function, shard),
            ).fetchone()
        if row is None or row[0] > now:
            return []
        return self._events(
            "function = ? AND state = 'waiting' AND shard = ? ORDER BY id LIMIT ?", function, shard, limit
        )

    def lanes(self, function: str) -> list[int]:
        """Shards in which something waits."""
        with self._using() as connection:
            rows = connection.execute(
                "SELECT DISTINCT shard FROM event WHERE function = ? AND state = 'waiting'", (function,)
            ).fetchall()
        return [shard for (shard,) in rows]

    def failed(self, function: str, limit: int = 100) -> list[WaitingEvent]:
        """Events that were given up, the newest first."""
        return self._events("function = ? AND state = 'failed' ORDER BY id DESC LIMIT ?", function, limit)

    def done(self, events: Iterable[WaitingEvent]) -> None:
        """Their function has taken them."""
        self._leave(events, "done")

    def again(self, events: Sequence[WaitingEvent], error: str, due: int) -> None:
        """A call for them has failed: they are tried again at `due`."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE event SET tries = tries + 1, error = ?, due = ? WHERE id = ?",
                [(error[:2_000], due, each.ident) for each in events],
            )

    def give_up(self, event: WaitingEvent, error: str) -> None:
        """Set an event aside: it is kept with its error, and may be tried again by hand."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE event SET state = 'failed', tries = tries + 1, error = ? WHERE id = ?",
                (error[:2_000], event.ident),
            )
            self._count(connection, event.function, "failed", 1)
            connection.execute(
                "DELETE FROM event WHERE function = ? AND state = 'failed' AND id <= "
                "(SELECT id FROM event WHERE function = ? AND state = 'failed' ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (event.function, event.function, _KEPT_FAILED),
            )

    def retry(self, function: str, now: int) -> int:
        """Let every event that was given up be tried again, as if it had come now; returns how many."""
        with self._transaction() as connection:
            count = connection.execute(
                "UPDATE event SET state = 'waiting', tries = 0, created = ?, due = ? "
                "WHERE function = ? AND state = 'failed'",
                (now, now, function),
            ).rowcount
            self._count(connection, function, "failed", -count)
            return count

    def waiting(self, function: str) -> tuple[int, int | None]:
        """How many events wait, and when the oldest of them came (ns; None where none does)."""
        with self._using() as connection:
            row = connection.execute(
                "SELECT count(*), min(created) FROM event WHERE function = ? AND state = 'waiting'", (function,)
            ).fetchone()
        return int(row[0]), row[1]

    def next_due(self) -> int | None:
        """When the next event may be called for; None where none waits."""
        with self._using() as connection:
            row = connection.execute("SELECT min(due) FROM event WHERE state = 'waiting'").fetchone()
        return None if row[0] is None else int(row[0])

    def note(self, record: CallRecord) -> None:
        """Keep a call, and count it."""
        content = {name: getattr(record, name) for name in CallRecord.__dataclass_fields__}
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO call(function, record) VALUES (?, ?)", (record.function, json.dumps(content))
            )
            connection.execute(
                "DELETE FROM call WHERE function = ? AND id <= "
                "(SELECT id FROM call WHERE function = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (record.function, record.function, _KEPT_CALLS),
            )
            counts = {"calls": 1, "cold_starts": int(record.cold), "milliseconds": record.duration // 1_000_000}
            if record.outcome in _CALLS:
                counts[_CALLS[record.outcome]] = 1
            for name, count in counts.items():
                self._count(connection, record.function, name, count)

    def calls(self, function: str | None = None, limit: int = 100) -> list[CallRecord]:
        """Calls, the newest first, of one function or of all."""
        chosen, values = ("WHERE function = ?", [function]) if function is not None else ("", [])
        with self._using() as connection:
            rows = connection.execute(
                f"SELECT record FROM call {chosen} ORDER BY id DESC LIMIT ?", (*values, limit)
            ).fetchall()
        return [CallRecord(**json.loads(record)) for (record,) in rows]

    def counts(self, function: str) -> dict[str, int]:
        """Everything that was counted of a function."""
        with self._using() as connection:
            rows = connection.execute("SELECT name, count FROM total WHERE function = ?", (function,)).fetchall()
        found = dict(rows)
        return {name: int(found.get(name, 0)) for name in COUNTS}

    def mark(self, name: str) -> int:
        """A number that was noted; 0 where none was."""
        with self._using() as connection:
            return self._mark(connection, name)

    def set_mark(self, name: str, value: int) -> None:
        """Note a number."""
        with self._transaction() as connection:
            self._set_mark(connection, name, value)

    def _insert(self, connection: sqlite3.Connection, events: Sequence[FunctionEvent]) -> int:
        added: Counter[str] = Counter()
        for event in events:
            added[event.function] += connection.execute(
                "INSERT OR IGNORE INTO event(function, key, shard, state, created, due, trigger, content) "
                "VALUES (?, ?, ?, 'waiting', ?, ?, ?, ?)",
                (
                    event.function,
                    event.key,
                    event.shard,
                    event.time,
                    event.time,
                    orjson.dumps(event.trigger).decode(),
                    event.content.decode(),
                ),
            ).rowcount
        for name, count in added.items():
            self._count(connection, name, "events", count)
        return added.total()

    def _bound(self, connection: sqlite3.Connection, function: str, most: int) -> None:
        """Let the oldest go where too many wait."""
        dropped = connection.execute(
            "DELETE FROM event WHERE function = ? AND state = 'waiting' AND id <= (SELECT id FROM event "
            "WHERE function = ? AND state = 'waiting' ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (function, function, most),
        ).rowcount
        if dropped:
            self._count(connection, function, "dropped", dropped)

    def _leave(self, events: Iterable[WaitingEvent], count: str) -> None:
        with self._transaction() as connection:
            for event in events:
                if connection.execute("DELETE FROM event WHERE id = ?", (event.ident,)).rowcount:
                    self._count(connection, event.function, count, 1)

    def _events(self, where: str, *values: Any) -> list[WaitingEvent]:
        with self._using() as connection:
            rows = connection.execute(
                f"SELECT id, function, key, shard, created, tries, error, trigger, content FROM event WHERE {where}",
                values,
            ).fetchall()
        return [
            WaitingEvent(ident, name, key, shard, created, tries, error, orjson.loads(trigger), orjson.loads(content))
            for ident, name, key, shard, created, tries, error, trigger, content in rows
        ]

    @staticmethod
    def _count(connection: sqlite3.Connection, function: str, name: str, count: int) -> None:
        connection.execute(
            "INSERT INTO total VALUES (?, ?, ?) "
            "ON CONFLICT(function, name) DO UPDATE SET count = count + excluded.count",
            (function, name, count),
        )

    @staticmethod
    def _mark(connection: sqlite3.Connection, name: str) -> int:
        row = connection.execute("SELECT value FROM mark WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    @staticmethod
    def _set_mark(connection: sqlite3.Connection, name: str, value: int) -> None:
        connection.execute("INSERT OR REPLACE INTO mark VALUES (?, ?)", (name, value))
