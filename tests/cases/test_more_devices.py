"""More of what devices send, beside the reported cases and the profiles' vectors: what a person sees of each."""

from __future__ import annotations

import json

import pytest
from routed import Broker, Routed

from devices.batch import NO_TIME

SENT = 1_784_800_890
"""A time that the messages tell, in seconds; they arrive ten seconds later."""
ARRIVAL = (SENT + 10) * 10**9

Messages = list[tuple[str, bytes]]


def told(sent: Routed) -> list[str]:
    """Readings, states and life as lines: `device metric = value unit`."""
    records = sent.router.registry.records
    numbers = zip(sent.readings.series.tolist(), sent.readings.value.tolist(), strict=True)
    lines = [f"{records[s].device} {records[s].metric} = {value:g} {records[s].unit}".strip() for s, value in numbers]
    lines += [f"{device} {metric} = {text}" for device, metric, text in sent.states]
    return lines + [f"{device} is {'online' if online else 'offline'}" for device, online in sent.presence]


def said(topic: str, payload: object) -> tuple[str, bytes]:
    return topic, payload if isinstance(payload, bytes) else json.dumps(payload).encode()


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param(
            [said("hall", {"deviceId": "A", "temp": 20.5}), said("hall", {"deviceId": "B", "temp": 5.5})],
            ["hall/A temp = 20.5", "hall/B temp = 5.5"],
            id="devices that share a topic",
        ),
        pytest.param(
            [said("energy/growatt", {"device": "ABC", "time": SENT, "values": {"pvserial": "A", "pv": 1345}})],
            ["energy/growatt/ABC pv = 1345"],
            id="an inverter that its gateway names",
        ),
        pytest.param(
            [said("wmbus/water", {"device": "rtlwmbus[00000001]", "total_m3": 6.408, "rssi_dbm": -66})],
            ["wmbus/water total_m3 = 6.408 m³", "wmbus/water rssi_dbm = -66 dBm"],
            id="a receiver is not the device",
        ),
        pytest.param(
            [said("room", {"device": "off", "sensor": "ok", "temp": 21})],
            ["room temp = 21", "room sensor = ok"],
            id="a state is no name",
        ),
        pytest.param(
            [
                ("owntracks/ann/phone", b'{"_type":"lwt","tst":1784800890}'),
                ("owntracks/ann/phone", b'{"_type":"location","lat":52.5,"lon":13.4,"tst":1784800890}'),
                ("owntracks/ann/phone", b'{"_type":"transition","desc":"home","lat":1,"lon":1,"tst":1784800890}'),
                ("owntracks/ann/phone", b'{"_type":"lwt","tst":1784800891}'),
            ],
            ["ann/phone lat = 52.5 °", "ann/phone lon = 13.4 °", "ann/phone is offline", "ann/phone is offline"],
            id="kinds of messages that share a topic",
        ),
        pytest.param(
            [
                said("v3/app@t/devices/d/up", {"uplink_message": {"f_cnt": 1}}),
                said("v3/app@t/devices/d/up", {"uplink_message": {"frm_payload": "AQ", "decoded_payload": {"x": 1}}}),
            ],
            ["d x = 1"],
            id="an uplink without a payload first",
        ),
        pytest.param(
            [
                ("north/tele/plug/SENSOR", b'{"ENERGY":{"Power":23}}'),
                ("south/tele/plug/SENSOR", b'{"ENERGY":{"Power":99}}'),
                ("north/tele/plug/LWT", b"Online"),
                ("north/shellies/s1/relay/0/power", b"12.5"),
                ("south/shellies/s1/online", b"false"),
            ],
            [
                "north/plug ENERGY.Power = 23 W",
                "south/plug ENERGY.Power = 99 W",
                "north/s1 relay.0.power = 12.5 W",
                "north/plug is online",
                "south/s1 is offline",
            ],
            id="sites bridged under a level of their own",
        ),
        pytest.param(
            [("a/1", b'{"room":"K\xfcche","t":21.5}'), ("a/2", b"21.5 \xb0C"), ("a/3", b'{"t":"21,5 \xb0C"}')],
            ["a/1 t = 21.5", "a 2 = 21.5 °C", "a/3 t = 21.5 °C", "a/1 room = Küche"],
            id="text that is no UTF-8",
        ),
        pytest.param(
            [
                ("c/pi/cpu-0/cpu-idle", b"1784800890.000:95.3\0"),
                ("c/pi/load/load", b"1784800890.000:0.15:U:0.25\0"),
                ("k", b"T:21,5;H:45"),
                ("q", b"PASSKEY=AB&dateutc=2026-07-23+10:01:30&tempinf=70.2&humidityin=45"),
            ],
            [
                "c/pi/cpu-0 cpu-idle = 95.3",
                "c/pi/load/load 1 = 0.15",
                "c/pi/load/load 3 = 0.25",
                "k T = 21.5",
                "k H = 45",
                "q tempinf = 70.2",
                "q humidityin = 45",
            ],
            id="texts of collectd, of pairs and of a web form",
        ),
        pytest.param(
            [
                said("cj", [{"values": [7, 9], "dsnames": ["read", "write"], "host": "pc", "plugin": "disk"}]),
                said("nd", {"hostname": "pc", "chart_id": "system.cpu", "id": "user", "name": "user", "value": 12.5}),
                said("nr", [{"topic": "a/t", "payload": 21.5, "_msgid": "x"}, {"topic": "a/h", "payload": 45}]),
            ],
            [
                "pc disk.read = 7",
                "pc disk.write = 9",
                "pc system.cpu.user = 12.5",
                "nr a/t = 21.5",
                "nr a/h = 45",
            ],
            id="metrics of agents, and messages within a message",
        ),
        pytest.param(
            [
                said("r", {"name": "temp", "value": 21.5, "unit": "C", "room": "hall"}),
                said("r", {"type": "humidity", "value": 45, "room": "hall"}),
                said("r", {"type": "double", "value": 7}),
                said("r", {"measurement": "boiler", "tags": {"site": "N"}, "fields": {"temp": 55.5}}),
                said("r", [{"label": "Flow", "value": "2,5", "unit": "bar"}]),
                said("inv", {"serial": "1161", "p": 210.5}),
                said("inv", {"serial": "1162", "p": 99.5}),
            ],
            [
                "r temp = 21.5 °C",
                "r humidity = 45",
                "r value = 7",
                "r boiler.N.temp = 55.5",
                "r Flow = 2.5 bar",
                "inv/1161 p = 210.5",
                "inv/1162 p = 99.5",
                "r room = hall",
                "r room = hall",
            ],
            id="rows that name their value in many ways",
        ),
        pytest.param(
            [
                said("uns/oven/temp", {"value": 231.5, "quality": "Good", "timestamp": SENT * 1000}),
                said("uns/oven/temp", {"value": 9.5, "quality": "Bad", "timestamp": SENT * 1000}),
                said("s7", {"seq": 1, "vals": [{"id": "101", "qc": 3, "val": 21.5}, {"id": "102", "qc": 0, "val": 9}]}),
                said("ua", {"temp": {"Value": 5, "StatusCode": 0x80310000}, "flow": {"Value": 6, "StatusCode": 0}}),
            ],
            ["uns/oven/temp value = 231.5", "s7 101 = 21.5", "ua flow = 6"],
            id="values that are said to be bad",
        ),
        pytest.param(
            [
                said("twin", {"etag": "AB", "reported": {"temp": 21.5, "$version": 4}, "desired": {"temp": 22}}),
                said("ads", {"Timestamp": SENT, "Values": {"fTemp": 21.5}, "MetaData": {"fTemp": {"Unit": "°C"}}}),
                said("raw", {"data": "eyJ0ZW1wIjoyMS41fQ==", "rssi": -90}),
            ],
            ["twin reported.temp = 21.5", "ads fTemp = 21.5 °C", "raw rssi = -90"],
            id="a twin, values with their units, and bytes in base64",
        ),
        pytest.param(
            [
                ("v/r/level/$unit", b"%"),
                ("v/r/level/$name", b"Level"),
                ("v/r/level", b"85"),
                ("ha/sensor/out/unit_of_measurement", b'"\xc2\xb0C"'),
                ("ha/sensor/out/friendly_name", b'"Outside"'),
                ("ha/sensor/out/state", b"12.5"),
                ("octo/mqtt", b"disconnected"),
                ("d/state", b'{"state":"offline"}'),
            ],
            ["v/r level = 85 %", "ha out = 12.5 °C", "octo is offline", "d is offline"],
            id="descriptions and lives under any root",
        ),
    ],
)  # fmt: skip
def test_what_a_person_sees(messages: Messages, expected: list[str]) -> None:
    sent = Broker(arrival=ARRIVAL).send(*messages)
    assert told(sent) == expected
    assert sent.refused == []


def test_a_time_in_any_of_these_forms_is_read() -> None:
    forms: list[object] = [
        "23.07.26 10:01:30",
        "2026-07-23 10:01:30.000 +0000 UTC",
        {"seconds": SENT, "nanos": 0},
        {"$date": "2026-07-23T10:01:30Z"},
    ]
    sent = Broker(arrival=ARRIVAL).send(*[said(f"t/{i}", {"ts": form, "x": 1}) for i, form in enumerate(forms)])
    assert sent.times == [SENT * 10**9] * 4
    assert {metric for _, metric, _ in sent.points} == {"x"}
    assert NO_TIME not in sent.times


def test_many_messages_of_a_shared_topic_are_read_as_the_first_ones() -> None:
    """The quick way of JSON, which comes after the first messages of a form, names the same devices."""
    rows = [said("hall", {"deviceName": f"n{i % 3}", "deviceId": f"d{i % 3}", "temp": i}) for i in range(60)]
    sent = Broker(arrival=ARRIVAL).send(*rows)
    assert sent.points == [(f"hall/d{i % 3}", "temp", float(i)) for i in range(60)]


def test_a_device_is_called_what_its_network_calls_it() -> None:
    uplink = {"deviceInfo": {"deviceName": "Soil 7", "devEui": "a81758fffe0300ff"}, "object": {"temperature": 12.5}}
    sent = Broker(arrival=ARRIVAL).send(said("application/ab/device/a81758fffe0300ff/event/up", uplink))
    assert told(sent) == ["a81758fffe0300ff temperature = 12.5 °C"]
    assert sent.router.book.get("a81758fffe0300ff").name == "Soil 7"


def test_a_message_that_is_cut_off_is_refused_as_what_its_topic_usually_holds() -> None:
    notice = b'{"method":"NotifyStatus","params":{"switch:0":{"apower":33.3}}}'
    sent = Broker(arrival=ARRIVAL).send(("s/events/rpc", notice), ("s/events/rpc", notice[:6]), ("s/events/rpc", b"{}"))
    assert told(sent) == ["s switch:0.apower = 33.3 W"]
    assert [reason for reason, _ in sent.refused] == ["malformed"]
    assert sent.no_data == {"command": 1}


def test_a_topic_tells_the_unit_of_a_value_without_a_name() -> None:
    sent = Broker(arrival=ARRIVAL).send(said("press/temp_c", {"value": 55.5}), said("press/Druck_bar", {"value": 2.5}))
    assert told(sent) == ["press/temp_c value = 55.5 °C", "press/Druck_bar value = 2.5 bar"]
