"""Score: what a model says about a reading, tempered by how often it said so of this series before, compiled.

Drift and variance detectors have a law of their own for the odds of what they see, which holds for independent
readings. A real series is autocorrelated, and such a law cries wolf. So the law's decades are a raw score like any
other, and `calibration` makes them the series' own: while young the law is believed, later the series' own past.
"""

from __future__ import annotations

import math
from typing import Any

from common.compiled import njit
from detectors.statistics.calibration import Prior, compress, decades, learn_score

PRIOR = Prior(start=1.0, shape=math.log2(10.0), weight=300.0, lowest=0.0)
"""Raw scores are 2^decades, of which the law says P(raw >= 2^s) = 10^-s; the histogram's cells are quarter decades."""

_MOST = 16.0
_PLAIN = 4.0
_ONE_IN = 8


@njit
def evidence_score(counts: Any, slot: int, law: float, prior: Any) -> float:
    """Decades on the common scale for `law` decades of a model's own law, never more; `counts` (slots, BINS + 1)."""
    return float(compress(min(law, decades(counts, slot, 2.0 ** min(law, _MOST), prior))))


@njit
def evidence_learn(counts: Any, slot: int, law: float, score: float, count: int, prior: Any) -> None:
    """Count `law` among the series' own. Of what scores 4 or more only each eighth reading (by `count`) is counted.

    A drift detector stays high from the beginning of a fault until it is learned, and one fault is to count as few.
    """
    if score < _PLAIN or count % _ONE_IN == 0:
        learn_score(counts, slot, 2.0 ** min(law, _MOST), prior)
