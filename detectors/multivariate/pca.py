"""Score: a device's row against the few directions in which its channels usually move together."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from detectors.fleet_detector import Column
from detectors.multivariate.eigen import eigen_symmetric
from detectors.multivariate.row_detector import CorrelatedRows, RowScores, learn_row, share, standardise
from detectors.statistics.null_model import PRIOR, calibrated_score, learn_calibrated
from detectors.statistics.tails import chi_square_score

_KEPT = 0.9
"""Share of the variance that the kept directions carry."""

_SHRINK = 0.05
_REFRESH = 50


class PrincipalComponents(CorrelatedRows):
    """T2, the distance within the usual directions, and Q, what lies off them; the rarer of the two.

    The directions are the eigenvectors of the correlation matrix, shrunk towards independence by 5 % and refreshed
    every 50 rows; those that carry 90 % of the variance are kept. T2 and Q have the tails of (scaled) chi-square laws,
    tempered by what this device showed before. `parts` share the score by squared deviations, respectively
    residuals.

    Works: on rows that no channel alone shows as odd: channels that usually move together and do not (Q), or together
    and too far (T2). Fails: on relations that are not linear, and where operating states differ in their relations.

    Cost: about 0.5 us a row of 8 channels. Memory: 16 bytes x channels^2 and 32 x channels + 284 a device. Source:
    Jackson and Mudholkar, "Control procedures for residuals associated with principal component analysis",
    Technometrics 21, 1979; Wilson and Hilferty, PNAS 17, 1931.
    """

    name: ClassVar[str] = "pca"

    def layout(self) -> dict[str, Column]:
        """As of all rows, and how many `directions` are `known`, a column each, with their `variances`, ascending."""
        return {
            **super().layout(),
            "known": Column(np.int64),
            "directions": Column(np.float64, (self.channels, self.channels)),
            "variances": Column(np.float64, (self.channels,)),
        }

    def run(self, rows: tuple[Any, Any, Any, Any], scores: RowScores) -> None:
        """Score and learn the rows in order."""
        arrays = self.arrays
        slot, values, _, learn = rows
        _run(
            slot, values, learn, arrays["learned"], arrays["seen"], arrays["mean"], arrays["deviation"],
            arrays["correlation"], arrays["known"], arrays["directions"], arrays["variances"], arrays["counts"],
            self.rate, self.warmup, PRIOR, scores.score, scores.parts, scores.usual, scores.deviation, scores.distance,
        )  # fmt: skip


@njit
def _run(
    slots: NDArray[np.int32], values: Any, learns: Any, learned: Any, seen: Any, mean: Any, deviation: Any,
    correlation: Any, known: Any, directions: Any, variances: Any, counts: Any, rate: float, warmup: int, prior: Any,
    score: Any, parts: Any, usual: Any, spreads: Any, distance: Any,
) -> None:  # fmt: skip
    channels = values.shape[1]
    z, spoken, residual = np.empty(channels), np.empty(channels), np.empty(channels)
    for i in range(slots.shape[0]):
        s = slots[i]
        present, speaking = standardise(
            values[i], seen[s], mean[s], deviation[s], warmup, z, usual[i], spreads[i], distance[i]
        )
        if present == 0:
            continue
        warm = learned[s] >= warmup and speaking >= 2
        null_score = 0.0
        if warm:
            for j in range(channels):
                spoken[j] = 0.0 if math.isnan(distance[i, j]) else z[j]
            null_score = _null_score(spoken, directions[s], variances[s], known[s], residual)
            score[i] = calibrated_score(counts, s, null_score, prior)
            share(residual * residual, score[i], parts[i])
        if not learns[i]:
            continue
        if warm:
            learn_calibrated(counts, s, null_score, score[i], learned[s], prior)
        fresh = learn_row(values[i], seen[s], mean[s], deviation[s], correlation[s], z, warmup, rate)
        learned[s] += 1
        if learned[s] >= warmup and (fresh or learned[s] == warmup or learned[s] % _REFRESH == 0):
            known[s] = _find_directions(correlation[s], seen[s], warmup, directions[s], variances[s])


@njit
def _null_score(z: Any, directions: Any, variances: Any, known: int, residual: Any) -> float:
    """Decades of the rarer of T2 and Q; `residual` is left with what that one sees of each channel."""
    channels = z.shape[0]
    residual[:] = z
    t2, kept, carried, left, left_squares, whole = 0.0, 0, 0.0, 0.0, 0.0, 0.0
    for c in range(known):
        whole += variances[c]
    for c in range(known - 1, -1, -1):
        variance = variances[c]
        if carried < _KEPT * whole:
            along = 0.0
            for j in range(channels):
                along += directions[j, c] * z[j]
            for j in range(channels):
                residual[j] -= along * directions[j, c]
            t2 += along * along / variance
            carried += variance
            kept += 1
        else:
            left += variance
            left_squares += variance * variance
    q = 0.0
    for j in range(channels):
        q += residual[j] * residual[j]
    by_t2 = chi_square_score(t2, kept)
    by_q = chi_square_score(q * left / left_squares, left * left / left_squares) if left > 0.0 else 0.0
    if by_t2 >= by_q:
        residual[:] = z
    return float(max(by_t2, by_q))


@njit
def _find_directions(correlation: Any, seen: Any, warmup: int, directions: Any, variances: Any) -> int:
    """Fill `directions` and `variances` from the channels that are warm; returns how many there are."""
    warm = np.flatnonzero(seen >= warmup)
    count = len(warm)
    shrunk = np.empty((count, count))
    for j in range(count):
        for k in range(count):
            shrunk[j, k] = (1.0 - _SHRINK) * correlation[warm[j], warm[k]]
        shrunk[j, j] += _SHRINK
    found, vectors = eigen_symmetric(shrunk)
    directions[:] = 0.0
    variances[:] = 0.0
    for c in range(count):
        variances[c] = max(found[c], 0.5 * _SHRINK)
        for j in range(count):
            directions[warm[j], c] = vectors[j, c]
    return count
