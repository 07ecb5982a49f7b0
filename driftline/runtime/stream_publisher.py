"""Streams at run time: rows that a stream publishes go to the broker, in order, as they are stored."""

from __future__ import annotations

import logging
import threading
from time import monotonic

from ingest.broker_settings import BrokerSettings
from ingest.connecting import host_and_port, side_client
from storage.embedded.database import EmbeddedStore
from storage.embedded.stream_tables import StreamMessage

log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
_RETRY_SECONDS = 2.0
_TAKEN_WITHIN = 10.0


class StreamPublisher:
    """Publishes at QoS 1 what waits in the database, and forgets it once the broker has taken it.

    A row is stored and put among those that wait in one transaction. A kill between the broker's word and the
    forgetting publishes a row again, with the same `id`.
    """

    def __init__(self, store: EmbeddedStore, broker: BrokerSettings, password: str | None) -> None:
        self.problem = ""
        """Why nothing can be published now; empty where all is well."""
        self._store = store
        self._broker = broker
        self._client = side_client(broker, password)
        self._host, self._port = host_and_port(broker)
        self._published = 0
        self._connected = False
        self._stopping = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream publisher", daemon=True)

    def start(self) -> None:
        """Begin with what waits."""
        self._thread.start()

    def wake(self) -> None:
        """Look for rows now. Any thread may call it."""
        self._wake.set()

    def stop(self) -> None:
        """End after the rows that are under way; what waits is published after the next start."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            try:
                while not self._stopping and self._publish_some():
                    pass
                self.problem = ""
            except (OSError, RuntimeError, ValueError) as error:
                if not self.problem:
                    log.warning("rows of streams cannot be published now: %s; trying again", error)
                self.problem = str(error)
                self._wake.wait(_RETRY_SECONDS)
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()
        if self._connected:
            self._client.disconnect()
            self._client.loop_stop()

    def _publish_some(self) -> bool:
        """Publish some of the rows that wait; returns whether there were any."""
        waiting = self._store.waiting_messages(self._published)
        if not waiting:
            return False
        if not self._connected:
            self._client.connect(self._host, self._port)
            self._client.loop_start()
            self._connected = True
        self._publish(waiting)
        self._published = waiting[-1].number
        self._store.forget_messages(self._published)
        return True

    def _publish(self, messages: list[StreamMessage]) -> None:
        sent = [self._client.publish(each.topic, each.payload, qos=1) for each in messages]
        until = monotonic() + _TAKEN_WITHIN
        for one in sent:
            one.wait_for_publish(max(0.0, until - monotonic()))
            if not one.is_published():
                raise TimeoutError(
                    f"the broker at {self._host}:{self._port} did not take them within {_TAKEN_WITHIN:.0f} s"
                )
