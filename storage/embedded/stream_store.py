"""Store: what others ask of the streams in a database: how far they are, and rows that wait to be published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from storage.embedded import stream_tables
from storage.embedded.database_errors import database_errors
from storage.embedded.old_points import OldPoints
from storage.embedded.stream_tables import StoredStream, StreamMessage


class StreamStore(OldPoints):
    """The streams of a database. Any thread may call these."""

    def declare_streams(self, columns: Iterable[tuple[str, dict[str, str]]]) -> None:
        """Make streams known, by name and types of columns, so that their tables are there before the first row."""
        with self._lock, self._transaction(self._writer(), "declaring streams"):
            stream_tables.declare_streams(self._writer(), columns)

    def write_row(self, table: str, values: dict[str, Any], *, key: str, time: int) -> None:
        """Write a row (JSON values) into a table that functions fill, at `time` (ns); one of the same `key` stays."""
        with self._lock, self._transaction(self._writer(), "writing a row"):
            stream_tables.write_row(self._writer(), table, values, key=key, time=time)

    def streams(self) -> dict[str, StoredStream]:
        """How far each stream has come, by name: those that are declared and those that once were."""
        with self._reading() as cursor:
            return stream_tables.stored_streams(cursor)

    def waiting_messages(self, after: int, limit: int = 500) -> list[StreamMessage]:
        """Rows that wait to be published, in order, behind the one of number `after`."""
        with database_errors(self.path, "reading what is to be published"), self._cursor() as cursor:
            return stream_tables.waiting_messages(cursor, after, limit)

    def forget_messages(self, up_to: int, outcomes: Mapping[tuple[str, str], int] = MappingProxyType({})) -> None:
        """Remove rows that have been published, up to and with that number; `outcomes`: how many by stream and count,
        which is one of `PUBLISHED` and `REFUSED`."""
        with self._maintaining("noting what has been published") as connection:
            stream_tables.forget_messages(connection, up_to, outcomes)
