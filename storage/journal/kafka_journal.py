"""Journal: what was read of a Kafka topic, in the data folder, with how far the topic was read.

The topic is the log that machines share; it has an order within each partition alone. What the engine works through is
one order of all, which must be the same again after a restart. So each chunk is kept as it was read, and the offsets
behind it are written in the same transaction: whatever ends the service, a record is in the journal once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Self

from common.sqlite import storage_errors
from devices.messages import MessageChunk
from storage.journal.sqlite_journal import SqliteJournal

_TABLE = """
CREATE TABLE IF NOT EXISTS read_offset(
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY(topic, partition)
)
"""


class KafkaJournal(SqliteJournal):
    """The embedded journal, which also keeps from where a Kafka topic is to be read on."""

    def open(self) -> Self:
        """As the embedded journal's."""
        super().open()
        if self._writer is not None:
            with self._write_lock, storage_errors(self.path, "opening the journal"):
                self._writer.execute(_TABLE)
        return self

    def offsets(self, topic: str) -> dict[int, int]:
        """The offset behind the last record of each partition that is in the journal."""
        with self._read_lock, storage_errors(self.path, "reading the journal"):
            rows = self._open_reader().execute("SELECT partition, next FROM read_offset WHERE topic = ?", (topic,))
            return {self._whole(partition): self._whole(offset) for partition, offset in rows}

    def append_read(self, chunk: MessageChunk, topic: str, offsets: Mapping[int, int]) -> int:
        """Write messages of a topic and the offsets behind them, both or neither; returns the position.

        Raises as `append` does.
        """
        rows = [(topic, partition, offset) for partition, offset in offsets.items()]

        def note(writer: sqlite3.Connection) -> None:
            writer.executemany("INSERT OR REPLACE INTO read_offset VALUES (?, ?, ?)", rows)

        return self._append(chunk, note)
