"""Eigenvalues and eigenvectors by rotations, against scipy's."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.multivariate.eigen import eigen_symmetric


def assert_decomposed(matrix: NDArray[np.float64]) -> None:
    values, vectors = eigen_symmetric(matrix)
    size = max(float(np.abs(matrix).max()), 1e-300)
    assert np.allclose(values, scipy.linalg.eigh(matrix, eigvals_only=True), atol=1e-12 * size * len(matrix), rtol=0.0)
    assert np.allclose(vectors @ np.diag(values) @ vectors.T, matrix, atol=1e-12 * size * len(matrix), rtol=0.0)
    assert np.allclose(vectors.T @ vectors, np.eye(len(matrix)), atol=1e-12 * len(matrix))


@settings(deadline=None)
@given(st.integers(1, 24), st.integers(0, 2**32 - 1), st.sampled_from([1e-9, 1.0, 1e9]))
def test_random_matrices_are_taken_apart_as_scipy_does(size: int, seed: int, scale: float) -> None:
    drawn = np.random.default_rng(seed).normal(size=(size, size)) * scale
    assert_decomposed(drawn + drawn.T)


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(4),
        np.ones((5, 5)),
        np.zeros((3, 3)),
        np.diag([3.0, -1.0, 2.0]),
        np.array([[1.0, 1.0 - 1e-12], [1.0 - 1e-12, 1.0]]),
        np.corrcoef(np.random.default_rng(1).normal(size=(64, 40))),
    ],
    ids=["identity", "rank one", "zero", "diagonal", "nearly singular", "correlations of rank 39"],
)
def test_degenerate_matrices_are_taken_apart_too(matrix: NDArray[np.float64]) -> None:
    assert_decomposed(matrix)
