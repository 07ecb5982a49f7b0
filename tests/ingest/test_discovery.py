"""What descriptions on the broker tell: units, how often a reading comes, names of devices; and what says nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.time_units import SECOND
from devices.codec import UNNAMED
from ingest import discovery as module
from ingest.discovery import Discovery

HA = "homeassistant/sensor/x/config"


def told(form: str, topic: str, root: object, device: str = "") -> Discovery:
    discovery = Discovery()
    payload = root if isinstance(root, bytes) else json.dumps(root).encode()
    discovery.learn(form, device, topic, payload)
    return discovery


def ha(**said: Any) -> Discovery:
    return told("homeassistant", HA, {"state_topic": "a/state", "unit_of_measurement": "°C"} | said)


def test_homie_tells_the_unit_of_a_property_below_its_node() -> None:
    discovery = told("homie", "homie/dev/motor/speed/$unit", b"degC")
    assert discovery.unit("homie/dev/motor/speed", UNNAMED, "", "") == "°C"
    assert discovery.unit("homie/dev/pump/speed", UNNAMED, "", "") == ""
    assert told("homie", "homie/dev/motor/speed/$name", b"degC", "dev").state()["topic"] == []
    assert told("homie", "a/b/c/$unit", b"x" * 65, "dev").unit("a/b/c", UNNAMED, "", "") == "x" * 64


def test_homie_5_tells_all_units_of_a_device_at_once() -> None:
    nodes = {"motor": {"properties": {"speed": {"unit": "m/s"}, "on": {}, "odd": 5}}, "bad": 7, "none": {}}
    discovery = told("homie5", "homie/5/dev/$description", {"nodes": nodes}, "dev")
    assert discovery.state()["name"] == [["dev", "motor.speed", "m/s"]]
    assert told("homie5", "x", [1], "dev").state()["name"] == []


def test_statestream_tells_the_unit_of_the_entity_before_its_attribute() -> None:
    found = told("statestream", "ha/sensor/temp/unit_of_measurement", b'"C"')
    assert found.unit("ha/sensor/temp/state", UNNAMED, "", "") == "°C"
    assert told("statestream", "ha/sensor/temp/unit_of_measurement", b"5").state()["topic"] == []
    assert told("statestream", "ha/sensor/temp/unit_of_measurement", b"{").state()["topic"] == []


@pytest.mark.parametrize(
    ("topic", "payload", "unit"),
    [
        ("meta/type", b"temperature", "°C"),
        ("meta/type", b"switch", ""),
        ("meta/units", b"deg C", "°C"),
        ("meta", b'{"type":"value","units":"m^3/h"}', "m³/h"),
        ("meta", b'{"type":"power_consumption"}', "kWh"),
        ("meta", b'{"type":"voltage","units":""}', "V"),
        ("meta", b'{"type":"voltage","units":7}', "V"),
        ("meta", b'["power"]', ""),
        ("meta", b"{", ""),
    ],
)
def test_a_wiren_board_tells_a_control_s_unit_or_the_type_that_means_one(topic: str, payload: bytes, unit: str) -> None:
    discovery = told("wirenboard", f"/devices/meter/controls/Total P/{topic}", payload, "meter")
    assert discovery.unit("", "", "meter", "Total P") == unit


def test_zigbee2mqtt_tells_units_by_the_friendly_name_below_its_base() -> None:
    exposes = [
        {"property": "temperature", "unit": "°C"},
        {"name": "power", "unit": "W", "features": [{"property": "deep", "unit": "V", "features": "none"}]},
        {"property": "no_unit"}, {"unit": "A"}, "odd",
    ]  # fmt: skip
    nested: dict[str, Any] = {"property": "level 5", "unit": "m"}
    for level in (4, 3, 2, 1):
        nested = {"property": f"level {level}", "unit": "m", "features": [nested]}
    bridge = [
        {"friendly_name": "pump", "definition": {"exposes": [*exposes, nested]}},
        {"friendly_name": 5, "definition": {"exposes": exposes}},
        {"friendly_name": "bare"}, {"friendly_name": "odd", "definition": 7}, 9,
    ]  # fmt: skip
    discovery = told("zigbee2mqtt", "zigbee2mqtt/bridge/devices", bridge)
    named = {(device, metric): unit for device, metric, unit in discovery.state()["name"]}
    assert named == {("pump", "temperature"): "°C", ("pump", "power"): "W", ("pump", "deep"): "V"} | {
        ("pump", f"level {level}"): "m" for level in (1, 2, 3, 4)
    }
    assert told("zigbee2mqtt", "z2m/bridge/devices", bridge).unit("", "", "z2m/pump", "power") == "W"
    assert told("zigbee2mqtt", "zigbee2mqtt/bridge/devices", {"a": 1}).state()["name"] == []


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ("{{ value_json.temp }}", "temp"),
        ("{{ value_json.a.b | round(1) }}", "a.b"),
        ("{{ value_json['a b'] }}", "a b"),
        ('{{ value_json["a"].b[0] }}', "a.b.0"),
        ("{{ value_json[ 2 ] }}", "2"),
        ("{{ value }}", UNNAMED),
        ("{{ value | float }}", UNNAMED),
    ],
)
def test_a_template_tells_which_field_it_shows(template: str, field: str) -> None:
    assert ha(value_template=template).unit("a/state", field, "", "") == "°C"


def test_a_template_that_is_not_that_simple_tells_nothing() -> None:
    assert ha(value_template="{{ states('sensor.x') }}").state()["topic"] == []
    # What is shown is in another unit than what the field holds.
    assert ha(value_template="{{ value_json.t | float / 10 }}").state()["topic"] == []
    assert ha(value_template="{{ (value_json['a-b'] - 32) * 5 / 9 }}").state()["topic"] == []
    assert ha(value_template="{{ value_json['a-b'] | round(1) }}").unit("a/state", "a-b", "", "") == "°C"
    assert ha(value_template=7).unit("a/state", UNNAMED, "", "") == "°C"


@pytest.mark.parametrize(
    ("said", "topic"),
    [
        ({"state_topic": "~/state", "~": "plant/x"}, "plant/x/state"),
        ({"state_topic": "state/~", "~": "x"}, "state/x"),
        ({"state_topic": "plain", "~": "x"}, "plain"),
        ({"state_topic": "~/state"}, "~/state"),
        ({"stat_t": "short", "unit_of_meas": "A"}, "short"),
    ],
)
def test_the_topic_of_a_state_is_put_together_from_its_base(said: dict[str, Any], topic: str) -> None:
    found = told("homeassistant", HA, {"unit_of_measurement": "A"} | said)
    assert (found.unit(topic, UNNAMED, "", ""), found.unit("other", UNNAMED, "", "")) == ("A", "")


def test_a_device_s_components_share_what_it_says() -> None:
    root = {
        "dev": {"name": "Pump 7"}, "stat_t": "p/state",
        "cmps": {"a": {"unit_of_meas": "A", "val_tpl": "{{ value_json.i }}"}, "b": {"stat_t": "p/b", "exp_aft": 60},
                 "c": 5},
    }  # fmt: skip
    discovery = told("homeassistant", HA, root)
    assert (discovery.unit("p/state", "i", "", ""), discovery.name("p/state"), discovery.name("p/b")) == (
        "A", "Pump 7", "Pump 7",
    )  # fmt: skip
    assert (discovery.within("p/b", UNNAMED), discovery.within("p/state", "i")) == (60 * SECOND, 0)


@pytest.mark.parametrize(
    ("seconds", "within"),
    [
        (30, 30 * SECOND), (0.5, SECOND // 2), (0, 0), (-5, 0), ("30", 0), (None, 0),
        (366 * 86_400, 366 * 86_400 * SECOND), (366 * 86_400 + 1, 0),
    ],
)  # fmt: skip
def test_an_expiry_holds_up_to_a_year(seconds: object, within: int) -> None:
    assert ha(expire_after=seconds).within("a/state", UNNAMED) == within


def test_an_expiry_that_is_said_no_more_is_news_and_holds_no_more() -> None:
    discovery = ha(expire_after=30)
    again = json.dumps({"state_topic": "a/state", "unit_of_measurement": "°C"}).encode()
    assert discovery.is_news("homeassistant", "", HA, again)
    assert discovery.learn("homeassistant", "", HA, again)
    assert discovery.within("a/state", UNNAMED) == 0
    assert not discovery.is_news("homeassistant", "", HA, again)
    assert not discovery.learn("homeassistant", "", HA, again)


@pytest.mark.parametrize(("name", "shown"), [("x" * 200, "x" * 200), ("x" * 201, ""), ("", ""), (5, ""), (None, "")])
def test_a_device_s_name_has_two_hundred_characters_at_most(name: object, shown: str) -> None:
    assert ha(device={"name": name}).name("a/state") == shown
    assert ha(device="odd").name("a/state") == ""


def test_a_topic_with_a_wildcard_tells_the_unit_of_all_that_match_it_and_the_nearest_word_counts() -> None:
    discovery = ha(state_topic="a/+/state")
    discovery.learn("homeassistant", "", HA, b'{"state_topic":"b/#","unit_of_measurement":"V"}')
    assert [discovery.unit(topic, UNNAMED, "", "") for topic in ("a/x/state", "b/c/d", "a/x", "c")] == [
        "°C",
        "V",
        "",
        "",
    ]
    assert discovery.unit("a/x/state", "other", "", "") == ""
    discovery.learn("homeassistant", "", HA, b'{"state_topic":"a/x/state","unit_of_measurement":"K"}')
    assert (discovery.unit("a/x/state", UNNAMED, "", ""), discovery.unit("a/y/state", UNNAMED, "", "")) == ("K", "°C")


def test_what_is_no_description_tells_nothing() -> None:
    for form, topic, payload in (
        ("", HA, b'{"state_topic":"a","unit_of_measurement":"V"}'),
        ("homeassistant", HA, b"{"),
        ("homeassistant", HA, b"[]"),
        ("homeassistant", HA, b'{"state_topic":5,"unit_of_measurement":"V"}'),
        ("homeassistant", HA, b'{"state_topic":"a","unit_of_measurement":5}'),
        ("homeassistant", HA, b'{"state_topic":"a","unit_of_measurement":""}'),
    ):
        discovery = told(form, topic, payload)
        assert (discovery.state(), discovery.is_news(form, "", topic, payload)) == (Discovery().state(), False)


def test_no_more_is_kept_than_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_DESCRIBED", 2)
    discovery = Discovery()
    for name in ("a", "b", "c"):
        discovery.learn("homie", "", f"h/n/{name}/$unit", b"V")
    assert [topic for topic, _, _ in discovery.state()["topic"]] == ["h/n/a", "h/n/b"]


def test_all_of_it_comes_back() -> None:
    discovery = ha(expire_after=30, device={"name": "Pump"}, state_topic="a/+")
    discovery.learn("wirenboard", "dev", "/devices/dev/controls/p/meta/units", b"V")
    discovery.learn("homeassistant", "", HA, b'{"state_topic":"b","unit_of_measurement":"A"}')
    again = Discovery()
    again.load(json.loads(json.dumps(discovery.state())))
    assert again.state() == discovery.state()
    assert (again.unit("a/x", UNNAMED, "", ""), again.unit("b", UNNAMED, "", ""), again.unit("", "", "dev", "p")) == (
        "°C", "A", "V",
    )  # fmt: skip
    empty = Discovery()
    empty.load({})
    assert empty.state() == Discovery().state()
