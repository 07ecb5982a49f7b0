"""Many MQTT sessions from one process, one for each device, over one poll of all their sockets.

A session never blocks: what cannot be written yet waits in it, and what happens to it is told to its listener.
"""

from __future__ import annotations

import errno
import resource
import select
import socket
import time
from collections.abc import Callable
from typing import Protocol

from firmware_sim.firmware import mqtt_frames as frames
from firmware_sim.firmware.mqtt_frames import Will
from firmware_sim.publisher import BrokerAddress

KEEPALIVE_SECONDS = 60
LARGEST_READ = 65_536
SPARE_FILES = 64


class Listener(Protocol):
    """Who is told what happens to a session."""

    def connected(self) -> None:
        """The broker has taken the connection."""
        ...

    def connection_lost(self, cause: str) -> None:
        """The connection is gone, or was refused; `cause` says why."""
        ...

    def received(self, topic: str, payload: bytes) -> None:
        """A message of a topic subscribed to."""
        ...


class Session:
    """One device's connection. Made by `Sessions.session`; messages in flight are sent again on the next connection."""

    def __init__(self, pool: Sessions, client_id: str, listener: Listener, *, persistent: bool = False) -> None:
        self._pool = pool
        self._client_id = client_id
        self.listener = listener
        self._persistent = persistent
        self.socket: socket.socket | None = None
        self._out = bytearray()
        self._in = bytearray()
        self._unacknowledged: dict[int, bytes] = {}
        self._unsent: dict[int, bytes] = {}
        self._identifier = 0
        self._subscriptions: tuple[bytes, ...] = ()
        self.is_connected = False
        self.last_write = 0.0

    @property
    def unacknowledged(self) -> int:
        """Messages on their way."""
        return len(self._unacknowledged)

    def connect(self, *, will: Will | None = None, subscriptions: tuple[str, ...] = ()) -> None:
        """Begin to connect; the listener hears of the outcome. A connection that there was is dropped."""
        self.drop()
        address = self._pool.address
        self._subscriptions = tuple(one.encode() for one in subscriptions)
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self._out += frames.connect(
            self._client_id,
            keepalive=KEEPALIVE_SECONDS,
            clean=not self._persistent,
            will=will,
            username=address.username,
            password=address.password,
        )
        problem = sock.connect_ex((self._pool.host, address.port))
        if problem not in (0, errno.EINPROGRESS):
            self._lose(f"connecting failed with error {problem}")
            return
        self._pool.watch(self)

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Send a message; above QoS 0 it is sent again until it is acknowledged."""
        self.publish_bytes(topic.encode(), payload, qos, retain)

    def publish_bytes(self, topic: bytes, payload: bytes, qos: int, retain: bool = False) -> None:
        """The same with the topic as bytes."""
        identifier = self._next_identifier() if qos else 0
        frame = frames.publish(topic, payload, qos=qos, retain=retain, identifier=identifier)
        self._pool.sent += 1
        if qos:
            self._unacknowledged[identifier] = frame
            self._pool.in_flight += 1
        else:
            self._pool.acknowledged += 1
        if self.is_connected:
            self._send(frame)
        elif qos:
            self._unsent[identifier] = frame

    def disconnect(self) -> None:
        """Say goodbye, so that the broker does not publish the will."""
        if self.is_connected:
            self._send(frames.DISCONNECT)
        self.drop()

    def drop(self) -> None:
        """Be gone without a word, as when the power fails."""
        self._pool.forget(self)
        if self.socket is not None:
            self.socket.close()
        self.socket = None
        self.is_connected = False
        self._out.clear()
        self._in.clear()

    def ping(self) -> None:
        """Keep the connection alive."""
        if self.is_connected:
            self._send(frames.PINGREQ)

    def ready_to_write(self) -> None:
        """The socket takes bytes again."""
        self._write()

    def ready_to_read(self) -> None:
        """The socket has bytes, or is closed."""
        if self.socket is None:
            return
        try:
            data = self.socket.recv(LARGEST_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(str(error))
            return
        if not data:
            self._lose("the broker closed the connection")
            return
        self._in += data
        try:
            for packet in frames.take_packets(self._in):
                self._take(packet)
        except (ValueError, IndexError) as error:
            self._lose(str(error))

    def _take(self, packet: frames.Packet) -> None:
        if packet.kind in (frames.PUBACK, frames.PUBCOMP):
            if self._unacknowledged.pop(packet.identifier, None) is not None:
                self._pool.in_flight -= 1
                self._pool.acknowledged += 1
        elif packet.kind == frames.PUBREC:
            self._send(frames.acknowledge(frames.PUBREL, packet.identifier))
        elif packet.kind == frames.PUBLISH:
            topic, payload, identifier = packet.message()
            if identifier is not None:
                self._send(frames.acknowledge(frames.PUBACK, identifier))
            self.listener.received(topic.decode("utf-8", "replace"), payload)
        elif packet.kind == frames.CONNACK:
            self._answered(packet.body[1])

    def _answered(self, code: int) -> None:
        if code:
            self._lose(frames.REFUSALS.get(code, f"refused with code {code}"))
            return
        self.is_connected = True
        again = [
            frame if identifier in self._unsent else bytes((frame[0] | frames.DUPLICATE,)) + frame[1:]
            for identifier, frame in self._unacknowledged.items()
        ]
        self._unsent.clear()
        if self._subscriptions:
            self._send(frames.subscribe(self._next_identifier(), self._subscriptions))
        for frame in again:
            self._send(frame)
        self.listener.connected()

    def _send(self, frame: bytes) -> None:
        self._out += frame
        if len(self._out) == len(frame):
            self._write()

    def _write(self) -> None:
        if self.socket is None:
            return
        try:
            written = self.socket.send(self._out) if self._out else 0
        except BlockingIOError:
            written = 0
        except OSError as error:
            self._lose(str(error))
            return
        del self._out[:written]
        self.last_write = self._pool.clock()
        self._pool.want_write(self, bool(self._out))

    def _lose(self, cause: str) -> None:
        self.drop()
        self.listener.connection_lost(cause)

    def _next_identifier(self) -> int:
        while True:
            self._identifier = self._identifier % 65_535 + 1
            if self._identifier not in self._unacknowledged:
                return self._identifier


class Sessions:
    """All sessions of a process to one broker. `poll` lets them read and write; single-threaded.

    `sent` counts messages given to sessions, `acknowledged` those that the broker has confirmed, `in_flight` the rest.
    """

    def __init__(self, address: BrokerAddress, *, clock: Callable[[], float] = time.monotonic) -> None:
        if address.tls:
            raise ValueError(f"broker {address}: a connection for each device is made without TLS; use mqtt://")
        self.address = address
        self.clock = clock
        self.host = socket.gethostbyname(address.host)
        self.sent = self.acknowledged = self.in_flight = 0
        self._poll = select.epoll()
        self._by_file: dict[int, Session] = {}
        self._waiting: set[int] = set()
        self._pinged = 0.0

    def session(self, client_id: str, listener: Listener, *, persistent: bool = False) -> Session:
        """A session, not yet connected."""
        return Session(self, client_id, listener, persistent=persistent)

    def poll(self, seconds: float) -> None:
        """Wait up to `seconds` for any socket, then handle all that are ready."""
        for file, event in self._poll.poll(max(seconds, 0.0), 4096):
            session = self._by_file.get(file)
            if session is None:
                continue
            if event & select.EPOLLOUT:
                session.ready_to_write()
            if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                session.ready_to_read()
        self._keep_alive()

    def close(self) -> None:
        """Say goodbye on every session."""
        for session in list(self._by_file.values()):
            session.disconnect()
        self._poll.close()

    def watch(self, session: Session) -> None:
        """Begin to look at a session's socket."""
        if session.socket is not None:
            file = session.socket.fileno()
            self._by_file[file] = session
            self._waiting.add(file)
            self._poll.register(file, select.EPOLLIN | select.EPOLLOUT)

    def want_write(self, session: Session, wanted: bool) -> None:
        """Look for room to write, or no longer."""
        if session.socket is None:
            return
        file = session.socket.fileno()
        if wanted != (file in self._waiting):
            self._poll.modify(file, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))
            (self._waiting.add if wanted else self._waiting.discard)(file)

    def forget(self, session: Session) -> None:
        """Look at a session's socket no longer."""
        if session.socket is None:
            return
        file = session.socket.fileno()
        if self._by_file.pop(file, None) is not None:
            self._poll.unregister(file)
        self._waiting.discard(file)

    def _keep_alive(self) -> None:
        now = self.clock()
        if now - self._pinged < KEEPALIVE_SECONDS / 8:
            return
        self._pinged = now
        for session in list(self._by_file.values()):
            if now - session.last_write > KEEPALIVE_SECONDS / 2:
                session.ping()


def allow_files(number: int) -> None:
    """Let this process have so many sockets open. Raises OSError where the system's limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + SPARE_FILES
    if soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise OSError(f"{number} connections need {wanted} open files; the system allows {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
