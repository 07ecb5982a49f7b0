"""What the tests of Kafka share: a receiver in a thread of the tests, messages written to a topic and read from it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from kafka_server import KafkaServer, Record

from devices.messages import MessageChunk
from driftline.cluster.receiving import KafkaReceiver
from driftline.config import Config
from storage.journal.kafka_reader import KafkaReader
from storage.journal.kafka_settings import KafkaSettings
from storage.journal.kafka_topic import KafkaAwayError
from storage.journal.kafka_writer import KafkaWriter

Sent = tuple[bytes, bytes, int, int]
"""Topic, payload, arrival and flags."""

_ROUTE = '[[routes]]\nfilter = "plant/#"\ndevice = "{topic[1]}"\nqos = 1\n'


def configured(broker: Any, kafka: KafkaServer, topic: str, more: str = "") -> str:
    return (
        f'[broker]\nurl = "{broker.url}"\n'
        f'[kafka]\nservers = ["{kafka.server}"]\ntopic = "{topic}"\npartitions = 4\n{more}\n{_ROUTE}'
    )


class Running:
    """A receiver in a thread of this process, and what it said."""

    def __init__(self, config: Config, name: str) -> None:
        self.said: list[str] = []
        self.receiver = KafkaReceiver(config, name, environment={}, say=self.said.append)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: self.receiver.run(self._stop), daemon=True)
        self._thread.start()

    @property
    def subscribed(self) -> bool:
        return self.receiver.state == "running"

    def told(self, beginning: str) -> list[str]:
        return [line for line in self.said if line.startswith(beginning)]

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(240)
        assert not self._thread.is_alive()


def values(records: list[Record]) -> Counter[bytes]:
    return Counter(record.value for record in records)


def write(writer: KafkaWriter, messages: list[Sent], wait_until: Any) -> None:
    """Write one chunk; a server that confirms late is waited for."""
    chunk = MessageChunk.of(messages)

    def confirmed() -> bool:
        try:
            writer.append(chunk)
        except KafkaAwayError:
            return False
        return True

    wait_until(confirmed, what="Kafka's confirmation")


def reading(settings: KafkaSettings, offsets: dict[int, int], wait_until: Any, *, group_bytes: int) -> KafkaReader:
    """A reader that is connected. Its clock stands still: a partition that has more is waited for until it comes."""
    reader = KafkaReader(settings, offsets, group_bytes=group_bytes, monotonic=lambda: 0.0)

    def connected() -> bool:
        try:
            reader.open()
        except KafkaAwayError:
            return False
        return True

    wait_until(connected, what="Kafka's answer")
    return reader


def is_at_end(reader: KafkaReader) -> bool:
    try:
        return reader.read(0.05) is None and reader.is_at_end()
    except KafkaAwayError:
        return False


def written(
    kafka: KafkaServer, topic: str, messages: list[Sent], wait_until: Any, partitions: int = 3
) -> KafkaSettings:
    """Settings of a topic that holds these messages, each on the partition of its topic."""
    settings = kafka.settings(topic, partitions)
    topics = lambda chunk: [chunk.topic(row) for row in range(len(chunk))]  # noqa: E731
    writer = KafkaWriter(settings, topics, receiver="test", max_payload=1_000, receive_maximum=10).open()
    write(writer, messages, wait_until)
    writer.close()
    return settings


def read_all(reader: KafkaReader, count: int, wait_until: Any) -> tuple[list[Sent], dict[int, int]]:
    found: list[Sent] = []
    offsets: dict[int, int] = {}

    def enough() -> bool:
        if (read := reader.read(0.05)) is not None:
            found.extend(rows_of(read.chunk))
            offsets.update(read.offsets)
        return len(found) >= count

    wait_until(enough, what=f"{count} messages")
    return found, offsets


def rows_of(chunk: MessageChunk) -> list[Sent]:
    return [
        (chunk.topic(row), chunk.payload(row), int(chunk.arrival[row]), int(chunk.flags[row]))
        for row in range(len(chunk))
    ]
