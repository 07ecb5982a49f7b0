"""The default detector: what it finds, what it forgives, and how often it calls a normal reading odd."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.detector import Scores
from detectors.ensemble import PART_NAMES, Ensemble, EnsembleParameters

MINUTE = 60_000_000_000
WEEK = 2016
BUDGET_SCORE = float(np.log10(WEEK))


def score(values: np.ndarray, detector: Ensemble | None = None, series: int = 1) -> Scores:
    """`values` (n, series) or (n,): each column a slot, interleaved as a live fleet would be."""
    columns = values.reshape(len(values), series)
    detector = detector or Ensemble(EnsembleParameters())
    detector.grow(series)
    slot = np.tile(np.arange(series, dtype=np.int32), len(columns))
    time = np.repeat(np.arange(len(columns), dtype=np.int64) * 5 * MINUTE, series)
    return detector.step(slot, time, columns.ravel(), np.ones(columns.size, np.bool_))


def noise(count: int, seed: int = 3) -> np.ndarray:
    return 20.0 + np.random.default_rng(seed).normal(size=count)


def heartbeat(count: int, seed: int = 3) -> np.ndarray:
    """A cycle of 100 readings with a narrow peak and a slow wave."""
    phase = np.arange(count) % 100
    rng = np.random.default_rng(seed)
    return 3 * np.exp(-(((phase - 30) / 4) ** 2)) + np.sin(2 * np.pi * phase / 100) + rng.normal(size=count) * 0.03


def family(kind: str, count: int, series: int) -> np.ndarray:
    rng = np.random.default_rng(11)
    white = rng.normal(size=(count, series))
    day = 2 * np.pi * np.arange(count)[:, None] / 288
    if kind == "stationary":
        return white
    if kind == "heavy-tailed":
        return rng.standard_t(3, size=(count, series))
    if kind == "seasonal":
        return 5 * np.sin(day) + 2 * np.sin(2 * day) + 0.5 * white
    if kind == "mostly constant":
        return np.where(rng.random((count, series)) < 0.01, np.abs(white), 0.0)
    if kind == "bursty":
        burst = np.repeat(rng.random((count // 20, series)) < 0.1, 20, axis=0)
        return 0.2 * white + burst * rng.gamma(2, 3, size=(count, series))
    smooth = np.empty_like(white)
    smooth[0] = white[0]
    for i in range(1, count):
        smooth[i] = 0.9 * smooth[i - 1] + white[i]
    return np.round(smooth) * 0.5 if kind == "quantised" else smooth


@pytest.mark.parametrize(
    "kind",
    ["stationary", "autocorrelated", "heavy-tailed", "seasonal", "quantised", "bursty", "mostly constant"],
)
def test_normal_readings_cross_a_budget_about_as_often_as_it_allows(kind: str) -> None:
    count, series = 30_000, 6
    scores = score(family(kind, count, series), series=series).score.reshape(count, series)[12_000:]
    for threshold in (2.5, 3.0):
        assert 0.4 <= np.mean(scores >= threshold) * 10**threshold <= 2.5


def test_a_spike_a_gap_value_and_a_level_shift_are_each_found() -> None:
    values = np.where(np.random.default_rng(5).random(6000) < 0.5, 10.0, 30.0) + noise(6000) * 0.2
    values[3000] = 24.0
    values[4000] = 90.0
    values[5000:] += 60.0
    result = score(values).score
    for place in (3000, 4000, 5000):
        assert result[place] > BUDGET_SCORE, place


def test_a_missed_beat_is_the_highest_score_of_a_heartbeat() -> None:
    values = heartbeat(8000)
    values[6020:6045] = np.sin(2 * np.pi * np.arange(20, 45) / 100)
    result = score(values)
    highest = 2000 + int(np.argmax(result.score[2000:]))
    assert 6000 <= highest <= 6120
    assert result.parts is not None
    assert PART_NAMES[int(np.argmax(result.parts[highest]))] == "shape"


def test_a_shift_that_stays_alarms_at_once_and_then_hardly_more_than_no_shift() -> None:
    # One series' count of chance crossings is as uncertain as it is large, hence many series.
    series = 30
    steady = np.column_stack([noise(6000, seed) for seed in range(series)])
    shifted = steady + np.where(np.arange(6000) >= 4000, 12.0, 0.0)[:, None]
    without, with_shift = (score(v, series=series).score.reshape(6000, series) for v in (steady, shifted))
    assert (with_shift[4000:4003].max(axis=0) > BUDGET_SCORE).all()
    after = slice(4003, None)
    extra = (with_shift[after] > BUDGET_SCORE).sum() - (without[after] > BUDGET_SCORE).sum()
    assert extra <= series
    assert not (with_shift[4003:4050] > BUDGET_SCORE).any()


def test_the_band_follows_a_shift_that_stays() -> None:
    values = noise(6000)
    values[4000:] += 12.0
    result = score(values)
    late = slice(4300, None)
    assert np.mean(values[late] < result.lower[late]) < 0.02
    assert np.mean(values[late] > result.upper[late]) < 0.02


def test_the_return_from_a_short_fault_does_not_score_like_the_fault() -> None:
    values = noise(4000)
    values[3000:3040] += 15.0
    result = score(values).score
    assert result[3000:3003].max() > BUDGET_SCORE
    assert result[3040:3300].max() < BUDGET_SCORE


def test_a_fault_does_not_hide_the_next_one() -> None:
    poisoned = noise(5000)
    poisoned[2500:2520] += 40.0
    poisoned[4000] += 12.0
    result = score(poisoned)
    assert result.score[4000] > BUDGET_SCORE
    assert result.upper[3999] - result.lower[3999] < 15.0


def test_scores_of_a_prefix_are_the_prefix_of_the_scores() -> None:
    values = np.concatenate([heartbeat(1500), noise(700)])
    whole = score(values)
    for end in (400, 1025, 1777):
        part = score(values[:end])
        np.testing.assert_array_equal(part.score, whole.score[:end])
        np.testing.assert_array_equal(part.upper, whole.upper[:end])


def test_what_is_not_learned_leaves_no_trace() -> None:
    detector = Ensemble(EnsembleParameters())
    score(noise(600), detector)
    before = detector.state()
    count = 50
    detector.step(
        np.zeros(count, np.int32), np.arange(count, dtype=np.int64), noise(count) + 9, np.zeros(count, np.bool_)
    )
    after = detector.state()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_parts_add_up_to_the_score() -> None:
    values = noise(3000)
    values[2900] = 60.0
    result = score(values)
    assert result.parts is not None
    scored = np.isfinite(result.score)
    np.testing.assert_allclose(result.parts[scored].sum(axis=1), result.score[scored], rtol=1e-4, atol=1e-6)


def test_extreme_scores_keep_their_order() -> None:
    heights = [1e3, 1e5, 1e7]
    found = []
    for height in heights:
        values = noise(5000)
        values[4500] = height
        found.append(score(values).score[4500])
    assert found == sorted(set(found))
    assert found[-1] < 12.0


def test_a_constant_series_is_normal_until_it_moves() -> None:
    values = np.zeros(3000)
    values[2500] = 1.0
    result = score(values).score
    assert result[30:2500].max() == 0.0
    assert result[2500] > BUDGET_SCORE


def test_memory_is_declared_and_small_without_shape() -> None:
    for shape in (True, False):
        detector = Ensemble(EnsembleParameters(shape=shape))
        detector.grow(3)
        assert sum(a.nbytes for a in detector.state().values()) == 3 * detector.bytes_per_slot
    assert Ensemble(EnsembleParameters(shape=False)).bytes_per_slot < 3200


def test_without_shape_the_other_parts_still_find_values() -> None:
    values = noise(3000)
    values[2500] = 40.0
    result = score(values, Ensemble(EnsembleParameters(shape=False)))
    assert result.part_names == PART_NAMES[:-1]
    assert result.score[2500] > BUDGET_SCORE
