"""Score: the dominant period of a series, counted in readings, found online in fixed memory.

A buffer holds the whole past as equal averages. Whenever it is full its autocorrelation is searched for a period,
then neighbours are averaged in pairs, which frees half of it: checkpoints fall at 512, 1024, 2048, ... readings, and
each looks for twice as long a period as the one before. Cost: spread over the readings, about 0.1 us each.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from common.compiled import subkernel
from detectors.fleet_detector import Column

LENGTH = 512
CONVINCING = 0.45
"""Autocorrelation at the period from which it counts: a fifth of the variance (0.45 squared) repeats."""
BETTER = 0.1
"""By how much a later period must be more correlated than the present one to take its place."""


LAYOUT = {
    "buffer": Column(np.float32, (LENGTH,)),
    "filled": Column(np.int32),
    "stride": Column(np.int32, fill=1),
    "partial": Column(np.float64),
    "pending": Column(np.int32),
    "period": Column(np.int32),
    "correlation": Column(np.float64),
}
"""A series' record: the buffer of averages over `stride` readings, its fill, and the period found (0: none) with its
correlation."""


@subkernel
def _correlation(history: Any, mean: float, lag: int) -> float:
    """The correlation of the history with itself `lag` places on."""
    product, left, right = 0.0, 0.0, 0.0
    for i in range(len(history) - lag):
        first, second = history[i] - mean, history[i + lag] - mean
        product += first * second
        left += first * first
        right += second * second
    scale = math.sqrt(left) * math.sqrt(right)
    return product / scale if scale > 0.0 else 0.0


@subkernel
def dominant_lag(history: Any) -> tuple[int, float]:
    """The first lag whose autocorrelation is a peak nearly as high as any, with its correlation; (0, 0) where none
    is.

    The search begins after the correlation has first fallen below 0.3, so that smoothness is not taken for a period,
    and ends at a third of the history, so that a period was seen three times.
    """
    longest = len(history) // 3
    mean = 0.0
    for x in history:
        mean += x
    mean /= len(history)
    start, before, here = 1, 1.0, _correlation(history, mean, 1)
    while start < longest - 1 and not (here < before and here < 0.3):
        start += 1
        before, here = here, _correlation(history, mean, start)
    start = max(start, 4)
    # Two passes in place of a table of correlations: a kernel that makes no array runs faster at every other reading.
    highest = 0.0
    for part in range(2):
        before, here = _correlation(history, mean, start - 1), _correlation(history, mean, start)
        for lag in range(start, longest - 1):
            after = _correlation(history, mean, lag + 1)
            if here >= before and here >= after:
                if part == 0:
                    highest = max(highest, here)
                elif here > 0.85 * highest:
                    return lag, here
            before, here = here, after
    return 0, 0.0


@subkernel
def period_learn(state: Any, offset: float) -> bool:
    """Add a reading (as an offset of moderate size); True when the period has just changed.

    On True the buffer is still full, so that a caller can seed its own history from it before `period_halve`.
    """
    state.partial += offset
    state.pending += 1
    if state.pending < state.stride:
        return False
    state.buffer[state.filled] = state.partial / state.stride
    state.filled += 1
    state.partial = 0.0
    state.pending = 0
    if state.filled < LENGTH:
        return False
    lag, correlation = dominant_lag(state.buffer)
    if lag > 0 and correlation >= CONVINCING and correlation > state.correlation + BETTER:
        state.period = lag * state.stride
        state.correlation = correlation
        return True
    return False


@subkernel
def period_halve(state: Any) -> None:
    """Where the buffer is full, average its neighbours."""
    if state.filled < LENGTH:
        return
    buffer = state.buffer
    half = LENGTH // 2
    for i in range(half):
        buffer[i] = np.float32(0.5) * (buffer[2 * i] + buffer[2 * i + 1])
    state.filled = half
    state.stride *= 2
