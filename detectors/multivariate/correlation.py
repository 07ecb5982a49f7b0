"""Score: channels of one device that went together and no longer do."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from detectors.fleet_detector import Column
from detectors.multivariate.row_detector import CorrelatedRows, RowScores, learn_row, share, standardise
from detectors.statistics.null_model import PRIOR, calibrated_score, learn_calibrated
from detectors.variance_change import ratio_score

_SIBLINGS = 0.6
"""Correlation from which two channels are siblings."""

_RECENT = 24.0
_UNEVEN = 3.0
"""An exponential mean of squares has a longer tail than the plain one, and the correlation is itself estimated."""

_LEAST_LEFT = 0.02
_REACH = 16.0


class CorrelationBreak(CorrelatedRows):
    """The difference between sibling channels of late, over what their correlation leaves of it.

    Two channels whose correlation r is at least 0.6, of either sign, are siblings: their difference, in deviations, has
    variance 2 - 2 |r|. Its mean square over the last 24 rows or so is compared with that, for the
    worst pair, as an F tail with the number of pairs accounted for, tempered by what this device showed before.
    `parts` name the channels of the broken pairs; a channel that is in several of them is the likely culprit.

    Works: on a sensor beside others of the same thing that freezes, drifts or is swapped within its usual range. Fails:
    on faults that move siblings alike, on channels without siblings, and where one follows the other late.

    Cost: about 0.35 us a row of 8 channels. Memory: 16 bytes x channels^2 and 24 x channels + 268 a device. Source:
    regression between redundant sensors as in Kullaa, Mech. Syst. Signal Process. 25, 2011, by exponential means.
    """

    name: ClassVar[str] = "correlation_break"

    def layout(self) -> dict[str, Column]:
        """As of all rows, and the mean squared `error` of each pair over its variance."""
        return {**super().layout(), "error": Column(np.float64, (self.channels, self.channels), fill=1.0)}

    def run(self, rows: tuple[Any, Any, Any, Any], scores: RowScores) -> None:
        """Score and learn the rows in order."""
        arrays = self.arrays
        slot, values, _, learn = rows
        _run(
            slot, values, learn, arrays["learned"], arrays["seen"], arrays["mean"], arrays["deviation"],
            arrays["correlation"], arrays["error"], arrays["counts"], self.rate, self.warmup, PRIOR, scores.score,
            scores.parts, scores.usual, scores.deviation, scores.distance,
        )  # fmt: skip


@njit
def _run(
    slots: NDArray[np.int32], values: Any, learns: Any, learned: Any, seen: Any, mean: Any, deviation: Any,
    correlation: Any, error: Any, counts: Any, rate: float, warmup: int, prior: Any, score: Any, parts: Any,
    usual: Any, spreads: Any, distance: Any,
) -> None:  # fmt: skip
    channels = values.shape[1]
    z, odds = np.empty(channels), np.empty(channels)
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
            odds[:] = 0.0
            pairs = math.log10(speaking * (speaking - 1) / 2.0)
            for j in range(channels):
                for k in range(j):
                    both = math.sqrt(correlation[s, j, j] * correlation[s, k, k])
                    r = max(-1.0, min(1.0, correlation[s, j, k] / both)) if both > 0.0 else 0.0
                    if abs(r) < _SIBLINGS or math.isnan(distance[i, j]) or math.isnan(distance[i, k]):
                        continue
                    # Symmetric in the two: a pair's difference, whichever is forecast by the other.
                    apart = z[j] - math.copysign(1.0, r) * z[k]
                    now = min(apart * apart / max(2.0 - 2.0 * abs(r), _LEAST_LEFT), _REACH)
                    recent = error[s, j, k] + 2.0 / (_RECENT + 1.0) * (now - error[s, j, k])
                    if learns[i]:
                        error[s, j, k] = recent
                    if recent > 1.0:
                        odd = max(0.0, ratio_score(recent, _RECENT / _UNEVEN, float(learned[s])) - pairs)
                        odds[j] += odd
                        odds[k] += odd
                        null_score = max(null_score, odd)
            score[i] = calibrated_score(counts, s, null_score, prior)
            share(odds, score[i], parts[i])
        if not learns[i]:
            continue
        if warm:
            learn_calibrated(counts, s, null_score, score[i], learned[s], prior)
        learn_row(values[i], seen[s], mean[s], deviation[s], correlation[s], z, warmup, rate)
        learned[s] += 1
