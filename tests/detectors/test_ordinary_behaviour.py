"""What a plant does every day raises no alarm, however long it is watched; what is far beyond that still does."""

from __future__ import annotations

import numpy as np
import pytest

from tuning.backtest import Plan, score_columns
from tuning.track import Track

MINUTE = 60_000_000_000
DAY = 1_440
"""Readings in a day, one a minute."""
START = 1_750_032_000_000_000_000
"""A Monday at midnight."""


def scored(values: np.ndarray) -> Track:
    time = START + MINUTE * np.arange(len(values), dtype=np.int64)
    return score_columns(Plan(), "plant", ["power"], time, values[:, None])


def days_of_alarms(track: Track) -> list[float]:
    return [round((alarm.opened - START) / MINUTE / DAY, 1) for alarm in track.alarms]


def with_cooking(days: int, seed: int) -> np.ndarray:
    """A household's load: once a day, at no fixed hour, something is on for a quarter of an hour."""
    random = np.random.default_rng(seed)
    values = random.normal(300.0, 10.0, days * DAY)
    for day in range(days):
        start = day * DAY + random.integers(0, DAY - 40)
        values[start : start + 15] = random.uniform(900.0, 1_300.0) + random.normal(0.0, 10.0, 15)
    return values


@pytest.mark.parametrize("seed", [1, 2])
def test_most_bursts_of_the_kind_of_the_first_days_raise_no_alarm_weeks_later(seed: int) -> None:
    values = with_cooking(38, seed)
    values[38 * DAY - 20] = 9_000.0
    days = days_of_alarms(scored(values))
    assert days[-1] == 38.0, "what is far beyond them does"
    assert len([day for day in days if 21.0 < day < 37.0]) <= 8


@pytest.mark.parametrize("minutes", [2, 4, 8])
def test_a_compressor_raises_no_alarm_from_its_first_day_on(minutes: int) -> None:
    random = np.random.default_rng(1)
    cycles = [part for _ in range(300) for part in (np.full(random.integers(22, 27), 57.0), np.full(minutes, 1_490.0))]
    values = np.concatenate(cycles)
    assert days_of_alarms(scored(values + random.normal(0.0, 12.0, len(values)))) == []
