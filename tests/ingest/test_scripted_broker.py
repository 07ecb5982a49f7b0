"""What no real broker can be made to do, played by one that sends the frames that it is given."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from session_drive import make

from ingest.frames import Group
from ingest.session import MqttSession, SessionState

pytestmark = pytest.mark.timeout(600)


class ScriptedBroker:
    """Answers a connection with the frames given, and keeps what the client sends."""

    def __init__(self, *connections: list[bytes]) -> None:
        self.received = b""
        self._connection: socket.socket | None = None
        self._script = connections
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for frames in self._script:
            try:
                connection = self._accept()
            except OSError:
                return
            with connection:
                for i, frame in enumerate(frames):
                    if i and not self._receive(connection):
                        break
                    connection.sendall(frame)
                while self._receive(connection):
                    pass

    def _accept(self) -> socket.socket:
        """The next connection that says something."""
        while True:
            connection, _ = self._listener.accept()
            connection.settimeout(60)
            self._connection = connection
            if self._receive(connection):
                return connection
            connection.close()

    def _receive(self, connection: socket.socket) -> bool:
        try:
            data = connection.recv(65_536)
        except OSError:
            return False
        self.received += data
        return bool(data)

    def close(self) -> None:
        for end in (self._listener, self._connection):
            with contextlib.suppress(OSError):
                if end is not None:
                    end.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedBroker]]:
    brokers: list[ScriptedBroker] = []

    def start(*connections: list[bytes]) -> ScriptedBroker:
        brokers.append(ScriptedBroker(*connections))
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.close()


ACCEPTED = b"\x20\x02\x00\x00"
RESUMED = b"\x20\x02\x01\x00"
SUBSCRIBED = b"\x90\x03\x00\x01\x02"


def cut(session: MqttSession) -> None:
    """Cut the session's connection, as a network does."""
    assert session._client is not None
    connection = session._client.socket()
    assert isinstance(connection, socket.socket)
    connection.shutdown(socket.SHUT_RDWR)


def twice(packet_id: int, payload: bytes, *, duplicate: bool = False) -> bytes:
    body = b"\x00\x01t" + packet_id.to_bytes(2) + payload
    return bytes([0x3C if duplicate else 0x34, len(body)]) + body


def test_a_qos_2_message_delivered_again_is_handed_out_once(drive: Any, wait_until: Any, scripted: Any) -> None:
    release = b"\x62\x02\x00\x07"
    broker = scripted(
        [ACCEPTED, SUBSCRIBED + twice(7, b"first")],
        [RESUMED, SUBSCRIBED + twice(7, b"first", duplicate=True) + release + twice(7, b"second")],
    )
    session = make(broker.url, {"t": 2}, protocol="3.1.1")
    driven = drive(session)
    wait_until(lambda: driven.got == [b"first"])
    wait_until(lambda: broker.received.count(b"\x50\x02\x00\x07") == 1)
    cut(session)
    wait_until(lambda: len(driven.got) > 1)
    assert driven.got == [b"first", b"second"]
    wait_until(lambda: broker.received.count(b"\x50\x02\x00\x07") == 3)
    assert broker.received.count(b"\x70\x02\x00\x07") == 1


def test_what_an_old_connection_brought_is_not_acknowledged_on_the_next(
    drive: Any, wait_until: Any, scripted: Any
) -> None:
    """The broker gives the identifier to another message meanwhile: its acknowledgement would lose that one."""
    once = b"\x32\x06\x00\x01t\x00\x09a"
    broker = scripted([ACCEPTED, b"\x90\x03\x00\x01\x01" + once], [RESUMED, b"\x90\x03\x00\x01\x01"])
    session = make(broker.url, {"t": 1}, protocol="3.1.1")
    held: list[Group] = []
    acknowledge = session.acknowledge
    session.acknowledge = held.append  # type: ignore[method-assign,assignment]
    drive(session)
    wait_until(lambda: held and held[0].pending)
    cut(session)
    wait_until(lambda: session.connections == 2 and session.subscribed)
    acknowledge(held[0])
    session.resubscribe({"t": 1, "u": 1})
    wait_until(lambda: b"\x00\x01u\x01" in broker.received, what="a packet sent after it on the new connection")
    assert broker.received.count(b"\x40\x02\x00\x09") == 0


def test_an_old_broker_is_spoken_to_in_its_version(drive: Any, wait_until: Any, scripted: Any) -> None:
    broker = scripted([b"\x20\x02\x00\x01"], [ACCEPTED, b"\x90\x03\x00\x01\x01"])
    session = make(broker.url)
    drive(session)
    wait_until(lambda: session.subscribed)
    assert broker.received.count(b"\x00\x04MQTT\x05") == 1
    assert broker.received.count(b"\x00\x04MQTT\x04") == 1


@pytest.mark.parametrize(
    "garbage", [b"\x36\x05\x00\x01t\x00\x01", b"\x30\xff\xff\xff\xff\x01", b"\xf0\x00", b"\x00\x00"]
)
def test_a_frame_that_is_not_mqtt_ends_the_connection_and_the_next_one_works(
    drive: Any, wait_until: Any, scripted: Any, garbage: bytes
) -> None:
    broker = scripted([ACCEPTED, SUBSCRIBED + garbage], [ACCEPTED, SUBSCRIBED])
    session = make(broker.url, {"t": 2}, protocol="3.1.1")
    drive(session)
    wait_until(lambda: session.connections == 2 and session.subscribed)


def test_a_silent_broker_is_given_up(drive: Any, wait_until: Any) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    with silent:
        session = make(f"mqtt://127.0.0.1:{silent.getsockname()[1]}", connect_timeout="200ms")
        drive(session)
        wait_until(lambda: session.state == SessionState.AWAY)
        assert "did not answer within 200ms" in session.reason


def test_a_refused_subscription_is_told(drive: Any, wait_until: Any, scripted: Any) -> None:
    broker = scripted([ACCEPTED, b"\x90\x03\x00\x01\x80"])
    session = make(broker.url, {"secret/#": 1}, protocol="3.1.1")
    drive(session)
    wait_until(lambda: session.subscribed)
    assert session.reason.startswith('the broker refused to subscribe "secret/#" (')


def test_a_broker_that_tells_of_the_other_client_is_believed_at_once(
    drive: Any, wait_until: Any, scripted: Any
) -> None:
    broker = scripted([b"\x20\x03\x00\x00\x00", b"\x90\x04\x00\x01\x00\x01", b"\xe0\x02\x8e\x00"])
    session = make(broker.url)
    drive(session)
    wait_until(lambda: session.subscribed)
    session.resubscribe({"plant/#": 1, "other": 1})
    wait_until(lambda: session.state == SessionState.TAKEN_OVER)
    assert "the broker says so" in session.reason
    assert session.connections == 1
