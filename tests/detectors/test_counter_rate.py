"""Counters: an ordinary climb is silent; a stop, a reset, a climb beyond the usual are told, each by its name."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.channels import counter_rate
from detectors.channels.counter_rate import CounterParameters, CounterRate

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MONDAY = 1_767_571_200 * 10**9


def fresh() -> CounterRate:
    detector = CounterRate(CounterParameters())
    detector.grow(1)
    return detector


def feed(detector: CounterRate, time: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Scores, 0 while warming up."""
    count = len(time)
    score = detector.step(np.zeros(count, np.int32), time, np.asarray(value, float), np.ones(count, np.bool_)).score
    return np.nan_to_num(score)


def cause(detector: CounterRate) -> int:
    return int(detector.arrays["total"][0, counter_rate.CAUSE])


def meter(days: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A household's energy each five minutes, 0.2 to 0.6 kW by the hour with a cooker now and then, in 0.01 kWh."""
    rng = np.random.default_rng(seed)
    count = days * 288
    hour = np.arange(count) % 288 / 12
    power = 0.4 - 0.2 * np.cos(hour / 24 * 2 * np.pi) + rng.gamma(2, 0.05, count)
    power += np.where((hour > 17) & (hour < 19), rng.uniform(0, 2, count), 0.0)
    return MONDAY + np.arange(count) * 5 * MINUTE, np.round(1234.5 + np.cumsum(power / 12), 2)


@pytest.mark.parametrize("seed", range(5))
def test_an_ordinary_climb_is_silent(seed: int) -> None:
    time, value = meter(42, seed)
    loud = feed(fresh(), time, value) >= 3.3
    assert (loud[1:] & ~loud[:-1]).sum() <= 2, "one a week would be 6"


def test_a_reset_is_told_once_by_name_and_the_climb_goes_on_as_usual() -> None:
    time, value = meter(30)
    at = 20 * 288 + 100
    value[at:] -= value[at]
    detector = fresh()
    score = feed(detector, time[: at + 1], value[: at + 1])
    assert score[at] > 4.0
    assert cause(detector) == counter_rate.RESET
    assert feed(detector, time[at + 1 :], value[at + 1 :])[: 10 * 288].max() < 3.3


def test_a_new_meter_that_does_not_begin_at_zero_is_a_reset_too() -> None:
    time, value = meter(21)
    value[20 * 288 :] -= 700.0
    assert feed(fresh(), time, value)[20 * 288] > 4.0


def test_a_stop_is_told_while_it_lasts() -> None:
    time, value = meter(30)
    at = 20 * 288
    value[at : at + 144] = value[at]
    value[at + 144 :] -= value[at + 144] - value[at]
    detector = fresh()
    score = feed(detector, time[: at + 100], value[: at + 100])
    assert score[at + 30 :].min() > 3.5
    assert cause(detector) == counter_rate.STOPPED
    assert feed(detector, time[at + 100 :], value[at + 100 :])[60:].max() < 3.3


def test_a_climb_six_times_as_fast_is_told_within_hours_and_stays() -> None:
    time, value = meter(30)
    at = 20 * 288
    value[at:] += 2.0 * np.arange(len(value) - at) / 12
    score = feed(fresh(), time, value)
    assert score[at + 72 : at + 288].min() > 3.3


@pytest.mark.parametrize("size", [2.0**16, 2.0**32, 1e5, 1e6])
def test_a_roll_over_is_silent(size: float) -> None:
    count = 4000
    value = (size - 30_000.0 + np.cumsum(np.random.default_rng(3).poisson(10, count))) % size
    time = MONDAY + np.arange(count) * MINUTE
    drop = int(np.flatnonzero(np.diff(value) < 0)[0]) + 1
    score = feed(fresh(), time, value)
    assert score[drop] < 1.0
    assert score.max() < 4.0


def test_a_daily_total_is_silent_every_night_of_summer_time_too() -> None:
    time, value = meter(60)
    local = time + np.where(np.arange(len(time)) > 30 * 288, 2, 1) * HOUR
    day = local // DAY
    start = np.maximum.accumulate(np.where(np.diff(day, prepend=day[0] - 1) > 0, np.arange(len(day)), 0))
    score = feed(fresh(), time, np.round(value - value[start] + 0.02, 2))
    assert score.max() < 3.3


def test_an_outage_is_bridged_by_the_mean_climb() -> None:
    time, value = meter(30)
    keep = np.ones(len(time), bool)
    keep[20 * 288 : 20 * 288 + 100] = False
    at = 20 * 288
    score = feed(fresh(), time[keep], value[keep])
    assert score[at : at + 50].max() < 3.0
