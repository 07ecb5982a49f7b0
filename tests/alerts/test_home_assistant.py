"""What Home Assistant is told of a device: its topics, its sensors, and the worst of its alarms."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from alerts.home_assistant import HomeAssistantSettings, config_topics, configs, object_id, state_of, state_topics
from common.time_units import SECOND
from devices.records import AlarmRecord, AlarmState

START = 1_772_366_400 * SECOND  # 2026-03-01 12:00 UTC


def alarm(number: int, severity: str, opened: int = 0, by: str = "") -> tuple[AlarmRecord, str]:
    opened_at = START + opened * SECOND
    record = AlarmRecord(
        number, number, AlarmState.OPEN, opened_at, None, severity, 5.0, 1.0, 0.0, f"reason {number}",
        acknowledged_by=by,
    )  # fmt: skip
    return record, f"metric {number}"


def test_a_name_that_no_topic_takes_gets_a_mark_that_no_other_name_has() -> None:
    assert object_id("pump_07-b") == "pump_07-b"
    assert object_id("plant/pump 07") == "plant_pump_07_50ed5843"
    assert len({object_id(name) for name in ("a/b", "a b", "a_b", "a//b")}) == 4
    long = object_id("ä" + "x" * 300)
    assert (long[:100], len(long)) == ("_" + "x" * 99, 109)


def test_topics_are_below_the_prefix_and_below_our_own() -> None:
    assert config_topics("ha", "pump") == (
        "ha/binary_sensor/driftline/pump_anomaly/config",
        "ha/sensor/driftline/pump_score/config",
    )
    assert state_topics("pump") == (
        "driftline/alarms/pump/state",
        "driftline/alarms/pump/attributes",
        "driftline/alarms/pump/score",
    )


def test_a_device_is_described_as_a_problem_and_a_score() -> None:
    problem, score = (orjson.loads(each) for each in configs("pump", "Pump 7", version="1.2", link="https://x/pump"))
    device = {
        "identifiers": ["driftline_pump"], "name": "Pump 7", "manufacturer": "Driftline",
        "configuration_url": "https://x/pump",
    }  # fmt: skip
    for each in (problem, score):
        assert (each["device"], each["availability_topic"]) == (device, "driftline/alarms/availability")
        assert each["origin"] == {"name": "Driftline", "sw_version": "1.2"}
    assert (problem["device_class"], problem["unique_id"]) == ("problem", "driftline_pump_anomaly")
    assert (problem["state_topic"], problem["json_attributes_topic"]) == state_topics("pump")[:2]
    assert (score["state_class"], score["state_topic"]) == ("measurement", "driftline/alarms/pump/score")
    plain = orjson.loads(configs("pump", "Pump 7", version="1.2", link="file:///pump")[0])
    assert "configuration_url" not in plain["device"]


def told(*alarms: tuple[AlarmRecord, str], is_muted: bool = False) -> tuple[bytes, dict[str, Any]]:
    state, attributes = state_of(alarms, is_muted=is_muted)
    return state, orjson.loads(attributes)


def test_without_an_open_alarm_the_problem_is_off() -> None:
    assert told() == (b"OFF", {"alarms": 0, "muted": False})
    assert told(is_muted=True) == (b"OFF", {"alarms": 0, "muted": True})


def test_the_worst_alarm_is_told_of_those_as_bad_the_first_and_how_many_there_are() -> None:
    alarms = [
        alarm(1, "minor"), alarm(2, "critical", 9, by="Ana"), alarm(3, "critical", 10), alarm(4, "major"),
        alarm(5, "unknown"),
    ]  # fmt: skip
    assert told(*alarms) == (
        b"ON",
        {
            "alarms": 5, "severity": "critical", "sentence": "reason 2", "metric": "metric 2",
            "since": "2026-03-01T12:00:09.000Z", "acknowledged_by": "Ana", "muted": False,
        },
    )  # fmt: skip
    assert told(alarm(1, "minor"), alarm(4, "major", 5))[1]["sentence"] == "reason 4"
    assert told(alarm(5, "unknown"), alarm(6, "minor", 5))[1]["sentence"] == "reason 6"
    assert told(alarm(9, "minor"), alarm(8, "minor"))[1]["sentence"] == "reason 8"


def test_its_prefix_is_a_topic_without_wildcards() -> None:
    assert HomeAssistantSettings(prefix="ha/one").prefix == "ha/one"
    for prefix in ("ha/#", "", "x" * 201):
        with pytest.raises(ValidationError):
            HomeAssistantSettings(prefix=prefix)
