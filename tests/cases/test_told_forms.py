"""How readings, states, identities, units and times are told in the forms of many devices."""

from __future__ import annotations

from routed import Broker

from devices.batch import NO_TIME
from ingest.ingest_settings import ComponentSettings, RouteSettings

ARRIVAL = 1_784_800_900_000_000_000
"""So that the times told are believed."""


def test_a_route_may_say_how_things_are_named() -> None:
    routes = [RouteSettings(filter="radio/#", device="{model}/{id}", codec=ComponentSettings(type="json"))]
    sent = Broker(routes).send(
        ("radio/all", b'{"model":"X","id":7,"t":1.5}'), ("radio/all", b'{"model":"X","id":8,"t":2}')
    )
    assert sent.points == [("X/7", "t", 1.5), ("X/8", "t", 2.0)]


def test_what_is_told_as_true_or_false_is_a_state_whatever_its_name() -> None:
    broker = Broker()
    sent = broker.send(
        ("zigbee2mqtt/valve", b'{"away_mode":"OFF","linkquality":90}'),
        ("stat/TH16/POWER1", b"ON"),
        ("cellar/flood", b"true"),
        ("site/pump", b'{"mqtt_ok":true,"battery_low":false,"flow":2.5}'),
        ("weather", b"station,host=roof door_shut=t,wind=3.5"),
    )
    kinds = {metric: kind for metric, kind in sent.kinds.items() if metric != "linkquality"}
    assert kinds == {
        "away_mode": "state",
        "POWER1": "state",
        "flood": "state",
        "mqtt_ok": "state",
        "battery_low": "diagnostic",
        "flow": "measurement",
        "station.door_shut": "state",
        "station.wind": "measurement",
    }
    # The quick way of JSON, which comes after the first messages of a form, names the same series.
    again = broker.send(*[("site/pump", b'{"mqtt_ok":false,"battery_low":true,"flow":2.%d}' % n) for n in range(3)])
    assert again.points[6:] == [
        ("site/pump", "mqtt_ok", 0.0),
        ("site/pump", "battery_low", 1.0),
        ("site/pump", "flow", 2.2),
    ]
    assert again.kinds == sent.kinds


def test_identities_by_topic_are_kept_and_not_scored() -> None:
    sent = Broker().send(("d/serial", b"12345"), ("d/firmware", b"1.2"), ("d/level", b"3"), ("d/reported_at", b"1"))
    assert sent.kinds == {
        "serial": "diagnostic",
        "firmware": "diagnostic",
        "level": "measurement",
        "reported_at": "time",
    }


def test_records_are_told_apart_by_their_addresses() -> None:
    sent = Broker().send(
        ("beacons", b'[{"mac":"AA","rssi":-60,"ts":1793491200},{"mac":"BB","rssi":-70,"ts":1793491200}]'),
        ("beacons", b'[{"mac":"BB","rssi":-71,"ts":1793491201},{"mac":"BB","rssi":-72,"ts":1793491202}]'),
        ("bus", b'[{"unitId":2,"value":231},{"unitId":1,"value":230}]'),
    )
    assert [(metric, value) for _, metric, value in sent.points] == [
        ("AA.rssi", -60.0),
        ("BB.rssi", -70.0),
        ("BB.rssi", -71.0),
        ("BB.rssi", -72.0),
        ("2.value", 231.0),
        ("1.value", 230.0),
    ]


def test_units_that_a_field_beside_the_value_or_its_name_tells() -> None:
    sent = Broker().send(
        ("u/1", b'{"temp":21.5,"battery":88,"unit":"F"}'),
        ("u/2", b'{"TempUnit":"F","Temperature":70}'),
        ("u/3", b'{"units":{"hum":"%"},"hum":40}'),
        ("u/4", b'{"value":3.5,"unit":"kPa"}'),
        ("u/5", b'{"temperature_C":21.5,"pressure_hPa":1012,"wind_m_s":3,"phase_A":230,"level_unit":"cats","level":2}'),
        ("u/6", b'{"Consumption_W":410,"barometer_inHg":"29.9"}'),
    )
    assert sent.units == {
        "temp": "°F",
        "Temperature": "°F",
        "hum": "%",
        "value": "kPa",
        "temperature_C": "°C",
        "pressure_hPa": "hPa",
        "wind_m_s": "m/s",
        "Consumption_W": "W",
        "barometer_inHg": "inHg",
    }


def test_a_date_and_a_time_in_two_fields_are_one_time() -> None:
    sent = Broker(arrival=ARRIVAL).send(
        ("a/1", b'{"date":"2026-07-23","time":"10:01:00","x":1}'),
        ("a/2", b'{"Date":"23.07.2026","Time":"10:01","x":1}'),
        ("a/3", b'{"@timestamp":"2026-07-23T10:01:00Z","x":1}'),
        ("a/4", b'{"epoch":12,"x":1}'),
    )
    moment = 1_784_800_860 * 10**9
    assert sent.times == [moment, moment, moment, NO_TIME, NO_TIME]
    assert sent.odd == []


def test_texts_that_are_nearly_what_a_codec_reads() -> None:
    sent = Broker().send(
        ("e/a", b"'21.5'"),
        ("e/b", b"1 234,5"),
        ("e/c", b'{"temp":21.5}{"temp":21.6}'),
        ("e/d", b"temperature,hum\n21.5,40\n21.6,41"),
        ("e/e", b"[INFO] started"),
        ("e/f", b"{}"),
        ("e/g", b"<data><temp>21.5</temp></data>"),
        ("e/h", b"{'temp': 21.5}"),
        ("e/i", b'{"temp":21,5}'),
    )
    assert [(metric, value) for _, metric, value in sent.points] == [
        ("a", 21.5),
        ("b", 1234.5),
        ("temp", 21.5),
        ("temp", 21.6),
        ("temperature", 21.5),
        ("hum", 40.0),
        ("temperature", 21.6),
        ("hum", 41.0),
    ]
    assert sent.no_data == {"log": 1, "no_value": 1}
    assert "looks like XML or HTML, which no codec reads" in sent.refused[0][1]
    assert [detail.rpartition(": ")[2] for _, detail in sent.refused[1:]] == [
        "it looks like a dict as Python prints it; JSON is what json.dumps writes",
        "a number has a decimal comma; JSON wants a point",
    ]


def test_a_topic_of_states_that_begins_with_online_tells_of_life() -> None:
    broker = Broker()
    sent = broker.send(("pump/state", b"online"), ("pump/LWT", b"Connection Lost"), ("door/state", b"closed"))
    assert sent.presence == [("pump", True), ("pump", False)]
    assert sent.points == [("door", "state", 0.0)]
