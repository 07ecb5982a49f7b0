"""What every detector of rows must do, in each of its variants."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detectors.detector import MAX_SCORE
from detectors.detector_registry import ROW_DETECTORS, create_multivariate
from detectors.multivariate.row_detector import RowDetector, RowScores

WIDTH = 3
VARIANTS = [
    pytest.param(kind.name, example, id=f"{kind.name}-{number}")
    for kind in ROW_DETECTORS
    for number, example in enumerate(kind.examples())
]
every_variant = pytest.mark.parametrize(("name", "parameters"), VARIANTS)
FIELDS = ("score", "parts", "usual", "deviation", "distance")


def make(name: str, parameters: Mapping[str, object], size: int = 1) -> RowDetector:
    detector = create_multivariate(name, parameters)
    detector.grow(size)
    return detector


def plant(rows: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    load = rng.normal(size=(rows, 1))
    return 20 + load * [1.0, 2.0, 0.0] + rng.normal(0, 0.5, (rows, WIDTH))


def step(detector: RowDetector, values: np.ndarray, learn: bool | np.ndarray = True, slot: int = 0) -> RowScores:
    count = len(values)
    flags = np.full(count, learn) if isinstance(learn, bool) else learn
    return detector.step(np.full(count, slot, np.int32), np.arange(count, dtype=np.int64), values, flags)


def assert_same(left: RowScores, right: RowScores, rows: slice = slice(None)) -> None:
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(left, field), getattr(right, field)[rows], err_msg=field)


@pytest.mark.parametrize("kind", ROW_DETECTORS, ids=[kind.name for kind in ROW_DETECTORS])
def test_documentation_and_parameters_say_what_a_reader_must_know(kind: type[RowDetector]) -> None:
    for word in ("Works:", "Fails:", "Cost:", "Memory:", "Source"):
        assert word in (kind.__doc__ or ""), f"{kind.name}: {word} is missing"
    assert kind.Parameters.model_config["frozen"]
    assert kind.Parameters.model_config["extra"] == "forbid"
    assert all(field.description for field in kind.Parameters.model_fields.values())


@every_variant
def test_warming_is_nan_and_ends_when_the_count_is_reached(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters)
    needed = detector.warmup
    scores = step(detector, plant(needed + 50))
    assert np.isnan(scores.score[:needed]).all()
    given_scores = scores.score[needed:]
    assert ((given_scores >= 0) & (given_scores <= MAX_SCORE)).all()
    assert detector.warming_of(0) == (needed + 50, needed)
    assert detector.warming()[0].tolist() == [needed + 50]


@every_variant
def test_parts_are_the_score_divided_and_name_the_channel_that_is_off(
    name: str, parameters: Mapping[str, object]
) -> None:
    detector = make(name, parameters)
    warm = detector.warmup + 100
    values = plant(warm + 40)
    values[warm:, 1] += np.where(np.arange(40) % 2, 12.0, 14.0)
    scores = step(detector, values)
    assert scores.parts is not None
    worst = warm + int(np.argmax(scores.score[warm:]))
    assert scores.score[worst] > 3.0
    # Of two siblings that part, a detector of relations cannot tell which one moved.
    assert scores.parts[worst, 1] >= 0.9 * scores.parts[worst].max() > 0
    assert scores.parts[worst, 2] < scores.parts[worst, 1]
    odd = scores.score[warm:] > 0
    np.testing.assert_allclose(scores.parts[warm:][odd].sum(axis=1), scores.score[warm:][odd], rtol=1e-4)
    assert (scores.parts[warm:] >= 0).all()
    np.testing.assert_allclose(scores.usual[warm, 1], values[:warm, 1].mean(), atol=1.0)
    assert scores.distance[worst, 1] > 3.0


@every_variant
def test_cutting_prefixes_and_loading_give_the_same_scores(name: str, parameters: Mapping[str, object]) -> None:
    values = plant(make(name, parameters).warmup + 130)
    values[5::7, 0] = np.nan
    whole = step(make(name, parameters), values)
    pieces = make(name, parameters)
    for start, end in itertools.pairwise([0, 1, 17, len(values) - 70, len(values)]):
        loaded = make(name, parameters)
        loaded.load(pieces.state())
        pieces = loaded
        assert_same(step(pieces, values[start:end]), whole, slice(start, end))


@every_variant
def test_scoring_alone_changes_no_state(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters)
    step(detector, plant(detector.warmup + 60))
    before = detector.state()
    odd = np.array([[1e308, -1e308, 0.0], [np.nan, 1.0, 2.0], [np.nan] * 3])
    first = step(detector, odd, learn=False)
    assert_same(first, step(detector, odd, learn=False))
    for key, array in detector.state().items():
        assert array.tobytes() == before[key].tobytes(), key


@every_variant
def test_devices_do_not_touch_each_other(name: str, parameters: Mapping[str, object]) -> None:
    count = make(name, parameters).warmup + 60
    own = [plant(count, seed) * (1 + seed) for seed in range(2)]
    together = make(name, parameters, 2)
    slot = np.tile(np.arange(2, dtype=np.int32), count)
    time = np.repeat(np.arange(count, dtype=np.int64), 2)
    mixed = np.stack(own, axis=1).reshape(-1, WIDTH)
    scores = together.step(slot, time, mixed, np.ones(2 * count, np.bool_))
    for number, values in enumerate(own):
        assert_same(step(make(name, parameters), values), scores, slice(number, None, 2))


@every_variant
def test_a_channel_that_comes_later_counts_once_it_has_warmed_up(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters)
    warm = detector.warmup
    values = plant(4 * warm)
    values[: 2 * warm, 2] = np.nan
    scores = step(detector, values)
    assert np.isfinite(scores.score[warm:]).all()
    assert scores.parts is not None
    assert (np.nan_to_num(scores.parts[: 3 * warm, 2]) == 0).all()
    assert np.isnan(scores.distance[: 3 * warm, 2]).all()
    assert np.isfinite(scores.distance[3 * warm :, 2]).all()
    narrow = step(make(name, parameters), values[: 3 * warm, :2])
    np.testing.assert_array_equal(scores.score[: 3 * warm], narrow.score)


@every_variant
def test_narrow_rows_score_like_rows_whose_other_channels_are_missing(
    name: str, parameters: Mapping[str, object]
) -> None:
    values = plant(make(name, parameters).warmup + 60)
    wide = np.column_stack([values[:, :2], np.full(len(values), np.nan)])
    np.testing.assert_array_equal(
        step(make(name, parameters), values[:, :2]).score, step(make(name, parameters), wide).score
    )


@every_variant
def test_a_row_of_another_shape_is_refused(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters)
    with pytest.raises(ValueError, match="expected shape"):
        step(detector, np.zeros((4, detector.channels + 1)))
    with pytest.raises(ValueError, match="channel_score"):
        none = np.zeros(4, np.int32)
        detector.step(none, none.astype(np.int64), np.zeros((4, 2)), np.ones(4, np.bool_), np.zeros((4, 3)))


@every_variant
def test_the_declared_bytes_are_those_of_the_state(name: str, parameters: Mapping[str, object]) -> None:
    detector = make(name, parameters, 8)
    assert detector.bytes_per_slot == sum(array.nbytes for array in detector.state().values()) / 8


@every_variant
@settings(max_examples=15, deadline=None)
@given(values=arrays(np.float64, (80, WIDTH), elements=st.floats(width=64)), data=st.data())
def test_any_rows_in_any_cuts_are_scored_alike(
    name: str, parameters: Mapping[str, object], values: np.ndarray, data: st.DataObject
) -> None:
    short = {**parameters, "warmup": 8}
    cut = data.draw(st.integers(0, 80))
    whole, pieces = make(name, short), make(name, short)
    expected = step(whole, values)
    assert_same(step(pieces, values[:cut]), expected, slice(0, cut))
    assert_same(step(pieces, values[cut:]), expected, slice(cut, None))
    told = expected.score[~np.isnan(expected.score)]
    assert ((told >= 0) & (told <= MAX_SCORE)).all()


@every_variant
def test_a_shift_that_stays_is_learned_and_the_deviation_before_it_is_not_poisoned(
    name: str, parameters: Mapping[str, object]
) -> None:
    fast = {**parameters, **({"memory": 200} if name == "joint" else {"half_life": 150})}
    detector = make(name, fast)
    warm = detector.warmup + 200
    values = plant(warm + 4000)
    values[warm:] += 6.0
    scores = step(detector, values)
    assert scores.score[warm : warm + 60].max() > 2.5
    assert scores.score[-1000:].mean() < 1.0
