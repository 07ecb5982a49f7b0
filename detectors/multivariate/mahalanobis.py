"""Score: a device's row against where the device usually is, as one distance."""

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

_SHRINK = 0.1
_REFRESH = 50
_FURTHEST = 8.0
"""Times its usual size as which a distance is learned at most."""


class Mahalanobis(CorrelatedRows):
    """The squared distance of a row from the mean, by a correlation matrix that is shrunk towards independence.

    The matrix is shrunk by 10 % and inverted anew every 50 rows. Distances have the tail of a chi-square law, scaled
    where this device's are usually larger, and tempered by what it showed before. `parts` share the score by what
    each channel adds to the distance.

    Works: on rows that lie where the device's never do, though each channel is within its range. Fails: on relations
    that are not linear; with many channels of which one is odd, as that one is one of many.

    Cost: about 0.5 us a row of 8 channels. Memory: 16 bytes x channels^2 and 32 x channels + 276 a device. Source:
    Hotelling, "Multivariate quality control", 1947; shrinkage: Ledoit and Wolf, J. Multivariate Analysis 88, 2004.
    """

    name: ClassVar[str] = "mahalanobis"
    smoothing: float = 1.0
    """Weight of a new row in the running mean whose distance is measured; 1 for the row itself."""

    def layout(self) -> dict[str, Column]:
        """As of all rows, and the `inverse`; the running mean `smoothed` a channel; the usual `level` of distances."""
        return {
            **super().layout(),
            "inverse": Column(np.float64, (self.channels, self.channels)),
            "smoothed": Column(np.float64, (self.channels,)),
            "level": Column(np.float64),
        }

    def run(self, rows: tuple[Any, Any, Any, Any], scores: RowScores) -> None:
        """Score and learn the rows in order."""
        arrays = self.arrays
        slot, values, _, learn = rows
        _run(
            slot, values, learn, arrays["learned"], arrays["seen"], arrays["mean"], arrays["deviation"],
            arrays["correlation"], arrays["inverse"], arrays["smoothed"], arrays["level"], arrays["counts"],
            self.smoothing, self.rate, self.warmup, PRIOR, scores.score, scores.parts, scores.usual, scores.deviation,
            scores.distance,
        )  # fmt: skip


@njit
def _run(
    slots: NDArray[np.int32], values: Any, learns: Any, learned: Any, seen: Any, mean: Any, deviation: Any,
    correlation: Any, inverse: Any, smoothed: Any, level: Any, counts: Any, smoothing: float, rate: float, warmup: int,
    prior: Any, score: Any, parts: Any, usual: Any, spreads: Any, distance: Any,
) -> None:  # fmt: skip
    channels = values.shape[1]
    z, now, added = np.empty(channels), np.empty(channels), np.empty(channels)
    # Variance of a running mean of independent rows.
    unit = smoothing / (2.0 - smoothing)
    for i in range(slots.shape[0]):
        s = slots[i]
        present, speaking = standardise(
            values[i], seen[s], mean[s], deviation[s], warmup, z, usual[i], spreads[i], distance[i]
        )
        if present == 0:
            continue
        warm = learned[s] >= warmup and speaking >= 2
        null_score, squared = 0.0, 0.0
        for j in range(channels):
            now[j] = smoothed[s, j]
            if seen[s, j] >= warmup:
                now[j] += smoothing * (z[j] - now[j])
        if warm:
            for j in range(channels):
                added[j] = 0.0
                if math.isnan(distance[i, j]):
                    continue
                for k in range(channels):
                    if not math.isnan(distance[i, k]):
                        added[j] += now[j] * inverse[s, j, k] * now[k] / unit
                squared += added[j]
                distance[i, j] = abs(now[j]) / math.sqrt(unit)
            null_score = chi_square_score(squared / max(level[s], 1.0), speaking)
            score[i] = calibrated_score(counts, s, null_score, prior)
            # What a channel takes off the distance, going along with others, is nothing odd about it.
            share(np.maximum(added, 0.0), score[i], parts[i])
        if not learns[i]:
            continue
        if warm:
            learn_calibrated(counts, s, null_score, score[i], learned[s], prior)
            relative = squared / speaking
            if level[s] > 0.0:
                relative = min(relative, _FURTHEST * level[s])
            level[s] += max(rate, 1.0 / (learned[s] + 1 - warmup)) * (relative - level[s])
        smoothed[s, :channels] = now
        fresh = learn_row(values[i], seen[s], mean[s], deviation[s], correlation[s], z, warmup, rate)
        learned[s] += 1
        if learned[s] >= warmup and (fresh or learned[s] == warmup or learned[s] % _REFRESH == 0):
            _invert(correlation[s], seen[s], warmup, inverse[s])


@njit
def _invert(correlation: Any, seen: Any, warmup: int, inverse: Any) -> None:
    """Fill `inverse` with that of the warm channels' shrunk correlations; 0 for the others."""
    warm = np.flatnonzero(seen >= warmup)
    count = len(warm)
    shrunk = np.empty((count, count))
    for j in range(count):
        for k in range(count):
            shrunk[j, k] = (1.0 - _SHRINK) * correlation[warm[j], warm[k]]
        shrunk[j, j] += _SHRINK
    # Correlations of pairs that were met at different times need not fit together: no variance is taken to be below
    # what the shrinking leaves, so that there always is an inverse.
    variances, directions = eigen_symmetric(shrunk)
    inverse[:] = 0.0
    for j in range(count):
        for k in range(count):
            for c in range(count):
                inverse[warm[j], warm[k]] += directions[j, c] * directions[k, c] / max(variances[c], 0.5 * _SHRINK)
