"""Eigenvalues and eigenvectors of a small symmetric matrix, by rotations.

Numba's own function for them needs scipy, 140 MB that nothing else in the service asks for.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit

_SWEEPS = 60
_NEGLIGIBLE = 1e-15


@njit
def eigen_symmetric(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues (n,), ascending, and the eigenvectors as columns (n, n) of a finite symmetric matrix (n, n).

    Exact to about n times the rounding of the largest entry. Cost: some n^3 a sweep, five to eight sweeps.

    Source: the cyclic Jacobi method; Golub, Van Loan, "Matrix Computations", 4th edition, section 8.5.
    """
    n = matrix.shape[0]
    work = matrix.copy()
    vectors = np.eye(n)
    scale = 0.0
    for j in range(n):
        for k in range(n):
            scale = max(scale, abs(work[j, k]))
    for _ in range(_SWEEPS):
        rotated = False
        for p in range(n - 1):
            for q in range(p + 1, n):
                if abs(work[p, q]) > _NEGLIGIBLE * scale:
                    _rotate(work, vectors, p, q)
                    rotated = True
        if not rotated:
            break
    values = np.empty(n)
    for j in range(n):
        values[j] = work[j, j]
    order = np.argsort(values)
    sorted_vectors = np.empty((n, n))
    for c in range(n):
        for j in range(n):
            sorted_vectors[j, c] = vectors[j, order[c]]
    return values[order], sorted_vectors


@njit
def _rotate(work: NDArray[np.float64], vectors: NDArray[np.float64], p: int, q: int) -> None:
    """Turn the plane of axes p and q so that work[p, q] becomes 0."""
    slope = (work[q, q] - work[p, p]) / (2.0 * work[p, q])
    tangent = math.copysign(1.0, slope) / (abs(slope) + math.hypot(1.0, slope))
    cosine = 1.0 / math.hypot(1.0, tangent)
    sine = tangent * cosine
    for j in range(work.shape[0]):
        a, b = work[j, p], work[j, q]
        work[j, p], work[j, q] = cosine * a - sine * b, sine * a + cosine * b
    for j in range(work.shape[0]):
        a, b = work[p, j], work[q, j]
        work[p, j], work[q, j] = cosine * a - sine * b, sine * a + cosine * b
        a, b = vectors[j, p], vectors[j, q]
        vectors[j, p], vectors[j, q] = cosine * a - sine * b, sine * a + cosine * b
