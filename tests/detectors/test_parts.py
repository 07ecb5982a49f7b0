"""The ensemble's parts by themselves: each finds what it is for."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.forecast import Forecast
from detectors.novelty import Novelty
from detectors.part import PartDetector, PartParameters
from detectors.rarity import Rarity
from detectors.shape import Shape


def score(kind: type[PartDetector], values: np.ndarray) -> np.ndarray:
    detector = kind(PartParameters())
    detector.grow(1)
    count = len(values)
    time = np.arange(count, dtype=np.int64) * 60_000_000_000
    return detector.step(np.zeros(count, np.int32), time, values, np.ones(count, np.bool_)).score


def two_levels(count: int) -> np.ndarray:
    random = np.random.default_rng(2)
    return np.where(np.arange(count) // 50 % 2 == 0, 10.0, 30.0) + random.normal(size=count) * 0.3


@pytest.mark.parametrize("kind", [Novelty, Rarity])
def test_a_value_between_two_usual_levels_is_odd(kind: type[PartDetector]) -> None:
    values = two_levels(4000)
    values[3520] = 20.0
    result = score(kind, values)
    assert result[3520] > 2.0
    assert result[3520] == result[3000:].max()


def test_the_forecast_minds_a_jump_that_values_alone_do_not_show() -> None:
    values = 10 * np.sin(np.arange(4000) / 60) + np.random.default_rng(3).normal(size=4000) * 0.02
    values[3500] = -values[3500]
    assert score(Forecast, values)[3500] > 3.0 > score(Novelty, values)[3500]


def test_shape_finds_the_period_and_the_flat_stretch() -> None:
    cycle = np.sin(2 * np.pi * np.arange(6000) / 80) + np.random.default_rng(4).normal(size=6000) * 0.05
    cycle[5000:5030] = cycle[5000]
    detector = Shape(PartParameters())
    detector.grow(1)
    time = np.arange(6000, dtype=np.int64)
    result = detector.step(np.zeros(6000, np.int32), time, cycle, np.ones(6000, np.bool_)).score
    assert abs(int(detector.state()["period"][0]) - 80) <= 2
    assert 5000 <= 1000 + int(np.argmax(result[1000:])) <= 5080


def test_noise_has_no_period() -> None:
    detector = Shape(PartParameters())
    detector.grow(1)
    values = np.random.default_rng(5).normal(size=5000)
    detector.step(np.zeros(5000, np.int32), np.arange(5000, dtype=np.int64), values, np.ones(5000, np.bool_))
    assert detector.state()["period"][0] == 0
