"""A real MQTT subscriber that tests can wait on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion


class Subscriber:
    """Keeps what arrives on a topic filter, in order."""

    def __init__(self, host: str, port: int, topic: str) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._arrived = threading.Condition()
        subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, f"subscriber-{topic}", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, 2)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._keep
        self._client.connect(host, port)
        self._client.loop_start()
        assert subscribed.wait(60)

    def _keep(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._arrived:
            self.messages.append((message.topic, bytes(message.payload)))
            self._arrived.notify_all()

    def wait_for(self, count: int, *, seconds: float = 20) -> list[tuple[str, bytes]]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.messages) >= count, seconds), len(self.messages)
            return list(self.messages)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def subscribe() -> Iterator[Callable[[Any, str], Subscriber]]:
    """Subscribes to a topic filter of a broker; closed at the end of the test."""
    subscribers: list[Subscriber] = []

    def open_one(broker: Any, topic: str) -> Subscriber:
        subscribers.append(Subscriber(broker.host, broker.port, topic))
        return subscribers[-1]

    yield open_one
    for subscriber in subscribers:
        subscriber.close()
