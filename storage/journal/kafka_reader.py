"""Journal: the records of a Kafka topic as chunks of messages, all partitions merged by their arrival.

Within a partition the order is Kafka's. Between partitions the older arrival comes first, as far as it is there to be
compared: a partition that has more, and has not handed it over, is waited for, for a bounded time.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from devices.messages import MessageChunk
from storage.journal.kafka_records import Message, RecordError, message_of
from storage.journal.kafka_settings import KafkaSettings, client_options
from storage.journal.kafka_topic import KafkaAwayError, LastError, confluent_kafka, kafka_admin, partitions_of

log = logging.getLogger(__name__)

_BATCH = 5_000
_MOST_BUFFERED = 8 << 20
_EACH = 400
"""Bytes of one partition that wait for the others, and what each record takes beside its own; beyond, no more of the
partition is fetched."""

_PATIENCE = 2.0
"""Seconds for which a partition that has more to give is waited for."""

_ASK_WITHIN = 3.0

_LARGEST_STEP = 5_000_000_000
"""Nanoseconds by which arrivals of several receivers may lie behind each other and still be put in line."""

_NOTHING, _EVERYTHING = -1, 2**63 - 1


@dataclass(slots=True)
class _Partition:
    """Records of one partition that wait; `next_offset` is the one behind them, `line` their newest arrival."""

    next_offset: int
    waiting: deque[tuple[int, Message, int]] = field(default_factory=deque)
    bytes: int = 0
    line: int = 0
    paused: bool = False

    def pop(self) -> int:
        """Take the first away; its bytes."""
        _, message, _ = self.waiting.popleft()
        taken = len(message.payload) + len(message.topic)
        self.bytes -= taken + _EACH
        return taken


@dataclass(frozen=True, slots=True)
class Read:
    """Messages, and the offset behind the last of each partition that they, and records left out, came from."""

    chunk: MessageChunk
    offsets: Mapping[int, int]


class KafkaReader:
    """Reads a topic from given offsets on; a partition without one from its oldest record. One thread uses it."""

    def __init__(
        self,
        settings: KafkaSettings,
        offsets: Mapping[int, int],
        *,
        password: str | None = None,
        group_bytes: int = 256 * 1024,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.refused = 0
        self._offsets = dict(offsets)
        self._password = password
        self._group_bytes = group_bytes
        self._monotonic = monotonic
        self._last = LastError()
        self._consumer: Any = None
        self._admin: Any = None
        self._partitions: dict[int, _Partition] = {}
        self._waiting_since: float | None = None
        self._more = False
        self._last_arrival = 0

    def open(self) -> Self:
        """Connect, and find the partitions. Returns self. Raises KafkaAwayError."""
        found = partitions_of(self.settings, self._password, timeout=_ASK_WITHIN)
        quiet = log.getChild("client")
        quiet.setLevel(logging.CRITICAL)
        self._consumer = confluent_kafka.Consumer(
            {
                **client_options(self.settings, self._password),
                "group.id": f"driftline-{self.settings.group}",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": 4 * 1024,
                "error_cb": self._last.note,
            },
            logger=quiet,
        )
        self._admin = kafka_admin.AdminClient(client_options(self.settings, self._password), logger=quiet)
        self._partitions = {number: _Partition(0) for number in range(found)}
        try:
            oldest, newest = (
                self._ends(which) for which in (kafka_admin.OffsetSpec.earliest(), kafka_admin.OffsetSpec.latest())
            )
        except KafkaAwayError:
            self.close()
            raise
        for number, partition in self._partitions.items():
            partition.next_offset = self._first(number, oldest[number], newest[number])
        self._consumer.assign([self._place(number, each.next_offset) for number, each in self._partitions.items()])
        return self

    def _first(self, number: int, low: int, high: int) -> int:
        """The offset to read from: where reading stopped, as far as Kafka still has it."""
        known = self._offsets.get(number, low)
        if known < low:
            log.warning(
                "%s: partition %d: %d records were removed before they were read: its retention is too short",
                self.settings.place, number, low - known,
            )  # fmt: skip
        elif known > high:
            log.warning(
                "%s: partition %d ends at %d, and %d was read already: the topic was made anew, and is read from its "
                "oldest record",
                self.settings.place, number, high, known,
            )  # fmt: skip
        return known if low <= known <= high else low

    def close(self) -> None:
        """Let go of Kafka."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def read(self, timeout: float) -> Read | None:
        """The next messages, of one group at most; None where none comes within `timeout` seconds."""
        first = self._consumer.poll(0 if self._more else timeout)
        if first is not None:
            for record in (first, *self._consumer.consume(_BATCH, timeout=0)):
                self._take(record)
        return self._released()

    def is_at_end(self) -> bool:
        """Whether everything that Kafka holds now has been read. Raises KafkaAwayError where it does not answer."""
        if any(partition.waiting for partition in self._partitions.values()):
            return False
        ends = self._ends(kafka_admin.OffsetSpec.latest())
        return all(partition.next_offset >= ends[number] for number, partition in self._partitions.items())

    def _ends(self, which: Any) -> dict[int, int]:
        """The oldest offset of each partition, or the one behind its newest, as the servers tell now.

        Asked on connections of their own, which no fetch holds up.
        """
        try:
            places = {self._place(number): which for number in self._partitions}
            told = self._admin.list_offsets(places, request_timeout=_ASK_WITHIN)
            return {place.partition: int(found.result().offset) for place, found in told.items()}
        except confluent_kafka.KafkaException as error:
            raise KafkaAwayError(f"{self.settings.place}: {error.args[0].str()}{self._last.because()}") from None

    def _place(self, number: int, offset: int = 0) -> Any:
        return confluent_kafka.TopicPartition(self.settings.topic, number, offset)

    def _take(self, record: Any) -> None:
        if (error := record.error()) is not None:
            if error.code() == confluent_kafka.KafkaError._PARTITION_EOF:
                self._partitions[record.partition()].next_offset = record.offset()
            else:
                self._last.note(error)
            return
        partition = self._partitions[record.partition()]
        try:
            message = message_of(record.headers(), record.value())
        except RecordError as refused:
            self._leave_out(record, refused)
            partition.next_offset = record.offset() + 1
            return
        self._last.words = ""
        partition.next_offset = record.offset() + 1
        partition.line = max(partition.line, message.arrived)
        partition.waiting.append((partition.line, message, record.offset()))
        partition.bytes += len(message.payload) + len(message.topic) + _EACH
        if partition.bytes > _MOST_BUFFERED and not partition.paused:
            self._consumer.pause([self._place(record.partition())])
            partition.paused = True

    def _leave_out(self, record: Any, error: RecordError) -> None:
        self.refused += 1
        if self.refused == 1 or self.refused % 10_000 == 0:
            log.error(
                "%s: partition %d, offset %d: no receiver wrote this record: %s; it is left out, the %d. so far",
                self.settings.place, record.partition(), record.offset(), error, self.refused,
            )  # fmt: skip

    def _released(self) -> Read | None:
        """Messages of all partitions in line, up to one group."""
        bound = self._bound()
        heads = [(each.waiting[0][0], number) for number, each in self._partitions.items() if each.waiting]
        heapq.heapify(heads)
        messages: list[Message] = []
        offsets: dict[int, int] = {}
        size, last = 0, self._last_arrival
        self._more = False
        while heads and heads[0][0] <= bound:
            number = heads[0][1]
            partition = self._partitions[number]
            message, offset = partition.waiting[0][1:]
            far_behind = last - message.arrived > _LARGEST_STEP
            if messages and (far_behind or size >= self._group_bytes):
                self._more = True
                break
            # A clock that is far behind begins a chunk of its own; small steps are waited out.
            last = message.arrived if far_behind else max(message.arrived, last + 1)
            messages.append(message if last == message.arrived else replace(message, arrived=last))
            offsets[number] = offset + 1
            size += partition.pop()
            heapq.heapreplace(heads, (partition.waiting[0][0], number)) if partition.waiting else heapq.heappop(heads)
        if not messages:
            return None
        self._waiting_since, self._last_arrival = None, last
        self._resume(offsets)
        return Read(_chunk(messages), offsets)

    def _resume(self, numbers: Iterable[int]) -> None:
        """Fetch on of partitions of which enough has been taken."""
        for number in numbers:
            partition = self._partitions[number]
            if partition.paused and partition.bytes < _MOST_BUFFERED // 2:
                self._consumer.resume([self._place(number)])
                partition.paused = False

    def _bound(self) -> int:
        """Up to which arrival nothing older can still come from a partition that has more.

        One that has handed over nothing yet may hold anything: it is waited for, unless that takes too long.
        """
        behind = {number: each for number, each in self._partitions.items() if not self._has_all(number)}
        if any(not each.waiting for each in behind.values()):
            now = self._monotonic()
            self._waiting_since = now if self._waiting_since is None else self._waiting_since
            if now - self._waiting_since < _PATIENCE:
                return _NOTHING
        return min((each.line for each in behind.values() if each.waiting), default=_EVERYTHING)

    def _has_all(self, number: int) -> bool:
        """Whether a partition has handed over what its server last told to be there."""
        partition = self._partitions[number]
        _, high = self._consumer.get_watermark_offsets(self._place(number), cached=True)
        return bool(partition.next_offset >= high >= 0)


def _chunk(messages: list[Message]) -> MessageChunk:
    rows = [(each.topic, each.payload, each.arrived, each.flags) for each in messages]
    return MessageChunk.of(rows, properties=[each.properties for each in messages])
