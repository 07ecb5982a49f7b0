"""How bad the alarms of the default detector are said to be, as a person reads them."""

from __future__ import annotations

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from ingest.ingest_settings import DEFAULT_DETECTORS, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry

SECOND = 1_000_000_000
START = 1_750_032_000 * SECOND
NOISE = 0.1
USUAL_ERROR = 0.8 * NOISE


def told(values: np.ndarray, metric: str, every: int) -> list[tuple[str, str]]:
    """Severity and reason of the alarms of a reading each so many seconds, as they stand at the end."""
    engine = Engine([RouteSettings(filter="#")], DEFAULT_DETECTORS, AlarmSettings(), LimitSettings())
    rows = [
        (b"room", f'{{"{metric}": {value:.2f}}}'.encode(), START + every * SECOND * row, 0)
        for row, value in enumerate(values.tolist())
    ]
    step = engine.step(JournalEntry(0, 0, MessageChunk.of(rows)))
    return [(alarm.severity, alarm.reason) for alarm in {alarm.alarm: alarm for alarm in step.alarms}.values()]


def room(readings: int) -> np.ndarray:
    """A temperature of 20 degrees."""
    return 20.0 + np.random.default_rng(1).normal(0.0, NOISE, readings)


def test_74_usual_errors_for_half_a_minute_are_not_minor() -> None:
    values = room(3700)
    values[3600:3630] += 74 * USUAL_ERROR
    ((severity, reason),) = told(values, "temperature", 1)
    assert severity == "major"
    assert "times as far off as nearly all readings" in reason


def test_20_usual_errors_for_half_a_minute_are_minor() -> None:
    values = room(3700)
    values[3600:3630] += 20 * USUAL_ERROR
    assert [severity for severity, _ in told(values, "temperature", 1)] == ["minor"]


@pytest.mark.parametrize("at", [60, 900])
def test_one_absurd_value_is_not_minor(at: int) -> None:
    values = room(1000)
    values[at] = 500.0
    ((severity, reason),) = told(values, "temperature", 60)
    assert severity == "major"
    assert reason.startswith("temperature 500.00")


@pytest.mark.parametrize("metric", ["battery", "soc"])
@pytest.mark.parametrize("every", [60, 3600])
def test_a_battery_at_99_is_never_more_than_minor(metric: str, every: int) -> None:
    values = np.full(2000, 100.0)
    values[1200:] = 99.0
    assert {severity for severity, _ in told(values, metric, every)} <= {"minor"}
