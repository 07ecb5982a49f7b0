import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from river import anomaly, compose, preprocessing, time_series

from detectors.detector import Scores
from detectors.detector_registry import create
from detectors.river_build import model_names
from detectors.statistics.rank import rank_score

SECOND = 1_000_000_000
SOON: dict[str, object] = {"warmup": 60, "calibration": 20, "ranked": 64}


def run(values: NDArray[np.float64], **parameters: object) -> Scores:
    detector = create("river", {**SOON, **parameters})
    detector.grow(1)
    count = len(values)
    return detector.step(
        np.zeros(count, np.int32), np.arange(count, dtype=np.int64) * SECOND, values, np.ones(count, bool)
    )


def noise(count: int = 400) -> NDArray[np.float64]:
    return 20.0 + np.random.default_rng(0).normal(0, 1, count)


def ranked(raw: list[float]) -> list[float]:
    """What the detector is to make of river's own scores: NaN while warming, then the rank among the last 64."""
    result = [math.nan] * 80
    past = np.zeros(64)
    for i, score in enumerate(raw):
        if i >= 60:
            if i >= 80:
                result.append(rank_score(past[: min(i - 60, 64)], score))
            past[(i - 60) % 64] = score
    return result


def directly(model: Any, values: NDArray[np.float64], supervised: bool) -> list[float]:
    raw = []
    for value in values.tolist():
        try:
            raw.append(float(model.score_one(None, value) if supervised else model.score_one({"value": value})))
        except IndexError:
            raw.append(math.nan)
        if supervised:
            model.learn_one(None, value)
        else:
            model.learn_one({"value": value})
    return raw


def test_half_space_trees_score_as_in_river_behind_a_scaler() -> None:
    values = noise()
    values[300] = 60.0
    parameters = {"n_trees": 5, "height": 5, "window_size": 50}
    model = compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(**parameters, seed=7))
    scores = run(values, model="HalfSpaceTrees", parameters=parameters, seed=7)
    np.testing.assert_array_equal(scores.score, ranked(directly(model, values, supervised=False)))


def test_standard_absolute_deviation_scores_as_in_river() -> None:
    values = noise()
    scores = run(values, model="StandardAbsoluteDeviation")
    raw = directly(anomaly.StandardAbsoluteDeviation(), values, supervised=True)
    np.testing.assert_array_equal(scores.score, ranked(raw))


def test_gaussian_scorer_is_ranked_by_its_tail() -> None:
    values = noise()
    values[300] = 35.0
    scores = run(values, model="GaussianScorer", parameters={"grace_period": 30})
    raw = directly(anomaly.GaussianScorer(grace_period=30), values, supervised=True)
    tails = [-math.log10(max(1 - score, 1e-300)) for score in raw]
    np.testing.assert_array_equal(scores.score, ranked(tails))
    assert scores.score[300] > 6


def test_predictive_anomaly_detection_scores_and_forecasts_as_in_river() -> None:
    values = noise()
    forecaster = {"alpha": 0.3, "beta": 0.1, "gamma": 0.2, "seasonality": 12}
    scores = run(
        values,
        model="PredictiveAnomalyDetection",
        parameters={"predictive_model": {"type": "HoltWinters", **forecaster}, "n_std": 2.5},
    )
    model = anomaly.PredictiveAnomalyDetection(time_series.HoltWinters(**forecaster), n_std=2.5)
    # The detector asks for raw scores only once warm, and this model's score_one learns.
    for value in values[:60].tolist():
        model.learn_one(None, value)
    raw, expected = [math.nan] * 60, []
    for value in values[60:].tolist():
        expected.append(model.predictive_model.forecast(1)[0])
        raw.append(model.score_one(None, value))
        model.learn_one(None, value)
    np.testing.assert_array_equal(scores.score, ranked(raw))
    np.testing.assert_array_equal(scores.expected[80:], expected[20:])
    assert (scores.lower[80:] < scores.expected[80:]).all()
    assert (scores.upper[80:] > scores.expected[80:]).all()


@pytest.mark.parametrize("model", model_names())
def test_every_model_of_river_runs_and_finds_a_gross_fault(model: str) -> None:
    values = noise(300)
    values[280] = 200.0
    parameters = {"n_neighbors": 5} if model == "LocalOutlierFactor" else {}
    if model == "HalfSpaceTrees":
        parameters = {"window_size": 50}
    scores = run(values, model=model, parameters=parameters)
    assert np.isfinite(scores.score[80:280]).all()
    assert np.isnan(scores.score[:80]).all()
    if model != "OneClassSVM":  # a hyperplane in one dimension knows only one side
        assert scores.score[280] > np.median(scores.score[80:280]) + 0.5


def test_a_seasonal_model_that_divides_by_zero_warms_up_again() -> None:
    forecaster = {"type": "HoltWinters", "alpha": 0.3, "beta": 0.1, "gamma": 0.2, "seasonality": 12}
    values = np.concatenate([np.zeros(50), noise(200)])
    detector = create(
        "river", {**SOON, "model": "PredictiveAnomalyDetection", "parameters": {"predictive_model": forecaster}}
    )
    detector.grow(1)
    time = np.arange(250, dtype=np.int64) * SECOND
    zeros = detector.step(np.zeros(50, np.int32), time[:50], values[:50], np.ones(50, bool))
    assert np.isnan(zeros.score).all()
    assert detector.warming()[0][0] < 12
    scores = detector.step(np.zeros(200, np.int32), time[50:], values[50:], np.ones(200, bool))
    assert np.isfinite(scores.score[100:]).all()


def test_a_state_of_another_minor_version_of_river_is_refused() -> None:
    detector = create("river", SOON)
    detector.grow(1)
    state = detector.state()
    fresh = create("river", SOON)
    with pytest.raises(ValueError, match=r"expected models of river .*, got river .*0\.1\.0"):
        fresh.load({**state, "river": np.array(["0.1.0"], "U16")})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": "HalfSpaceTree"}, 'did you mean "HalfSpaceTrees"'),
        ({"model": "QuantileFilter"}, 'unknown "QuantileFilter"'),
        ({"parameters": {"n_tree": 3}}, r'HalfSpaceTrees.n_tree: unknown "n_tree"; did you mean "n_trees"'),
        (
            {"model": "PredictiveAnomalyDetection", "parameters": {"predictive_model": {"type": "HoltWinter"}}},
            r'predictive_model.type: unknown "HoltWinter"; did you mean "HoltWinters"',
        ),
        (
            {"model": "PredictiveAnomalyDetection", "parameters": {"predictive_model": {"type": "Mean"}}},
            "expected a forecaster",
        ),
        (
            {
                "model": "PredictiveAnomalyDetection",
                "parameters": {"predictive_model": {"type": "HoltWinters", "alpha": 0.1, "seasonality": 3}},
            },
            "gamma must be set",
        ),
        ({"calibration": 100}, "expected at most ranked"),
    ],
)
def test_what_river_does_not_have_is_refused_by_name(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        create("river", {**SOON, **parameters})


def test_ranks_are_probabilities_and_the_tail_goes_on() -> None:
    rng = np.random.default_rng(1)
    past = rng.exponential(1.0, 4096)
    assert rank_score(past, float(np.median(past))) == pytest.approx(math.log10(2), abs=0.01)
    assert rank_score(past, float(np.quantile(past, 0.9))) == pytest.approx(1, abs=0.02)
    for decades in (3.0, 5.0, 7.0):
        assert rank_score(past, decades * math.log(10)) == pytest.approx(decades, rel=0.5)
    assert rank_score(past, math.inf) == 12
    assert rank_score(np.ones(100), 1.0) == 0
    assert rank_score(np.ones(100), 2.0) == pytest.approx(math.log10(101))
