"""The service's messages from a Kafka topic, in place of a broker: read, journaled, handed on, in one thread."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping

from common.storage_errors import StorageCorruptError, StorageFullError
from common.time_units import SECOND
from devices.messages import MessageChunk
from ingest.broker_settings import BrokerSettings
from ingest.given_chunks import GivenChunks, Made
from ingest.receive import OnAppend, OnWritten
from ingest.receiver_state import ReceiverState, ReceiverStatistics
from storage.journal.kafka_journal import KafkaJournal
from storage.journal.kafka_reader import KafkaReader, Read
from storage.journal.kafka_settings import KafkaSettings
from storage.journal.kafka_topic import KafkaAwayError, confluent_kafka

log = logging.getLogger(__name__)

_READ_WAIT = 0.1
_FIRST_RETRY, _LONGEST_RETRY = 0.25, 5.0
_LOOK_EVERY, _TICK_EVERY = 5.0, 1.0

_NEWS = 5 * SECOND
"""What arrived within this is of now; of older messages the topic may hold more."""


class KafkaIntake:
    """Reads the topic into the journal, beside what people do; stands in the place of session and receiver.

    How far the topic was read is written with the messages, so that a restart goes on behind them. `on_append` and
    `on_written` are called in the thread of its own. Every method may be called from any thread.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        broker: BrokerSettings,
        journal: KafkaJournal,
        clock: Callable[[], int],
        *,
        filters: Mapping[str, int],
        group_bytes: int,
        on_append: OnAppend,
        on_written: OnWritten | None = None,
        password: str | None = None,
    ) -> None:
        self.settings = broker
        self.filters = dict(filters)
        self.given = GivenChunks(lambda: None)
        """What comes another way than from the topic; looked for ten times a second."""
        self._kafka = kafka
        self._journal = journal
        self._clock = clock
        self._group_bytes = group_bytes
        self._on_append = on_append
        self._on_written = on_written
        self._password = password
        self._reader: KafkaReader | None = None
        self._thread = threading.Thread(target=self._run, name="kafka", daemon=True)
        self._stop = threading.Event()
        self._paused = False
        self._tick_wanted = False
        self._looked_at = 0.0
        self._at_end = -math.inf
        self._held: Read | None = None
        self._away = "connecting"
        self._failure = ""
        self._full = ""
        self._connected_since: int | None = None
        self._connections = 0
        self._messages = self._bytes = self._chunks = 0

    def start(self) -> None:
        """Start reading. A Kafka that is away is waited for."""
        self._thread.start()

    def stop(self, timeout: float = 8.0) -> bool:
        """End; what was not journaled is read again at the next start. False where `timeout` seconds were too few."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def pause(self) -> None:
        """Read nothing until `resume`: Kafka keeps it."""
        self._paused = True

    def resume(self) -> None:
        """Read on."""
        self._paused = False

    def request_tick(self) -> None:
        """Let arrival time go on in the journal, where the topic has nothing more."""
        self._tick_wanted = True

    def resubscribe(self, filters: Mapping[str, int]) -> None:
        """Take note of what the receivers are to subscribe to, by their own configuration."""
        self.filters = dict(filters)

    @property
    def subscribed(self) -> bool:
        """Whether what is published from now on comes."""
        return self._connected_since is not None

    def statistics(self) -> ReceiverStatistics:
        """Counts and state now."""
        state, reason = self._state()
        return ReceiverStatistics(
            state=state,
            reason=reason,
            messages=self._messages,
            bytes=self._bytes,
            chunks=self._chunks,
            truncated=0,
            reconnects=max(0, self._connections - 1),
            connected_since=self._connected_since,
            pending_acknowledgements=0,
        )

    def _state(self) -> tuple[ReceiverState, str]:
        if self._failure:
            return ReceiverState.FAILED, self._failure
        if not self._thread.is_alive():
            return ReceiverState.STOPPED, ""
        if self._held is not None:
            return ReceiverState.JOURNAL_FULL, f"{self._full}; the rest waits in Kafka"
        if self._away:
            known = self._connections > 0 or self._away != "connecting"
            return (ReceiverState.KAFKA_AWAY if known else ReceiverState.STARTING), self._away
        if self._paused:
            return ReceiverState.PAUSED, "held back until the journal's backlog is worked off"
        return ReceiverState.RUNNING, f"reading {self._kafka.place}"

    def _run(self) -> None:
        pause = _FIRST_RETRY
        while not self._stop.is_set():
            try:
                self._turn()
                pause, self._failure = _FIRST_RETRY, ""
            except KafkaAwayError as error:
                self._lose(str(error))
                self._wait(pause)
                pause = min(2 * pause, _LONGEST_RETRY)
            except (StorageFullError, StorageCorruptError, OSError) as error:
                if not self._full:
                    log.error("the journal cannot be written: %s; nothing more is read until it can be", error)
                self._full = str(error)
                self._wait(pause)
                pause = min(2 * pause, _LONGEST_RETRY)
            except Exception as error:
                self._failure = f"reading failed: {type(error).__name__}: {error}; trying again"
                log.exception("reading %s failed; it goes on where the journal ends", self._kafka.place)
                self._lose(self._failure)
                self._wait(_LONGEST_RETRY)
        self._disconnect()

    def _turn(self) -> None:
        """Once around: connect, write what people do, read, journal."""
        self._write_given()
        if self._held is not None:
            self._write(self._held)
        if self._paused:
            self._wait(_READ_WAIT)
            return
        if self._reader is None:
            self._connect()
        assert self._reader is not None
        try:
            read = self._reader.read(_READ_WAIT)
        except confluent_kafka.KafkaException as error:
            raise KafkaAwayError(f"{self._kafka.place}: {error}") from None
        if read is not None:
            self._held = read
            self._write(read)
        else:
            self._look_at_end()

    def _connect(self) -> None:
        offsets = self._journal.offsets(self._kafka.topic)
        reader = KafkaReader(self._kafka, offsets, password=self._password, group_bytes=self._group_bytes)
        self._reader = reader.open()
        if self._connections:
            log.info("%s is back", self._kafka.place)
            # Receivers could not write meanwhile: what they hold back arrives late, and nothing was silent.
            self._append(MessageChunk.reception_gap(self._journal.last_arrival))
        self._connections += 1
        self._connected_since, self._away = self._clock(), ""

    def _look_at_end(self) -> None:
        """Where Kafka has nothing more, arrival time goes on by a tick; a Kafka that is away is noticed."""
        now = time.monotonic()
        if now - self._looked_at < (_TICK_EVERY if self._tick_wanted else _LOOK_EVERY):
            return
        self._looked_at = now
        assert self._reader is not None
        if not self._reader.is_at_end():
            return
        self._at_end = now
        if self._tick_wanted:
            self._tick_wanted = False
            with contextlib.suppress(StorageFullError, StorageCorruptError, OSError):
                self._append(MessageChunk.of([], ticked_at=self._now()))

    def _now(self) -> int:
        """The arrival of what comes another way: the host's time, and no later than what the topic still holds."""
        last, now = self._journal.last_arrival, self._clock()
        is_up_to_date = now - last < _NEWS or time.monotonic() - self._at_end < 2 * _TICK_EVERY
        return max(now, last + 1) if is_up_to_date else last + 1

    def _write(self, read: Read) -> None:
        offset = self._journal.next_offset
        begun = self._clock()
        position = self._journal.append_read(read.chunk, self._kafka.topic, read.offsets)
        if self._on_written is not None:
            self._on_written(position, begun, self._clock())
        if self._full:
            log.info("the journal is written again")
        self._held, self._full, self._tick_wanted = None, "", False
        self._count(position, offset, read.chunk)

    def _write_given(self) -> None:
        if self.given:
            self.given.write(self._append_given)

    def _append_given(self, make: Made) -> tuple[int, int]:
        if self._held is not None:
            raise StorageFullError(self._full)
        return self._append(make(self._now()))

    def _append(self, chunk: MessageChunk) -> tuple[int, int]:
        offset = self._journal.next_offset
        position = self._journal.append(chunk)
        self._count(position, offset, chunk)
        return position, offset

    def _count(self, position: int, offset: int, chunk: MessageChunk) -> None:
        self._messages += len(chunk)
        self._bytes += len(chunk.data)
        self._chunks += 1
        self._on_append(position, offset, chunk)

    def _lose(self, reason: str) -> None:
        if not self._away:
            log.warning("Kafka away: %s; trying again until it is back", reason)
        self._away = reason
        self._connected_since = None
        self._disconnect()

    def _disconnect(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _wait(self, seconds: float) -> None:
        """Let time go by, and write what people do meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stop.wait(min(left, _READ_WAIT)):
            if self._held is None:
                self._write_given()
