"""Worlds that live: real connections to a real broker."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from firmware_sim.firmware import mqtt_frames
from firmware_sim.injection import Injection, ask
from firmware_sim.publisher import BrokerAddress
from firmware_sim.world_run import WorldRun
from firmware_sim.world_settings import WorldSettings

from devices.fault_labels import read_labels


def settings_for(broker: Any, **more: Any) -> WorldSettings:
    return WorldSettings(url=f"mqtt://{broker.host}:{broker.port}", **{"world": "machine-hall", **more})


@pytest.mark.service("mosquitto")
def test_each_device_of_a_world_tells_its_history_on_its_own_connection(mosquitto: Any, subscribe: Any) -> None:
    subscriber = subscribe(mosquitto, "plant/#")
    said: list[str] = []
    run = WorldRun(settings_for(mosquitto, history="2h", duration="5s", faults="none"), say=said.append)
    run.run()
    assert said[0] == "making machine-hall, some seconds"
    assert said[1].startswith("simulating machine-hall: 4 devices, 21 metrics, to mqtt://")
    assert run.counts.acknowledged == run.counts.messages > 10
    received = [(topic, json.loads(payload)) for topic, payload in subscriber.wait_for(8) if "status" not in topic]
    bodies = [body for topic, body in received if topic == "plant/motor/motor-02"]
    rows = [row for body in bodies for row in (body if isinstance(body, list) else [body])]
    assert 118 <= len(rows) <= 121
    assert [row["ts"] for row in rows] == sorted(row["ts"] for row in rows)
    assert set(rows[0]) == {"ts", "temperature", "vibration", "crest_factor", "current", "speed", "energy"}
    status = [payload for topic, payload in subscriber.messages if topic == "plant/motor/motor-02/status"]
    assert status[0] == b"online"


@pytest.mark.service("mosquitto")
def test_faults_that_are_asked_for_begin_and_are_labelled(mosquitto: Any, subscribe: Any, tmp_path: Path) -> None:
    truth = subscribe(mosquitto, "driftline/truth/#")
    labels = tmp_path / "labels.csv"
    run = WorldRun(
        settings_for(mosquitto, interval="1s", faults="none", labels=labels, learning_days=0), say=lambda _: None
    )
    thread = threading.Thread(target=run.run)
    thread.start()
    try:
        address = BrokerAddress.parse(f"mqtt://{mosquitto.host}:{mosquitto.port}")
        wanted = Injection("motor-01", "stuck", "temperature", 60.0)
        answer = None
        for _ in range(10):
            answer = answer or ask(address, wanted)
        assert answer is not None
        assert answer.startswith("motor-01 temperature: stuck until ")
        topic, payload = truth.wait_for(1)[0]
        assert topic == "driftline/truth/plant/motor/motor-01"
        assert json.loads(payload)["kind"] == "stuck"
        assert "truncated payload until" in str(ask(address, Injection("motor-02", "truncated payload", seconds=3.0)))
        ((_, label),) = subscribe(mosquitto, "driftline/truth/plant/motor/motor-02").wait_for(1)
        assert json.loads(label)["expected"] == "either"
        cut = subscribe(mosquitto, "plant/motor/motor-02").wait_for(1)[0][1]
        with pytest.raises(json.JSONDecodeError):
            json.loads(cut)
        assert "coolant loss until" in str(ask(address, Injection("motor-03", "coolant loss", seconds=86_400.0)))
        refusal = ask(address, Injection("motor-03", "coolant loss", "temperature"))
        assert refusal == "motor-03: 'coolant loss' is a fault of the plant: expected no metric"
        assert 'unknown fault "stcuk"; did you mean "stuck"?' in str(ask(address, Injection("motor-01", "stcuk")))
        assert ask(address, Injection("nobody", "stuck"), seconds=1.0) is None
    finally:
        run.request_stop()
        thread.join(60)
    told = read_labels(labels)
    assert len({one.root for one in told if one.kind == "coolant loss"}) == 1
    assert {(one.device, one.metric, one.kind) for one in told if one.kind != "coolant loss"} == {
        ("motor-01", "temperature", "stuck"),
        ("motor-02", "*", "truncated payload"),
    }


def test_packets_are_taken_whole_however_they_are_cut() -> None:
    sent = mqtt_frames.publish(b"a/b", b"x" * 300, qos=1, identifier=7) + mqtt_frames.acknowledge(0x40, 9)
    data = bytearray()
    packets = []
    for byte in sent:
        data.append(byte)
        packets += list(mqtt_frames.take_packets(data))
    assert not data
    assert packets[0].message() == (b"a/b", b"x" * 300, 7)
    assert (packets[1].kind, packets[1].identifier) == (0x40, 9)


def test_a_peer_that_does_not_speak_mqtt_is_noticed() -> None:
    with pytest.raises(ValueError, match="more than four bytes"):
        list(mqtt_frames.take_packets(bytearray(b"\x30\xff\xff\xff\xff\x01")))


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"world": "mars"}, 'unknown world "mars"'),
        ({"world": "machine-hall", "payload": "xml"}, 'unknown payload style "xml"'),
        ({"world": "machine-hall", "speed": 5}, "expected a history to tell at that speed"),
        ({"world": "machine-hall", "url": "http://x"}, "expected mqtt://"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(")):
        WorldSettings(**given)
