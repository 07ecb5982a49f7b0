"""Silence is measured by each series' own cadence."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.silent import Silent, SilentParameters

SECOND = 1_000_000_000


def score(time: np.ndarray, **parameters: float) -> np.ndarray:
    detector = Silent(SilentParameters.model_validate(parameters))
    detector.grow(1)
    count = len(time)
    return detector.step(np.zeros(count, np.int32), time, np.zeros(count), np.ones(count, np.bool_)).score


def regular(count: int, seconds: float, jitter: float = 0.1, seed: int = 1) -> np.ndarray:
    gaps = seconds * (1 + np.random.default_rng(seed).uniform(-jitter, jitter, count))
    return (np.cumsum(gaps) * SECOND).astype(np.int64)


@pytest.mark.parametrize("seconds", [0.01, 10.0, 3_600.0])
def test_a_long_gap_scores_when_the_reading_comes_whatever_the_cadence(seconds: float) -> None:
    time = regular(2_000, seconds)
    time[1_500:] += int(200 * seconds * SECOND)
    scores = score(time)
    assert scores[1_500] > 4.0
    assert np.delete(scores, 1_500)[30:].max() < 1.0


def test_an_irregular_series_is_given_more_patience_than_a_regular_one() -> None:
    gaps = np.random.default_rng(2).exponential(10.0, 5_000)
    gaps[4_000] = 50.0
    irregular = (np.cumsum(gaps) * SECOND).astype(np.int64)
    even = regular(5_000, 10.0)
    even[4_000:] += 40 * SECOND
    assert score(irregular)[4_000] < score(even)[4_000]


def test_longer_gaps_score_higher() -> None:
    found = []
    for missed in (5, 50, 500, 5_000):
        time = regular(1_000, 10.0)
        time[900:] += missed * 10 * SECOND
        found.append(score(time)[900])
    assert found == sorted(found)
    assert len(set(found)) == len(found)


def test_a_slower_cadence_that_stays_is_learned() -> None:
    time = np.concatenate([regular(1_000, 1.0), regular(1_000, 1.0)[-1] + regular(1_000, 60.0)])
    scores = score(time)
    assert scores[1_000] > 2.0
    assert scores[1_400:].max() < 1.0


def test_readings_of_one_time_are_one_sign_of_life() -> None:
    time = np.repeat(regular(500, 10.0), 3)
    scores = score(time)
    assert scores[30:].max() < 2.0
    assert (scores[30:][time[30:] == time[29:-1]] == 0.0).all()


def test_gaps_up_to_the_least_are_in_order() -> None:
    time = regular(1_000, 0.1)
    time[900:] += 60 * SECOND
    assert score(time)[900] > 4.0
    assert score(time, least=120.0)[900] == 0.0


def test_overdue_says_what_the_silence_so_far_would_score_and_learns_nothing() -> None:
    time = regular(1_000, 10.0)
    detector = Silent(SilentParameters())
    detector.grow(2)
    detector.step(np.zeros(1_000, np.int32), time, np.zeros(1_000), np.ones(1_000, np.bool_))
    before = detector.state()
    soon, late = (int(time[-1]) + s * SECOND for s in (5, 86_400))
    assert detector.overdue(np.array([0], np.int32), soon)[0] < 1.0
    assert detector.overdue(np.array([0], np.int32), late)[0] > 4.0
    assert np.isnan(detector.overdue(np.array([1], np.int32), late)[0])
    for name, array in detector.state().items():
        np.testing.assert_array_equal(array, before[name])


def allowed(time: np.ndarray, value: np.ndarray) -> float:
    """Seconds of silence that the series is allowed."""
    detector = Silent(SilentParameters())
    detector.grow(1)
    count = len(time)
    detector.step(np.zeros(count, np.int32), time, value, np.ones(count, np.bool_))
    return float(detector.allowed_silence(np.zeros(1, np.int32))[0]) / SECOND


@pytest.mark.parametrize("seconds", [1.0, 60.0, 21_600.0])
def test_a_regular_series_is_allowed_a_few_of_its_gaps(seconds: float) -> None:
    time = regular(1_000, seconds)
    assert 1.2 * seconds < allowed(time, np.random.default_rng(3).normal(0, 1, 1_000)) < 12 * seconds


def test_an_irregular_series_is_allowed_what_its_gaps_rarely_exceed() -> None:
    rng = np.random.default_rng(4)
    time = (np.cumsum(rng.exponential(60.0, 4_000)) * SECOND).astype(np.int64)
    value = np.round(rng.normal(0, 1, 4_000)) * (rng.random(4_000) < 0.3)
    assert 8 * 60 < allowed(time, value) < 60 * 60


def test_a_contact_that_reports_changes_may_be_silent_for_a_day() -> None:
    rng = np.random.default_rng(5)
    opened = np.sort(np.concatenate([rng.uniform(7, 21, 20) * 3_600 + day * 86_400 for day in range(30)]))
    time = (np.repeat(opened, 2) * SECOND).astype(np.int64)
    time[1::2] += 20 * SECOND
    assert allowed(np.sort(time), np.arange(len(time)) % 2.0) >= 86_400
    young = np.sort(time)[: 40 * 5]
    assert allowed(young, np.arange(len(young)) % 2.0) >= 3 * 86_400


def test_too_few_gaps_allow_nothing_known() -> None:
    assert np.isnan(allowed(regular(8, 10.0), np.zeros(8)))
