"""The service as a host application of Sparkplug B, at a real mosquitto with an edge node that answers.

Each test names the assertions of Sparkplug 3.0.0 for host applications that it holds, by their numbers in the
specification's compatibility kit (tck-id-...). Two are held in another way: what is received is subscribed to in a
session that outlives its connection, so that nothing is lost (message-flow-phid-sparkplug-clean-session); the session
that holds the state is clean, as is asked for.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
import pytest
from firmware_sim.sparkplug_style import _message, _metric, _number
from paho.mqtt.enums import CallbackAPIVersion

from devices.codecs.codec_registry import create
from devices.codecs.sparkplug import SparkplugCodec
from devices.codecs.sparkplug_wire import metric_of
from devices.messages import MessageChunk
from devices.vectors import named_readings
from driftline.runtime.sparkplug_host import SparkplugHost
from ingest.broker_settings import BrokerSettings
from ingest.sparkplug_settings import SparkplugSettings

pytestmark = [pytest.mark.service("mosquitto"), pytest.mark.timeout(600)]

MILLISECOND = 1_000_000
STATE = "spBv1.0/STATE/driftline-1"


class Listener:
    """What a broker sends to one client: topic, payload, quality of service, and whether it was retained."""

    def __init__(self, port: int, *filters: str) -> None:
        self.got: list[tuple[str, bytes, int, bool]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self._subscribed = threading.Event()
        self.client.on_connect = lambda client, *_: client.subscribe([(each, 1) for each in filters])
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = lambda _client, _data, m: self.got.append((m.topic, bytes(m.payload), m.qos, m.retain))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._subscribed.wait(60)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def listening(port: int, *filters: str) -> Iterator[Listener]:
    listener = Listener(port, *filters)
    yield listener
    listener.close()


@pytest.fixture
def host(mosquitto: Any) -> Iterator[Callable[..., SparkplugHost]]:
    made: list[SparkplugHost] = []

    def start(needed: Callable[[], dict[str, str]] = dict, **settings: Any) -> SparkplugHost:
        broker = BrokerSettings(url=mosquitto.url)
        one = SparkplugHost(SparkplugSettings(**settings), broker, None, needed, lambda: True, clock=time.time_ns)
        made.append(one)
        one.start()
        return one

    yield start
    for one in made:
        one.stop()


def told(listener: Listener, place: int) -> dict[str, Any]:
    told_: dict[str, Any] = json.loads(listener.got[place][1])
    return told_


def test_the_state_says_whether_the_service_is_there(mosquitto: Any, host: Any, wait_until: Any) -> None:
    """host-topic-phid-birth-*, host-topic-phid-death-*, payloads-state-*, message-flow-phid-sparkplug-state-publish-*,
    operational-behavior-host-application-connect-*, -termination and -disconnect-intentional."""
    before = time.time_ns() // MILLISECOND
    with listening(mosquitto.port, STATE) as edge:
        one = host(host_id="driftline-1")
        wait_until(lambda: edge.got)
        topic, _, quality, _ = edge.got[0]
        assert (topic, quality, told(edge, 0)["online"]) == (STATE, 1, True)
        assert before <= told(edge, 0)["timestamp"] <= time.time_ns() // MILLISECOND

        # A will of a connection before comes late: it is said again that the service is there, of the same time.
        edge.client.publish(STATE, b'{"online": false, "timestamp": 1}', qos=1, retain=True)
        wait_until(lambda: len(edge.got) == 3)
        assert told(edge, 2) == told(edge, 0)
        with listening(mosquitto.port, STATE) as late:
            wait_until(lambda: late.got)
            assert (told(late, 0)["online"], late.got[0][3]) == (True, True)

        one.stop()
        wait_until(lambda: len(edge.got) == 4)
        assert told(edge, 3)["online"] is False
        assert told(edge, 3)["timestamp"] >= told(edge, 0)["timestamp"]


def test_a_service_that_is_cut_off_is_said_to_be_away_by_its_will(mosquitto: Any, host: Any, wait_until: Any) -> None:
    """operational-behavior-host-application-connect-will-*, host-topic-phid-death-payload-timestamp-connect."""
    with listening(mosquitto.port, STATE) as edge:
        one = host(host_id="driftline-1")
        wait_until(lambda: edge.got)
        one._client.socket().close()
        wait_until(lambda: len(edge.got) >= 3)
        assert [told(edge, n)["online"] for n in range(3)] == [True, False, True]
        assert told(edge, 1)["timestamp"] == told(edge, 0)["timestamp"]
        assert edge.got[1][2] == 1


def test_nothing_is_sent_that_is_not_needed(mosquitto: Any, host: Any) -> None:
    with listening(mosquitto.port, "#") as everything:
        host()
        host(lambda: {"plant/line1": "why"}, request_births=False)
        edge = Listener(mosquitto.port, "marker")
        edge.client.publish("marker", b"", qos=1).wait_for_publish(60)
        edge.close()
        assert [topic for topic, *_ in everything.got if topic != "marker"] == []


class Edge:
    """An edge node with one device, whose births are asked for; a codec reads all that it sends."""

    def __init__(self, port: int) -> None:
        self.codec = create("sparkplug")
        assert isinstance(self.codec, SparkplugCodec)
        self.sequence, self.session, self.asked = 0, 7, 0
        self.readings: list[tuple[str, str, object]] = []
        self.listener = Listener(port, "spBv1.0/plant/NCMD/line1", "spBv1.0/plant/NBIRTH/#", "spBv1.0/plant/+/line1/#")
        self.listener.client.on_message = self._on_message

    def send(
        self, kind: str, metrics: list[bytes], *, device: str = "", counted: bool = True, lost: bool = False
    ) -> None:
        if kind == "NBIRTH":
            self.sequence = 0
        body = _number(1, time.time_ns() // MILLISECOND) + b"".join(_message(2, each) for each in metrics)
        if counted:
            body += _number(3, self.sequence)
            self.sequence = (self.sequence + 1) % 256
        if not lost:
            self.listener.client.publish(f"spBv1.0/plant/{kind}/line1" + (f"/{device}" if device else ""), body)

    def be_born(self) -> None:
        self.send("NBIRTH", [_metric(name="bdSeq", number=self.session), _metric("speed", 1, value=1.0)])
        self.send("DBIRTH", [_metric("temp", 2, value=20.0)], device="press")

    def speeds(self) -> list[object]:
        return [value for _, metric, value in self.readings if metric == "speed"]

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        kind = message.topic.split("/")[2]
        if kind == "NCMD":
            self.asked += 1
            self.listener.got.append((message.topic, message.payload, message.qos, message.retain))
            self.be_born()
            return
        chunk = MessageChunk.of([(message.topic.encode(), message.payload, time.time_ns(), 0)])
        decoded = self.codec.decode(chunk.payloads())
        self.readings += [(r.device, r.metric, r.value) for r in named_readings(self.codec, decoded)]


@pytest.fixture
def edge(mosquitto: Any) -> Iterator[Edge]:
    one = Edge(mosquitto.port)
    yield one
    one.listener.close()


def test_a_node_whose_birth_is_unknown_is_asked_for_it_once(edge: Edge, host: Any, wait_until: Any) -> None:
    """operational-behavior-data-commands-ncmd-rebirth-*, topics-ncmd-mqtt, topics-ncmd-timestamp, payloads-ncmd-*."""
    codec = edge.codec
    assert isinstance(codec, SparkplugCodec)
    edge.send("NDATA", [_metric("", 1, value=3.0)])
    host(codec.needed_births, reorder_timeout="0s")
    wait_until(lambda: ("plant/line1/press", "temp", 20.0) in edge.readings)
    assert ("plant/line1", "speed", 1.0) in edge.readings
    edge.send("DDATA", [_metric("", 2, value=21.0)], device="press")
    wait_until(lambda: ("plant/line1/press", "temp", 21.0) in edge.readings)
    assert (edge.asked, codec.needed_births()) == (1, {})
    topic, payload, quality, retained = edge.listener.got[0]
    assert (topic, quality, retained) == ("spBv1.0/plant/NCMD/line1", 0, False)
    command = metric_of(payload[payload.index(b"\x12") + 2 :])
    assert (command.name, command.datatype, command.number) == ("Node Control/Rebirth", 11, 1)
    assert abs(command.time // MILLISECOND - time.time_ns() // MILLISECOND) < 60_000


def test_missing_messages_that_come_late_are_waited_for_and_others_asked_for(
    edge: Edge, host: Any, wait_until: Any
) -> None:
    """operational-behavior-host-reordering-param, -start, -success and -rebirth."""
    codec = edge.codec
    assert isinstance(codec, SparkplugCodec)
    edge.be_born()
    wait_until(lambda: len(edge.readings) == 4)
    edge.sequence = 3
    edge.send("NDATA", [_metric("", 1, value=4.0)])
    wait_until(codec.needed_births)
    assert codec.needed_births() == {"plant/line1": "sequence number 3, expected 2"}
    edge.sequence = 2
    edge.send("NDATA", [_metric("", 1, value=3.0)])
    wait_until(lambda: not codec.needed_births())
    edge.sequence = 4
    edge.send("NDATA", [_metric("", 1, value=5.0)], lost=True)
    edge.send("NDATA", [_metric("", 1, value=6.0)])
    wait_until(codec.needed_births)
    host(codec.needed_births, reorder_timeout="0s")
    wait_until(lambda: len(edge.speeds()) == 5)
    assert (edge.asked, codec.needed_births()) == (1, {})
    assert edge.speeds() == [1.0, 4.0, 3.0, 6.0, 1.0]


def test_a_node_that_does_not_answer_is_asked_ever_more_seldom(mosquitto: Any) -> None:
    now = [0.0]
    host = SparkplugHost(
        SparkplugSettings(),
        BrokerSettings(url=mosquitto.url),
        None,
        dict,
        lambda: False,
        clock=time.time_ns,
        monotonic=lambda: now[0],
    )
    asked = []
    for second in range(2_000):
        now[0] = float(second)
        for name in host._due({"plant/line1": "why"}):
            host._ask(name, "why")
            asked.append(second)
    assert asked == [2, 12, 32, 72, 152, 312, 632, 1232, 1832]
