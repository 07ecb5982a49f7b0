"""A real Kafka for tests: one process on loopback, started as people start it (`deploy/kafka/kafka.py`)."""

from __future__ import annotations

import importlib.util
import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from common.extras import is_installed
from storage.journal.kafka_settings import LIBRARY, KafkaSettings

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "kafka" / "kafka.py"
_START_WITHIN = 240.0


def script() -> ModuleType:
    """The script as a module."""
    found = importlib.util.spec_from_file_location("deploy_kafka", SCRIPT)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def missing_kafka() -> str:
    """Why there is no Kafka on this machine; empty where there is one."""
    if shutil.which("java") is None:
        return "java is not on PATH"
    if not is_installed(LIBRARY):
        return f"{LIBRARY} is not installed"
    known = script()
    if not known.jars(known.cache_folder()):
        return "Kafka's programs are not here: python deploy/kafka/kafka.py get"
    return ""


@dataclass(frozen=True)
class Record:
    """One record of a topic."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: dict[str, bytes]


class KafkaServer:
    """One server, on one port over its restarts."""

    def __init__(self, folder: Path, port: int, wait_until: Callable[..., None]) -> None:
        self.folder = folder
        self.server = f"127.0.0.1:{port}"
        self._port = port
        self._wait_until = wait_until
        self._process: subprocess.Popen[bytes] | None = None

    def settings(self, topic: str, partitions: int = 4) -> KafkaSettings:
        return KafkaSettings(servers=[self.server], topic=topic, partitions=partitions)

    def start(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(SCRIPT), "run", "--folder", str(self.folder), "--port", str(self._port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait_until(self._answers, within=_START_WITHIN, what="Kafka's start")
        return self

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(120)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text(errors="replace")[-3000:]
        from confluent_kafka import KafkaException  # noqa: PLC0415  an extra
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415

        try:
            client = AdminClient({"bootstrap.servers": self.server}, logger=_quiet())
            return bool(client.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def records(self, topic: str) -> list[Record]:
        """All records of a topic, partition by partition."""
        from confluent_kafka import Consumer, KafkaError, TopicPartition  # noqa: PLC0415  an extra

        options = {"bootstrap.servers": self.server, "group.id": "test", "enable.partition.eof": True}
        consumer = Consumer({**options, "enable.auto.commit": False}, logger=_quiet())
        found: list[Record] = []
        try:
            numbers = list(consumer.list_topics(topic, timeout=60).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
            ended: set[int] = set()
            while len(ended) < len(numbers):
                each: Any = consumer.poll(60)
                assert each is not None, f"no answer from {self.server}"
                if each.error() is not None:
                    assert each.error().code() == KafkaError._PARTITION_EOF, each.error()
                    ended.add(each.partition())
                    continue
                headers = dict(each.headers() or ())
                found.append(Record(each.partition(), each.offset(), each.key(), each.value() or b"", headers))
        finally:
            consumer.close()
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def count(self, topic: str) -> int:
        """How many records a topic holds."""
        from confluent_kafka import Consumer, TopicPartition  # noqa: PLC0415  an extra

        consumer = Consumer({"bootstrap.servers": self.server, "group.id": "test"}, logger=_quiet())
        try:
            numbers = consumer.list_topics(topic, timeout=60).topics[topic].partitions
            ends = [consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=60, cached=False) for n in numbers]
            return sum(high - low for low, high in ends)
        finally:
            consumer.close()


def _quiet() -> logging.Logger:
    quiet = logging.getLogger("tests.kafka")
    quiet.setLevel(logging.CRITICAL)
    return quiet
