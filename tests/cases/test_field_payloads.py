"""What people really sent, rebuilt from public reports: each case through the router that the service has.

The cases lie outside the project: their folder is named by DRIFTLINE_CASES, or stands beside the project's parent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from routed import Broker, Routed

from devices.batch import NO_TIME
from ingest.ingest_settings import DEFAULT_ROUTES, RouteSettings

CASES = Path(os.environ.get("DRIFTLINE_CASES", Path(__file__).resolve().parents[4] / "shared" / "cases")) / "field"
MS = 1_000_000
ARRIVAL = 1_784_800_900_000 * MS
"""About when the cases were written, so that their times are believed."""

Open = Callable[[str], "Case"]


class Case:
    """The messages of one case, by the beginning of their files' names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        topics = json.loads((folder / "messages.json").read_text())
        listed = topics if isinstance(topics, list) else [{"file": k, "topic": v} for k, v in topics.items()]
        self._messages = {each["file"]: each["topic"] for each in listed}
        self.broker = Broker(arrival=ARRIVAL)

    def with_routes(self, *routes: RouteSettings, arrival: int = ARRIVAL) -> Case:
        self.broker = Broker([*routes, *DEFAULT_ROUTES], arrival=arrival)
        return self

    def send(self, *starts: str, retained: bool = False) -> Routed:
        names = [name for start in starts for name in self._messages if name.startswith(start)]
        assert names, f"{starts}: no such message in {self._folder}"
        messages = [(self._messages[name], (self._folder / name).read_bytes()) for name in names]
        return self.broker.send(*messages, retained=retained)

    def send_all(self) -> Routed:
        return self.send("m")


@pytest.fixture
def case() -> Open:
    def opened(number: str) -> Case:
        found = sorted(CASES.glob(f"{number}-*"))
        if not found:
            pytest.skip(f"no case {number} in {CASES}: set DRIFTLINE_CASES to the folder of the cases")
        return Case(found[0])

    return opened


def test_01_zigbee2mqtt_with_availability(case: Open) -> None:
    sent = case("01").send_all()
    assert sent.devices == ["ground_floor/kitchen/wall", "plug"]
    assert ("ground_floor/kitchen/wall", "temperature", 21.13) in sent.points
    assert sent.units["humidity"] == "%"
    wall = "ground_floor/kitchen/wall"
    assert sent.presence == [(wall, True), (wall, False), ("lamp", True), ("zigbee2mqtt", True)]
    assert sent.no_data == {"availability": 4, "command": 1}
    assert sent.refused == []


def test_02_shelly_status_and_notifications_are_one_device(case: Open) -> None:
    sent = case("02").send_all()
    assert sent.devices == ["pv1"]
    assert [value for _, metric, value in sent.points if metric == "switch:0.apower"] == [375.0, 371.2]
    assert sent.units["switch:0.voltage"] == "V"
    metrics = {metric for _, metric, _ in sent.points}
    assert not [metric for metric in metrics if metric.endswith(("tF", "minute_ts", ".id")) or "by_minute" in metric]
    assert sent.presence == [("pv1", True)]
    assert sent.refused == []


def test_03_shelly_of_the_first_generation(case: Open) -> None:
    sent = case("03").send_all()
    plug = "shellyplug-s-C0FFEE"
    assert sent.points == [
        (plug, "relay.0", 1.0),
        (plug, "relay.0.power", 42.37),
        (plug, "relay.0.energy", 183244.0),
        (plug, "temperature", 31.45),
        (plug, "overtemperature", 0.0),
        ("shellyht-BADA55", "temperature", 21.25),
        ("shellyht-BADA55", "battery", 91.0),
    ]
    assert sent.presence == [(plug, True)]
    assert sent.no_data == {"copy": 1, "availability": 1, "metadata": 1}


def test_04_each_radio_sensor_is_a_device(case: Open) -> None:
    sent = case("04").send_all()
    assert sent.devices == ["Fineoffset-WH2/37", "Fineoffset-WH2/173", "Prologue-TH/2/138"]
    assert sent.points[:2] == [
        ("Fineoffset-WH2/37", "temperature_C", 17.4),
        ("Fineoffset-WH2/173", "temperature_C", -11.3),
    ]
    assert not {"id", "channel", "protocol", "mic"} & {metric for _, metric, _ in sent.points}
    assert sent.no_data == {"copy": 4}


def test_06_tags_of_a_gateway_are_metrics(case: Open) -> None:
    sent = case("06").send_all()
    assert sent.points == [
        ("kesy", "Line1.Press.Temp", 71.5),
        ("kesy", "Line1.Press.Count", 1204.0),
        ("kesy", "Line2.Oven.Temp", 231.25),
    ]
    assert sent.times == [1784800824193 * MS] * 3
    assert sent.no_data == {"no_value": 1}


def test_07_meters_by_name_whatever_their_place(case: Open) -> None:
    sent = case("07").send_all()
    assert [(metric, value) for _, metric, value in sent.points] == [
        ("meters.PPAC3_1In.E", 144.1158),
        ("meters.PPAC3_2In.E", 9120.5),
        ("meters.PPAC3_2In.E", 9120.6),
        ("meters.PPAC3_1In.E", 144.2),
    ]
    assert sent.refused == []


def test_08_the_metric_is_what_the_name_says(case: Open) -> None:
    sent = case("08").send_all()
    assert [(metric, round(value, 3)) for _, metric, value in sent.points] == [
        ("dewpoint", -48.298),
        ("humidity", 31.5),
    ]
    assert sent.times == [1784645994000 * MS] * 2


def test_10_rows_by_device(case: Open) -> None:
    sent = case("10").send_all()
    assert [(device.rpartition("/")[2], metric, value) for device, metric, value in sent.points] == [
        ("C1_D1", "Ua", 391.1),
        ("C1_D1", "Ia", 6.26),
        ("C1_D2", "Ua", 231.7),
    ]


def test_11_pairs_of_time_and_value(case: Open) -> None:
    sent = case("11").send_all()
    assert [(metric, value) for _, metric, value in sent.points] == [("humidity", 35.2), ("temperature", 33.2)]
    assert sent.times == [1778763953 * 10**9, 1778763944 * 10**9]


def test_12_an_error_of_a_meter_gives_no_reading(case: Open) -> None:
    meter = case("12")
    good = meter.send("m01")
    assert good.points == [("wasserzaehler/main", "value", 617.4391), ("wasserzaehler/main", "rate", 0.003651)]
    assert good.units["value"] == "m³"
    assert meter.send("m02").points == []
    broken = meter.send("m03", "m04")
    assert broken.points == []
    assert [reason for reason, _ in broken.refused] == ["malformed", "malformed"]
    assert broken.refused[0][1].startswith("byte 41")
    flat = meter.send("m05", "m06", "m07", "m08", "m09")
    assert [(metric, value) for _, metric, value in flat.points] == [("uptime", 48.0)]


def test_14_chirpstack_reads_the_decoded_object(case: Open) -> None:
    sent = case("14").send_all()
    assert [(device, metric, value) for device, metric, value in sent.points] == [
        ("a81758fffe0300ff", "temperature", 21.5),
        ("a81758fffe0300ff", "battery", 3.98),
        ("a81758fffe0300ff", "door.open", 1.0),
        ("0102030405060708", "co2", 612.0),
        ("0102030405060708", "humidity", 43.5),
        ("0102030405060708", "temperature", 21.6),
    ]
    assert sent.no_data == {"metadata": 1}
    assert sent.refused == []


def test_16_discovery_is_metadata(case: Open) -> None:
    house = case("16")
    assert house.send("m01", "m02", retained=True).no_data == {"metadata": 2}
    sent = house.send("m03", "m04")
    assert sent.points[0] == ("wyzesense2mqtt/77AA0001", "temperature", 68.2)
    assert sent.units["temperature"] == "°F"
    assert sent.no_data == {"no_value": 1}


def test_17_homie(case: Open) -> None:
    boiler = case("17")
    boiler.send("m04", retained=True)
    sent = boiler.send_all()
    assert sent.points == [("boiler", "heating.flow", 54.5), ("boiler", "stats.uptime", 48211.0)]
    assert sent.units["heating.flow"] == "°C"
    assert sent.kinds["stats.uptime"] == "diagnostic"
    assert sent.presence == [("boiler", True), ("boiler", False)]
    assert sent.no_data["command"] == 1
    assert sent.refused == []


def test_18_sparkplug(case: Open) -> None:
    node = case("18")
    born = node.send("m01")
    assert born.points == [("G1/E1/D1", "temp", 21.25), ("G1/E1/D1", "offset", -11.0), ("G1/E1/D1", "run", 1.0)]
    assert node.send("m02").points == [("G1/E1/D1", "temp", 21.5), ("G1/E1/D1", "offset", -12.0)]
    assert node.send("m03").presence == [("G1/E1/D1", False)]
    assert node.send("m04").refused == []


def test_18_data_before_its_birth_says_so(case: Open) -> None:
    refused = case("18").send("m02").refused
    assert [reason for reason, _ in refused] == ["malformed", "malformed"]
    assert refused[0][1].startswith("alias 1: no birth has named it; ask for one: publish")


def test_20_a_heat_pump(case: Open) -> None:
    sent = case("20").send_all()
    assert sent.points == [
        ("panasonic_heat_pump/main", "Outside_Temp", 7.0),
        ("panasonic_heat_pump/main", "Pump_Flow", 12.44),
        ("panasonic_heat_pump/main", "Operating_Mode_State", 4.0),
    ]
    assert sent.kinds["Operating_Mode_State"] == "state"
    assert sent.presence == [("panasonic_heat_pump/main", True)]
    assert sent.refused == []


def test_21_json_within_json(case: Open) -> None:
    sent = case("21").send_all()
    assert [(metric, value) for _, metric, value in sent.points] == [
        ("temperature", 21.5),
        ("temperature", 21.5),
        ("temp", 21.5),
    ]
    assert sent.times[0] == 1784716107000 * MS
    assert [reason for reason, _ in sent.refused] == ["malformed"]
    assert "JSON stands in quotes without escapes" in sent.refused[0][1]


def test_23_the_unit_is_what_the_message_says(case: Open) -> None:
    sent = case("23").send_all()
    records = sent.router.registry.records
    assert {record.device: record.unit for record in records} == {"attic": "°F", "cellar": "°C"}


def test_25_esphome(case: Open) -> None:
    sent = case("25").send_all()
    assert sent.points == [("solar_1", "battery_voltage", 12.81), ("garden/solar_1", "battery_voltage", 12.81)]
    assert sent.presence == [("solar_1", False)]
    assert sent.no_data["log"] == 1
    assert sent.no_data["no_value"] == 1
    assert ("solar_1", "heater.mode", "heat") in sent.states
    assert sent.refused == []


def test_27_telegraf(case: Open) -> None:
    sent = case("27").send_all()
    assert sent.devices == ["pc1"]
    idle = [(metric, value) for _, metric, value in sent.points if metric.endswith("usage_idle")]
    assert set(idle) == {("cpu.cpu0.usage_idle", 91.2), ("cpu.cpu1.usage_idle", 12.7)}
    assert ("pc1", "mem.used", 55.0) in sent.points
    assert sent.refused == []


def test_29_odd_topics(case: Open) -> None:
    sent = case("29").send_all()
    assert [(device, metric) for device, metric, _ in sent.points] == [
        ("/temperature-sensors/1", "temperature"),
        ("site/a", "value"),
        ("site//a", "temp"),
        ("living room", "temperature"),
        ("haus/küche/fühler", "wärme °C"),
        ('site/o\'brien "x"', "t.e,m=p"),
        ('site/o\'brien "x"', 'a"b'),
        ("temp", "value"),
        ("a.b/c", "d.e.f"),
    ]


def test_30_ids_that_are_numbers_are_no_metrics(case: Open) -> None:
    sent = case("30").send_all()
    assert [(metric, value) for _, metric, value in sent.points] == [("temperature", 21.5), ("temperature", 21.5)]
    assert sent.refused == []


def test_32_an_empty_payload_clears(case: Open) -> None:
    sent = case("32").send("m01", "m02")
    assert sent.no_data == {"cleared": 2}
    assert sent.refused == []
    big = Broker().send(("zigbee2mqtt/bridge/devices", b"[" + b" " * (1 << 21) + b"]"))
    assert big.no_data == {"metadata": 1}
    assert big.refused == []


def test_33_words_and_states(case: Open) -> None:
    sent = case("33").send_all()
    assert sent.refused == []
    assert ("sda", "system_mode", "heat") in sent.states
    assert ("plc/line1", "mode", "running") in sent.states
    assert ("rtl/x", "battery", "LOW") in sent.states
    assert ("home", "motion", "motion") in sent.states
    assert ("home", "door", 0.0) in sent.points
    assert ("sda", "window", 1.0) in sent.points


def test_34_lines_pairs_and_lists(case: Open) -> None:
    sent = case("34").send_all()
    assert sent.points == [
        ("logger/1", "temp", 21.5),
        ("logger/1", "temp", 21.6),
        ("logger/2", "temp", 21.5),
        ("logger/3", "temp", 21.5),
        ("logger/3", "hum", 40.0),
        ("logger/4", "1", 21.5),
        ("logger/4", "2", 40.0),
        ("logger/5", "0", 21.5),
        ("logger/5", "1", 40.0),
        ("logger/5", "2", 1013.2),
        ("logger", "6", 21.5),
        ("logger/7", "0", 21.5),
        ("logger/7", "1", 40.2),
        ("logger", "9", 21.5),
    ]
    [(reason, detail)] = sent.refused
    assert reason == "malformed"
    assert "'21,40' may be one number with a decimal comma, or two numbers" in detail


def test_36_a_clock_that_is_not_set_costs_nothing(case: Open) -> None:
    sent = case("36").send_all()
    assert len(sent.points) == 11
    assert sent.times == [NO_TIME] * 11
    assert sent.refused == []
    assert len(sent.odd) == 7


def test_37_local_time_without_a_zone_costs_nothing(case: Open) -> None:
    case("37")
    zone = RouteSettings(profile="tasmota", time_zone="Europe/Berlin")
    payload = b'{"Time":"2026-07-23T12:01:30","AM2301":{"Temperature":22.6}}'
    early = Broker(arrival=ARRIVAL).send(("tele/TH16/SENSOR", payload))
    assert (len(early.points), early.times, early.odd) == (1, [NO_TIME], ["clock_ahead"])
    told = Broker([zone], arrival=ARRIVAL).send(("tele/TH16/SENSOR", payload))
    assert (told.times, told.odd) == ([1784800890 * 10**9], [])


def test_38_odd_forms_of_times_cost_nothing(case: Open) -> None:
    sent = case("38").send_all()
    assert len(sent.points) == 21
    assert sent.refused == []
    assert sent.odd.count("time_unread") == 4


def test_66_retained_values_are_the_last_known(case: Open) -> None:
    del case
    sent = Broker().send(("site/a/temp", b"21.5"), ("site/b", b'{"hum":40}'), retained=True)
    assert sent.points == []
    assert sent.no_data == {"retained": 2}
    assert sent.refused == []
    assert sorted(each.value for each in sent.readings.retained) == [21.5, 40.0]
    assert sent.devices == ["site/a", "site/b"]


def test_67_a_last_will_is_no_reading() -> None:
    sent = Broker().send(("dev-1/temp", b"21"), ("dev-1/status", b"offline"))
    assert sent.points == [("dev-1", "temp", 21.0)]
    assert sent.presence == [("dev-1", False)]


def test_74_whole_numbers_beyond_2_53_are_not_rounded_in_silence() -> None:
    sent = Broker().send(("meter", b'{"total": 9007199254740993}'))
    assert sent.odd == ["rounded"]
    assert "9007199254740993 is stored as 9007199254740992" in sent.readings.odd[0].detail


def test_81_senml(case: Open) -> None:
    sent = case("81").send_all()
    assert sent.points[:4] == [
        ("urn:dev:mac:0024befffe804ff1", "power", 42.5),
        ("urn:dev:ow:10e2073a01080063", "current", 1.2),
        ("urn:dev:ow:10e2073a01080063", "current", 1.3),
        ("urn:dev:ow:10e2073a01080063", "voltage", 120.1),
    ]
    assert sent.times[1] == int(sent.chunk.arrival[1]) - 5 * 10**9
    assert sent.units["power"] == "W"
    assert sent.units["current"] == "A"
    assert ("urn:dev:ow:10e2073a01080063", "hum", 40.0) in sent.points
    assert sent.refused == []
