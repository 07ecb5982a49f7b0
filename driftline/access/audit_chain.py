"""The audit log as a chain: each entry carries a hash of itself and of the entry before it.

An entry that is changed, taken out or put in breaks the chain from there on. Who can write the file could make the
whole chain anew; a hash that was noted elsewhere, as `driftline audit verify` prints it, tells that too.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import dataclass

AUDIT_SCHEMA = """
CREATE TABLE audit(id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, who TEXT NOT NULL,
    address TEXT NOT NULL, action TEXT NOT NULL, detail TEXT NOT NULL, before TEXT NOT NULL DEFAULT '',
    after TEXT NOT NULL DEFAULT '', hash TEXT NOT NULL DEFAULT '');
CREATE TABLE audit_begin(id INTEGER NOT NULL, hash TEXT NOT NULL);
"""
"""The entries, and the newest of those that were taken away for their age, which the chain begins behind."""

_MOST_ROWS = 100_000
_MOST_TAKEN = 1_000
_FIELDS = "id, time, who, address, action, detail, before, after"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done, or tried: when (ns), by whom, from which address, what, and to what.

    `before` and `after` are what it changed, "" where it changed nothing that can be shown so.
    """

    time: int
    who: str
    address: str
    action: str
    detail: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class ChainState:
    """What a walk along the chain found: `entries` that fit, the newest `hash`, and where it is `broken`."""

    entries: int
    hash: str
    broken: str = ""


def append_entry(connection: sqlite3.Connection, entry: AuditEntry) -> None:
    """Write an entry behind the newest. The oldest of more than 100,000 go. Call it within a transaction."""
    before = _newest_hash(connection)
    number = connection.execute(
        "INSERT INTO audit(time, who, address, action, detail, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (entry.time, entry.who, entry.address, entry.action, entry.detail, entry.before, entry.after),
    ).lastrowid
    row = connection.execute(f"SELECT {_FIELDS} FROM audit WHERE id = ?", (number,)).fetchone()
    connection.execute("UPDATE audit SET hash = ? WHERE id = ?", (_hash(before, row), number))
    oldest = connection.execute("SELECT min(id) FROM audit").fetchone()[0]
    if number is not None and number - oldest >= _MOST_ROWS + _MOST_TAKEN:
        last = number - _MOST_ROWS
        kept = connection.execute("SELECT hash FROM audit WHERE id = ?", (last,)).fetchone()[0]
        connection.execute("DELETE FROM audit_begin")
        connection.execute("INSERT INTO audit_begin VALUES (?, ?)", (last, kept))
        connection.execute("DELETE FROM audit WHERE id <= ?", (last,))


def entries(connection: sqlite3.Connection, limit: int) -> list[AuditEntry]:
    """What was done, newest first."""
    rows = connection.execute(f"SELECT {_FIELDS} FROM audit ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
    return [AuditEntry(*row[1:]) for row in rows]


def verified(connection: sqlite3.Connection, known: str = "") -> ChainState:
    """Walk along the whole chain; the hash `known`, where one is given, must be on the way."""
    try:
        return _walked(connection, known)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        return ChainState(0, "", f"its tables are not what was written ({error})")


def _walked(connection: sqlite3.Connection, known: str) -> ChainState:
    try:
        number, before = _begin(connection)
    except (TypeError, ValueError):
        return ChainState(0, "", "where the log begins (table audit_begin) is not what was written")
    count, is_there = 0, known in ("", before)
    for row in connection.execute(f"SELECT {_FIELDS}, hash FROM audit ORDER BY id"):
        *fields, kept = row
        if fields[0] != number + 1:
            return ChainState(count, before, f"entry {number + 1} is missing: {fields[0]} follows {number}")
        if _hash(before, tuple(fields)) != kept:
            return ChainState(count, before, f"entry {fields[0]} is not what was written, or one before it is missing")
        number, before, count = fields[0], kept, count + 1
        is_there = is_there or kept == known
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
    if last is not None and last[0] != number:
        return ChainState(count, before, f"entries {number + 1} to {last[0]}, the newest, are missing")
    return ChainState(count, before, "" if is_there else "no entry has the hash that was noted: the log was made anew")


def carry_over(connection: sqlite3.Connection) -> None:
    """Make a chain of the entries of a file of version 1, as they are. Call it within a transaction."""
    rows = connection.execute("SELECT id, time, who, address, action, detail FROM audit ORDER BY id").fetchall()
    connection.execute("DROP TABLE audit")
    for statement in AUDIT_SCHEMA.split(";")[:2]:
        connection.execute(statement)
    if rows:
        connection.execute("INSERT INTO audit_begin VALUES (?, '')", (rows[0][0] - 1,))
    before = ""
    for row in rows:
        before = _hash(before, (*row, "", ""))
        connection.execute(
            "INSERT INTO audit(id, time, who, address, action, detail, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*row, before),
        )


def _begin(connection: sqlite3.Connection) -> tuple[int, str]:
    row = connection.execute("SELECT id, hash FROM audit_begin").fetchone()
    return (0, "") if row is None else (int(row[0]), str(row[1]))


def _newest_hash(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    return _begin(connection)[1] if row is None else str(row[0])


def _hash(before: str, fields: tuple[object, ...]) -> str:
    # Bytes, which no entry is written with, are text here: a changed entry is told of like any other.
    content = json.dumps([before, *fields], ensure_ascii=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(content.encode()).hexdigest()
