"""Score: how rare a reading is by a detector's null model, calibrated by this series' own past, compiled.

A null score is minus log10 of the probability that the null model gives to what was seen: here that of independent
readings, which drift and variance detectors assume. A real series is autocorrelated, and its null scores are too high.
So a null score is a raw score like any other. `calibration` puts it on the common scale: a young series is judged by
the null model, an older one by how often it had such null scores before.
"""

from __future__ import annotations

import math
from typing import Any

from common.compiled import njit
from detectors.statistics.calibration import Prior, compress, decades, learn_score

PRIOR = Prior(start=1.0, shape=math.log2(10.0), weight=300.0, lowest=0.0)
"""Raw scores are 2^null score. By the null model P(raw >= 2^s) = 10^-s. The histogram's cells are quarter decades."""

_MOST = 16.0
_PLAIN = 4.0
_ONE_IN = 8


@njit
def calibrated_score(counts: Any, slot: int, null_score: float, prior: Any) -> float:
    """The score on the common scale for a null score, never more than that; `counts` (slots, BINS + 1)."""
    return float(compress(min(null_score, decades(counts, slot, 2.0 ** min(null_score, _MOST), prior))))


@njit
def learn_calibrated(counts: Any, slot: int, null_score: float, score: float, count: int, prior: Any) -> None:
    """Count a null score among the series' own. Of scores of 4 or more each eighth reading (by `count`) is counted.

    A drift detector stays high from the beginning of a fault until it is learned, and one fault is to count as few.
    """
    if score < _PLAIN or count % _ONE_IN == 0:
        learn_score(counts, slot, 2.0 ** min(null_score, _MOST), prior)
