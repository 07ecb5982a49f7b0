"""The device's end of MQTT, which publishes many messages and knows when each is acknowledged.

paho-mqtt opens the connection (TCP, TLS, credentials, CONNECT); after CONNACK this module writes PUBLISH frames to its
socket in bulk and reads the acknowledgements in bulk, since paho's own path costs more a message than a broker does.
Frames: MQTT 3.1.1, sections 3.3 (PUBLISH) to 3.7 (PUBCOMP), 3.12 (PINGREQ). With MQTT 5 a PUBLISH has properties too
(MQTT 5.0, section 3.3.2.3), and no more are in flight than the broker says (3.2.2.3.3).
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random
from threading import Event
from typing import cast
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

Message = tuple[bytes, bytes]
"""Topic and payload."""

DescribedMessage = tuple[bytes, bytes, bytes]
"""Topic, payload, and properties of MQTT 5, as a frame has them with their length."""

Patience = Callable[[], float]
"""Gives how many seconds from now on a broker may be away."""

UNREACHABLE = 3
"""Exit code of a command that no broker answered."""

KEEPALIVE_SECONDS = 60
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 30.0
LARGEST_WRITE = 1 << 18
PUBACK, PUBREC, PUBREL, PUBCOMP, PINGREQ, DISCONNECT = 0x40, 0x50, 0x62, 0x70, b"\xc0\x00", b"\xe0\x00"
DUPLICATE = 0x08
QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Linux: acknowledge TCP segments at once. Else a broker under Nagle's algorithm holds each PUBACK back for 40 ms."""


class BrokerUnreachableError(OSError):
    """No broker answers at the address, or it refuses the connection; the message names address and cause."""


class StoppedError(Exception):
    """The stop event was set while the publisher waited."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a broker listens. `str()` gives the address without the password."""

    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> BrokerAddress:
        """Read `mqtt://[user[:password]@]host[:port]`, or `mqtts://` for TLS. Raises ValueError naming the URL."""
        parts = urlsplit(url if "://" in url else f"mqtt://{url}")
        if parts.scheme not in {"mqtt", "mqtts", "tcp", "ssl"} or not parts.hostname:
            raise ValueError(f"broker address {url!r}: expected mqtt://host:port or mqtts://host:port")
        tls = parts.scheme in {"mqtts", "ssl"}
        try:
            port = parts.port or (8883 if tls else 1883)
        except ValueError:
            raise ValueError(f"broker address {url!r}: expected a port from 1 to 65535") from None
        username = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return cls(parts.hostname, port, tls, username, password)


def without_end() -> float:
    """The patience of who waits until the broker is back."""
    return inf


class Publisher:
    """Publishes in order with a bounded number of messages in flight; single-threaded, blocking.

    A lost connection is opened again with growing, jittered pauses, said once through `say`, and every message not yet
    acknowledged is sent again first, in its order, so at QoS 1 and 2 nothing is lost. Such a
    message may arrive twice, at QoS 2 too, since the session is a clean one. At QoS 0 those on the way are lost.

    `sent` counts messages given to the connection, `acknowledged` those the broker has confirmed (at QoS 0: handed
    to the operating system). Setting `stop` makes any waiting call raise StoppedError; a broker that is away for longer
    than the seconds that `patience` gives then, BrokerUnreachableError. With `properties` it speaks
    MQTT 5 where the broker does; where that does not, it says so, and leaves the properties out.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        qos: int = 1,
        in_flight: int = 1000,
        say: Callable[[str], None] = print,
        stop: Event | None = None,
        random: Random | None = None,
        properties: bool = False,
        patience: Patience = without_end,
    ) -> None:
        if qos not in {0, 1, 2}:
            raise ValueError(f"qos {qos}: expected 0, 1 or 2")
        if not 1 <= in_flight <= 60_000:
            raise ValueError(f"in_flight {in_flight}: expected 1 to 60000")
        self.address = address
        self.sent = 0
        self.acknowledged = 0
        self._client_id = client_id
        self._qos = qos
        self._version_5 = properties
        self._patience = patience
        self._in_flight = min(in_flight, 20) if qos == 2 else in_flight  # brokers commonly hold 20 QoS 2 handshakes
        self._say = say
        self._stop = stop or Event()
        self._random = random or Random()
        self._client: mqtt.Client | None = None
        self._poll = select.poll()
        self._out = bytearray()
        self._in = bytearray()
        self._unacknowledged: dict[int, tuple[bytes, bytearray]] = {}
        self._identifier = 0
        self._last_write = self._last_read = self._last_ping = 0.0

    def open(self, *, retry: bool = False) -> None:
        """Connect. Raises BrokerUnreachableError; with `retry` keeps trying instead, and says so once."""
        try:
            if self._version_5:
                self._connect_with_properties()
            else:
                self._connect()
        except BrokerUnreachableError as error:
            if not retry:
                raise
            self._reconnect(str(error))

    def send(self, messages: Sequence[Message | DescribedMessage], *, retained: bool = False) -> None:
        """Publish all messages in order; returns when the last is on its way. Raises StoppedError.

        The broker keeps those `retained` for later subscribers, the last of each topic.
        """
        position = 0
        while position < len(messages):
            if self._stop.is_set():
                raise StoppedError
            room = self._room()
            if room == 0:
                self._exchange(0.5)
                continue
            for topic, payload, *properties in messages[position : position + room]:
                self._out += self._frame(topic, payload, retained, properties[0] if properties else b"")
            count = min(room, len(messages) - position)
            position += count
            self.sent += count
            self._exchange(0)

    def pump(self, seconds: float) -> None:
        """Wait up to `seconds` while acknowledgements come in."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._stop.is_set():
            self._exchange(left)

    def drain(self, seconds: float) -> bool:
        """Wait until everything sent is acknowledged; False where that took longer than `seconds` of silence."""
        mark, deadline = self.acknowledged, time.monotonic() + seconds
        while self._unacknowledged or self._out:
            if self.acknowledged != mark:
                mark, deadline = self.acknowledged, time.monotonic() + seconds
            if time.monotonic() >= deadline or self._client is None:
                return False
            self._exchange(0.1)
        return True

    @property
    def unacknowledged(self) -> int:
        """How many messages are on their way."""
        return len(self._unacknowledged)

    def unacknowledged_topics(self) -> Counter[bytes]:
        """How many messages of each topic are on their way."""
        return Counter(topic for topic, _ in self._unacknowledged.values())

    def close(self) -> None:
        """Say goodbye to the broker and close the socket; whatever is still on its way is given up."""
        if self._client is None:
            return
        try:
            if not self._out:
                self._socket().send(DISCONNECT)
        except OSError:
            pass  # the connection is already gone: nothing to say goodbye to
        self._drop_client()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _room(self) -> int:
        """How many messages may be sent now: none until a good part of the window is free, so writes stay large."""
        if self._qos == 0:
            return 0 if len(self._out) > LARGEST_WRITE else 500
        room = self._in_flight - len(self._unacknowledged)
        return room if room >= max(1, self._in_flight // 4) and len(self._out) <= LARGEST_WRITE else 0

    def _frame(self, topic: bytes, payload: bytes, retained: bool, properties: bytes) -> bytearray:
        properties = (properties or b"\0") if self._version_5 else b""
        length = 2 + len(topic) + (2 if self._qos else 0) + len(properties) + len(payload)
        frame = bytearray((0x30 | self._qos << 1 | retained,))
        while length >= 0x80:
            frame.append(length & 0x7F | 0x80)
            length >>= 7
        frame.append(length)
        frame += len(topic).to_bytes(2, "big")
        frame += topic
        if self._qos:
            identifier = self._next_identifier()
            frame += identifier.to_bytes(2, "big")
            self._unacknowledged[identifier] = (topic, frame)
        frame += properties
        frame += payload
        if not self._qos:
            self.acknowledged += 1
        return frame

    def _next_identifier(self) -> int:
        identifier = self._identifier
        while True:
            identifier = identifier % 65_535 + 1
            if identifier not in self._unacknowledged:
                self._identifier = identifier
                return identifier

    def _exchange(self, seconds: float) -> None:
        """Write what waits, wait up to `seconds` for the socket, read what came; reconnects when the line is dead."""
        try:
            self._write()
            wanted = select.POLLIN | (select.POLLOUT if self._out else 0)
            self._poll.modify(self._socket().fileno(), wanted)
            if self._poll.poll(min(seconds, 0.2) * 1000):
                self._read()
                self._write()
            self._keep_alive()
        except (OSError, EOFError) as error:
            self._reconnect(str(error) or "the broker closed the connection")

    def _write(self) -> None:
        sock = self._socket()
        while self._out:
            try:
                written = sock.send(self._out[:LARGEST_WRITE])
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            del self._out[:written]
            self._last_write = time.monotonic()

    def _read(self) -> None:
        sock = self._socket()
        if QUICK_ACK is not None:
            sock.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)
        while True:
            try:
                data = sock.recv(65_536)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            if not data:
                raise EOFError
            self._last_read = time.monotonic()
            self._in += data
            if len(data) < 65_536 and not isinstance(sock, ssl.SSLSocket):
                break
        self._take_packets()

    def _take_packets(self) -> None:
        """Handle the whole packets read; all that a broker sends a publisher is shorter than 128 bytes."""
        data, position = self._in, 0
        while position + 2 <= len(data) and position + 2 + data[position + 1] <= len(data):
            kind, end = data[position] & 0xF0, position + 2 + data[position + 1]
            if kind in {PUBACK, PUBREC, PUBCOMP}:
                identifier = data[position + 2] << 8 | data[position + 3]
                if kind == PUBREC:
                    self._out += bytes((PUBREL, 2)) + identifier.to_bytes(2, "big")
                elif self._unacknowledged.pop(identifier, None) is not None:
                    self.acknowledged += 1
            position = end
        del data[:position]

    def _keep_alive(self) -> None:
        now = time.monotonic()
        if now - self._last_read > 1.5 * KEEPALIVE_SECONDS:
            raise EOFError("the broker has been silent for too long")
        if now - max(min(self._last_write, self._last_read), self._last_ping) > KEEPALIVE_SECONDS / 2:
            self._out += PINGREQ
            self._last_ping = now

    def _socket(self) -> socket.socket:
        if self._client is None or (sock := self._client.socket()) is None:
            raise OSError("not connected")
        return cast(socket.socket, sock)

    def _connect_with_properties(self) -> None:
        try:
            self._connect()
        except BrokerUnreachableError:
            self._version_5 = False
            self._connect()
            self._say(f"the broker at {self.address} does not speak MQTT 5: properties are left out")

    def _connect(self) -> None:
        if self._version_5:
            client = mqtt.Client(CallbackAPIVersion.VERSION2, self._client_id, protocol=mqtt.MQTTv5)
        else:
            client = mqtt.Client(CallbackAPIVersion.VERSION2, self._client_id, clean_session=True)
        if self.address.username is not None:
            client.username_pw_set(self.address.username, self.address.password)
        if self.address.tls:
            client.tls_set()
        answer: list[str] = []

        def on_connect(_client: object, _data: object, _flags: object, reason: object, told: object) -> None:
            answer.append(str(reason))
            self._in_flight = min(self._in_flight, getattr(told, "ReceiveMaximum", self._in_flight))

        client.on_connect = on_connect
        try:
            client.connect(self.address.host, self.address.port, KEEPALIVE_SECONDS)
            deadline = time.monotonic() + 5
            while not answer and time.monotonic() < deadline and not self._stop.is_set():
                if client.loop(0.1) != mqtt.MQTT_ERR_SUCCESS:
                    break
        except (OSError, ValueError) as error:
            raise BrokerUnreachableError(f"no broker answers at {self.address}: {error}") from error
        if answer != ["Success"]:
            cause = f"it refuses the connection: {answer[0]}" if answer else "it does not speak MQTT, or not in 5 s"
            raise BrokerUnreachableError(f"broker at {self.address}: {cause}")
        self._client = client
        sock = self._socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(sock.fileno(), select.POLLIN)
        self._last_read = self._last_write = time.monotonic()

    def _drop_client(self) -> None:
        if self._client is not None and (sock := self._client.socket()) is not None:
            self._poll.unregister(sock.fileno())
            sock.close()
        self._client = None

    def _reconnect(self, cause: str) -> None:
        """Connect again, for as long as there is patience, and send again what is not acknowledged.

        Raises StoppedError, BrokerUnreachableError.
        """
        self._drop_client()
        self._say(f"broker {self.address} is away ({cause}); trying again until it is back")
        pause = FIRST_RETRY_SECONDS
        end = time.monotonic() + self._patience()
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise BrokerUnreachableError(f"broker {self.address} did not come back in time")
            if self._stop.wait(min(left, pause * self._random.uniform(0.5, 1.0))):
                raise StoppedError
            try:
                self._connect()
                break
            except BrokerUnreachableError:
                pause = min(2 * pause, LAST_RETRY_SECONDS)
        self._say(f"broker {self.address} is back")
        self._in.clear()
        self._out.clear()
        for _, frame in self._unacknowledged.values():
            frame[0] |= DUPLICATE
            self._out += frame
