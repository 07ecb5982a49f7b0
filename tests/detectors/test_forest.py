"""Half-space trees: the scores of river's, many series at a time."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from river.anomaly import HalfSpaceTrees as RiverTrees
from river.compose import Pipeline
from river.preprocessing import MinMaxScaler

from detectors.detector_registry import create
from detectors.forest import HalfSpaceTrees, HalfSpaceTreesParameters


def stream(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    value = rng.choice([5.0, 20.0], count) + rng.normal(0, 1 + seed, count)
    value[rng.integers(0, count, 5)] = 60.0
    return value


@pytest.mark.parametrize(
    ("trees", "height", "window", "seed"), [(10, 8, 250, 42), (3, 4, 40, 1), (1, 1, 7, 0), (5, 2, 30, 9)]
)
def test_raw_scores_equal_rivers_bit_by_bit(trees: int, height: int, window: int, seed: int) -> None:
    values = stream(3 * window + 60, seed)
    river = Pipeline(MinMaxScaler(), RiverTrees(n_trees=trees, height=height, window_size=window, seed=seed))
    ours = HalfSpaceTrees(
        HalfSpaceTreesParameters(n_trees=trees, height=height, window_size=window, seed=seed, ranked=64)
    )
    ours.grow(1)
    slot = np.zeros(1, np.int32)
    for i, value in enumerate(values.tolist()):
        assert ours.raw_scores(slot, np.array([value]))[0] == (river.score_one({"x": value}) if i else 0.0)
        river.learn_one({"x": value})
        ours.step(slot, np.array([i]), np.array([value]), np.ones(1, np.bool_))


def test_scores_are_those_of_the_river_detector() -> None:
    values = stream(900, 3)
    found = []
    for name, parameters in (
        ("half_space_trees", {"window_size": 100, "n_trees": 5, "height": 5}),
        ("river", {"warmup": 100, "parameters": {"window_size": 100, "n_trees": 5, "height": 5}}),
    ):
        detector = create(name, parameters)
        detector.grow(1)
        found.append(detector.step(np.zeros(900, np.int32), np.arange(900), values, np.ones(900, np.bool_)).score)
    np.testing.assert_array_equal(found[0], found[1])


def test_a_value_between_two_modes_scores_higher_than_the_modes() -> None:
    rng = np.random.default_rng(5)
    values = rng.choice([0.0, 10.0], 1000) + rng.normal(0, 0.3, 1000)
    detector = create("half_space_trees", {})
    detector.grow(1)
    detector.step(np.zeros(1000, np.int32), np.arange(1000), values, np.ones(1000, np.bool_))
    between, usual = detector.raw_scores(np.zeros(2, np.int32), np.array([5.0, 10.0]))  # type: ignore[attr-defined]
    assert between > usual


def test_a_forest_too_large_is_refused() -> None:
    with pytest.raises(ValidationError, match="at most 65536 leaves, got 1638400"):
        HalfSpaceTreesParameters(n_trees=100, height=14)


def test_a_forest_whose_masses_would_not_fit_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"less than 2\^32, which a mass holds, got 8588754960"):
        HalfSpaceTreesParameters(n_trees=16, height=12, window_size=65_535)
    HalfSpaceTreesParameters(n_trees=16, height=12, window_size=30_000)
