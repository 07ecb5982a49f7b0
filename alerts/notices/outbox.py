"""The outbox: notices in a SQLite file until their channel has taken them, each exactly once in it.

A notice is there before anything is sent, and marked as sent after the channel has taken it. A kill in between makes it
go out again, under the same key: that is what "at least once" means, and the key lets receivers see it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alerts.notices.notice_settings import NoticeSettings
from alerts.notices.wording import Message
from common.sqlite import transaction
from common.sqlite_file import FileForm, SqliteFile

_VERSION = 1
_KEPT_SENT = 2_000
_SCHEMA = """
CREATE TABLE notice(
    id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, key TEXT NOT NULL, alarm INTEGER,
    state TEXT NOT NULL, created INTEGER NOT NULL, due INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
    sent INTEGER, error TEXT NOT NULL DEFAULT '', subject TEXT NOT NULL, body TEXT NOT NULL, payload TEXT NOT NULL,
    UNIQUE(channel, key));
CREATE INDEX notice_due ON notice(channel, state, due);
CREATE INDEX notice_alarm ON notice(alarm);
CREATE TABLE alarm(alarm INTEGER PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE channel(name TEXT PRIMARY KEY, settings TEXT NOT NULL, secret TEXT NOT NULL);
"""
_FORM = FileForm("outbox", "the outbox", _VERSION, _SCHEMA, private=True)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice that has not been taken yet: `tries` failed so far. `alarm` None for tests and digests."""

    ident: int
    alarm: int | None
    tries: int
    created: int
    message: Message


@dataclass(frozen=True, slots=True)
class NoticeRecord:
    """One notice as people see it. `state` is waiting, sent, digested, spared or given up. Times in ns."""

    channel: str
    key: str
    state: str
    created: int
    sent: int | None
    tries: int
    error: str
    subject: str


@dataclass(frozen=True, slots=True)
class Told:
    """Whom an alarm was told to, or will be: `state` as in `NoticeRecord`, `time` when it was sent, or is due, ns."""

    channel: str
    state: str
    time: int
    error: str


class Outbox(SqliteFile):
    """The file of notices. Any thread may use it. `open` makes it, for its owner alone.

    Raises StorageFullError, StorageCorruptError or OSError, which name the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _FORM)

    def put(
        self, alarm: int, state: str, messages: Sequence[tuple[str, Message, int]], now: int, *, follow_up: bool
    ) -> None:
        """Note the alarm's state and queue messages as (channel, message, due), in one transaction.

        What is queued or sent already is left as it is; what was spared is queued anew. An alarm that is not open, as
        one that somebody has taken on, spares those that were to be told later. A `follow_up` goes only to channels
        that were told of the alarm before.
        """
        with self._transaction() as connection:
            if state != "open":
                connection.execute(
                    "UPDATE notice SET state = 'spared' WHERE alarm = ? AND state = 'waiting' AND tries = 0 "
                    "AND due > created",
                    (alarm,),
                )
            connection.execute("INSERT OR REPLACE INTO alarm VALUES (?, ?)", (alarm, state))
            for channel, message, due in messages:
                if follow_up and not self._was_told(connection, channel, alarm):
                    continue
                _insert(connection, channel, message, alarm, now, due)

    def queue(self, message: Message, channels: Sequence[str], now: int) -> None:
        """Queue a message that is about no single alarm; one whose key was queued before is left as it is."""
        with self._transaction() as connection:
            for channel in channels:
                _insert(connection, channel, message, None, now, now)

    def state_of(self, alarm: int) -> str | None:
        """The alarm's state as it was last told; None where it was never seen."""
        with self._using() as connection:
            row = connection.execute("SELECT state FROM alarm WHERE alarm = ?", (alarm,)).fetchone()
        return row[0] if row else None

    @property
    def is_new(self) -> bool:
        """Whether no alarm was ever seen."""
        with self._using() as connection:
            return connection.execute("SELECT 1 FROM alarm LIMIT 1").fetchone() is None

    def due(self, channel: str, now: int, limit: int = 1_000) -> list[Waiting]:
        """What may be sent now, the oldest first."""
        with self._using() as connection:
            rows = connection.execute(
                "SELECT id, alarm, tries, created, key, subject, body, payload FROM notice "
                "WHERE channel = ? AND state = 'waiting' AND due <= ? ORDER BY id LIMIT ?",
                (channel, now, limit),
            ).fetchall()
        return [
            Waiting(ident, alarm, tries, created, Message(key, subject, body, json.loads(payload)))
            for ident, alarm, tries, created, key, subject, body, payload in rows
        ]

    def sent_since(self, channel: str, since: int) -> list[int]:
        """When messages were taken since then, in order."""
        with self._using() as connection:
            rows = connection.execute(
                "SELECT sent FROM notice WHERE channel = ? AND state = 'sent' AND sent > ? ORDER BY sent",
                (channel, since),
            ).fetchall()
        return [row[0] for row in rows]

    def mark(self, idents: Sequence[int], state: str, now: int) -> None:
        """Say of notices what has become of them."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE notice SET state = ?, sent = ?, error = '' WHERE id = ?",
                [(state, now if state == "sent" else None, ident) for ident in idents],
            )
            connection.execute(
                "DELETE FROM notice WHERE state <> 'waiting' AND id <= (SELECT max(id) FROM notice) - ?", (_KEPT_SENT,)
            )

    def digest(self, waiting: Sequence[Waiting], channel: str, message: Message, now: int) -> None:
        """Put one message in the place of many."""
        with self._transaction() as connection:
            _insert(connection, channel, message, None, now, now)
            connection.executemany(
                "UPDATE notice SET state = 'digested' WHERE id = ?", [(each.ident,) for each in waiting]
            )

    def failed(self, ident: int, error: str, due: int) -> None:
        """Count a failed attempt, and say when the next one is."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE notice SET tries = tries + 1, error = ?, due = ? WHERE id = ?", (error[:500], due, ident)
            )

    def next_due(self, channel: str) -> int | None:
        """When the next notice of the channel may be sent; None where none waits."""
        with self._using() as connection:
            row = connection.execute(
                "SELECT min(due) FROM notice WHERE channel = ? AND state = 'waiting'", (channel,)
            ).fetchone()
        return row[0] if row else None

    def waiting(self, channel: str) -> tuple[int, str]:
        """How many notices wait, and what the newest failed attempt ended with."""
        with self._using() as connection:
            count = connection.execute(
                "SELECT count(*) FROM notice WHERE channel = ? AND state = 'waiting'", (channel,)
            ).fetchone()[0]
            error = connection.execute(
                "SELECT error FROM notice WHERE channel = ? AND state = 'waiting' AND error <> '' ORDER BY id LIMIT 1",
                (channel,),
            ).fetchone()
        return count, error[0] if error else ""

    def waits_since(self, channel: str) -> tuple[int, str] | None:
        """When the oldest notice that the channel has refused was due, and what the last attempt at it ended with.

        None where it takes what it is given.
        """
        with self._using() as connection:
            row = connection.execute(
                "SELECT created, error FROM notice WHERE channel = ? AND state = 'waiting' AND tries > 0 "
                "ORDER BY id LIMIT 1",
                (channel,),
            ).fetchone()
        return (int(row[0]), str(row[1])) if row else None

    def told(self, alarms: Sequence[int]) -> dict[int, list[Told]]:
        """Of these alarms, who was told or is to be told that they opened, in order of time."""
        with self._using() as connection:
            rows = connection.execute(
                "SELECT alarm, channel, state, coalesce(sent, due), error FROM notice "
                "WHERE alarm IN (SELECT value FROM json_each(?)) AND key LIKE '%-opened' ORDER BY 4, id",
                (json.dumps(list(alarms)),),
            ).fetchall()
        found: dict[int, list[Told]] = {}
        for alarm, *told in rows:
            found.setdefault(alarm, []).append(Told(*told))
        return found

    def newest(self, limit: int = 100) -> list[NoticeRecord]:
        """Notices, newest first."""
        with self._using() as connection:
            rows = connection.execute(
                "SELECT channel, key, state, created, sent, tries, error, subject FROM notice ORDER BY id DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [NoticeRecord(*row) for row in rows]

    def channels(self) -> list[tuple[NoticeSettings, str]]:
        """Channels that were made on the page, with their secrets."""
        with self._using() as connection:
            rows = connection.execute("SELECT settings, secret FROM channel ORDER BY name").fetchall()
        return [(NoticeSettings.model_validate_json(settings), secret) for settings, secret in rows]

    def save_channel(self, settings: NoticeSettings, secret: str) -> None:
        """Keep a channel that was made on the page."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO channel VALUES (?, ?, ?)", (settings.name, settings.model_dump_json(), secret)
            )

    def remove_channel(self, name: str) -> bool:
        """Forget a channel that was made on the page, with what waits for it; whether there was one."""
        with self._transaction() as connection:
            connection.execute("UPDATE notice SET state = 'given up' WHERE channel = ? AND state = 'waiting'", (name,))
            return connection.execute("DELETE FROM channel WHERE name = ?", (name,)).rowcount > 0

    @staticmethod
    def _was_told(connection: sqlite3.Connection, channel: str, alarm: int) -> bool:
        """Whether the channel was told that the alarm opened."""
        found = connection.execute(
            "SELECT 1 FROM notice WHERE channel = ? AND alarm = ? AND state <> 'spared' LIMIT 1", (channel, alarm)
        ).fetchone()
        return found is not None

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _name_kind(connection)
        super()._prepare(connection)


def _name_kind(connection: sqlite3.Connection) -> None:
    """A file of a version before this does not say what it is."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if {"notice", "channel"} <= tables and "meta" not in tables:
        with transaction(connection):
            connection.execute("CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            connection.execute("INSERT INTO meta VALUES ('kind', 'outbox'), ('version', ?)", (str(_VERSION),))


def _insert(
    connection: sqlite3.Connection, channel: str, message: Message, alarm: int | None, now: int, due: int
) -> None:
    connection.execute(
        "INSERT INTO notice(channel, key, alarm, state, created, due, subject, body, payload) "
        "VALUES (?, ?, ?, 'waiting', ?, ?, ?, ?, ?) ON CONFLICT(channel, key) DO UPDATE SET state = 'waiting', "
        "created = excluded.created, due = excluded.due, tries = 0 WHERE notice.state = 'spared'",
        (channel, message.key, alarm, now, due, message.subject, message.body, json.dumps(message.payload)),
    )
