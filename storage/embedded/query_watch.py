"""Store: what a query of SQL may cost: time, memory, bytes of the answer; and how others stop it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import duckdb

from common.durations import format_duration

_LOOK_SECONDS = 0.05
_BYTES_A_VALUE = 16


class QueryStop:
    """Lets another thread stop a query; it may be used before the query runs, and after."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        """Stop the query, or do not begin it."""
        self._asked.set()

    @property
    def asked(self) -> bool:
        """Whether the query is to stop."""
        return self._asked.is_set()


class QueryWatch:
    """Looks at one running query, and interrupts it where it takes too long or too much; `why` says so afterwards."""

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, *, timeout: int, memory_bytes: int, stop: QueryStop | None = None
    ) -> None:
        self.why = ""
        self._cursor = cursor
        self._timeout = timeout
        self._memory_bytes = memory_bytes
        self._stop = stop or QueryStop()
        self._done = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch what runs meanwhile."""
        thread = threading.Thread(target=self._run, name="query watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    def _run(self) -> None:
        until, most = monotonic() + self._timeout / 1e9, _resident_bytes() + self._memory_bytes
        while not self._done.wait(_LOOK_SECONDS):
            if self._stop.asked:
                self.why = "stopped, since nobody waits for it any more"
            elif monotonic() > until:
                self.why = f"stopped after {format_duration(self._timeout)}: ask for less"
            elif _resident_bytes() > most:
                self.why = f"stopped at {self._memory_bytes >> 20} MiB of memory: ask for less"
            if self.why:
                # Again and again: an interrupt that comes between two steps of the query is lost.
                self._cursor.interrupt()


def size_of(value: Any) -> int:
    """About how many bytes a value of an answer takes."""
    if isinstance(value, str | bytes):
        return _BYTES_A_VALUE + len(value)
    if isinstance(value, Mapping):
        return _BYTES_A_VALUE + sum(size_of(key) + size_of(each) for key, each in value.items())
    if isinstance(value, Sequence):
        return _BYTES_A_VALUE + sum(map(size_of, value))
    return _BYTES_A_VALUE


def _resident_bytes() -> int:
    """Memory of this process; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
