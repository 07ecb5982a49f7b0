"""A device's channels together: lasting shifts in a few channels are found, and named."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.multivariate import Multivariate, MultivariateParameters


def plant(rows: int = 1500) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(rows, 8)) * np.arange(1, 9) + 50


def run(detector: Multivariate, values: np.ndarray, start: int = 0):
    rows = len(values)
    detector.grow(1)
    time = np.arange(start, start + rows, dtype=np.int64)
    return detector.step(np.zeros(rows, np.int32), time, values, np.ones(rows, np.bool_))


def make() -> Multivariate:
    return Multivariate(MultivariateParameters(channels=8))


def test_a_lasting_shift_of_two_channels_scores_as_long_as_it_lasts_and_names_them() -> None:
    values = plant()
    values[900:1200, [2, 5]] += 4 * np.array([3, 6])
    scores = run(make(), values)
    assert np.isnan(scores.score[:400]).all()
    assert scores.score[420:900].max() < 2.0
    assert scores.score[960:1200].min() > 3.0
    assert scores.parts is not None
    assert set(np.argsort(scores.parts[1100])[-2:]) == {2, 5}
    np.testing.assert_allclose(scores.parts[400:].sum(axis=1), scores.score[400:], rtol=1e-4, atol=1e-5)


def test_missing_channels_do_not_break_the_row() -> None:
    values = plant(800)
    values[::3, 1] = np.nan
    values[700] = np.nan
    scores = run(make(), values)
    assert np.isnan(scores.score[700])
    assert np.isfinite(scores.score[400:700]).all()


def test_a_constant_channel_is_normal_until_it_moves() -> None:
    values = plant(1000)
    values[:, 0] = 1.0
    values[600:, 0] = 1.5
    scores = run(make(), values)
    assert scores.score[400:600].max() < 2.0
    assert scores.score[650:].max() > scores.score[400:600].max()


def test_cutting_batches_and_loading_state_change_nothing() -> None:
    values = plant(700)
    whole = run(make(), values)
    first, second = make(), make()
    run(first, values[:450])
    second.load(first.state())
    np.testing.assert_array_equal(run(second, values[450:], 450).score, whole.score[450:])


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="expected shape"):
        run(make(), plant()[:, :5])
