from __future__ import annotations

import signal
import socket
import threading
from typing import Any

import pytest
from firmware_sim.publisher import BrokerAddress, BrokerUnreachableError, Publisher, StoppedError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://host", BrokerAddress("host", 1883, False, None, None)),
        ("host:1884", BrokerAddress("host", 1884, False, None, None)),
        ("mqtts://me:p%40ss@host", BrokerAddress("host", 8883, True, "me", "p@ss")),
    ],
)
def test_a_broker_address_is_read_from_its_url(url: str, expected: BrokerAddress) -> None:
    assert BrokerAddress.parse(url) == expected


@pytest.mark.parametrize("url", ["http://host", "mqtt://", "mqtt://host:99999", "ws://host"])
def test_what_is_no_broker_address_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        BrokerAddress.parse(url)
    assert repr(url) in str(refused.value)


def test_an_address_never_shows_its_password() -> None:
    assert "secret" not in str(BrokerAddress.parse("mqtt://me:secret@host"))


def test_nobody_listening_is_said_with_address(free_port: int) -> None:
    publisher = Publisher(BrokerAddress.parse(f"mqtt://127.0.0.1:{free_port}"), client_id="nobody")
    with pytest.raises(BrokerUnreachableError, match=rf"127\.0\.0\.1:{free_port}"):
        publisher.open()


def test_something_else_listening_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def refuse() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(BrokerUnreachableError, match=str(port)):
            Publisher(BrokerAddress.parse(f"mqtt://127.0.0.1:{port}"), client_id="web").open()
        thread.join(60)


def test_waiting_for_a_broker_ends_with_the_stop_event(free_port: int) -> None:
    stop, said = threading.Event(), []

    def hear(line: str) -> None:
        said.append(line)
        stop.set()

    publisher = Publisher(BrokerAddress.parse(f"127.0.0.1:{free_port}"), client_id="x", say=hear, stop=stop)
    with pytest.raises(StoppedError):
        publisher.open(retry=True)
    assert len(said) == 1


@pytest.mark.service("mosquitto")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("in_flight", [1, 7, 1000])
def test_everything_arrives_in_order_and_is_acknowledged(
    mosquitto: Any, subscribe: Any, qos: int, in_flight: int
) -> None:
    subscriber = subscribe(mosquitto, "numbers/#")
    messages = [(f"numbers/{i % 7}".encode(), str(i).encode() * (i % 50 + 1)) for i in range(1500)]
    with Publisher(BrokerAddress.parse(mosquitto.url), client_id="pub", qos=qos, in_flight=in_flight) as publisher:
        publisher.open()
        publisher.send(messages[:1000])
        publisher.send(messages[1000:])
        assert publisher.unacknowledged <= in_flight
        assert publisher.drain(10)
        assert (publisher.sent, publisher.acknowledged) == (1500, 1500)
        arrived = subscriber.wait_for(1500)
    assert arrived == [(topic.decode(), payload) for topic, payload in messages]


@pytest.mark.service("mosquitto")
def test_a_broker_that_is_killed_loses_nothing_acknowledged_later(mosquitto: Any, subscribe: Any) -> None:
    said: list[str] = []
    publisher = Publisher(BrokerAddress.parse(mosquitto.url), client_id="pub", in_flight=50, say=said.append)
    publisher.open()
    publisher.send([(b"numbers/a", b"before")])
    assert publisher.drain(10)
    mosquitto.stop(signal.SIGKILL)
    mosquitto.start()
    subscriber = subscribe(mosquitto, "numbers/#")
    publisher.send([(b"numbers/a", str(i).encode()) for i in range(200)])
    assert publisher.drain(10)
    assert publisher.acknowledged == publisher.sent == 201
    assert [line.split(" is ")[1].split(" ")[0] for line in said] == ["away", "back"]
    arrived = [payload for _, payload in subscriber.wait_for(200)]
    publisher.close()
    assert list(dict.fromkeys(arrived)) == [str(i).encode() for i in range(200)]
