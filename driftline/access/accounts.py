"""Users, API tokens, sessions and the audit log, in one SQLite file of the data folder.

Passwords are kept as Argon2id hashes (RFC 9106). Tokens and session ids are random, 256 bits, so a SHA-256 hash of them
is enough; they themselves are never stored.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from common.sqlite import transaction
from common.sqlite_file import FileForm, SqliteFile
from common.time_units import MINUTE
from driftline.access.audit_chain import (
    AUDIT_SCHEMA,
    AuditEntry,
    ChainState,
    append_entry,
    carry_over,
    entries,
    verified,
)
from driftline.access.identity import Role

MIN_PASSWORD = 12
"""Fewest characters of a password."""
TOKEN_START = "dl_"
"""What API tokens begin with, so that a leaked one is recognised."""
_MOST_SHOWN = 4_000
_SEEN_NS = MINUTE
_VERSION = 2
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}")
_SCHEMA = f"""{AUDIT_SCHEMA}
CREATE TABLE user(name TEXT PRIMARY KEY, role TEXT NOT NULL, password TEXT NOT NULL, created INTEGER NOT NULL);
CREATE TABLE token(name TEXT PRIMARY KEY, role TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, created INTEGER NOT NULL,
    expires INTEGER, used INTEGER);
CREATE TABLE session(hash BLOB PRIMARY KEY, user TEXT NOT NULL REFERENCES user(name) ON DELETE CASCADE,
    created INTEGER NOT NULL, seen INTEGER NOT NULL);
CREATE TABLE secret(value BLOB NOT NULL);
"""
_FORM = FileForm("accounts", "the accounts", _VERSION, _SCHEMA, private=True)


class AccountError(ValueError):
    """An account cannot be made or changed; the message names it and what was expected."""


class UnknownAccountError(AccountError):
    """There is no such user or token."""


@dataclass(frozen=True, slots=True)
class User:
    """A person who may sign in. `created` in ns since the epoch."""

    name: str
    role: Role
    created: int


@dataclass(frozen=True, slots=True)
class Token:
    """An API token, without its text. Times in ns since the epoch; `expires` and `used` None where never."""

    name: str
    role: Role
    created: int
    expires: int | None
    used: int | None


class AccountBook(SqliteFile):
    """The file of accounts. Any thread may use it, and the command line beside a running service.

    `open` makes the file, for its owner alone, where it is missing. Raises OSError and StorageCorruptError.
    """

    def __init__(
        self, path: Path, *, hasher: PasswordHasher | None = None, clock: Callable[[], int] = time.time_ns
    ) -> None:
        super().__init__(path, _FORM)
        self._hasher = hasher or PasswordHasher()
        self._clock = clock
        # One hash takes 64 MiB and some tens of milliseconds: two at a time bound what strangers can make of that.
        self._hashing = threading.BoundedSemaphore(2)
        self._nobody = ""

    def open(self) -> Self:
        """Open or make the file."""
        # It may be the first of the data folder, which is its owner's alone.
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return super().open()

    @property
    def secret(self) -> bytes:
        """A random key of this data folder, for what is signed rather than stored."""
        with self._using() as connection:
            return bytes(connection.execute("SELECT value FROM secret").fetchone()[0])

    def users(self) -> list[User]:
        """Everyone who may sign in, by name."""
        with self._using() as connection:
            rows = connection.execute("SELECT name, role, created FROM user ORDER BY name").fetchall()
        return [User(name, Role(role), created) for name, role, created in rows]

    def user(self, name: str) -> User | None:
        """The user of that name."""
        with self._using() as connection:
            row = connection.execute("SELECT name, role, created FROM user WHERE name = ?", (name,)).fetchone()
        return User(row[0], Role(row[1]), row[2]) if row else None

    @property
    def has_users(self) -> bool:
        """Whether anyone may sign in."""
        with self._using() as connection:
            return connection.execute("SELECT 1 FROM user LIMIT 1").fetchone() is not None

    def add_user(self, name: str, role: Role, password: str) -> None:
        """Add a user. Raises AccountError."""
        _check_name("user", name)
        _check_password(password)
        hashed = self._hash(password)
        with self._using("writing the accounts") as connection, _unique(f'user "{name}" is there already'):
            connection.execute("INSERT INTO user VALUES (?, ?, ?, ?)", (name, role.value, hashed, self._clock()))

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password, and end all sessions of theirs. Raises AccountError."""
        self.change_user(name, password=password)

    def set_role(self, name: str, role: Role) -> None:
        """Give a user another role. Raises AccountError, also for the last admin."""
        self.change_user(name, role=role)

    def change_user(self, name: str, *, role: Role | None = None, password: str | None = None) -> None:
        """Give a user another role, another password, or both: both or none. A new password ends all their sessions.

        Raises AccountError, also for the last admin.
        """
        hashed = None
        if password is not None:
            _check_password(password)
            hashed = self._hash(password)
        with self._transaction() as connection:
            if role is not None:
                if role is not Role.ADMIN:
                    self._keep_an_admin(connection, name)
                self._expect(connection.execute("UPDATE user SET role = ? WHERE name = ?", (role.value, name)), name)
            if hashed is not None:
                self._expect(connection.execute("UPDATE user SET password = ? WHERE name = ?", (hashed, name)), name)
                connection.execute("DELETE FROM session WHERE user = ?", (name,))

    def remove_user(self, name: str) -> None:
        """Remove a user with all sessions. The last admin can go only as the last user. Raises AccountError."""
        with self._transaction() as connection:
            self._keep_an_admin(connection, name)
            self._expect(connection.execute("DELETE FROM user WHERE name = ?", (name,)), name)

    def check_password(self, name: str, password: str) -> User | None:
        """The user where name and password fit, else None. Takes as long for a name that does not exist."""
        with self._using() as connection:
            row = connection.execute("SELECT role, password, created FROM user WHERE name = ?", (name,)).fetchone()
        with self._hashing:
            self._nobody = self._nobody or self._hasher.hash(secrets.token_urlsafe(16))
            try:
                self._hasher.verify(row[1] if row else self._nobody, password)
            except (VerificationError, InvalidHashError):
                return None
        return User(name, Role(row[0]), row[2]) if row else None

    def begin_session(self, user: str) -> str:
        """A new session's id for the cookie."""
        ident, now = secrets.token_urlsafe(32), self._clock()
        with self._using("writing the accounts") as connection:
            connection.execute("INSERT INTO session VALUES (?, ?, ?, ?)", (_digest(ident), user, now, now))
        return ident

    def session(self, ident: str, idle: int) -> User | None:
        """The user of a session that was used within `idle` ns; using it makes it last."""
        now = self._clock()
        with self._using() as connection:
            row = connection.execute(
                "SELECT u.name, u.role, u.created, s.seen FROM session s JOIN user u ON u.name = s.user "
                "WHERE s.hash = ?",
                (_digest(ident),),
            ).fetchone()
            if row is None:
                return None
            if now - row[3] > idle:
                connection.execute("DELETE FROM session WHERE seen < ?", (now - idle,))
                return None
            if now - row[3] > _SEEN_NS:
                connection.execute("UPDATE session SET seen = ? WHERE hash = ?", (now, _digest(ident)))
        return User(row[0], Role(row[1]), row[2])

    def end_session(self, ident: str) -> None:
        """Forget a session."""
        with self._using("writing the accounts") as connection:
            connection.execute("DELETE FROM session WHERE hash = ?", (_digest(ident),))

    def tokens(self) -> list[Token]:
        """Every API token, by name."""
        with self._using() as connection:
            rows = connection.execute("SELECT name, role, created, expires, used FROM token ORDER BY name").fetchall()
        return [Token(name, Role(role), *times) for name, role, *times in rows]

    def add_token(self, name: str, role: Role, lifetime: int | None = None) -> str:
        """The text of a new API token, which lasts `lifetime` ns or for good. Raises AccountError."""
        _check_name("token", name)
        text, now = TOKEN_START + secrets.token_urlsafe(32), self._clock()
        row = (name, role.value, _digest(text), now, None if lifetime is None else now + lifetime, None)
        with self._using("writing the accounts") as connection, _unique(f'token "{name}" is there already'):
            connection.execute("INSERT INTO token VALUES (?, ?, ?, ?, ?, ?)", row)
        return text

    def remove_token(self, name: str) -> None:
        """Take a token back. Raises AccountError."""
        with self._using("writing the accounts") as connection:
            if not connection.execute("DELETE FROM token WHERE name = ?", (name,)).rowcount:
                raise UnknownAccountError(f'token: unknown "{name}"')

    def token(self, text: str) -> Token | None:
        """The token of that text, unless it has expired."""
        now = self._clock()
        with self._using() as connection:
            row = connection.execute(
                "SELECT name, role, created, expires, used FROM token WHERE hash = ?", (_digest(text),)
            ).fetchone()
            if row is None or (row[3] is not None and row[3] <= now):
                return None
            if now - (row[4] or 0) > _SEEN_NS:
                connection.execute("UPDATE token SET used = ? WHERE name = ?", (now, row[0]))
        return Token(row[0], Role(row[1]), row[2], row[3], row[4])

    def log(self, who: str, address: str, action: str, detail: str = "", *, before: str = "", after: str = "") -> None:
        """Write down what was done, or tried, and what it changed. The oldest of more than 100,000 entries go."""
        entry = AuditEntry(
            self._clock(), who[:128], address[:64], action, detail[:1000], before[:_MOST_SHOWN], after[:_MOST_SHOWN]
        )
        with self._transaction("writing the audit log") as connection:
            append_entry(connection, entry)

    def audit(self, limit: int = 200) -> list[AuditEntry]:
        """What was done, newest first."""
        with self._using("reading the audit log") as connection:
            return entries(connection, limit)

    def verify_audit(self, known: str = "") -> ChainState:
        """Whether the audit log is what was written, and holds the entry with the hash `known`, where one is given."""
        with self._using("reading the audit log") as connection:
            return verified(connection, known)

    def _hash(self, password: str) -> str:
        with self._hashing:
            return self._hasher.hash(password)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _carry_over(connection)
        super()._prepare(connection)
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(
            "INSERT INTO secret SELECT ? WHERE NOT EXISTS (SELECT * FROM secret)", (secrets.token_bytes(32),)
        )

    @staticmethod
    def _expect(done: sqlite3.Cursor, name: str) -> None:
        if not done.rowcount:
            raise UnknownAccountError(f'user: unknown "{name}"')

    @staticmethod
    def _keep_an_admin(connection: sqlite3.Connection, name: str) -> None:
        others, admins = connection.execute(
            "SELECT count(*), coalesce(sum(role = 'admin'), 0) FROM user WHERE name <> ?", (name,)
        ).fetchone()
        if others and not admins:
            raise AccountError(f'user "{name}" is the only admin; make another one first')


@contextmanager
def _unique(message: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError:
        raise AccountError(message) from None


def _check_name(kind: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise AccountError(f'{kind} "{name[:80]}": expected 1 to 64 letters, digits or _ . @ + -, beginning with one')


def _check_password(password: str) -> None:
    if len(password) < MIN_PASSWORD:
        raise AccountError(f"password: {len(password)} characters; expected at least {MIN_PASSWORD}")
    if len(password) > 1_000:
        raise AccountError(f"password: {len(password)} characters; expected at most 1000")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _carry_over(connection: sqlite3.Connection) -> None:
    """Let a file of the version before go on as one of this."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"meta", "audit"} <= tables or connection.execute("PRAGMA user_version").fetchone()[0] != 1:
        return
    if connection.execute("SELECT value FROM meta WHERE name = 'kind'").fetchone() != ("accounts",):
        return
    with transaction(connection):
        carry_over(connection)
        connection.execute("UPDATE meta SET value = ? WHERE name = 'version'", (str(_VERSION),))
        connection.execute(f"PRAGMA user_version={_VERSION}")
