"""Raw scores become probabilities: right in the body, sensible in the tail, ordered everywhere."""

from __future__ import annotations

import numba
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.detector import MAX_SCORE
from detectors.statistics import calibration
from detectors.statistics.calibration import BINS, Prior, cautious, compress

# Compiled, as kernels have them: in Python their float32 would be added up in other ways.
decades, decades_fitted, fit_tail, learn_score, quantile = (
    numba.njit(function)
    for function in (
        calibration.decades,
        calibration.decades_fitted,
        calibration.fit_tail,
        calibration.learn_score,
        calibration.quantile,
    )
)

PRIOR = Prior(start=1.0, shape=2.0, weight=100.0, lowest=-4.0)


def learned(raws: np.ndarray, prior: Prior = PRIOR) -> np.ndarray:
    counts = np.zeros((1, BINS + 1), np.float32)
    for raw in raws:
        learn_score(counts, 0, float(raw), prior)
    return counts


def test_without_a_past_the_prior_speaks() -> None:
    counts = learned(np.empty(0))
    assert decades(counts, 0, 0.5, PRIOR) == 0.0
    assert abs(decades(counts, 0, 10.0, PRIOR) - 2.0) < 1e-9


def test_the_past_outweighs_the_prior() -> None:
    raws = np.random.default_rng(1).exponential(size=50_000)
    counts = learned(raws)
    for share in (0.1, 0.01, 0.001):
        raw = float(np.quantile(raws, 1 - share))
        assert abs(decades(counts, 0, raw, PRIOR) + np.log10(share)) < 0.15
        assert abs(np.log2(quantile(counts, 0, share, PRIOR) / raw)) < 0.5


def fitted(counts: np.ndarray) -> np.ndarray:
    tail = np.zeros((1, 4))
    fit_tail(counts, tail, 0, PRIOR)
    return tail


def test_the_fitted_tail_extrapolates_the_series_own_steepness() -> None:
    # A Pareto law of exponent 2 exceeds its start by octaves that are exponential: shape 0, scale 1 / (2 ln 2).
    rng = np.random.default_rng(2)
    usual = fitted(learned(rng.pareto(2.0, size=20_000) + 1.0))
    assert abs(usual[0, 2]) < 0.25
    assert 0.5 < usual[0, 3] < 1.0
    steep = learned(rng.pareto(6.0, size=20_000) + 1.0)
    assert fitted(steep)[0, 3] < 0.5
    raw = 2.0**4
    assert decades_fitted(steep, fitted(steep), 0, raw, PRIOR, 20_000) > decades(steep, 0, raw, PRIOR)


def test_a_tail_that_ends_makes_what_lies_beyond_it_rarer_than_one_that_does_not() -> None:
    rng = np.random.default_rng(3)
    ends = learned(2.0 ** (6.0 * rng.beta(1.0, 3.0, size=20_000)))
    tail = fitted(ends)
    assert tail[0, 2] < -0.05
    exponential = tail.copy()
    exponential[0, 2] = 0.0
    beyond = 2.0**7
    found = decades_fitted(ends, tail, 0, beyond, PRIOR, 20_000)
    assert found > decades_fitted(ends, exponential, 0, beyond, PRIOR, 20_000)


@given(st.lists(st.floats(0, 1e7), max_size=80), st.floats(0, 1e9), st.floats(0, 1e9), st.integers(1, 100_000))
def test_a_higher_raw_score_is_never_less_rare_by_the_fitted_tail(
    past: list[float], one: float, other: float, readings: int
) -> None:
    counts = learned(np.array(past))
    tail = fitted(counts)
    low, high = sorted((one, other))
    rarity = [decades_fitted(counts, tail, 0, raw, PRIOR, readings) for raw in (low, high)]
    # Where the counted body meets the fitted tail a score may step back by the half score that each cell is given.
    assert 0.0 <= rarity[0] <= rarity[1] + 0.31


@given(st.floats(0, 300), st.floats(0, 300), st.integers(1, 1_000_000))
def test_caution_keeps_order_and_takes_away_only(one: float, other: float, readings: int) -> None:
    low, high = sorted((one, other))
    assert 0.0 <= cautious(low, readings) <= cautious(high, readings) + 1e-12
    assert cautious(high, readings) <= high


def test_old_scores_fade() -> None:
    prior = PRIOR._replace(memory=1000.0)
    counts = learned(np.full(950, 100.0), prior)
    high = decades(counts, 0, 50.0, prior)
    for _ in range(5000):
        learn_score(counts, 0, 0.1, prior)
    assert decades(counts, 0, 50.0, prior) > high + 1.0


@given(st.lists(st.floats(0, 1e7), max_size=80), st.floats(0, 1e9), st.floats(0, 1e9))
def test_a_higher_raw_score_is_never_less_rare(past: list[float], one: float, other: float) -> None:
    counts = learned(np.array(past))
    low, high = sorted((one, other))
    assert 0.0 <= decades(counts, 0, low, PRIOR) <= decades(counts, 0, high, PRIOR) + 1e-12


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_compression_keeps_order_below_the_maximum(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert compress(low) <= compress(high) <= MAX_SCORE
