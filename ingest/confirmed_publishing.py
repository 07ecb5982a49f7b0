"""Beside the session: messages published at QoS 1, each with the broker's word on it.

A broker that speaks MQTT 5 says where it refuses a message, such as for its access list (section 3.4.2.1, PUBACK
reason codes). One that speaks 3.1.1 alone acknowledges it all the same, and drops it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from ingest.broker_settings import BrokerSettings
from ingest.connecting import host_and_port, side_client

_WITHIN = 10.0
_ANSWER_WITHIN = 3.0
_UNSUPPORTED_VERSION = 0x84
_FIRST_FAILURE = 0x80
_PASSING = frozenset({0x80, 0x83, 0x97})
"""Unspecified error, implementation specific error, quota exceeded: the same message may be taken later."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be published."""

    topic: str
    payload: bytes
    retain: bool = False


class ConfirmedPublisher:
    """Publishes over one connection, which is made at the first message and made again by paho. Any thread may call."""

    def __init__(self, settings: BrokerSettings, password: str | None) -> None:
        self._settings = settings
        self._password = password
        self._host, self._port = host_and_port(settings)
        self._version_5 = settings.protocol == "5"
        self._client: Client | None = None
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._refusal: ReasonCode | None = None
        self._said: dict[int, ReasonCode] = {}

    def publish(self, messages: Sequence[Message]) -> list[str]:
        """Publish messages in order; what the broker said of each that it refuses for good, "" where it took it.

        Raises OSError where it does not take them within 10 s, or says that it cannot now.
        """
        with self._lock:
            client = self._connected()
            self._said.clear()
            sent = [client.publish(each.topic, each.payload, qos=1, retain=each.retain) for each in messages]
            until = monotonic() + _WITHIN
            for one in sent:
                try:
                    one.wait_for_publish(max(0.0, until - monotonic()))
                    is_taken = one.is_published()
                except (RuntimeError, ValueError) as error:
                    raise OSError(str(error)) from error
                if not is_taken:
                    raise TimeoutError(
                        f"the broker at {self._host}:{self._port} did not take them within {_WITHIN:.0f} s"
                    )
            return [_refusal(self._said.get(one.mid)) for one in sent]

    def close(self) -> None:
        """End the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _connected(self) -> Client:
        while self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> Client | None:
        """A client that is connected; None where the broker does not speak MQTT 5, which is noted for the next try."""
        protocol = MQTTProtocolVersion.MQTTv5 if self._version_5 else MQTTProtocolVersion.MQTTv311
        client = side_client(self._settings, self._password, protocol=protocol)
        client.on_connect, client.on_publish = self._on_connect, self._on_publish
        self._answered.clear()
        self._refusal = None
        client.connect(self._host, self._port)
        client.loop_start()
        answered = self._answered.wait(_ANSWER_WITHIN)
        if answered and self._refusal is None:
            return client
        client.disconnect()
        client.loop_stop()
        if self._version_5 and (self._refusal is None or self._refusal.value == _UNSUPPORTED_VERSION):
            self._version_5 = False
            return None
        self._version_5 = self._settings.protocol == "5"
        said = "it does not answer" if self._refusal is None else str(self._refusal)
        raise ConnectionError(f"the broker at {self._host}:{self._port} refused the connection: {said}")

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self._refusal = reason if reason.is_failure else None
        self._answered.set()

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        if reason.value >= _FIRST_FAILURE:
            self._said[mid] = reason


def _refusal(reason: ReasonCode | None) -> str:
    """What a broker said, for people, with the number that its manual has. Raises OSError where it may pass."""
    if reason is None:
        return ""
    words = f"{reason} (MQTT reason code {reason.value})"
    if reason.value in _PASSING:
        raise OSError(f"the broker cannot take it now: {words}")
    return words
