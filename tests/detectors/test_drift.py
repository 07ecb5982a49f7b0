"""Drift, variance and flatness: what each is for, what it leaves alone, and that a change is learned in time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from river.drift import ADWIN

from detectors.adwin import Adwin, AdwinParameters
from detectors.detector import MAX_SCORE
from detectors.detector_registry import create

SECOND = 1_000_000_000
DRIFT = ["cusum", "page_hinkley", "adwin"]


def score(name: str, values: np.ndarray, parameters: Mapping[str, object] | None = None) -> np.ndarray:
    detector = create(name, parameters or {})
    detector.grow(1)
    count = len(values)
    time = np.arange(count, dtype=np.int64) * 60 * SECOND
    return detector.step(np.zeros(count, np.int32), time, np.asarray(values), np.ones(count, np.bool_)).score


def noise(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(20.0, 0.5, count)


@pytest.mark.parametrize("name", [*DRIFT, "variance_change", "stuck"])
@pytest.mark.parametrize("seed", range(3))
def test_steady_noise_scores_about_as_rarely_as_it_says(name: str, seed: int) -> None:
    scores = score(name, noise(10_000, seed))[500:]
    assert (scores >= 2.0).mean() <= 0.03
    # Sums and windows stay high for a while: what counts is how often, in stretches of a hundred readings.
    assert (scores.reshape(-1, 100).max(axis=1) >= 4.0).sum() <= 2


@pytest.mark.parametrize("name", DRIFT)
def test_a_small_shift_that_no_reading_shows_is_found_within_eighty(name: str) -> None:
    values = noise(2_000)
    values[1_500:] += 0.6
    scores = score(name, values)
    assert scores[1_500:1_580].max() > 4.0
    assert scores[1_500:1_580].max() > scores[500:1_500].max()
    assert score("zscore", values)[1_500:1_580].max() < 4.0


@pytest.mark.parametrize("name", [*DRIFT, "variance_change"])
def test_a_change_that_stays_is_learned_and_scores_no_more(name: str) -> None:
    values = noise(4_000)
    if name == "variance_change":
        values[2_000:] += np.random.default_rng(9).normal(0, 1.5, 2_000)
    else:
        values[2_000:] += 1.5
    scores = score(name, values)
    assert scores[2_000:2_100].max() > 4.0
    assert scores[2_900:].max() < 4.0


@pytest.mark.parametrize("name", [*DRIFT, "variance_change"])
def test_a_lone_spike_is_no_drift(name: str) -> None:
    values = noise(2_000)
    values[1_500] = 400.0
    assert score(name, values)[1_490:1_600].max() < 4.5


@pytest.mark.parametrize("name", DRIFT)
def test_a_shift_counts_whichever_way_it_goes(name: str) -> None:
    values = noise(2_000)
    values[1_500:] -= 1.0
    assert score(name, values)[1_500:1_560].max() > 4.0


def test_page_hinkley_finds_a_drift_too_slow_for_a_fading_baseline() -> None:
    values = noise(6_000)
    values[4_000:] += np.linspace(0.0, 1.0, 2_000)
    scores = score("page_hinkley", values)
    assert scores[4_000:].max() > 4.0 > scores[500:4_000].max()


def test_adwin_forgets_what_was_before_a_change_where_rivers_does() -> None:
    values = noise(3_000)
    values[1_500:] += 2.0
    ours = Adwin(AdwinParameters(delta=0.002))
    ours.grow(1)
    theirs = ADWIN(clock=1)
    changed: list[tuple[str, int]] = []
    for i, value in enumerate(values):
        before = int(ours.width()[0])
        ours.step(np.zeros(1, np.int32), np.array([i]), np.array([value]), np.ones(1, np.bool_))
        theirs.update(value)
        if ours.width()[0] <= before:
            changed.append(("ours", i))
        if theirs.drift_detected:
            changed.append(("river", i))
    for who in ("ours", "river"):
        found = [i for name, i in changed if name == who]
        assert found, who
        assert all(1_500 <= i <= 1_530 for i in found), (who, found)
    assert 1_450 <= ours.width()[0] <= 1_520


@pytest.mark.parametrize("factor", [0.1, 3.0])
def test_noise_that_grows_and_noise_that_dies_are_both_changes(factor: float) -> None:
    values = noise(4_000)
    values[3_500:] = 20 + (values[3_500:] - 20) * factor
    scores = score("variance_change", values)
    assert scores[500:3_500].max() < 4.5
    assert scores[3_500:3_600].max() > 5.0


def test_a_slow_wave_is_no_change_of_the_noise() -> None:
    values = noise(6_000) + 30 * np.sin(np.arange(6_000) / 500)
    assert score("variance_change", values)[500:].max() < 4.5


def test_a_noisy_sensor_that_freezes_is_stuck_at_once_and_until_it_moves() -> None:
    values = noise(1_000)
    values[800:950] = values[799]
    scores = score("stuck", values)
    assert scores[:800][30:].max() < 4.0
    assert scores[804:950].min() > 4.0
    assert scores[950:].max() < 2.0


def test_the_score_of_a_run_grows_with_its_length() -> None:
    values = np.round(noise(2_000), 1)
    values[1_500:1_600] = values[1_499]
    run = score("stuck", values)[1_500:1_600]
    assert (np.diff(run) >= 0).all()
    assert run[2] < run[10] < run[20] or run[20] == MAX_SCORE


def test_a_quantised_sensor_that_is_calm_by_night_is_not_stuck() -> None:
    hour = np.arange(20 * 1440) % 1440 / 60
    walk = np.random.default_rng(5).normal(0, np.where((hour > 7) & (hour < 20), 0.2, 0.004)).cumsum()
    scores = score("stuck", np.round(20 + walk - 0.9 * walk.round(), 1))
    assert scores[3 * 1440 :].max() < 4.0


def test_a_heater_that_is_off_is_healthy() -> None:
    rng = np.random.default_rng(6)
    values = np.concatenate([np.zeros(500), rng.normal(1_500, 20, 200), np.zeros(3_000), rng.normal(1_500, 20, 200)])
    assert score("stuck", values)[30:].max() < 2.0
    assert score("stuck", np.full(5_000, 21.5))[30:].max() == 0.0, "never seen to move: no evidence"


def test_one_long_fault_does_not_make_the_next_one_usual() -> None:
    values = noise(4_000)
    values[1_000:1_900] = values[999]
    values[3_000:3_200] = values[2_999]
    scores = score("stuck", values)
    assert scores[3_010:3_200].min() > 4.0


@pytest.mark.parametrize(
    "name", ["ensemble", "zscore", "cusum", "page_hinkley", "adwin", "variance_change", "stuck", "half_space_trees"]
)
def test_coming_back_after_an_outage_is_no_anomaly_by_itself(name: str) -> None:
    values = noise(3_000)
    time = np.arange(3_000, dtype=np.int64) * 60 * SECOND
    time[2_000:] += 86_400 * SECOND
    found = []
    for gapped in (time, np.arange(3_000, dtype=np.int64) * 60 * SECOND):
        detector = create(name, {})
        detector.grow(1)
        found.append(detector.step(np.zeros(3_000, np.int32), gapped, values, np.ones(3_000, np.bool_)).score)
    assert found[0][2_000:2_100].max() < 4.5
    if name == "ensemble":
        # Its memories are in time: what it knew of the minutes before the outage is a day old after it.
        np.testing.assert_array_equal(found[0][:2_000], found[1][:2_000])
        assert found[0][2_000:].max() < 4.5
    else:
        np.testing.assert_array_equal(found[0], found[1])
