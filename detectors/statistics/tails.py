"""Score: tail probabilities as scores, in compiled form: -log10 of a two-sided p-value, in [0, MAX_SCORE].

The normal law comes from a table of the complementary error function: within the range of scores erfc does not
underflow, and beyond the table's end the score is MAX_SCORE. Student's t with eight degrees of freedom has a closed
form.
"""

from __future__ import annotations

import math

import numpy as np

from common.compiled import njit
from detectors.detector import MAX_SCORE

LARGEST = 1e300
"""Larger readings, which no sensor means, are taken as this, so that differences and bands of them stay finite."""

_STEPS_PER_DEVIATION = 256
_LAST_DEVIATION = 7.2
_NORMAL_SCORES = np.array(
    [
        min(MAX_SCORE, -math.log10(math.erfc(step / _STEPS_PER_DEVIATION / math.sqrt(2.0))))
        for step in range(int(_LAST_DEVIATION * _STEPS_PER_DEVIATION) + 2)
    ]
)


@njit(inline="always")
def normal_score(deviations: float) -> float:
    """-log10 P(|Z| >= `deviations`) for a standard normal Z; linear between 256 knots a deviation, error below 1e-5.

    `deviations` is not negative; NaN gives NaN, 7.2 and more (infinity too) give MAX_SCORE.
    """
    if deviations >= _LAST_DEVIATION:
        return MAX_SCORE
    if math.isnan(deviations):
        return deviations
    place = deviations * _STEPS_PER_DEVIATION
    knot = int(place)
    low = float(_NORMAL_SCORES[knot])
    return low + (place - knot) * (float(_NORMAL_SCORES[knot + 1]) - low)


@njit(inline="always")
def student_score(deviations: float) -> float:
    """-log10 P(|T| >= `deviations`) for Student's t with 8 degrees of freedom, MAX_SCORE from about 80 deviations.

    With s = t / sqrt(8 + t^2) the two-sided tail is the integral of (1 - x^2)^3 from s to 1 over that from 0 to 1, a
    polynomial in u = 1 - s; u is written as (8 / (8 + t^2)) / (1 + s) so that nothing cancels. Source: Shaw, "Sampling
    Student's T distribution", J. Comput. Finance 9(4), 2006 (closed forms for even degrees).
    """
    if deviations >= 1e4:
        return MAX_SCORE
    square = deviations * deviations
    sine = deviations / math.sqrt(8.0 + square)
    rest = 8.0 / ((8.0 + square) * (1.0 + sine))
    score = -math.log10(35.0 / 16.0 * rest**4 * (2.0 - rest * (2.4 - rest * (1.0 - rest / 7.0))))
    return max(0.0, min(MAX_SCORE, score))


@njit(inline="always")
def first_change_score(count: float) -> float:
    """The score of the first change in a series that has been constant for `count` readings: log10(`count` + 2).

    A deviation cannot be measured in units of zero, so the score rests on how long the series stayed constant, by
    Laplace's rule of succession: after n successes the next failure has probability 1 / (n + 2).
    """
    return min(MAX_SCORE, math.log10(count + 2.0))


@njit
def chi_square_score(value: float, freedom: float) -> float:
    """-log10 of the upper tail of a chi-square law, by the cube root that makes it normal; 0 at its middle and below.

    Source: Wilson and Hilferty, PNAS 17, 1931.
    """
    a = 2.0 / (9.0 * freedom)
    deviations = ((max(value, 0.0) / freedom) ** (1.0 / 3.0) - (1.0 - a)) / math.sqrt(a)
    return float(normal_score(deviations)) + math.log10(2.0) if deviations > 0.0 else 0.0
