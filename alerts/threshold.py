"""Alarm: the score that raises one. The compiled policy, the API and the reasons all ask this one function."""

from __future__ import annotations

import math

from common.compiled import subkernel

MIN_THRESHOLD = 2.0
"""No budget makes an alarm of a reading that is expected once in a hundred: a slow sensor's budget would allow it."""
MAX_THRESHOLD = 10.0
"""Beyond this no history supports a probability; a faster series shares it."""

_UNKNOWN_CADENCE = 60.0
"""Seconds between readings that are assumed of a series with one reading."""


@subkernel
def threshold_of(fixed: float, budget: float, log_cadence: float) -> float:
    """The score, in decades, from which a reading of a series raises an alarm.

    `fixed` is the configured threshold, 0 where there is none. `budget` is how many alarms a second may be false;
    `log_cadence` the natural logarithm of the seconds between readings, NaN where unknown. Of readings that come every
    c seconds, budget * c each may alarm by chance; a score is -log10 of a probability, so the threshold is
    -log10(budget * c).
    """
    if fixed > 0.0:
        return fixed
    seconds = _UNKNOWN_CADENCE if math.isnan(log_cadence) else math.exp(log_cadence)
    return min(max(-math.log10(budget * seconds), MIN_THRESHOLD), MAX_THRESHOLD)
