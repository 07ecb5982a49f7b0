"""Rows of one device: a relation between channels that breaks is found, though each channel stays in its range."""

from __future__ import annotations

import numpy as np
import pytest

from alerts.alarm_settings import AlarmSettings
from alerts.policy import AlarmPolicy
from alerts.policy_kernels import OPENED
from detectors.detector import MAX_SCORE, Scores
from detectors.multivariate.correlation import CorrelationBreak
from detectors.multivariate.joint import Joint, JointParameters
from detectors.multivariate.mahalanobis import Mahalanobis
from detectors.multivariate.pca import PrincipalComponents
from detectors.multivariate.row_detector import RowDetector, RowParameters

KINDS = [PrincipalComponents, CorrelationBreak, Mahalanobis]
every_kind = pytest.mark.parametrize("kind", KINDS)


def plant(rows: int = 3_000, seed: int = 1) -> np.ndarray:
    """Six channels: four follow one load, two are on their own."""
    rng = np.random.default_rng(seed)
    load = rng.normal(size=rows)
    alone = rng.normal(size=(rows, 2))
    siblings = load[:, None] * [1.0, 2.0, -3.0, 10.0] + rng.normal(size=(rows, 4)) * [0.2, 0.4, 0.6, 2.0]
    return np.hstack([siblings + 50.0, alone])


def run(detector: RowDetector, values: np.ndarray, learn: bool = True) -> Scores:
    rows = len(values)
    detector.grow(1)
    return detector.step(np.zeros(rows, np.int32), np.arange(rows, dtype=np.int64), values, np.full(rows, learn))


def make(kind: type[RowDetector]) -> RowDetector:
    return kind(RowParameters(channels=6))


@every_kind
def test_normal_rows_score_little(kind: type[RowDetector]) -> None:
    scores = run(make(kind), plant()).score
    assert np.isnan(scores[:200]).all()
    assert np.isfinite(scores[200:]).all()
    assert (scores[500:] >= 4.0).mean() < 0.002


@every_kind
def test_a_sibling_that_goes_its_own_way_within_its_range_is_found_and_named(kind: type[RowDetector]) -> None:
    values = plant()
    values[2_000:2_060, 1] = np.random.default_rng(7).permutation(values[:2_000, 1])[:60]
    scores = run(make(kind), values)
    worst = 2_000 + int(np.argmax(scores.score[2_000:2_060]))
    assert scores.score[worst] > 4.0
    assert scores.parts is not None
    assert int(np.argmax(scores.parts[worst])) == 1
    np.testing.assert_allclose(scores.parts[worst].sum(), scores.score[worst], rtol=1e-4)


@every_kind
def test_missing_channels_and_absurd_values_do_not_break_a_row(kind: type[RowDetector]) -> None:
    values = plant(1_500)
    values[::3, 1] = np.nan
    values[700] = np.nan
    values[800, 2] = 1e308
    scores = run(make(kind), values)
    assert np.isnan(scores.score[700])
    rest = np.delete(scores.score, 700)[200:]
    assert ((rest >= 0) & (rest <= MAX_SCORE)).all()
    assert scores.score[900:].mean() < 1.0


@every_kind
def test_scoring_alone_changes_nothing_and_a_loaded_state_goes_on(kind: type[RowDetector]) -> None:
    values = plant(700)
    first, second = make(kind), make(kind)
    whole = run(make(kind), values)
    run(first, values[:450])
    state = first.state()
    run(first, values[450:], learn=False)
    for name, array in first.state().items():
        np.testing.assert_array_equal(array, state[name])
    second.load(state)
    np.testing.assert_array_equal(run(second, values[450:]).score, whole.score[450:])


@every_kind
def test_rows_of_another_width_are_refused(kind: type[RowDetector]) -> None:
    with pytest.raises(ValueError, match="expected shape"):
        run(make(kind), np.hstack([plant(), plant()]))


def channels(kind: str, rows: int, devices: int) -> np.ndarray:
    """Normal rows (rows, devices, 8): channels on their own, with heavy tails, or all after one load."""
    rng = np.random.default_rng(11)
    if kind == "on their own":
        return rng.normal(size=(rows, devices, 8))
    if kind == "heavy-tailed":
        return rng.standard_t(3, size=(rows, devices, 8))
    load = rng.normal(size=(rows, devices, 1)) * np.linspace(1.0, 3.0, 8)
    return load + 0.2 * rng.normal(size=(rows, devices, 8))


@pytest.mark.parametrize("kind", ["on their own", "heavy-tailed", "after one load"])
def test_joint_keeps_the_alarm_budget_after_a_week(kind: str) -> None:
    rows, week, devices = 24_000, 10_080, 30
    detector, policy = Joint(JointParameters(channels=8)), AlarmPolicy(AlarmSettings())
    detector.grow(devices)
    policy.grow(devices)
    slot = np.tile(np.arange(devices, dtype=np.int32), rows)
    time = np.repeat(np.arange(rows) * 60_000_000_000, devices)
    values = channels(kind, rows, devices).reshape(-1, 8)
    scores = detector.step(slot, time, values, np.ones(len(slot), np.bool_))
    opened = (policy.step(slot, time, scores.score).event == OPENED).reshape(rows, devices)[week:].sum()
    allowed = devices * (rows - week) / week
    assert 0.3 * allowed <= opened <= 2.0 * allowed
