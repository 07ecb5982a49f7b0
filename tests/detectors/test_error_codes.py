"""Error codes: which values are taken for one, and which are not."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.channels.error_codes import CODE_SCORE, ErrorCodeParameters, ErrorCodes

MINUTE = 60 * 10**9


def score(value: np.ndarray) -> np.ndarray:
    detector = ErrorCodes(ErrorCodeParameters())
    detector.grow(1)
    count = len(value)
    time = np.arange(count, dtype=np.int64) * MINUTE
    return detector.step(np.zeros(count, np.int32), time, np.asarray(value, float), np.ones(count, np.bool_)).score


def cellar(count: int = 2000, seed: int = 1) -> np.ndarray:
    return 10 + np.sin(np.arange(count) / 100) + np.random.default_rng(seed).normal(0, 0.1, count)


@pytest.mark.parametrize("code", [85.0, -127.0, 65535.0, 327.67, 9999.0, -999.0])
def test_a_known_code_is_told_each_time_from_the_first(code: float) -> None:
    value = cellar()
    at = [100, 101, 700, 1500]
    value[at] = code
    scores = score(value)
    assert list(np.flatnonzero(scores > 0)) == at
    assert (scores[at] == CODE_SCORE).all()


def test_a_boiler_that_reads_85_has_no_code() -> None:
    value = np.round(70 + 15 * np.sin(np.arange(3000) / 50) + np.random.default_rng(2).normal(0, 1, 3000))
    assert (value == 85).any()
    assert score(value)[20:].max() == 0.0


def test_an_unknown_code_is_told_from_the_third_time() -> None:
    value = cellar()
    at = [300, 500, 900, 1300]
    value[at] = 777.25
    assert list(np.flatnonzero(score(value) > 0)) == at[2:]


@pytest.mark.parametrize("low", [64.0, 84.0])
def test_the_next_step_of_a_young_rounded_signal_is_no_code(low: float) -> None:
    value = np.full(400, low)
    value[60::37] += 1.0
    assert score(value)[20:].max() == 0.0


def test_spikes_of_different_sizes_are_no_codes() -> None:
    value = cellar()
    at = np.arange(100, 2000, 90)
    value[at] = 500 + np.random.default_rng(3).integers(0, 40, len(at))
    assert score(value)[20:].max() == 0.0


def test_a_level_that_stays_far_off_is_no_code() -> None:
    value = cellar(4000)
    value[2000:] += 500.0
    assert score(value)[20:].max() == 0.0


def test_a_sensor_that_begins_with_its_power_on_value_is_known_after_it() -> None:
    value = cellar()
    value[:3] = 85.0
    value[1000] = 85.0
    scores = score(value)
    assert list(np.flatnonzero(scores > 0)) == [1000]


def test_a_disconnected_sensor_stays_told_for_as_long_as_it_is() -> None:
    value = cellar()
    value[1000:1900] = -127.0
    scores = score(value)
    assert (scores[1000:1900] == CODE_SCORE).all()
    assert scores[1900:].max() == 0.0
