"""Stage 5 of 7: channels of one device that went together and no longer do."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.evidence import PRIOR, evidence_learn, evidence_score
from detectors.fleet import Column
from detectors.rows import RowDetector, learn_row, standardise
from detectors.variance_change import ratio_score

_SIBLINGS = 0.6
"""Correlation from which two channels are siblings."""

_RECENT = 24.0
_UNEVEN = 3.0
"""An exponential mean of squares has a longer tail than the plain one, and the correlation is itself estimated."""

_LEAST_LEFT = 0.02
_REACH = 16.0


class CorrelationBreak(RowDetector):
    """The difference between sibling channels of late, over what their correlation leaves of it.

    Two channels whose correlation r is at least 0.6, of either sign, are siblings: their difference, in deviations, has
    variance 2 - 2 |r|. Its mean square over the last 24 rows or so is compared with that, for the
    worst pair, as an F tail with the number of pairs accounted for, tempered by what this device showed before.
    `parts` name the channels of the broken pairs; a channel that is in several of them is the likely culprit.

    Works: on a sensor beside others of the same thing that freezes, drifts or is swapped within its usual range. Fails:
    on faults that move siblings alike, on channels without siblings, and where one follows the other late.

    Cost: about 0.35 us a row of 8 channels. Memory: 16 bytes x channels^2 and 16 x channels + 276 a slot. Source:
    regression between redundant sensors as in Kullaa, Mech. Syst. Signal Process. 25, 2011, by exponential means.
    """

    name: ClassVar[str] = "correlation_break"

    def layout(self) -> dict[str, Column]:
        """As of all rows, and the mean squared `error` of each pair over its variance."""
        channels = self.settings.channels
        return {**super().layout(), "error": Column(np.float64, (channels, channels), fill=1.0)}

    def run(self, rows: tuple[Any, ...], score: NDArray[np.float64], parts: NDArray[np.float32]) -> None:
        """Score and learn the rows in order."""
        arrays = self.arrays
        _run(
            *rows, arrays["learned"], arrays["mean"], arrays["deviation"], arrays["correlation"], arrays["error"],
            arrays["counts"], self.rate, self.settings.warmup, PRIOR, score, parts,
        )  # fmt: skip


@njit(cache=True)  # type: ignore[untyped-decorator]
def _run(
    slots: Any, values: Any, learns: Any, learned: Any, mean: Any, deviation: Any, correlation: Any, error: Any,
    counts: Any, rate: float, warmup: int, prior: Any, score: Any, parts: Any,
) -> None:  # fmt: skip
    channels = values.shape[1]
    z, odds = np.empty(channels), np.empty(channels)
    weight = 2.0 / (_RECENT + 1.0)
    pairs = math.log10(max(channels * (channels - 1) / 2.0, 1.0))
    for i in range(slots.shape[0]):
        s = slots[i]
        if standardise(values[i], mean[s], deviation[s], z) == 0:
            continue
        warm = learned[s] >= warmup
        law = 0.0
        odds[:] = 0.0
        if warm:
            for j in range(channels):
                for k in range(j):
                    both = math.sqrt(correlation[s, j, j] * correlation[s, k, k])
                    r = max(-1.0, min(1.0, correlation[s, j, k] / both)) if both > 0.0 else 0.0
                    if abs(r) < _SIBLINGS or not (math.isfinite(values[i, j]) and math.isfinite(values[i, k])):
                        continue
                    # Symmetric in the two: a pair's difference, whichever is forecast by the other.
                    apart = z[j] - math.copysign(1.0, r) * z[k]
                    now = min(apart * apart / max(2.0 - 2.0 * abs(r), _LEAST_LEFT), _REACH)
                    recent = error[s, j, k] + weight * (now - error[s, j, k])
                    if learns[i]:
                        error[s, j, k] = recent
                    if recent > 1.0:
                        odd = max(0.0, ratio_score(recent, _RECENT / _UNEVEN, float(learned[s])) - pairs)
                        odds[j] += odd
                        odds[k] += odd
                        law = max(law, odd)
            score[i] = evidence_score(counts, s, law, prior)
            total = max(odds.sum(), 1e-9)
            for j in range(channels):
                parts[i, j] = score[i] * odds[j] / total
        if not learns[i]:
            continue
        if warm:
            evidence_learn(counts, s, law, score[i], learned[s], prior)
        learn_row(values[i], mean[s], deviation[s], correlation[s], z, learned[s], rate)
        learned[s] += 1
