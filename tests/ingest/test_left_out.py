"""Stretches that are not learned, or left out: which readings lie in one, to the nanosecond, and what is kept."""

from __future__ import annotations

import json

import numpy as np
import pytest

from devices.batch import Batch
from devices.records import PointsMark
from devices.series_registry import SeriesRegistry
from ingest import excluded_stretches, not_learned
from ingest.excluded_stretches import ExcludedStretches
from ingest.not_learned import NotLearned, Stretch
from ingest.order import Ordered


def registry_of(*names: tuple[str, str]) -> SeriesRegistry:
    registry = SeriesRegistry(max_series=9, max_series_per_device=9)
    for device, metric in names:
        registry.find_or_add(device, metric)
    return registry


def batch(series: list[int], time: list[int]) -> Batch:
    return Batch(np.array(series, np.int32), np.array(time, np.int64), np.arange(len(time), dtype=np.float64))


THREE = (("pump", "flow"), ("pump", "power"), ("fan", "flow"))


def test_a_stretch_is_of_one_device_and_the_metrics_named_from_its_start_up_to_and_without_its_end() -> None:
    registry = registry_of(*THREE)
    left_out = NotLearned(registry)
    assert left_out.learn(batch([0], [15])).tolist() == [True]
    left_out.add(Stretch("pump", "fl*", 10, 20))
    asked = batch([0, 0, 0, 0, 1, 2], [9, 10, 19, 20, 15, 15])
    assert left_out.learn(asked).tolist() == [True, False, False, True, True, True]
    for time, is_learned in ((9, True), (10, False), (19, False), (20, True)):
        assert left_out.learn(batch([0], [time])).tolist() == [is_learned]
    registry.find_or_add("pump", "flood")
    assert left_out.learn(batch([3, 0], [15, 25])).tolist() == [False, True], "a series that came later"
    left_out.add(Stretch("fan", "*", 0, 16))
    assert left_out.learn(asked).tolist() == [True, False, False, True, True, False]
    again = NotLearned(registry)
    again.load(json.loads(json.dumps(left_out.state())))
    assert again.learn(asked).tolist() == left_out.learn(asked).tolist()
    assert left_out.learn(Batch.empty()).tolist() == []


def test_of_stretches_not_learned_the_oldest_is_forgotten_beyond_the_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(not_learned, "MOST", 2)
    left_out = NotLearned(registry_of(*THREE))
    for start in (10, 20, 30):
        left_out.add(Stretch("pump", "flow", start, start + 5))
    assert left_out.learn(batch([0, 0, 0], [12, 22, 32])).tolist() == [True, False, False]


def ordered(series: list[int], time: list[int]) -> Ordered:
    count = len(time)
    late = np.arange(count) % 2 == 1
    return Ordered(batch(series, time), late, np.arange(count) + 100, np.arange(count) + 200)


def test_readings_in_a_stretch_that_is_left_out_are_apart_from_the_others() -> None:
    stretches = ExcludedStretches()
    stretches.mark(PointsMark(1, 10, 20, excluded=True))
    stretches.mark(PointsMark(3, 0, 5, excluded=True))
    kept, apart = stretches.split(ordered([1, 1, 1, 1, 0], [9, 10, 19, 20, 15]))
    assert (kept.batch.time.tolist(), kept.batch.series.tolist()) == ([9, 20, 15], [1, 1, 0])
    assert (kept.late.tolist(), kept.arrival.tolist(), kept.released.tolist()) == (
        [False, True, False],
        [100, 103, 104],
        [200, 203, 204],
    )
    assert (apart.series.tolist(), apart.time.tolist(), apart.value.tolist()) == ([1, 1], [10, 19], [1.0, 2.0])
    untouched = ordered([0, 1], [12, 30])
    assert stretches.split(untouched)[0] is untouched
    stretches.mark(PointsMark(1, 12, 15, excluded=False))
    assert stretches.state() == [(3, 0, 5), (1, 10, 12), (1, 15, 20)]
    again = ExcludedStretches()
    again.load(json.loads(json.dumps(stretches.state())))
    assert again.split(ordered([1, 1, 1], [11, 13, 15]))[1].time.tolist() == [11, 15]


def test_stretches_follow_their_series_and_go_with_it() -> None:
    stretches = ExcludedStretches()
    for series in (1, 2, 3):
        stretches.mark(PointsMark(series, 10 * series, 10 * series + 5, excluded=True))
    stretches.move({1: 2, 9: 3})
    assert sorted(stretches.state()) == [(2, 10, 15), (2, 20, 25), (3, 30, 35)]
    stretches.drop([3, 7])
    assert sorted(stretches.state()) == [(2, 10, 15), (2, 20, 25)]
    stretches.mark(PointsMark(2, 0, 99, excluded=False))
    assert stretches.state() == []


def test_of_stretches_that_are_left_out_those_marked_first_are_forgotten_beyond_the_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(excluded_stretches, "MOST", 2)
    stretches = ExcludedStretches()
    for series in (5, 4):
        stretches.mark(PointsMark(series, 10, 20, excluded=True))
    assert len(stretches.state()) == 2
    stretches.mark(PointsMark(3, 10, 20, excluded=True))
    assert stretches.state() == [(4, 10, 20), (3, 10, 20)]
