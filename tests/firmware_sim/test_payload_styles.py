"""Every style is read back by the decoders of the service, with the values, times and devices that were sent."""

from __future__ import annotations

import pytest
from firmware_sim.payload_style import DeviceIdentity, PayloadStyle
from firmware_sim.payload_styles import STYLES
from firmware_sim.samples import Sample
from firmware_sim.sparkplug_style import SparkplugStyle
from routed import Broker

from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from ingest.ingest_settings import DEFAULT_ROUTES, ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry

SECOND = 1_000_000_000
START = 1_772_366_400 * SECOND
IDENTITY = DeviceIdentity("plant", "motor", "motor-01", {"temperature": "°C", "current": "A"})
SAMPLES = [Sample(START + n * SECOND, {"temperature": 41.5 + n, "current": 12.25}) for n in range(3)]

PROFILES = {
    "senml": "senml",
    "zigbee2mqtt": "zigbee2mqtt",
    "tasmota": "tasmota",
    "shelly": "shelly",
    "homie": "homie",
    "sparkplug": "sparkplug",
}
NAMES = {
    "json": ("plant/motor/motor-01", "temperature"),
    "plain": ("plant/motor/motor-01", "temperature"),
    "senml": ("motor-01", "temperature"),
    "zigbee2mqtt": ("motor-01", "temperature"),
    "tasmota": ("motor-01", "MOTOR.Temperature"),
    "shelly": ("motor-01", "temperature:0.value"),
    "homie": ("motor-01", "motor.temperature"),
    "sparkplug": ("plant/motor-01", "temperature"),
}
"""Device and metric of the temperature, as the service names them."""


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_the_service_reads_what_a_device_of_the_style_writes(style: PayloadStyle) -> None:
    routes = [RouteSettings(profile=PROFILES[style.name])] if style.name in PROFILES else []
    engine = Engine(
        [*routes, *DEFAULT_ROUTES], {"default": ComponentSettings(type="zscore")}, AlarmSettings(), LimitSettings()
    )
    arrival = START + 60 * SECOND
    encoder = style.encoder(IDENTITY)
    sent = [*encoder.announcements(), *(message for sample in SAMPLES for message in encoder.messages([sample]))]
    rows = [(topic.encode(), payload, arrival + n * SECOND, 0) for n, (topic, payload) in enumerate(sent)]
    output = engine.step(JournalEntry(engine.position, 0, MessageChunk.of(rows, ticked_at=arrival + 60 * SECOND)))
    assert output.dead_letters == []
    found = {(record.device, record.metric): record.series for record in output.series}
    assert NAMES[style.name] in found, sorted(found)
    mine = output.points.series == found[NAMES[style.name]]
    assert output.points.value[mine].tolist() == [41.5, 42.5, 43.5]
    units = {record.metric: record.unit for record in output.series}
    if style.name in {"senml", "homie", "sparkplug"}:
        assert units[NAMES[style.name][1]] == "°C"
    if style.carries_time:
        assert output.points.time[mine].tolist() == [sample.time for sample in SAMPLES]
    else:
        assert output.points.time[mine].min() >= arrival


def test_samples_kept_while_offline_come_as_one_array_in_the_json_style() -> None:
    style = next(one for one in STYLES if one.name == "json")
    ((topic, payload),) = style.messages(IDENTITY, SAMPLES)
    assert topic == "plant/motor/motor-01"
    assert payload.count(b'"ts"') == 3


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_the_service_reads_whether_a_device_of_the_style_is_there(style: PayloadStyle) -> None:
    presence = style.presence(IDENTITY)
    if presence is None:
        assert style.name == "senml"
        return
    online = [(presence.topic, presence.online)] if presence.online is not None else style.messages(IDENTITY, SAMPLES)
    told = Broker().send(*online, (presence.topic, presence.offline))
    assert told.presence == [(NAMES[style.name][0], True), (NAMES[style.name][0], False)]
    assert told.refused == []


def test_a_sparkplug_node_is_born_again_with_each_connection_and_each_new_metric() -> None:
    encoder = SparkplugStyle().encoder(IDENTITY)
    sent: list[tuple[str, bytes]] = []
    for values in ({"temperature": 41.5}, {"temperature": 42.5}, {"current": 12.25}, {"current": 12.5}):
        sent += encoder.messages([Sample(START + len(sent) * SECOND, values)])
    encoder.announcements()
    sent += encoder.messages([Sample(START + 9 * SECOND, {"temperature": 43.5})])
    assert [topic.split("/")[2] for topic, _ in sent] == ["NBIRTH", "NDATA", "NBIRTH", "NDATA", "NBIRTH"]
    told = Broker().send(*sent)
    assert told.refused == []
    mine = [(metric, value) for device, metric, value in told.points if device == "plant/motor-01"]
    # A birth tells the newest value of every metric, so that a host that came late knows them.
    assert mine == [
        ("temperature", 41.5),
        ("temperature", 42.5),
        ("temperature", 42.5),
        ("current", 12.25),
        ("current", 12.5),
        ("temperature", 43.5),
        ("current", 12.5),
    ]


def test_data_of_a_sparkplug_node_whose_birth_was_missed_is_refused_with_what_to_do() -> None:
    encoder = SparkplugStyle().encoder(IDENTITY)
    _, data = (encoder.messages([sample])[0] for sample in SAMPLES[:2])
    told = Broker().send(data)
    assert len(told.refused) == 2
    assert "alias 1: no birth has named it; ask for one" in str(told.refused[0])
