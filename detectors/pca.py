"""Stage 5 of 7: a device's row against the few directions in which its channels usually move together."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.evidence import PRIOR, evidence_learn, evidence_score
from detectors.fleet import Column
from detectors.rows import RowDetector, learn_row, standardise
from detectors.tails import normal_score

_KEPT = 0.9
"""Share of the variance that the kept directions carry."""

_SHRINK = 0.05
_REFRESH = 50


class PrincipalComponents(RowDetector):
    """T2, the distance within the usual directions, and Q, what lies off them; the rarer of the two.

    The directions are the eigenvectors of the correlation matrix, shrunk towards independence by 5 % and refreshed
    every 50 rows; those that carry 90 % of the variance are kept. T2 and Q have the tails of (scaled) chi-square laws,
    tempered by what this device showed before. `parts` share the score by squared deviations, respectively
    residuals.

    Works: on rows that no channel alone shows as odd: channels that usually move together and do not (Q), or together
    and too far (T2). Fails: on relations that are not linear, and where operating states differ in their relations.

    Cost: about 0.5 us a row of 8 channels. Memory: 16 bytes x channels^2 and 24 x channels + 276 a slot. Source:
    Jackson and Mudholkar, "Control procedures for residuals associated with principal component analysis",
    Technometrics 21, 1979; Wilson and Hilferty, PNAS 17, 1931.
    """

    name: ClassVar[str] = "pca"

    def layout(self) -> dict[str, Column]:
        """As of all rows, and the `directions`, a column each, with their `variances`, ascending."""
        channels = self.settings.channels
        return {
            **super().layout(),
            "directions": Column(np.float64, (channels, channels)),
            "variances": Column(np.float64, (channels,)),
        }

    def run(self, rows: tuple[Any, ...], score: NDArray[np.float64], parts: NDArray[np.float32]) -> None:
        """Score and learn the rows in order."""
        arrays = self.arrays
        _run(
            *rows, arrays["learned"], arrays["mean"], arrays["deviation"], arrays["correlation"],
            arrays["directions"], arrays["variances"], arrays["counts"], self.rate, self.settings.warmup, PRIOR,
            score, parts,
        )  # fmt: skip


@njit(cache=True)  # type: ignore[untyped-decorator]
def _chi_score(value: float, freedom: float) -> float:
    """-log10 of the upper tail of a chi-square law, by the cube root that makes it normal."""
    a = 2.0 / (9.0 * freedom)
    deviations = ((max(value, 0.0) / freedom) ** (1.0 / 3.0) - (1.0 - a)) / math.sqrt(a)
    return float(normal_score(deviations)) + math.log10(2.0) if deviations > 0.0 else 0.0


@njit(cache=True)  # type: ignore[untyped-decorator]
def _run(
    slots: Any, values: Any, learns: Any, learned: Any, mean: Any, deviation: Any, correlation: Any, directions: Any,
    variances: Any, counts: Any, rate: float, warmup: int, prior: Any, score: Any, parts: Any,
) -> None:  # fmt: skip
    channels = values.shape[1]
    z, residual = np.empty(channels), np.empty(channels)
    for i in range(slots.shape[0]):
        s = slots[i]
        if standardise(values[i], mean[s], deviation[s], z) == 0:
            continue
        warm = learned[s] >= warmup
        law = 0.0
        if warm:
            residual[:] = z
            t2, kept, carried, left, left_squares = 0.0, 0, 0.0, 0.0, 0.0
            for c in range(channels - 1, -1, -1):
                variance = variances[s, c]
                if carried < _KEPT * channels:
                    along = 0.0
                    for j in range(channels):
                        along += directions[s, j, c] * z[j]
                    for j in range(channels):
                        residual[j] -= along * directions[s, j, c]
                    t2 += along * along / variance
                    carried += variance
                    kept += 1
                else:
                    left += variance
                    left_squares += variance * variance
            q = 0.0
            for j in range(channels):
                q += residual[j] * residual[j]
            by_t2 = _chi_score(t2, kept)
            by_q = _chi_score(q * left / left_squares, left * left / left_squares) if left > 0.0 else 0.0
            law = max(by_t2, by_q)
            score[i] = evidence_score(counts, s, law, prior)
            total = 0.0
            for j in range(channels):
                share = residual[j] if by_q > by_t2 else z[j]
                parts[i, j] = share * share
                total += parts[i, j]
            for j in range(channels):
                parts[i, j] *= score[i] / max(total, 1e-9)
        if not learns[i]:
            continue
        if warm:
            evidence_learn(counts, s, law, score[i], learned[s], prior)
        learn_row(values[i], mean[s], deviation[s], correlation[s], z, learned[s], rate)
        learned[s] += 1
        if learned[s] == warmup or (learned[s] > warmup and learned[s] % _REFRESH == 0):
            shrunk = (1.0 - _SHRINK) * correlation[s]
            for j in range(channels):
                shrunk[j, j] += _SHRINK
            found, vectors = np.linalg.eigh(shrunk)
            directions[s] = vectors
            variances[s] = np.maximum(found, 0.5 * _SHRINK)
