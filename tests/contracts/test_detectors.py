"""What every registered detector must do, in each of its variants: how it scores."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
from detector_steps import (
    SECOND,
    START,
    assert_same,
    assert_same_state,
    assert_well_formed,
    cut,
    every_detector,
    every_variant,
    joined,
    make,
    needed,
    noisy,
    series,
    step,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from detectors.detector import Detector


@every_detector
def test_documentation_says_what_a_reader_must_know(detector: type[Detector]) -> None:
    text = detector.__doc__ or ""
    for word in ("Works:", "Fails:", "Cost:", "Memory:", "Source"):
        assert word in text, f"{detector.name}: {word} is missing"


@every_detector
def test_parameters_are_frozen_closed_and_described(detector: type[Detector]) -> None:
    model: type[BaseModel] = detector.Parameters
    assert model.model_config["frozen"]
    assert model.model_config["extra"] == "forbid"
    for name, field in model.model_fields.items():
        assert field.description, f"{detector.name}.{name} has no description"


@every_variant
def test_warming_is_nan_and_ends_when_the_count_is_reached(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters)
    before = int(detector.warming()[1][0])
    scores = step(detector, series(noisy(before + 20)))
    assert_well_formed(scores, before + 20)
    assert np.isnan(scores.score[:before]).all()
    assert np.isfinite(scores.score[before:]).all()
    count, still_needed = detector.warming()
    assert count.dtype == still_needed.dtype == np.int64
    assert count[0] >= still_needed[0]


@every_variant
def test_scoring_before_any_learning_works(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters)
    scores = step(detector, series(noisy(30)), learn=False)
    assert_well_formed(scores, 30)
    assert np.isnan(scores.score).all() == (needed(name, parameters) > 0)
    assert detector.warming()[0][0] == 0


@every_variant
def test_scoring_alone_changes_no_state(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters)
    warm = needed(name, parameters) + 60
    step(detector, series(noisy(warm)))
    before = detector.state()
    data = series(np.concatenate([noisy(20, seed=2), [1e6, -1e6, math.nan, 0.0]]))
    first = step(detector, data, learn=False)
    assert_same_state(before, detector.state())
    assert_same(first, step(detector, data, learn=False))


@every_variant
def test_what_is_not_finite_is_refused_and_not_learned(name: str, parameters: Mapping[str, object]) -> None:
    warm = needed(name, parameters) + 60
    values = noisy(warm)
    plain, disturbed = make(name, parameters), make(name, parameters)
    step(plain, series(values))
    slot, time, value = series(values)
    dirty = np.repeat(value, 2)
    dirty[::2] = np.resize([math.nan, math.inf, -math.inf], warm)
    scores = step(disturbed, (np.repeat(slot, 2), np.repeat(time, 2), dirty))
    assert np.isnan(scores.score[::2]).all()
    assert_same_state(plain.state(), disturbed.state())


HARD_SERIES = {
    "flat": np.full(400, 21.5),
    "zero": np.zeros(400),
    "zero then noise": np.concatenate([np.zeros(200), noisy(200)]),
    "noise then flat": np.concatenate([noisy(200), np.full(200, 20.0)]),
    "two values": np.resize([0.0, 1.0], 400),
    "huge": noisy(400) * 1e300,
    "largest": np.resize([1.7e308, -1.7e308, 0.0, 1.7e308], 400),
    "a huge one": np.where(np.arange(400) % 150 == 149, 1e300, noisy(400)),
    "tiny": noisy(400) * 1e-300,
    "smallest": np.resize([5e-324, 0.0], 400),
    "far from zero": 1e12 + noisy(400),
    "ramp": np.arange(400.0),
    "growing": 1.9 ** np.arange(400.0),
}


@pytest.mark.parametrize("kind", HARD_SERIES)
@every_variant
def test_hard_series_are_scored_and_do_not_break_the_detector(
    name: str, parameters: Mapping[str, object], kind: str
) -> None:
    detector = make(name, parameters)
    values = HARD_SERIES[kind]
    assert_well_formed(step(detector, series(values)), len(values))
    state = detector.state()
    assert set(state) == set(make(name, parameters).state())
    assert_well_formed(step(detector, series(noisy(50))), 50)


@pytest.mark.parametrize("kind", ["huge", "largest", "a huge one", "zero", "growing"])
@every_variant
def test_absurd_readings_do_not_silence_a_slot(name: str, parameters: Mapping[str, object], kind: str) -> None:
    detector = make(name, parameters)
    count = 2 * needed(name, parameters) + 200
    values = np.concatenate([HARD_SERIES[kind], noisy(count)])
    scores = step(detector, series(values))
    assert np.isfinite(scores.score[-50:]).all()


@every_variant
def test_gaps_doubled_times_and_clock_jumps_do_not_break_the_detector(
    name: str, parameters: Mapping[str, object]
) -> None:
    detector = make(name, parameters)
    steps = np.full(400, SECOND, np.int64)
    steps[[50, 51, 52]] = 0
    steps[120] = 40 * 86_400 * SECOND
    steps[200] = 9 * SECOND
    steps[300] = 10 * 365 * 86_400 * SECOND
    slot, _, value = series(noisy(400))
    assert_well_formed(step(detector, (slot, np.cumsum(steps), value)), 400)
    same_time = make(name, parameters)
    assert_well_formed(step(same_time, (slot, np.full(400, START), value)), 400)


@every_variant
def test_cutting_a_batch_anywhere_gives_the_same_scores(name: str, parameters: Mapping[str, object]) -> None:
    count = needed(name, parameters) + 80
    data = series(noisy(count))
    whole = make(name, parameters)
    expected = step(whole, data)
    pieces = make(name, parameters)
    cuts = [0, 1, 2, 17, count // 2, count - 1, count]
    found = joined([step(pieces, cut(data, start, end)) for start, end in itertools.pairwise(cuts)])
    assert_same(expected, found)
    assert_same_state(whole.state(), pieces.state())


@every_variant
def test_a_prefix_scores_as_it_does_within_the_whole(name: str, parameters: Mapping[str, object]) -> None:
    count = needed(name, parameters) + 80
    data = series(np.concatenate([noisy(count), [1e6] * 5]))
    whole = step(make(name, parameters), data)
    for end in (count // 3, count - 7):
        prefix = step(make(name, parameters), cut(data, 0, end))
        np.testing.assert_array_equal(prefix.score, whole.score[:end])
        np.testing.assert_array_equal(prefix.expected, whole.expected[:end])


@every_variant
def test_slots_do_not_touch_each_other(name: str, parameters: Mapping[str, object]) -> None:
    count = needed(name, parameters) + 80
    own = [noisy(count, seed) * (1 + seed) for seed in range(3)]
    alone = [step(make(name, parameters), series(values)) for values in own]
    together = make(name, parameters, size=3)
    slot = np.tile(np.arange(3, dtype=np.int32), count)
    time = np.repeat(series(own[0])[1], 3)
    scores = step(together, (slot, time, np.stack(own, axis=1).ravel()))
    for k in range(3):
        np.testing.assert_array_equal(alone[k].score, scores.score[k::3])
        np.testing.assert_array_equal(alone[k].upper, scores.upper[k::3])


@every_variant
def test_the_same_readings_give_the_same_scores_and_state(name: str, parameters: Mapping[str, object]) -> None:
    data = series(noisy(needed(name, parameters) + 80))
    left, right = make(name, parameters), make(name, parameters)
    assert_same(step(left, data), step(right, data))
    assert_same_state(left.state(), right.state())


@every_variant
def test_an_empty_batch_and_read_only_arrays_are_taken(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters)
    assert_well_formed(step(detector, series(np.zeros(0))), 0)
    data = series(noisy(10))
    for array in data:
        array.flags.writeable = False
    assert_well_formed(step(detector, data), 10)


@every_variant
def test_a_slot_without_room_is_refused(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters)
    for slot in (-1, 1):
        with pytest.raises(IndexError, match="slot"):
            step(detector, series(noisy(3), slot=slot))


@every_variant
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_readings_in_any_cuts_are_scored_alike(
    name: str, parameters: Mapping[str, object], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 60))
    value = np.array(data.draw(st.lists(st.floats(width=64), min_size=count, max_size=count)))
    slot = np.array(data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)), np.int32)
    steps = data.draw(st.lists(st.integers(0, 10**15), min_size=count, max_size=count))
    time = np.cumsum(np.array(steps, np.int64))
    learn = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    where = data.draw(st.integers(0, count))
    readings = (slot, time, value)
    whole, pieces = make(name, parameters, 3), make(name, parameters, 3)
    expected = step(whole, readings, learn)
    found = joined(
        [
            step(pieces, cut(readings, 0, where), learn[:where]),
            step(pieces, cut(readings, where, count), learn[where:]),
        ]
    )
    assert_well_formed(expected, count)
    assert np.isnan(expected.score[~np.isfinite(value)]).all()
    assert_same(expected, found)
    assert_same_state(whole.state(), pieces.state())
