"""Receivers: messages into the Kafka topic, confirmed by all its copies before `append` returns.

The producer is idempotent, and never gives up a message by itself: what Kafka has not confirmed stays with it, and is
waited for again, so that a Kafka that was away gets each message once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from devices.messages import FLAG_REDELIVERED, MessageChunk
from storage.journal.kafka_records import headers_of
from storage.journal.kafka_settings import KafkaSettings, client_options
from storage.journal.kafka_tail import own_messages
from storage.journal.kafka_topic import KafkaAwayError, LastError, confluent_kafka, partitions_of

log = logging.getLogger(__name__)

_PATIENCE = 1.0
"""Seconds that one call waits for Kafka; the caller looks after its other connection in between."""

_ROOM = 256 * 1024
"""Bytes that a record may have beyond its payload."""

_CLOSE_WITHIN = 2.0

KeysOf = Callable[[MessageChunk], Sequence[bytes]]
"""The key of each message: what has the same key stays in order, in one partition."""


class KafkaWriter:
    """Appends chunks of messages to the topic, as a receiver's `storage.store.MessageLog`.

    `receiver` is the name under which its own records are known again. `refused` counts messages that Kafka will never
    take, for their size. One thread uses it.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        keys: KeysOf,
        *,
        receiver: str,
        max_payload: int,
        receive_maximum: int,
        password: str | None = None,
    ) -> None:
        self.settings = settings
        self.refused = 0
        self.next_offset = 0
        self.last_arrival = 0
        self._keys = keys
        self._receiver = receiver.encode()
        self._largest = max(max_payload + 1 + _ROOM, 1_000_000)
        self._most_own = receive_maximum
        self._password = password
        self._last = LastError()
        self._producer: Any = None
        self._chunk: MessageChunk | None = None
        self._again: list[int] = []
        self._too_large: list[int] = []
        self._refused_alone: list[int] = []
        self._failure = ""
        self._given_up = False
        self._session_since = 0
        self._chunks = 0
        self._ids: NDArray[np.uint16] = np.zeros(0, np.uint16)
        self._row_keys: Sequence[bytes] = ()

    def open(self) -> Self:
        """Make ready to write; Kafka is reached at the first `append`. Returns self."""
        self._producer = self._new_producer()
        return self

    def _new_producer(self) -> Any:
        quiet = log.getChild("client")
        quiet.setLevel(logging.CRITICAL)
        return confluent_kafka.Producer(
            {
                **client_options(self.settings, self._password),
                "acks": "all",
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "message.max.bytes": self._largest,
                "linger.ms": 0,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "delivery.report.only.error": True,
                "error_cb": self._last.note,
            },
            logger=quiet,
        )

    def close(self) -> None:
        """Let go of Kafka. What is not confirmed by then was not acknowledged either, and comes again."""
        if self._producer is not None:
            self._producer.flush(_CLOSE_WITHIN if self._chunk is None else 0)
            self._producer.purge()
            self._producer = None

    def check(self) -> int:
        """The number of the topic's partitions; it is made where it is not there. Raises KafkaAwayError."""
        return partitions_of(self.settings, self._password, timeout=10 * _PATIENCE)

    def append(self, chunk: MessageChunk) -> int:
        """Write the messages, and return how many chunks were written before; all are confirmed when this returns.

        What was written before (`FLAG_REDELIVERED`), and what is no message, is left out. Raises KafkaAwayError where
        Kafka does not confirm in time: the same chunk given again is waited for, not written twice.
        """
        if chunk.begins_session:
            self._session_since = chunk.ticked_at
        if len(chunk):
            self._write(chunk)
            self.next_offset += len(chunk)
        self._chunks += 1
        return self._chunks - 1

    def newest_first(self) -> Iterator[MessageChunk]:
        """What this receiver wrote last, the newest first, as far as the broker may deliver it again."""
        since = self._session_since
        return own_messages(self.settings, self._password, self._receiver, since=since, most=self._most_own)

    def _write(self, chunk: MessageChunk) -> None:
        if self._chunk is not chunk:
            self._begin(chunk)
        self._send()
        self._wait()
        self._one_by_one()
        if self._again:
            raise KafkaAwayError(f"{self.settings.place} refused {len(self._again):,} messages: {self._failure}")
        self._chunk, self._last.words = None, ""

    def _begin(self, chunk: MessageChunk) -> None:
        """Take a chunk up, once nothing of the one before is under way."""
        self._wait()
        if self.next_offset == 0:
            partitions_of(self.settings, self._password, timeout=_PATIENCE)
        self._ids, self._row_keys = chunk.packet_ids(), self._keys(chunk)
        self._again = [row for row in range(len(chunk)) if not chunk.flags[row] & FLAG_REDELIVERED]
        self._chunk, self._failure, self._too_large, self._refused_alone = chunk, "", [], []

    def _wait(self) -> None:
        """Wait for what was handed over. Raises KafkaAwayError where Kafka does not confirm it in time."""
        if left := self._producer.flush(_PATIENCE):
            raise KafkaAwayError(f"{self.settings.place} has not confirmed {left:,} messages yet{self._last.because()}")

    def _send(self) -> None:
        """Hand over what is not written yet; a producer that has given up is replaced by another."""
        if self._given_up:
            self._producer, self._given_up = self._new_producer(), False
        rows, self._again = self._again, []
        for row in rows:
            self._produce(row, self._too_large)

    def _one_by_one(self) -> None:
        """A batch may be too large for the topic though its messages are not: each of them is sent alone."""
        self._too_large.sort()
        while self._too_large or self._refused_alone:
            for row in self._refused_alone:
                self._refuse(row)
            self._refused_alone.clear()
            if self._too_large:
                self._produce(self._too_large.pop(0), self._refused_alone)
                self._wait()

    def _produce(self, row: int, too_large: list[int]) -> None:
        chunk = self._chunk
        assert chunk is not None

        def failed(error: Any, _record: Any) -> None:
            self._failed(row, error, too_large)

        try:
            self._producer.produce(
                self.settings.topic,
                value=chunk.payload(row),
                key=self._row_keys[row],
                headers=headers_of(chunk, row, int(self._ids[row]), self._receiver),
                timestamp=int(chunk.arrival[row]) // 1_000_000,
                on_delivery=failed,
            )
        except confluent_kafka.KafkaException as error:
            failed(error.args[0], None)
        except BufferError:
            self._again.append(row)
            self._failure = "its client has no room for more"

    def _failed(self, row: int, error: Any, too_large: list[int]) -> None:
        if error is None:
            return
        kinds = confluent_kafka.KafkaError
        if error.code() in (kinds.MSG_SIZE_TOO_LARGE, kinds.RECORD_LIST_TOO_LARGE):
            too_large.append(row)
            return
        self._again.append(row)
        self._failure = str(error.str())
        self._given_up |= bool(error.fatal()) or error.code() == kinds._FATAL

    def _refuse(self, row: int) -> None:
        chunk = self._chunk
        assert chunk is not None
        self.refused += 1
        log.error(
            'topic "%s": a message of %d bytes is larger than %s takes (max.message.bytes): it is left out',
            chunk.topic(row).decode("utf-8", "replace"),
            len(chunk.payload(row)),
            self.settings.place,
        )
