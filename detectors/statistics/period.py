"""Score: the dominant period of a series, counted in readings, found online in fixed memory.

A buffer holds the whole past as equal averages. Whenever it is full its autocorrelation is searched for a period,
then neighbours are averaged in pairs, which frees half of it: checkpoints fall at 512, 1024, 2048, ... readings, and
each looks for twice as long a period as the one before. Cost: spread over the readings, about 0.1 us each.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from detectors.fleet_detector import Column

LENGTH = 512
CONVINCING = 0.45
"""Autocorrelation at the period from which it counts: a fifth of the variance (0.45 squared) repeats."""
BETTER = 0.1
"""By how much a later period must be more correlated than the present one to take its place."""


class PeriodState(NamedTuple):
    """Per slot: the buffer of averages over `stride` readings, its fill, and the period found (0: none) with its
    correlation."""

    buffer: NDArray[np.float32]
    filled: NDArray[np.int32]
    stride: NDArray[np.int32]
    partial: NDArray[np.float64]
    pending: NDArray[np.int32]
    period: NDArray[np.int32]
    correlation: NDArray[np.float64]


LAYOUT = {
    "buffer": Column(np.float32, (LENGTH,)),
    "filled": Column(np.int32),
    "stride": Column(np.int32, fill=1),
    "partial": Column(np.float64),
    "pending": Column(np.int32),
    "period": Column(np.int32),
    "correlation": Column(np.float64),
}


@njit
def dominant_lag(history: Any) -> tuple[int, float]:
    """The first lag whose autocorrelation is a peak nearly as high as any, with its correlation; (0, 0) where none
    is.

    The search begins after the correlation has first fallen below 0.3, so that smoothness is not taken for a period,
    and ends at a third of the history, so that a period was seen three times.
    """
    n = len(history)
    longest = n // 3
    mean = 0.0
    for x in history:
        mean += x
    mean /= n
    centred = np.empty(n)
    for i in range(n):
        centred[i] = history[i] - mean
    correlation = np.zeros(longest)
    for lag in range(longest):
        product, left, right = 0.0, 0.0, 0.0
        for i in range(n - lag):
            product += centred[i] * centred[i + lag]
            left += centred[i] * centred[i]
            right += centred[i + lag] * centred[i + lag]
        scale = math.sqrt(left) * math.sqrt(right)
        if scale > 0.0:
            correlation[lag] = product / scale
    start = 1
    while start < longest - 1 and not (correlation[start] < correlation[start - 1] and correlation[start] < 0.3):
        start += 1
    start = max(start, 4)
    highest = 0.0
    for lag in range(start, longest - 1):
        c = correlation[lag]
        if c >= correlation[lag - 1] and c >= correlation[lag + 1] and c > highest:
            highest = c
    for lag in range(start, longest - 1):
        c = correlation[lag]
        if c > 0.85 * highest and c >= correlation[lag - 1] and c >= correlation[lag + 1]:
            return lag, c
    return 0, 0.0


@njit
def period_learn(state: Any, slot: int, offset: float) -> bool:
    """Add a reading (as an offset of moderate size); True when the period has just changed.

    On True the buffer is still full, so that a caller can seed its own history from it before `period_halve`.
    """
    state.partial[slot] += offset
    state.pending[slot] += 1
    if state.pending[slot] < state.stride[slot]:
        return False
    state.buffer[slot, state.filled[slot]] = state.partial[slot] / state.stride[slot]
    state.filled[slot] += 1
    state.partial[slot] = 0.0
    state.pending[slot] = 0
    if state.filled[slot] < LENGTH:
        return False
    lag, correlation = dominant_lag(state.buffer[slot])
    if lag > 0 and correlation >= CONVINCING and correlation > state.correlation[slot] + BETTER:
        state.period[slot] = lag * state.stride[slot]
        state.correlation[slot] = correlation
        return True
    return False


@njit
def period_halve(state: Any, slot: int) -> None:
    """Where the buffer is full, average its neighbours."""
    if state.filled[slot] < LENGTH:
        return
    buffer = state.buffer[slot]
    half = LENGTH // 2
    for i in range(half):
        buffer[i] = np.float32(0.5) * (buffer[2 * i] + buffer[2 * i + 1])
    state.filled[slot] = half
    state.stride[slot] *= 2
