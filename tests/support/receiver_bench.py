"""A receiver of messages on a broker, with its journal and publishers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from devices.messages import MessageChunk
from ingest.broker_settings import BrokerSettings
from ingest.receive import Receiver
from ingest.receiver_state import ReceiverState
from ingest.session import MqttSession
from storage.journal.sqlite_journal import SqliteJournal
from storage.storage_settings import JournalSettings


class Publisher:
    """A device that numbers its messages and knows which of them the broker confirmed."""

    def __init__(self, port: int) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.max_inflight_messages_set(1000)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self._count = itertools.count()

    def send(self, count: int, *, quality: int = 1, topic: str = "plant/a") -> list[bytes]:
        payloads = [b"%d" % next(self._count) for _ in range(count)]
        infos = [self.client.publish(topic, payload, qos=quality) for payload in payloads]
        for info in infos:
            info.wait_for_publish(20)
        return payloads

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Bench:
    """Receivers, journals and publishers of one test, ended with it."""

    def __init__(self, broker: Any, folder: Path) -> None:
        self.broker = broker
        self.folder = folder
        self.ends: list[Callable[[], object]] = []
        self.appended: list[tuple[int, int, MessageChunk]] = []

    def journal(
        self, name: str = "journal", kind: type[SqliteJournal] = SqliteJournal, **settings: Any
    ) -> SqliteJournal:
        journal = kind(self.folder / f"{name}.db", JournalSettings(**settings)).open()
        self.ends.append(journal.close)
        return journal

    def receiver(self, journal: SqliteJournal, *, start: bool = True, **settings: Any) -> Receiver:
        filters = settings.pop("filters", {"plant/#": 2})
        clock = settings.pop("clock", time.time_ns)
        settings.setdefault("url", self.broker.url)
        settings.setdefault("client_id", "driftline")
        session = MqttSession(BrokerSettings(**settings), filters, group_bytes=64 * 1024, max_payload=100_000)
        receiver = Receiver(
            session,
            journal,
            clock,
            JournalSettings(group_delay="5ms"),
            on_append=lambda *entry: self.appended.append(entry),
        )
        if start:
            receiver.start()
            self.ends.append(receiver.stop)
        return receiver

    def publisher(self) -> Publisher:
        publisher = Publisher(self.broker.port)
        self.ends.append(publisher.close)
        return publisher


def journaled(journal: SqliteJournal) -> list[bytes]:
    return [entry.chunk.payload(i) for entry in journal.read(0) for i in range(len(entry.chunk))]


def running(receiver: Receiver) -> Callable[[], bool]:
    """Connected, and the subscription certain: what is published from now on arrives."""
    return lambda: receiver.statistics().state == ReceiverState.RUNNING
