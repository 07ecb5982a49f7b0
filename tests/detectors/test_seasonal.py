"""Day, week and a found cycle at once: what is missing by the clock on the wall."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from detectors.detector import Scores
from detectors.detector_registry import create
from detectors.seasonal import Seasonal
from detectors.statistics.calendar_time import DAY, WEEK, offsets, wall_clock

SECOND = 1_000_000_000
EVERY = 300 * SECOND
PER_DAY = DAY // EVERY
MONDAY = round(datetime(2025, 9, 1, tzinfo=UTC).timestamp()) * SECOND


def times(days: int, start: int = MONDAY) -> np.ndarray:
    return start + np.arange(days * PER_DAY, dtype=np.int64) * EVERY


def load(time: np.ndarray, zone: str = "UTC", seed: int = 1) -> np.ndarray:
    """A peak at one o'clock on working days, a smaller one every evening, and noise."""
    changes, ahead = offsets(zone)
    local = np.array([wall_clock(int(moment), changes, ahead) for moment in time])
    hour, weekday = local % DAY / (3600 * SECOND), local % WEEK // DAY
    noon = 10 * np.exp(-(((hour - 13) / 2.5) ** 2)) * (weekday < 5)
    evening = 3 * np.exp(-(((hour - 19) / 1.5) ** 2))
    return 20 + noon + evening + np.random.default_rng(seed).normal(0, 0.3, len(time))


def score(time: np.ndarray, value: np.ndarray, **parameters: object) -> tuple[Seasonal, Scores]:
    detector = create("seasonal", parameters)
    assert isinstance(detector, Seasonal)
    detector.grow(1)
    return detector, detector.step(np.zeros(len(time), np.int32), time, value, np.ones(len(time), np.bool_))


def on(day: int, time: np.ndarray, start: int = MONDAY) -> np.ndarray:
    return (time - start) // DAY == day


def test_a_peak_that_does_not_come_on_a_working_day_stands_out() -> None:
    time = times(28)
    value = load(time)
    missing = on(23, time)
    assert np.flatnonzero(missing)[0] // PER_DAY % 7 < 5
    value[missing] = load(time + 3 * DAY, seed=2)[missing]
    _, scores = score(time, value)
    settled = on(21, time) | (time >= MONDAY + 21 * DAY)
    assert np.nanmax(scores.score[missing]) > 3.0
    assert np.nanmax(scores.score[missing]) > np.nanmax(scores.score[settled & ~missing]) + 0.5


def test_a_weekend_like_a_working_day_stands_out_and_a_quiet_one_does_not() -> None:
    time = times(49)
    value = load(time)
    busy = on(47, time)
    value[busy] = load(time - 2 * DAY, seed=3)[busy]
    _, scores = score(time, value)
    quiet = on(40, time) | on(41, time)
    assert np.nanmax(scores.score[busy]) > 3.5
    assert np.nanmax(scores.score[quiet]) < 2.5


def test_day_and_week_go_by_the_clock_of_the_zone_over_the_end_of_summer_time() -> None:
    start = round(datetime(2025, 10, 6, tzinfo=UTC).timestamp()) * SECOND
    time = times(24, start)
    value = load(time, "Europe/Berlin")
    after = time >= start + 21 * DAY
    errors = {}
    for zone in ("UTC", "Europe/Berlin"):
        _, scores = score(time, value, timezone=zone)
        errors[zone] = np.abs(scores.expected - value)[after].mean()
    assert errors["Europe/Berlin"] < 0.7 * errors["UTC"], errors


def test_a_cycle_is_found_beside_day_and_week() -> None:
    time = times(21)
    cycle = 70 * 60 * SECOND
    value = load(time) + 2 * np.sin(2 * np.pi * time / cycle)
    detector, scores = score(time, value)
    last = time >= MONDAY + 14 * DAY
    assert detector.cycles()[0] == pytest.approx(cycle, rel=0.02)
    error = np.sqrt(np.mean((scores.expected - value)[last] ** 2))
    assert error < 0.5 * np.std(value[last] - load(time, seed=2)[last])


def test_without_a_season_it_forecasts_by_the_level() -> None:
    time = times(21)
    value = 5 + np.random.default_rng(4).normal(size=len(time))
    detector, scores = score(time, value)
    last = time >= MONDAY + 14 * DAY
    assert detector.cycles()[0] == 0
    assert np.sqrt(np.mean((scores.expected - value)[last] ** 2)) < 1.1


def test_a_gap_does_not_move_the_courses() -> None:
    time = times(32)
    value = load(time)
    here = ~(on(22, time) | on(23, time) | on(24, time))
    _, scores = score(time[here], value[here])
    later = time[here] >= MONDAY + 25 * DAY
    assert np.nanmax(scores.score[later]) < 3.5
    assert np.abs(scores.expected - value[here])[later].mean() < 0.8


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd"])
def test_a_zone_that_is_none_is_refused_by_name(zone: str) -> None:
    with pytest.raises(ValidationError, match="expected a time zone such as"):
        create("seasonal", {"timezone": zone})


@given(
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
    moment=st.integers(631_152_000, 2_840_140_799),
)
def test_the_clock_on_the_wall_is_that_of_the_zone(zone: str, moment: int) -> None:
    local = datetime.fromtimestamp(moment, ZoneInfo(zone))
    changes, ahead = offsets(zone)
    wall = wall_clock(moment * SECOND, changes, ahead) // SECOND
    assert wall % 86_400 == local.hour * 3600 + local.minute * 60 + local.second
    assert wall % 604_800 // 86_400 == local.weekday()
