"""How bad an alarm is: each border of the table, on both sides."""

from __future__ import annotations

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from alerts.policy import AlarmPolicy
from alerts.policy_kernels import CLEARED, ESCALATED, OPENED, Band
from alerts.severity import SEVERITIES, SLIGHT, severity_of

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND


@pytest.mark.parametrize(
    ("excess", "times", "seconds", "readings", "severity"),
    [
        (0.0, 0.0, 0.0, 1, "minor"),
        (3.99, 0.0, 0.0, 1, "minor"),
        (4.0, 0.0, 0.0, 1, "major"),
        (1.49, 5.9, 300.0, 5, "minor"),
        (1.5, 0.0, 300.0, 5, "major"),
        (1.5, 0.0, 299.0, 5, "minor"),
        (1.5, 0.0, 300.0, 4, "minor"),
        (4.0, 0.0, 300.0, 5, "critical"),
        (0.0, 0.0, 14_400.0, 20, "major"),
        (0.0, 0.0, 14_400.0, 19, "minor"),
        (1.5, 0.0, 14_400.0, 20, "critical"),
        (0.0, 14.9, 30.0, 31, "minor"),
        (0.0, 15.0, 0.0, 1, "major"),
        (0.0, 6.0, 300.0, 5, "major"),
        (0.0, 15.0, 300.0, 5, "critical"),
        (1.5, 6.0, 0.0, 1, "minor"),
        (3.0, SLIGHT, 20_000.0, 100, "minor"),
    ],
)
def test_severity_grows_with_how_far_how_long_and_how_sure(
    excess: float, times: float, seconds: float, readings: int, severity: str
) -> None:
    assert SEVERITIES[severity_of(excess, times, seconds, readings)] == severity


def severities(values: list[float], score: float = 6.0) -> list[str]:
    """Of the alarm of readings a second that all score so, usually 18 to 22, as it stands at each."""
    policy = AlarmPolicy(AlarmSettings(threshold=5.5))
    policy.grow(1)
    rows = len(values)
    usual = np.full(rows, 20.0)
    band = Band(np.array(values), usual, usual - 2.0, usual + 2.0)
    times = START + SECOND * np.arange(rows, dtype=np.int64)
    verdicts = policy.step(np.zeros(rows, np.int32), times, np.full(rows, score), band)
    return [SEVERITIES[number] for number in verdicts.severity]


def test_a_value_74_times_as_far_off_as_nearly_all_is_major_at_any_rate() -> None:
    assert severities([20.0 + 74 * 2.0] * 30) == ["major"] * 30
    assert severities([26.0, 20.0 + 74 * 2.0, 26.0]) == ["minor", "major", "major"]


def test_a_value_a_little_off_for_half_a_minute_is_minor() -> None:
    assert severities([26.0] * 30) == ["minor"] * 30


def test_the_distance_of_an_earlier_alarm_does_not_count() -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=5.5, clear_after="5s", clear_readings=5, cooldown=0))
    policy.grow(1)
    values = np.array([200.0, *[20.0] * 20, 26.0])
    usual = np.full(len(values), 20.0)
    times = START + SECOND * np.arange(len(values), dtype=np.int64)
    band = Band(values, usual, usual - 2.0, usual + 2.0)
    verdicts = policy.step(np.zeros(len(values), np.int32), times, np.where(values > 20.0, 6.0, 0.0), band)
    found = [(int(e), SEVERITIES[s]) for e, s in zip(verdicts.event, verdicts.severity, strict=True) if e]
    assert found == [(OPENED, "major"), (CLEARED, "major"), (OPENED, "minor")]


def test_an_alarm_that_lasts_grows_more_severe_and_never_less() -> None:
    policy = AlarmPolicy(AlarmSettings(threshold=4.0, clear_after="1m", clear_readings=2))
    policy.grow(1)
    scores = np.array([4.5] * 250 + [0.0] * 3)
    times = START + 60 * SECOND * np.arange(len(scores), dtype=np.int64)
    verdicts = policy.step(np.zeros(len(scores), np.int32), times, scores)
    events = [(row, int(event)) for row, event in enumerate(verdicts.event) if event]
    assert events == [(0, OPENED), (240, ESCALATED), (251, CLEARED)]
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
