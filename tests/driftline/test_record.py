"""Real traffic recorded to a file, with and without names, and replayed."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from firmware_sim.publisher import BrokerAddress, BrokerUnreachableError, Publisher
from paho.mqtt.enums import CallbackAPIVersion

from devices.message_properties import encode_properties
from driftline.cli.command_line import main
from driftline.runtime.broker import start_broker
from driftline.runtime.replaying import replay
from driftline.traffic.anonymising import Anonymiser
from driftline.traffic.traffic_file import TrafficError, TrafficMessage, TrafficWriter, read_traffic
from driftline.traffic.traffic_recording import RecordingCounts, record

SENT = [
    (b"plant/hall/press-01", b'{"temperature": 21.5, "state": "ON"}'),
    (b"raw/meter", b"\x00\xff\x10"),
    (b"zigbee2mqtt/kitchen of Ada", b'{"temperature":19,"device":{"friendlyName":"kitchen of Ada"},"gps":[49.1,8.2]}'),
]


def recorded(broker: Any, path: Path, anonymiser: Anonymiser | None = None) -> RecordingCounts:
    """What became of a retained message and of `SENT`, recorded from a real broker."""
    address = BrokerAddress.parse(f"mqtt://{broker.host}:{broker.port}")
    begun = threading.Event()
    counts: list[RecordingCounts] = []

    def run() -> None:
        kept = record(path, address, ["#"], most=4, anonymiser=anonymiser, say=lambda _: begun.set())
        counts.append(kept)

    with Publisher(address, client_id="sender", say=lambda _: None) as publisher:
        publisher.open()
        publisher.send([(b"plant/hall/press-01/status", b"online")], retained=True)
        assert publisher.drain(10)
        thread = threading.Thread(target=run)
        thread.start()
        assert begun.wait(60)
        publisher.send(SENT)
        assert publisher.drain(10)
        thread.join(60)
    return counts[0]


@pytest.mark.service("mosquitto")
def test_what_passes_a_broker_is_recorded_and_replayed_byte_for_byte(mosquitto: Any, tmp_path: Path) -> None:
    path = tmp_path / "monday.jsonl.gz"
    counts = recorded(mosquitto, path)
    assert (counts.received, counts.written, counts.left_out) == (4, 4, 0)
    kept = list(read_traffic(path))
    assert [(one.topic, one.payload, one.retained) for one in kept] == [
        ("plant/hall/press-01/status", b"online", True),
        *((topic.decode(), payload, False) for topic, payload in SENT),
    ]
    assert [one.time for one in kept] == sorted(one.time for one in kept)
    again: list[tuple[str, bytes]] = []
    came = threading.Event()
    ready = threading.Event()
    listener = mqtt.Client(CallbackAPIVersion.VERSION2)
    listener.on_connect = lambda client, *_: client.subscribe([("raw/#", 1), ("zigbee2mqtt/#", 1)])
    listener.on_subscribe = lambda *_: ready.set()

    def keep(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        again.append((message.topic, bytes(message.payload)))
        if len(again) == 2:
            came.set()

    listener.on_message = keep
    listener.connect(mosquitto.host, mosquitto.port)
    listener.loop_start()
    assert ready.wait(60)
    (replayed,) = replay([path], f"mqtt://{mosquitto.host}:{mosquitto.port}", say=lambda _: None)
    assert came.wait(60)
    listener.disconnect()
    listener.loop_stop()
    assert (replayed.rows, replayed.published, replayed.acknowledged, replayed.skipped) == (4, 4, 4, 0)
    assert again == [(topic.decode(), payload) for topic, payload in SENT[1:]]


USER = (("unit", "bar"), ("unit", "psi"), ("made by", "Ada"))


@pytest.mark.service("mosquitto")
def test_properties_of_mqtt_5_are_recorded_and_replayed(mosquitto: Any, tmp_path: Path) -> None:
    url = f"mqtt://{mosquitto.host}:{mosquitto.port}"
    address, begun = BrokerAddress.parse(url), threading.Event()
    properties = encode_properties("application/json", USER)
    sent = [(b"press/%d" % number, b"%d" % number, properties if number == 7 else b"") for number in range(60)]

    def recording(path: Path, anonymiser: Anonymiser | None, messages: Callable[[], None]) -> list[TrafficMessage]:
        begun.clear()
        given = {"most": len(sent), "anonymiser": anonymiser, "say": lambda _: begun.set()}
        thread = threading.Thread(target=record, args=(path, address, ["press/#"]), kwargs=given)
        thread.start()
        assert begun.wait(60)
        messages()
        thread.join(60)
        return list(read_traffic(path))

    def publish() -> None:
        with Publisher(address, client_id="sender", properties=True, say=lambda _: None) as publisher:
            publisher.open()
            publisher.send(sent)
            assert publisher.drain(10)

    path = tmp_path / "monday.jsonl"
    first = recording(path, None, publish)
    assert [(one.content_type, one.user) for one in first if one.content_type or one.user] == [
        ("application/json", USER)
    ]
    assert (first[7].topic, first[7].payload) == ("press/7", b"7")
    again = recording(tmp_path / "again.jsonl", None, lambda: print(replay([path], url, say=lambda _: None)))
    assert [(one.topic, one.payload, one.content_type, one.user) for one in again] == [
        (one.topic, one.payload, one.content_type, one.user) for one in first
    ]
    nameless = recording(tmp_path / "shared.jsonl", Anonymiser(b"secret"), publish)[7]
    assert [name for name, _ in nameless.user] == ["unit", "unit", "made by"]
    assert "Ada" not in (tmp_path / "shared.jsonl").read_text()


def test_a_broker_without_mqtt_5_is_recorded_and_replayed_without_properties(tmp_path: Path) -> None:
    broker = start_broker("auto", tmp_path / "broker", which=lambda _: None)
    path, said = tmp_path / "monday.jsonl", list[str]()
    with TrafficWriter(path) as writer:
        writer.write(TrafficMessage(1, "press/1", b"1", content_type="text/plain", user=USER))
    try:
        (replayed,) = replay([path], broker.url, say=said.append)
        again = tmp_path / "again.jsonl"
        counts = record(again, BrokerAddress.parse(broker.url), ["#"], seconds=0, say=said.append)
    finally:
        broker.stop()
    assert (replayed.acknowledged, counts.received) == (1, 0)
    assert said == [
        f"the broker at {broker.url} does not speak MQTT 5: properties are left out",
        f"recording # of {broker.url}",
    ]


@pytest.mark.service("mosquitto")
def test_an_anonymous_recording_names_nobody_and_keeps_what_detectors_read(mosquitto: Any, tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    counts = recorded(mosquitto, path, Anonymiser(b"secret"))
    assert (counts.received, counts.written, counts.left_out) == (4, 3, 1)
    written = path.read_text()
    for name in ("Ada", "hall", "press-01", "49.1"):
        assert name not in written
    status, press, kitchen = read_traffic(path)
    family, _, device, level = status.topic.split("/")
    assert (family, level, status.payload) == ("plant", "status", b"online")
    assert press.topic == status.topic.removesuffix("/status")
    assert json.loads(press.payload) == {"temperature": 21.5, "state": "ON"}
    assert device.startswith("x")
    family, pseudonym = kitchen.topic.split("/")
    assert family == "zigbee2mqtt"
    assert json.loads(kitchen.payload) == {"temperature": 19, "device": {"friendlyName": pseudonym}}


def test_pseudonyms_are_the_same_within_a_recording_and_others_in_the_next() -> None:
    one, other = Anonymiser(b"one"), Anonymiser(b"other")
    assert one.topic("site-7/motor") == one.topic("site-7/motor") != other.topic("site-7/motor")
    assert one.payload(b'{"ts":"2026-03-01T12:00:00Z","mode":"heat","by":"Ada Lovelace"}') == (
        one.payload(b'{"ts":"2026-03-01T12:00:00Z","mode":"heat","by":"Ada Lovelace"}')
    )
    told = json.loads(one.payload(b'{"ts":"2026-03-01T12:00:00Z","mode":"heat","by":"Ada Lovelace"}') or b"")
    assert (told["ts"], told["mode"]) == ("2026-03-01T12:00:00Z", "heat")
    assert "Ada" not in told["by"]
    assert one.payload(b"21.5") == b"21.5"
    assert one.payload(b"Ada was here") not in (b"Ada was here", None)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"nonsense", "line 2: 'nonsense"),
        (b'{"time": 1}', "line 2"),
        (b'{"time": "now", "topic": "a", "text": "1"}', "line 2"),
        (b'{"time": 1, "topic": "a", "base64": "?"}', "line 2"),
        (b'{"time": 1, "topic": "a", "text": "1", "user_properties": [["unit"]]}', "line 2"),
        (b'{"time": 1, "topic": "a", "text": "1", "content_type": 3}', "line 2"),
    ],
)
def test_a_line_that_is_no_message_is_named(line: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"time":1,"topic":"a","text":"1"}\n' + line + b"\n")
    with pytest.raises(TrafficError, match=complaint.replace("(", r"\(")):
        list(read_traffic(path))


def test_a_file_that_is_cut_off_gives_what_it_holds_and_says_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.gz"
    whole = gzip.compress(b"".join(b'{"time":%d,"topic":"a","text":"%d"}\n' % (n, n * n) for n in range(5_000)))
    path.write_bytes(whole[: len(whole) // 2])
    messages: list[TrafficMessage] = []
    with pytest.raises(TrafficError, match=r"cut.jsonl.gz: after line \d+: the file is cut off"):
        messages.extend(read_traffic(path))
    assert messages[100] == TrafficMessage(100, "a", b"10000")


def test_a_recording_is_never_written_over_and_its_name_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "there.jsonl"
    path.write_text("")
    assert main(["record", str(path), "--url", "mqtt://127.0.0.1:1"]) == 2
    assert "there is such a file already: name a new one" in capsys.readouterr().err
    assert main(["record", str(tmp_path / "x.txt"), "--url", "mqtt://127.0.0.1:1"]) == 2
    assert "expected a name that ends in .jsonl or .jsonl.gz" in capsys.readouterr().err
    with pytest.raises(BrokerUnreachableError, match=r"no broker answers at mqtt://127\.0\.0\.1:1"):
        record(tmp_path / "new.jsonl", BrokerAddress.parse("mqtt://127.0.0.1:1"), ["#"], say=lambda _: None)
    assert not (tmp_path / "new.jsonl").exists()


def test_payloads_of_any_bytes_are_kept_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    messages = [TrafficMessage(n, f"a/{n}", payload) for n, payload in enumerate((b"", b"\xff", "°".encode(), b'"'))]
    with TrafficWriter(path) as writer:
        for message in messages:
            writer.write(message)
    assert list(read_traffic(path)) == messages
