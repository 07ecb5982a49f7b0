"""An MQTT session under test, and a thread that turns it."""

from __future__ import annotations

import threading
import time
from random import Random
from typing import Any

from devices.messages import FLAG_REDELIVERED
from ingest.broker_settings import BrokerSettings
from ingest.session import MqttSession

ALL = {"plant/#": 1}


def make(url: str, filters: dict[str, int] | None = None, **settings: Any) -> MqttSession:
    previous = settings.pop("previous_filters", ())
    password = settings.pop("password", None)
    monotonic = settings.pop("monotonic", time.monotonic)
    return MqttSession(
        BrokerSettings(**{"url": url, "client_id": "driftline", **settings}),
        ALL if filters is None else filters,
        group_bytes=65_536,
        max_payload=100_000,
        previous_filters=previous,
        password=password,
        random=Random(1),
        monotonic=monotonic,
    )


class Drive:
    """A session turned by a thread, which journals nothing: what it took is acknowledged and kept."""

    def __init__(self, session: MqttSession) -> None:
        self.session = session
        self.got: list[bytes] = []
        self._ended = False
        self._thread = threading.Thread(target=self._run)

    def start(self) -> Drive:
        self.session.open()
        self._thread.start()
        return self

    def end(self) -> None:
        if self._thread.is_alive():
            self._ended = True
            self.session.wake()
            self._thread.join(60)
            self.session.close()

    def _run(self) -> None:
        while not self._ended:
            if self.session.wait(0.2, reading=True):
                self.session.read()
            if self.session.buffer.rows:
                self.session.buffer.stamp(0, 1)
                group = self.session.take()
                self.session.acknowledge(group)
                again = group.chunk.flags & FLAG_REDELIVERED
                self.got += [group.chunk.payload(i) for i in range(len(group.chunk)) if not again[i]]
