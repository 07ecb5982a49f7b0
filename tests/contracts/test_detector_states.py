"""What every registered detector must do, in each of its variants: what it keeps, saves and loads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from detector_steps import assert_same, cut, every_variant, make, needed, noisy, series, step

from detectors.detector_registry import create
from detectors.fleet_detector import FleetDetector
from detectors.record_detector import RecordDetector


@every_variant
def test_growing_keeps_what_was_learned(name: str, parameters: Mapping[str, object]) -> None:
    count = needed(name, parameters) + 40
    data = series(noisy(count))
    steady, grown = make(name, parameters), make(name, parameters)
    step(steady, cut(data, 0, count - 20))
    step(grown, cut(data, 0, count - 20))
    grown.grow(200)
    grown.grow(3)
    assert grown.size == 200
    assert len(grown.warming()[0]) == len(grown.warming()[1]) == 200
    assert grown.warming()[0][0] > 0
    assert (grown.warming()[0][1:] == 0).all()
    assert_same(step(steady, cut(data, count - 20, count)), step(grown, cut(data, count - 20, count)))


@every_variant
def test_memory_of_a_slot_is_bounded(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters)
    warm = needed(name, parameters) + 200
    data = series(noisy(3 * warm))

    def size() -> int:
        return sum(array.nbytes for array in detector.state().values())

    step(detector, cut(data, 0, warm))
    before = size()
    step(detector, cut(data, warm, 3 * warm))
    # A few bytes are left to pickles, in which a larger count is written longer.
    assert size() <= before * 1.05


@every_variant
def test_the_declared_bytes_of_a_slot_are_those_of_its_state(name: str, parameters: Mapping[str, object]) -> None:
    slots = 16
    detector = make(name, parameters, slots)
    count = needed(name, parameters) + 60
    slot = np.tile(np.arange(slots, dtype=np.int32), count)
    step(detector, (slot, np.repeat(series(noisy(count))[1], slots), np.repeat(noisy(count), slots)))
    shared = {"version", "river"}
    real = sum(array.nbytes for key, array in detector.state().items() if key not in shared) / slots
    if isinstance(detector, RecordDetector):
        # Each record ends on a multiple of eight bytes.
        records = sum(array[:1].size for array in detector.records.values())
        # A record, and each part within, ends on a multiple of eight bytes.
        assert real <= detector.bytes_per_slot <= real + 16 * records
    elif isinstance(detector, FleetDetector):
        assert detector.bytes_per_slot == real
    else:
        # Objects that are pickled: their size depends on what they were shown.
        assert 0.7 * real <= detector.bytes_per_slot <= 1.5 * real


@every_variant
def test_a_loaded_state_goes_on_bit_by_bit(name: str, parameters: Mapping[str, object]) -> None:
    count = needed(name, parameters) + 80
    data = series(noisy(count + 60))
    saved, loaded = make(name, parameters, size=2), create(name, parameters)
    step(saved, cut(data, 0, count))
    state = saved.state()
    loaded.load(state)
    assert loaded.size == 2
    expected = step(saved, cut(data, count, count + 60))
    assert_same(expected, step(loaded, cut(data, count, count + 60)))
    assert {key: array.shape for key, array in loaded.state().items() if key != "models"} == {
        key: array.shape for key, array in state.items() if key != "models"
    }
    assert not any(np.shares_memory(a, b) for a, b in zip(state.values(), saved.state().values(), strict=True))


@every_variant
def test_a_state_taken_early_is_a_copy(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters)
    data = series(noisy(needed(name, parameters) + 40))
    step(detector, cut(data, 0, 10))
    taken = detector.state()
    before = {key: array.tobytes() for key, array in taken.items()}
    step(detector, cut(data, 10, len(data[0])))
    assert {key: array.tobytes() for key, array in taken.items()} == before


@every_variant
def test_a_state_that_does_not_fit_is_refused(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters, size=2)
    step(detector, series(noisy(needed(name, parameters) + 40)))
    state = detector.state()
    fresh = create(name, parameters)
    with pytest.raises(ValueError, match="expected"):
        fresh.load({})
    with pytest.raises(ValueError, match="expected"):
        fresh.load({**state, "unheard_of": np.zeros(2)})
    for key, array in state.items():
        with pytest.raises(ValueError, match="expected"):
            fresh.load({**state, key: np.zeros((*array.shape, 3), array.dtype)})
        with pytest.raises(ValueError, match="expected"):
            fresh.load({**state, key: array.astype("S4")})
