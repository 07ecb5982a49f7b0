import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from detectors.detector import MAX_SCORE, Scores
from detectors.detector_registry import create
from detectors.statistics.tails import first_change_score, normal_score, student_score

SECOND = 1_000_000_000
VARIANTS = [pytest.param({}, id="ewma"), pytest.param({"variant": "robust"}, id="robust")]


def run(values: NDArray[np.float64], **parameters: object) -> Scores:
    detector = create("zscore", parameters)
    detector.grow(1)
    count = len(values)
    return detector.step(
        np.zeros(count, np.int32), np.arange(count, dtype=np.int64) * SECOND, values, np.ones(count, bool)
    )


def noise(count: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    return 20.0 + np.random.default_rng(seed).normal(0, 1, count)


def test_normal_tail_agrees_with_erfc_and_ends_at_the_highest_score() -> None:
    for deviations in np.linspace(0.0, 7.0, 211):
        exact = -math.log10(math.erfc(deviations / math.sqrt(2)))
        assert normal_score(float(deviations)) == pytest.approx(exact, abs=1e-5)
    assert normal_score(40.0) == MAX_SCORE
    assert normal_score(math.inf) == MAX_SCORE


def test_student_tail_agrees_with_its_tabled_quantiles() -> None:
    # Two-sided 10 %, 5 %, 1 % and 0.1 % points of t with 8 degrees of freedom.
    for deviations, probability in ((1.860, 0.1), (2.306, 0.05), (3.355, 0.01), (5.041, 0.001)):
        assert student_score(deviations) == pytest.approx(-math.log10(probability), abs=1e-3)
    assert student_score(0.0) == 0.0
    assert student_score(1e6) == MAX_SCORE


@given(st.floats(0, 1e308), st.floats(0, 1e308))
def test_tails_rise_with_distance(one: float, other: float) -> None:
    low, high = sorted((one, other))
    for tail in (normal_score, student_score):
        assert 0.0 <= tail(low) <= tail(high) <= MAX_SCORE


@pytest.mark.parametrize("parameters", VARIANTS)
def test_scores_on_noise_are_probabilities(parameters: dict[str, object]) -> None:
    score = run(noise(20_000), **parameters).score
    score = score[~np.isnan(score)]
    for decades in (0.5, 1.0, 2.0):
        share = np.mean(score >= decades)
        assert 0.2 * 10**-decades < share < 1.5 * 10**-decades


@pytest.mark.parametrize("parameters", VARIANTS)
def test_a_spike_scores_high_and_leaves_no_trace(parameters: dict[str, object]) -> None:
    clean = noise()
    spiked = clean.copy()
    spiked[500] += 1000
    scores, undisturbed = run(spiked, **parameters), run(clean, **parameters)
    assert scores.score[500] > 10
    assert np.abs(scores.score[501:] - undisturbed.score[501:]).max() < 0.6
    assert np.abs(scores.expected[501:] - undisturbed.expected[501:]).max() < 0.3


@pytest.mark.parametrize(("parameters", "within"), [({"relearn_after": 40}, 40), ({"variant": "robust"}, 32)])
def test_a_level_shift_is_one_burst_and_then_learned(parameters: dict[str, object], within: int) -> None:
    values = noise(seed=3)
    values[500:] += 50
    scores = run(values, **parameters)
    assert (scores.score[500:510] > 5).all()
    assert (scores.score[500 + within :] < 5).all()
    assert scores.expected[600:].mean() == pytest.approx(70, abs=0.5)


def test_the_shift_back_within_the_set_time_is_no_alarm() -> None:
    values = noise(seed=4)
    values[500:530] += 50
    score = run(values, relearn_after=60).score
    assert (score[500:530] > 8).all()
    assert (score[530:] < 4).all()


def test_louder_noise_is_learned() -> None:
    values = noise(4000)
    values[1000:] = 20 + 5 * (values[1000:] - 20)
    scores = run(values)
    assert np.mean(scores.score[2000:] > 3) < 0.005
    assert (scores.upper - scores.lower)[2000:].mean() == pytest.approx(30, rel=0.15)


@pytest.mark.parametrize("parameters", VARIANTS)
def test_a_change_after_constancy_scores_what_the_history_supports(parameters: dict[str, object]) -> None:
    values = np.full(201, 7.0)
    values[200] = 7.5
    scores = run(values, **parameters)
    seen = 200 if parameters == {} else 64
    assert (scores.score[64:200] == 0).all()
    assert scores.score[200] == pytest.approx(math.log10(seen + 2))
    assert first_change_score(1e20) == MAX_SCORE


def test_a_lone_spike_on_a_constant_does_not_blind_it() -> None:
    values = np.zeros(400)
    values[200] = 1e6
    values[300] = 1.0
    scores = run(values)
    assert scores.score[200] > 2
    assert scores.score[300] > 2


def test_median_and_deviation_are_those_of_the_window() -> None:
    values = np.round(noise(400, seed=5), 1)
    window = 32
    scores = run(values, variant="robust", window=window, warmup=8, band=2.0)
    for i in range(8, 400):
        recent = values[max(0, i - window) : i]
        median = np.median(recent)
        deviation = np.median(np.abs(recent - median)) * 1.4826022185056018
        assert scores.expected[i] == pytest.approx(median, abs=1e-12)
        assert scores.upper[i] == pytest.approx(median + 2 * deviation, abs=1e-9)
        assert scores.score[i] == pytest.approx(student_score(abs(values[i] - median) / deviation), abs=1e-9)


def test_mostly_one_value_falls_back_to_the_mean_deviation() -> None:
    values = np.zeros(101)
    values[10:100:10] = 1.0
    scores = run(values, variant="robust")
    recent = values[100 - 64 : 100]
    assert scores.upper[100] == pytest.approx(3 * np.mean(np.abs(recent)) * math.sqrt(math.pi / 2))


def test_ewma_is_the_weighted_mean_and_deviation() -> None:
    values = noise(300, seed=6)
    half_life = 20.0
    scores = run(values, half_life=half_life, clip=100.0, band=1.0)
    alpha = 1 - 0.5 ** (1 / half_life)
    mean, variance = values[0], 0.0
    for i in range(1, 300):
        if i >= 30:
            assert scores.expected[i] == pytest.approx(mean, rel=1e-12)
            assert scores.upper[i] == pytest.approx(mean + math.sqrt(variance), rel=1e-9)
        rate = max(alpha, 1 / (i + 1))
        deviation = values[i] - mean
        mean += rate * deviation
        variance = (1 - rate) * (variance + rate * deviation**2)


def test_scores_do_not_depend_on_the_unit() -> None:
    values = noise(500, seed=7)
    values[400] += 6
    for parameters in ({}, {"variant": "robust"}):
        plain = run(values, **parameters).score
        for factor in (2.0**-900, 2.0**900):
            np.testing.assert_allclose(run(values * factor, **parameters).score, plain, rtol=1e-9, atol=1e-12)


def test_bad_parameters_are_refused() -> None:
    for wrong in ({"variant": "median"}, {"half_life": 0}, {"window": 1000}, {"halflife": 10}):
        with pytest.raises(ValidationError):
            create("zscore", wrong)
