"""Receivers: what a receiver wrote last, read back from the end of the Kafka topic.

A receiver that was killed after Kafka had confirmed messages, and before it had acknowledged them, gets them again. It
keeps nothing of its own, so the topic's end says what it has written.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from common.storage_errors import StorageCorruptError
from devices.messages import MessageChunk
from storage.journal.kafka_records import RecordError, message_of, packet_of
from storage.journal.kafka_settings import KafkaSettings, client_options
from storage.journal.kafka_topic import confluent_kafka

_WINDOWS = (4_096, 32_768, 262_144)
"""How many of a partition's newest records are looked through, one window after the other, until enough is found."""

_WITHIN = 10.0
_BATCH = 5_000


def own_messages(
    settings: KafkaSettings, password: str | None, receiver: bytes, *, since: int, most: int
) -> Iterator[MessageChunk]:
    """The last `most` messages or more that this receiver wrote, in chunks, the newest first; none that arrived before
    `since` (ns). Raises StorageCorruptError where they cannot be read.
    """
    consumer = _consumer(settings, password)
    try:
        ends = _ends(consumer, settings)
        upper, found = {partition: high for partition, (_, high) in ends.items()}, 0
        for window in _WINDOWS:
            lower = {number: max(low, high - window) for number, (low, high) in ends.items()}
            chunk = _own(consumer, settings.topic, lower, upper, receiver, since)
            if len(chunk):
                yield chunk
            found += len(chunk)
            upper = lower
            if found >= most:
                return
    except confluent_kafka.KafkaException as error:
        raise StorageCorruptError(f"{settings.place}: its newest records cannot be read: {error}") from None
    finally:
        consumer.close()


def _consumer(settings: KafkaSettings, password: str | None) -> Any:
    quiet = logging.getLogger(f"{__name__}.client")
    quiet.setLevel(logging.CRITICAL)
    return confluent_kafka.Consumer(
        {
            **client_options(settings, password),
            "group.id": "driftline-tail",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
        },
        logger=quiet,
    )


def _ends(consumer: Any, settings: KafkaSettings) -> dict[int, tuple[int, int]]:
    """The oldest offset of each partition, and the one behind its newest."""
    told = consumer.list_topics(settings.topic, timeout=_WITHIN).topics[settings.topic]
    if told.error is not None:
        raise confluent_kafka.KafkaException(told.error)
    return {
        number: consumer.get_watermark_offsets(
            confluent_kafka.TopicPartition(settings.topic, number), timeout=_WITHIN, cached=False
        )
        for number in told.partitions
    }


def _own(
    consumer: Any, topic: str, lower: dict[int, int], upper: dict[int, int], receiver: bytes, since: int
) -> MessageChunk:
    """This receiver's messages between two offsets of each partition, in order of arrival."""
    waiting = {number for number, end in upper.items() if lower[number] < end}
    consumer.assign([confluent_kafka.TopicPartition(topic, number, lower[number]) for number in sorted(waiting)])
    found: list[tuple[int, int, int, bytes, bytes]] = []
    while waiting:
        first = consumer.poll(_WITHIN)
        if first is None:
            raise confluent_kafka.KafkaException(f"no answer within {_WITHIN:g} s")
        for record in (first, *consumer.consume(_BATCH, timeout=0)):
            number = record.partition()
            if record.error() is not None:
                if record.error().code() != confluent_kafka.KafkaError._PARTITION_EOF:
                    raise confluent_kafka.KafkaException(record.error())
                waiting.discard(number)
                continue
            if record.offset() >= upper[number] - 1:
                waiting.discard(number)
            packet = packet_of(record.headers(), receiver) if record.offset() < upper[number] else 0
            if not packet:
                continue
            try:
                message = message_of(record.headers(), record.value())
            except RecordError:
                continue
            if message.arrived >= since:
                found.append((message.arrived, message.flags, packet, message.topic, message.payload))
    return _chunk(sorted(found))


def _chunk(rows: list[tuple[int, int, int, bytes, bytes]]) -> MessageChunk:
    """Messages with their packet identifiers, as the frames that brought them."""
    spans, parts, at = np.empty((len(rows), 4), np.int32), [], 0
    for row, (_, _, packet, topic, payload) in enumerate(rows):
        middle = at + len(topic)
        spans[row] = (at, middle, middle + 2, middle + 2 + len(payload))
        at = middle + 2 + len(payload)
        parts += [topic, packet.to_bytes(2), payload]
    arrival = np.array([row[0] for row in rows], np.int64)
    flags = np.array([row[1] for row in rows], np.uint8)
    return MessageChunk(b"".join(parts), spans, arrival, flags, int(arrival[-1]) if rows else 0)
