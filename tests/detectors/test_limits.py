import numpy as np
import pytest
from pydantic import ValidationError

from detectors.detector import MAX_SCORE, Scores
from detectors.detector_registry import create

SECOND = 1_000_000_000


def run(name: str, seconds: list[float], values: list[float], learn: bool = True, **parameters: object) -> Scores:
    detector = create(name, parameters)
    detector.grow(1)
    count = len(values)
    time = (np.array(seconds) * SECOND).astype(np.int64)
    return detector.step(np.zeros(count, np.int32), time, np.array(values), np.full(count, learn))


def test_threshold_scores_outside_and_gives_its_limits_as_band() -> None:
    scores = run("threshold", [0, 1, 2, 3, 4], [-1.0, 0.0, 5.0, 10.0, 10.1], lower=0, upper=10)
    assert scores.score.tolist() == [MAX_SCORE, 0, 0, 0, MAX_SCORE]
    assert (scores.lower == 0).all()
    assert (scores.upper == 10).all()
    assert np.isnan(scores.expected).all()


def test_threshold_with_one_limit_has_half_a_band() -> None:
    scores = run("threshold", [0, 1], [-1e9, 11.0], upper=10)
    assert scores.score.tolist() == [0, MAX_SCORE]
    assert np.isnan(scores.lower).all()


@pytest.mark.parametrize("wrong", [{}, {"lower": 2, "upper": 1}, {"upper": float("nan")}, {"uper": 3}])
def test_threshold_refuses_limits_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        create("threshold", wrong)


def test_rate_of_change_looks_at_the_slope_not_the_step() -> None:
    scores = run("rate_of_change", [0, 1, 2, 12, 13], [0.0, 1.0, 2.5, 12.0, 10.9], limit=1.0)
    assert np.isnan(scores.score[0])
    assert scores.score[1:].tolist() == [0, MAX_SCORE, 0, MAX_SCORE]
    assert scores.expected[1:].tolist() == [0, 1, 2.5, 12]
    np.testing.assert_allclose(scores.upper[1:], [1, 2, 12.5, 13])
    np.testing.assert_allclose(scores.lower[1:], [-1, 0, -7.5, 11])


@pytest.mark.parametrize(("per", "limit"), [("second", 0.01), ("minute", 0.6), ("hour", 36.0), ("day", 864.0)])
def test_rate_of_change_in_any_unit_of_time(per: str, limit: float) -> None:
    scores = run("rate_of_change", [0, 100, 200], [0.0, 0.9, 2.1], limit=limit, per=per)
    assert scores.score[1:].tolist() == [0, MAX_SCORE]


@pytest.mark.parametrize(("direction", "expected"), [("rising", [MAX_SCORE, 0]), ("falling", [0, MAX_SCORE])])
def test_rate_of_change_in_one_direction(direction: str, expected: list[float]) -> None:
    scores = run("rate_of_change", [0, 1, 2], [0.0, 5.0, 0.0], limit=1.0, direction=direction)
    assert scores.score[1:].tolist() == expected


def test_two_readings_of_one_time_have_no_slope() -> None:
    scores = run("rate_of_change", [0, 0, 0], [1.0, 1.0, 2.0], limit=1.0)
    assert scores.score[1] == 0
    assert np.isnan(scores.score[2])


def test_a_reading_that_is_not_learned_is_not_measured_from() -> None:
    detector = create("rate_of_change", {"limit": 1.0})
    detector.grow(1)
    slot, time = np.zeros(3, np.int32), np.arange(3, dtype=np.int64) * SECOND
    scores = detector.step(slot, time, np.array([0.0, 100.0, 1.0]), np.array([True, False, True]))
    assert scores.score[1:].tolist() == [MAX_SCORE, 0]
