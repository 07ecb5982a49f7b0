"""Scores of several detectors of one series, merged into one."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.knowledge import Knowledge
from devices.batch import NO_TIME, Batch
from devices.series_registry import SeriesRegistry
from ingest.detector_host import DetectorHost
from ingest.ingest_settings import ComponentSettings
from ingest.order import Ordered

SECOND = 1_000_000_000


def host(*types: dict[str, object]) -> DetectorHost:
    registry = made_registry()
    named = {f"d{number}": ComponentSettings.model_validate(each) for number, each in enumerate(types)}
    made = DetectorHost(named, registry)
    made.assign(0, list(named), Knowledge(), NO_TIME)
    return made


def made_registry() -> SeriesRegistry:
    registry = SeriesRegistry(max_series=10, max_series_per_device=10)
    registry.find_or_add("pump", "t")
    return registry


def ordered(values: list[float]) -> Ordered:
    n = len(values)
    time = SECOND * np.arange(1, n + 1, dtype=np.int64)
    batch = Batch(np.zeros(n, np.int32), time, np.array(values))
    return Ordered(batch, np.zeros(n, np.bool_), time, time)


def test_the_highest_score_wins_and_the_band_is_whole_from_the_first_detector_that_has_one() -> None:
    upper = {"type": "threshold", "upper": 50.0}
    both = {"type": "threshold", "lower": 0.0, "upper": 90.0}
    scores = host(upper, both).step(ordered([10.0, 60.0, -5.0]), np.ones(3, np.bool_)).readings
    assert scores.score.tolist() == [0.0, 12.0, 12.0]
    assert scores.upper.tolist() == [50.0] * 3
    assert np.isnan(scores.lower).all()
    assert scores.parts(1) == {"d0": 12.0}
    assert scores.parts(2) == {"d1": 12.0}


def test_contributors_come_with_the_largest_first() -> None:
    made = host({"type": "zscore", "warmup": 5}, {"type": "threshold", "upper": 2.2})
    scores = made.step(ordered([*[1.0, 2.0] * 10, 2.5]), np.ones(21, np.bool_)).readings
    parts = scores.parts(20)
    assert list(parts) == ["d1", "d0"]
    assert parts["d1"] == 12.0
    assert 0 < parts["d0"] < 12.0


def test_the_reason_is_that_of_the_limit_even_where_another_detector_scores_as_much() -> None:
    made = host({"type": "zscore", "warmup": 5}, {"type": "threshold", "upper": 95.0})
    given = ordered([*[1.0, 2.0] * 10, 96.5])
    opening = made.step(given, np.ones(21, np.bool_)).readings.opening(given.batch, 20, made_registry().records[0])
    assert opening.reason == "t 96.5 is above 95"
    assert opening.parts == {"d0": 12.0, "d1": 12.0}
    assert opening.expected == pytest.approx(1.5, abs=0.2)


def test_a_series_is_learning_as_long_as_its_nearest_detector_is() -> None:
    made = host({"type": "zscore", "warmup": 5}, {"type": "zscore", "warmup": 50})
    made.step(ordered([1.0] * 3), np.ones(3, np.bool_))
    assert [column.tolist() for column in made.learning()] == [[3], [5]]
    made.step(ordered([1.0] * 4), np.ones(4, np.bool_))
    assert [column.tolist() for column in made.learning()] == [[7], [5]]


def test_what_is_not_to_be_learned_is_scored_and_changes_nothing() -> None:
    made = host({"type": "zscore", "warmup": 5})
    made.step(ordered([1.0, 2.0] * 10), np.ones(20, np.bool_))
    before = made.state()
    scores = made.step(ordered([9.0] * 5), np.zeros(5, np.bool_)).readings
    assert (scores.score > 3.0).all()
    for part, state in made.state().items():
        assert all(array.tobytes() == before[part][name].tobytes() for name, array in state.items())
