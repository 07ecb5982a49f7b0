"""The data folder: where everything that outlives a run lies, and the lock that lets one service at a time use it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from storage.dead_letters import letters_path

_DAMAGES = (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading a small file of JSON raises that is not there, or holds anything else."""
_LONGEST_CLIENT_ID = 500


class FolderInUseError(Exception):
    """Another running service holds the data folder; the message names it and its process."""


class DataFolder:
    """The files of one service. `lock` must be held while writing; it is freed however the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "journal.db"
        self.database = path / "points.duckdb"
        self.dead_letters = letters_path(self.database)
        self.snapshots = path / "snapshots.db"
        self.spool = path / "spool.db"
        self.accounts = path / "accounts.db"
        self.notices = path / "notices.db"
        self.functions = path / "functions.db"
        self.workflows = path / "workflows.db"
        self.broker = path / "broker"
        self.simulator = path / "simulator"
        self.session = path / "session.json"
        self.broker_losses = path / "upstream.json"
        self.client = path / "client-id"
        self._losses = path / "losses.json"
        self._sinks = path / "sinks.json"
        self.clock = path / "clock.json"
        self._service = path / "service.json"
        self._token = path / "service.token"
        self._lock_file: int | None = None

    def lock(self) -> None:
        """Take the folder, making it where it is missing. Raises FolderInUseError or OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise FolderInUseError(
                f'data folder "{self.path}" is used by another driftline (process {holder}); '
                "stop that one, or choose another folder with --data"
            ) from None
        self._lock_file = handle
        with _named(self.path / "lock"):
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        self._close_to_others()

    def _close_to_others(self) -> None:
        """Take from group and others what an earlier version, or a copy, let them read."""
        databases = (
            self.journal, self.database, self.dead_letters, self.snapshots, self.spool, self.notices, self.functions,
            self.workflows,
        )  # fmt: skip
        logs = (log for database in databases for log in self.path.glob(f"{database.name}[-.]*"))
        for file in (*databases, *logs, self.session, self.client, self.broker_losses, self.clock, self.broker):
            with suppress(OSError):
                if not file.is_symlink() and file.stat().st_mode & 0o077:
                    file.chmod(0o700 if file.is_dir() else 0o600)

    def release(self) -> None:
        """Give the folder back."""
        self._service.unlink(missing_ok=True)
        self._token.unlink(missing_ok=True)
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def announce(self, *, url: str, broker: str, token: str = "") -> None:
        """Write down where the running service's API and its broker are, for commands that ask.

        `token` lets them in where people have to sign in; only the folder's owner can read it.
        """
        self._token.unlink(missing_ok=True)
        with (
            _named(self._token),
            os.fdopen(os.open(self._token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made,
        ):
            made.write(token)
        _write(self._service, {"pid": os.getpid(), "url": url, "broker": broker})

    def client_id(self) -> str:
        """The name under which this folder's service is known to the broker; made up once. Raises OSError.

        Up to the version that had a fixed one it was "driftline", and the broker may keep messages under that.
        """
        if self.client.exists():
            known = self.client.read_bytes().decode(errors="replace").strip()
            if (
                known
                and known.isprintable()
                and "\N{REPLACEMENT CHARACTER}" not in known
                and len(known) <= _LONGEST_CLIENT_ID
            ):
                return known
        name = "driftline" if self.session.exists() else f"driftline-{secrets.token_hex(4)}"
        _put(self.client, name)
        return name

    def subscribed(self) -> dict[str, int]:
        """The topic filters of the last session, so that those no longer wanted can be taken back."""
        try:
            saved = json.loads(self.session.read_text())
            return {str(name): int(qos) for name, qos in saved["filters"].items()}
        except _DAMAGES:
            return {}

    def remember_subscribed(self, filters: dict[str, int]) -> None:
        """Write down the session's topic filters."""
        _write(self.session, {"filters": filters})

    @property
    def losses(self) -> list[str]:
        """What was lost and not confirmed by a person yet, a sentence each."""
        try:
            return [str(word) for word in json.loads(self._losses.read_text())["words"]]
        except _DAMAGES:
            return []

    def remember_losses(self, words: Sequence[str]) -> None:
        """Write down what was lost, beside what is not confirmed yet."""
        if words:
            _write(self._losses, {"words": list(dict.fromkeys([*self.losses, *words]))})

    def forget_losses(self) -> None:
        """A person knows what was lost."""
        self._losses.unlink(missing_ok=True)

    def sinks_before(self) -> list[str]:
        """The external databases of the last run; empty where it had none, or was of an earlier version."""
        try:
            return [str(name) for name in json.loads(self._sinks.read_text())["names"]]
        except _DAMAGES:
            return []

    def remember_sinks(self, names: Sequence[str]) -> None:
        """Write down which external databases this run has: their spool is looked for at the next start."""
        if list(names) != self.sinks_before():
            _write(self._sinks, {"names": list(names)})

    def clock_state(self) -> dict[str, int | str]:
        """What the last run knew of the host's clock (`ClockWatch.state`); empty where there was none."""
        try:
            return {str(name): value for name, value in json.loads(self.clock.read_text()).items()}
        except _DAMAGES:
            return {}

    def remember_clock(self, state: Mapping[str, int | str]) -> None:
        """Write down what is known of the host's clock."""
        _write(self.clock, dict(state))

    def broker_losses_before(self) -> dict[str, int]:
        """What the last run knew of the broker's losses (`DroppedCount.state`); empty where there was none."""
        try:
            saved = json.loads(self.broker_losses.read_text())
            return {str(name): int(count) for name, count in saved.items()}
        except _DAMAGES:
            return {}

    def remember_broker_losses(self, state: Mapping[str, int]) -> None:
        """Write down what is known of the broker's losses."""
        _write(self.broker_losses, dict(state))


def _write(path: Path, content: dict[str, Any]) -> None:
    _put(path, json.dumps(content))


def _put(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    with _named(path):
        temporary.write_text(text + "\n")
        temporary.replace(path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in errors that do not, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
