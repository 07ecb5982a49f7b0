"""Alarms for Home Assistant at a real mosquitto: what a client finds there that comes late, as Home Assistant does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from routed import Broker

from alerts.actions import Action, encode
from alerts.alarm_settings import AlarmSettings
from alerts.home_assistant import HomeAssistantSettings, object_id
from devices.device_actions import DeleteDevice, MuteDevice, RenameDevice
from devices.messages import MessageChunk
from driftline.http.events import LiveFeed
from driftline.runtime.home_assistant_desk import HomeAssistantDesk
from ingest.broker_settings import BrokerSettings
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.store import JournalEntry

pytestmark = [pytest.mark.service("mosquitto"), pytest.mark.timeout(600)]

SECOND = 1_000_000_000
START = 1_772_366_400 * SECOND
PUMP = object_id("plant/pump 1")


class Plant:
    """An engine with its database and feed, as the service has them."""

    def __init__(self, store: EmbeddedStore) -> None:
        limits = {"default": ComponentSettings(type="threshold", upper=50.0)}
        alarm = AlarmSettings(threshold=5.0, clear_after="2s", clear_readings=2)
        self.engine = Engine([RouteSettings(filter="#")], limits, alarm, LimitSettings())
        self.store, self.feed, self.offset, self.second = store, LiveFeed(), 0, 0

    def read(self, topic: str, *values: float) -> None:
        rows = []
        for value in values:
            rows.append((topic.encode(), repr(value).encode(), START + self.second * SECOND, 0))
            self.second += 1
        self._step(MessageChunk.of(rows))

    def act(self, *actions: Action) -> None:
        self._step(MessageChunk.of_actions(encode(actions), ticked_at=START + self.second * SECOND))

    def _step(self, chunk: MessageChunk) -> None:
        output = self.engine.step(JournalEntry(self.engine.position, self.offset, chunk))
        self.offset += len(chunk)
        self.store.commit(output)
        self.feed.publish(output.points, output.alarms)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with EmbeddedStore(tmp_path / "points.duckdb") as store:
        yield Plant(store)


@pytest.fixture
def desk(
    mosquitto: Any, plant: Plant, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> Iterator[Callable[[], HomeAssistantDesk]]:
    monkeypatch.setattr("driftline.runtime.home_assistant_desk._LOOK_SECONDS", 0.05)
    monkeypatch.setattr("driftline.runtime.home_assistant_desk._DEVICES_SECONDS", 0.05)
    started: list[HomeAssistantDesk] = []

    def start() -> HomeAssistantDesk:
        one = HomeAssistantDesk(
            HomeAssistantSettings(enabled=True, score_every="1s", devices=["plant/*"]),
            BrokerSettings(url=mosquitto.url), None, plant.store, plant.feed.subscribe,
            lambda: [r for r in plant.engine.book if r.retired_at is None], page_url="http://plant.example:8080",
        )  # fmt: skip
        started.append(one)
        one.start()
        wait_until(lambda: plant.feed.listening)
        return one

    yield start
    for one in started:
        one.stop()


def kept(port: int) -> dict[str, bytes]:
    """What the broker keeps: retained messages, by topic."""
    found: dict[str, bytes] = {}
    done = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2)

    def on_message(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        if message.topic == "marker":
            done.set()
        elif message.retain:
            found[message.topic] = bytes(message.payload)

    client.on_message = on_message
    client.on_connect = lambda each, *_: each.subscribe([("driftline/#", 1), ("homeassistant/#", 1), ("marker", 1)])
    client.on_subscribe = lambda each, *_: each.publish("marker", b"", qos=1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert done.wait(60)
    client.disconnect()
    client.loop_stop()
    return found


def test_a_device_is_a_problem_sensor_and_a_score(mosquitto: Any, plant: Plant, desk: Any, wait_until: Any) -> None:
    plant.read("plant/pump 1/temperature", 20.0)
    plant.read("office/lamp/power", 5.0)
    plant.act(RenameDevice(by="maria", at=START, device="plant/pump 1", name="Feed pump"))
    desk()
    config = f"homeassistant/binary_sensor/driftline/{PUMP}_anomaly/config"
    wait_until(lambda: config in kept(mosquitto.port))
    described = json.loads(kept(mosquitto.port)[config])
    wait_until(lambda: {described["availability_topic"], described["state_topic"]} <= kept(mosquitto.port).keys())
    told = kept(mosquitto.port)
    assert described["device_class"] == "problem"
    assert described["device"] == {
        "identifiers": [f"driftline_{PUMP}"],
        "name": "Feed pump",
        "manufacturer": "Driftline",
        "configuration_url": "http://plant.example:8080/#/device/plant%2Fpump%201",
    }
    assert told[described["availability_topic"]] == b"online"
    assert told[described["state_topic"]] == b"OFF"
    assert [topic for topic in told if "lamp" in topic] == []

    plant.read("plant/pump 1/temperature", 60.0)
    wait_until(lambda: kept(mosquitto.port)[described["state_topic"]] == b"ON")
    attributes = json.loads(kept(mosquitto.port)[described["json_attributes_topic"]])
    assert attributes == {
        "alarms": 1,
        "severity": "major",
        "sentence": plant.store.alarms()[0].reason,
        "metric": "temperature",
        "since": "2026-03-01T12:00:02.000Z",
        "acknowledged_by": "",
        "muted": False,
    }
    score = json.loads(told[f"homeassistant/sensor/driftline/{PUMP}_score/config"])
    assert score["state_class"] == "measurement"
    wait_until(lambda: score["state_topic"] in kept(mosquitto.port))
    plant.act(MuteDevice(by="maria", at=START, device="plant/pump 1"))
    plant.read("plant/pump 1/temperature", 20.0, 20.0, 20.0, 20.0)
    wait_until(lambda: kept(mosquitto.port)[described["state_topic"]] == b"OFF")
    wait_until(
        lambda: json.loads(kept(mosquitto.port)[described["json_attributes_topic"]]) == {"alarms": 0, "muted": True}
    )


def described(port: int) -> set[str]:
    """The entities that the broker keeps descriptions of."""
    return {topic.split("/")[3] for topic in kept(port) if topic.startswith("homeassistant/")}


def test_what_is_of_no_device_any_more_is_taken_back_after_a_restart_too(
    mosquitto: Any, plant: Plant, desk: Any, wait_until: Any
) -> None:
    for name in ("a", "b", "c"):
        plant.read(f"plant/{name}/temperature", 20.0, 60.0)
    first = desk()
    states = {name: f"driftline/alarms/{object_id(f'plant/{name}')}/state" for name in ("a", "b", "c")}
    wait_until(lambda: set(states.values()) <= kept(mosquitto.port).keys())
    plant.act(DeleteDevice(by="maria", at=START, device="plant/a"))
    wait_until(lambda: states["a"] not in kept(mosquitto.port))
    assert kept(mosquitto.port)[states["b"]] == b"ON"

    first.stop()
    assert kept(mosquitto.port)["driftline/alarms/availability"] == b"offline"
    plant.act(DeleteDevice(by="maria", at=START, device="plant/b"))
    desk()
    left = {f"{object_id('plant/c')}_anomaly", f"{object_id('plant/c')}_score"}
    wait_until(lambda: described(mosquitto.port) == left)
    told = kept(mosquitto.port)
    assert states["b"] not in told
    assert told["driftline/alarms/availability"] == b"online"


def test_what_is_published_is_not_taken_for_readings() -> None:
    told = Broker().send((f"driftline/alarms/{PUMP}/score", b"4.25"), ("driftline/alarms/availability", b"online"))
    assert (told.points, told.refused, told.presence) == ([], [], [])


def test_two_names_never_have_one_id() -> None:
    assert object_id("pump-01") == "pump-01"
    assert len({object_id(name) for name in ("a/b", "a b", "a_b", "a__b", "a//b")}) == 5
