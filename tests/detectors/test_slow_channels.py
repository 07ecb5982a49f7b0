"""Noise, slow drift, angles: what each tells and when, and that it is silent on healthy stretches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detectors.channels import slow_drift
from detectors.channels.angle import angle_difference
from detectors.channels.slow_drift import SlowDrift, SlowDriftParameters
from detectors.detector_registry import create

MINUTE = 60 * 10**9
DAY = 1440 * MINUTE
START = 1_767_571_200 * 10**9


def score(name: str, value: np.ndarray, step: int = MINUTE, time: np.ndarray | None = None) -> np.ndarray:
    """Scores, 0 while warming up."""
    detector = create(name, {})
    detector.grow(1)
    count = len(value)
    at = START + np.arange(count) * step if time is None else time
    found = detector.step(np.zeros(count, np.int32), at, np.asarray(value, float), np.ones(count, np.bool_)).score
    return np.nan_to_num(found)


def noise(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(20, 0.5, count)


@pytest.mark.parametrize("factor", [0.2, 4.0])
def test_noise_that_grows_or_dies_is_told_within_two_hours_and_ends_when_it_is_back(factor: float) -> None:
    value = noise(12_000)
    value[8000:8400] = 20 + (value[8000:8400] - 20) * factor
    found = score("noise_level", value)
    assert found[:8000].max() < 4.0
    assert found[8000:8120].max() > 4.0
    assert found[8120:8400].min() > 2.5
    assert found[8470:].max() < 4.0


def test_noise_that_stays_is_usual_after_a_day() -> None:
    value = noise(8 * 1440)
    value[4 * 1440 :] = 20 + (value[4 * 1440 :] - 20) * 5
    found = score("noise_level", value)
    assert found[4 * 1440 + 60 : 5 * 1440].min() > 2.5
    assert found[5 * 1440 + 200 :].max() < 4.0


def test_a_lone_spike_a_step_and_a_slope_are_no_noise() -> None:
    value = noise(9000)
    value[3000] += 300
    value[5000:] += 50
    value[7000:] += np.arange(2000) * 0.05
    assert score("noise_level", value)[2000:].max() < 4.0


def test_noise_that_is_usual_by_day_is_told_by_night() -> None:
    hour = np.arange(20 * 1440) % 1440 / 60
    value = 20 + np.random.default_rng(2).normal(0, np.where((hour > 7) & (hour < 19), 2.0, 0.1))
    night = 15 * 1440 + 120
    value[night : night + 120] = 20 + np.random.default_rng(3).normal(0, 2.0, 120)
    found = score("noise_level", value)
    assert found[night + 60 : night + 120].max() > 3.5
    assert np.mean(found[3 * 1440 : night] >= 4.0) < 0.001


def test_an_outage_is_no_noise() -> None:
    value = noise(6000) + 10 * np.sin(np.arange(6000) / 1440 * 2 * np.pi)
    time = START + np.arange(6000) * MINUTE
    time[4000:] += DAY // 2
    value[4000:] = noise(2000, 2) - 10
    assert score("noise_level", value, time=time)[3990:4100].max() < 3.0


def plant(days: int, seed: int, wander: float = 0.02) -> np.ndarray:
    """A reading each five minutes with a course of the day, over a range of about 9."""
    rng = np.random.default_rng(seed)
    hour = np.arange(days * 288) % 288 / 12
    daily = np.repeat(rng.normal(0, wander, days), 288)
    return 20 + 3 * np.sin(hour / 24 * 2 * np.pi) + rng.normal(0, 0.5, days * 288) + daily


BUDGET = math.log10(2016)
"""Decades of an alarm a week at a reading each five minutes."""


def test_a_drift_of_one_percent_of_the_range_a_week_is_found_within_three_weeks() -> None:
    found = []
    for seed in range(12):
        value = plant(75, seed)
        value[50 * 288 :] += 0.09 * np.arange(25 * 288) / (7 * 288)
        told = np.flatnonzero(score("slow_drift", value, 5 * MINUTE) >= BUDGET)
        assert (told >= 50 * 288).all()
        found += [told[0] / 288 - 50] if len(told) else [math.inf]
    assert sorted(found)[8] <= 21


@pytest.mark.parametrize("wander", [0.0, 0.1])
def test_a_year_without_drift_is_silent(wander: float) -> None:
    loud = score("slow_drift", plant(365, 11, wander), 5 * MINUTE) >= BUDGET
    assert (loud[1:] & ~loud[:-1]).sum() <= 1


def test_what_follows_the_weather_is_silent() -> None:
    days = np.arange(365 * 288) / 288
    weather = np.interp(days, np.arange(366), np.random.default_rng(5).normal(0, 1, 366).cumsum() * 0.5)
    value = plant(365, 12) + weather + 8 * np.sin(days / 365 * 2 * np.pi)
    assert (score("slow_drift", value, 5 * MINUTE) >= BUDGET).sum() == 0


def test_a_step_is_no_drift_and_its_size_can_be_read() -> None:
    value = plant(75, 13)
    value[50 * 288 + 100 :] += 1.0
    detector = SlowDrift(SlowDriftParameters())
    detector.grow(1)
    count = len(value)
    time = START + np.arange(count) * 5 * MINUTE
    found = detector.step(np.zeros(count, np.int32), time, value, np.ones(count, np.bool_)).score
    assert np.nanmax(found) < BUDGET
    value = plant(75, 13)
    value[50 * 288 :] += 0.7 * np.arange(25 * 288) / (7 * 288)
    detector.load({name: np.zeros_like(array) for name, array in detector.state().items()})
    detector.step(np.zeros(count, np.int32), time, value, np.ones(count, np.bool_))
    assert detector.arrays["drift"][0, slow_drift.CHANGE] == pytest.approx(1.5, abs=0.2)


@pytest.mark.parametrize(("angle", "other", "expected"), [(1, 359, 2), (359, 1, -2), (180, 0, -180), (90, 45, 45)])
def test_angles_differ_the_short_way_round(angle: float, other: float, expected: float) -> None:
    assert angle_difference(angle, other, 360.0) == expected


def test_a_wind_around_north_is_silent_and_one_from_the_south_is_told() -> None:
    value = np.random.default_rng(6).normal(0, 10, 6000) % 360
    value[5000] = 180.0
    found = score("angle", value)
    assert np.delete(found, 5000).max() < 4.0
    assert found[5000] > 4.0


def test_directions_all_over_the_circle_have_no_usual_one() -> None:
    assert score("angle", np.random.default_rng(7).uniform(0, 360, 4000)).max() == 0.0
