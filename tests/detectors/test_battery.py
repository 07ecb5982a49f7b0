"""Batteries by the default detector: a stair is none of its business, a cliff is."""

from __future__ import annotations

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from devices.records import AlarmRecord
from ingest.ingest_settings import DEFAULT_DETECTORS, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry

MINUTE = 60_000_000_000
START = 1_750_032_000_000_000_000
TEN_MINUTES = 144
"""Readings a day."""


def alarms(values: np.ndarray, metric: str = "battery") -> tuple[list[AlarmRecord], Engine]:
    """The alarms of a reading each ten minutes, as they stand at the end."""
    engine = Engine([RouteSettings(filter="#")], DEFAULT_DETECTORS, AlarmSettings(), LimitSettings())
    rows = [
        (b"contact", f'{{"{metric}": {value:.2f}}}'.encode(), START + 10 * MINUTE * row, 0)
        for row, value in enumerate(values.tolist())
    ]
    step = engine.step(JournalEntry(0, 0, MessageChunk.of(rows)))
    return list({alarm.alarm: alarm for alarm in step.alarms}.values()), engine


def stair(days: int, a_day: float = 0.5) -> np.ndarray:
    return np.round(95.0 - a_day / TEN_MINUTES * np.arange(days * TEN_MINUTES))


def test_a_stair_is_silent_though_each_step_is_lower_than_ever() -> None:
    found, engine = alarms(stair(60))
    assert found == []
    assert engine.registry.records[0].kind == "battery"


def test_a_cliff_is_told_within_hours_and_in_a_batterys_words() -> None:
    values = stair(20)
    begins = 18 * TEN_MINUTES
    values[begins:] = np.maximum(np.round(86.0 - 1.2 * np.arange(len(values) - begins)), 3.0)
    (alarm,), _ = alarms(values)
    assert 0 < alarm.opened - START - 10 * MINUTE * begins <= 180 * MINUTE
    assert alarm.reason.startswith("battery ")
    assert alarm.reason.endswith("falls much faster than this battery ever did")
    assert list(alarm.parts) == ["falling"]


def test_a_new_battery_and_a_cold_night_are_no_fault() -> None:
    values = stair(40)
    values[20 * TEN_MINUTES :] = 100.0 - 0.5 / TEN_MINUTES * np.arange(20 * TEN_MINUTES)
    cold = np.arange(len(values)) % TEN_MINUTES < 40
    assert alarms(np.round(values - 4.0 * cold))[0] == []


def test_what_is_charged_each_night_falls_far_each_day() -> None:
    hour = np.arange(30 * TEN_MINUTES) % TEN_MINUTES / 6.0
    assert alarms(np.round(np.where(hour < 8.0, 100.0, 100.0 - 4.5 * (hour - 8.0))))[0] == []


@pytest.mark.parametrize("metric", ["vbat", "batteryVoltage", "battery_voltage"])
def test_a_voltage_is_judged_alike(metric: str) -> None:
    values = 3.05 - 0.0005 * np.arange(20 * TEN_MINUTES) / TEN_MINUTES
    assert alarms(values, metric)[0] == []
    values[18 * TEN_MINUTES :] -= np.minimum(0.01 * np.arange(2 * TEN_MINUTES), 0.9)
    assert len(alarms(values, metric)[0]) == 1
