"""How bad an alarm is: each border of the table, on both sides."""

from __future__ import annotations

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from alerts.policy import CLEARED, ESCALATED, OPENED, AlarmPolicy
from alerts.severity import SEVERITIES, severity_of

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND


@pytest.mark.parametrize(
    ("excess", "seconds", "readings", "severity"),
    [
        (0.0, 0.0, 1, "minor"),
        (3.99, 0.0, 1, "minor"),
        (4.0, 0.0, 1, "major"),
        (1.49, 300.0, 5, "minor"),
        (1.5, 300.0, 5, "major"),
        (1.5, 299.0, 5, "minor"),
        (1.5, 300.0, 4, "minor"),
        (4.0, 300.0, 5, "critical"),
        (0.0, 3600.0, 20, "major"),
        (0.0, 3600.0, 19, "minor"),
        (1.5, 3600.0, 20, "critical"),
    ],
)
def test_severity_grows_with_how_far_how_long_and_how_sure(
    excess: float, seconds: float, readings: int, severity: str
) -> None:
    assert SEVERITIES[severity_of(excess, seconds, readings)] == severity


def test_an_alarm_that_lasts_grows_more_severe_and_never_less() -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=4.0, clear_after="1m", clear_readings=2))
    policy.grow(1)
    scores = np.array([4.5] * 100 + [0.0] * 3)
    times = START + 60 * SECOND * np.arange(len(scores), dtype=np.int64)
    verdicts = policy.step(np.zeros(len(scores), np.int32), times, scores)
    events = [(row, int(event)) for row, event in enumerate(verdicts.event) if event]
    assert events == [(0, OPENED), (60, ESCALATED), (101, CLEARED)]
    assert [SEVERITIES[verdicts.severity[row]] for row, _ in events] == ["minor", "major", "major"]


def test_the_highest_threshold_is_reached_by_the_highest_score() -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=12.0))
    policy.grow(1)
    verdicts = policy.step(np.zeros(2, np.int32), np.array([START, START + SECOND]), np.array([11.99, 12.0]))
    assert verdicts.event.tolist() == [0, OPENED]


@pytest.mark.parametrize(("gap", "cleared"), [(599, False), (600, True)])
def test_an_alarm_clears_after_a_time_and_a_number_of_readings(gap: int, cleared: bool) -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=4.0, clear_after="10m", clear_readings=3))
    policy.grow(1)
    times = START + SECOND * np.array([0, 1, 2, gap], np.int64)
    verdicts = policy.step(np.zeros(4, np.int32), times, np.array([5.0, 0.0, 0.0, 0.0]))
    assert verdicts.event.tolist() == [OPENED, 0, 0, CLEARED if cleared else 0]


def test_a_long_silence_alone_clears_nothing() -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=4.0, clear_after="10m", clear_readings=3))
    policy.grow(1)
    times = START + SECOND * np.array([0, 86_400, 86_401, 86_402], np.int64)
    verdicts = policy.step(np.zeros(4, np.int32), times, np.array([5.0, 0.0, 0.0, 0.0]))
    assert verdicts.event.tolist() == [OPENED, 0, 0, CLEARED]
