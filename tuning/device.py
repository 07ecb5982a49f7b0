"""Stage 5 of 7 for the channels of one device together: do several lie away from where they usually are, for long?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from alerts.policy import AlarmPolicy
from alerts.settings import AlarmSettings
from detectors.base import MAX_SCORE

WARMUP = 400
"""Rows before the first score: an average over some tens of rows needs that many to show its own spread."""
HALF_LIFE = 10
"""Rows in which the running average of a channel's deviation forgets half."""
CHANNELS = 3
"""How many channels, those furthest away, speak for the device: a fault of a machine shows in several sensors."""
GATE = 3.0
"""Deviations above which a row is not learned."""
HELD_AT_MOST = 2000
"""Rows without learning after which what was a fault is the new normal."""
MEMORY = 10_000
"""Rows that means and spreads go back."""

_RATE = 1.0 - 0.5 ** (1.0 / HALF_LIFE)
_RUN = (2.0 - _RATE) / _RATE
"""Rows that one excursion of the running average lasts: that many rows above a level are one event."""


@dataclass(frozen=True, slots=True)
class DeviceScores:
    """What n rows of a device amount to, all (n,): `score` in decades, NaN while warming; the policy's verdicts.

    `leading` is the channel furthest from where it usually is, `distance` how many times as far as usual.
    """

    score: NDArray[np.float64]
    anomaly: NDArray[np.bool_]
    event: NDArray[np.int8]
    leading: NDArray[np.int64]
    distance: NDArray[np.float64]


class DeviceScorer:
    """Mean of the largest few deviations of the channels' running averages, as a probability.

    Each channel's deviation from its mean is averaged exponentially and divided by what such averages usually
    amount to on this channel, which takes its autocorrelation into account. Of c channels the k furthest speak: under
    normality the mean of k absolute deviations exceeds s with probability at most C(c, k) 2^k Q(s sqrt(k)), and an
    excursion of an average lasts some tens of rows, which are one event. Rows beyond GATE are not learned, until
    HELD_AT_MOST of them came without a break: then the baseline starts anew.

    Works: on machines whose faults move several sensors for longer than a few rows. Fails: on a single channel's spike,
    which the channels' own scores find, and on devices that change their operating point by themselves. Cost: about
    0.3 us a row of 8 channels. Memory: 4 float64 a channel. Source: the EWMA control chart (Roberts, Technometrics
    1959).
    """

    def __init__(self, channels: int, alarm: AlarmSettings) -> None:
        self._state = np.zeros((4, channels))
        self._seen = np.zeros(3, np.int64)
        self._ways = math.comb(channels, min(CHANNELS, channels)) * 2.0 ** min(CHANNELS, channels)
        self._policy = AlarmPolicy(alarm)
        self._policy.grow(1)

    def step(self, time: NDArray[np.int64], value: NDArray[np.float64]) -> DeviceScores:
        """Score each row of `value` (n, channels), NaN where a channel has none, then learn it; rows in time order."""
        rows = len(value)
        score, leading, distance = np.full(rows, np.nan), np.zeros(rows, np.int64), np.zeros(rows)
        _step(np.ascontiguousarray(value), self._state, self._seen, self._ways, score, leading, distance)
        verdicts = self._policy.step(np.zeros(rows, np.int32), time, score)
        return DeviceScores(score, verdicts.anomaly, verdicts.event, leading, distance)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _step(
    values: NDArray[np.float64],
    state: NDArray[np.float64],
    seen: NDArray[np.int64],
    ways: float,
    scores: NDArray[np.float64],
    leading: NDArray[np.int64],
    distance: NDArray[np.float64],
) -> None:
    mean, average, square, deviation = state[0], state[1], state[2], state[3]
    channels = len(mean)
    k = min(CHANNELS, channels)
    for i in range(len(values)):
        if not np.isfinite(values[i]).any():
            continue
        learned, held = seen[0], seen[1]
        for j in range(channels):
            if np.isfinite(values[i, j]):
                if learned == 0:
                    mean[j] = values[i, j]
                average[j] += _RATE * (values[i, j] - mean[j] - average[j])
                deviation[j] = abs(average[j]) / math.sqrt(square[j]) if square[j] > 0.0 else 0.0
        leading[i] = np.argmax(deviation)
        distance[i] = deviation[leading[i]]
        far = np.sort(deviation)[channels - k :].mean()
        if seen[2] >= WARMUP:
            scores[i] = _decades(far, k, ways)
        if learned >= WARMUP and far >= GATE and held < HELD_AT_MOST:
            seen[1] += 1
            continue
        if held >= HELD_AT_MOST:
            mean[:] = np.where(np.isfinite(values[i]), values[i], mean)
            average[:] = 0.0
            learned = 1
        seen[0], seen[1], seen[2] = learned + 1, 0, seen[2] + 1
        weight = 1.0 / min(learned + 1, MEMORY)
        for j in range(channels):
            if not np.isfinite(values[i, j]):
                continue
            mean[j] += weight * (values[i, j] - mean[j])
            # The average needs about a half-life to fill before its size says anything.
            if learned > HALF_LIFE:
                size = average[j] * average[j]
                if learned >= WARMUP:
                    size = min(size, GATE * GATE * square[j])
                square[j] += (size - square[j]) / min(learned + 1 - HALF_LIFE, MEMORY)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _decades(far: float, k: int, ways: float) -> float:
    """-log10 of the probability of an excursion of the k largest deviations' mean to `far`, an event counted once."""
    tail = min(1.0, ways * 0.5 * math.erfc(far * math.sqrt(0.5 * k)))
    events = tail / (1.0 + (_RUN - 1.0) * (1.0 - tail))
    return float(min(MAX_SCORE, -math.log10(max(events, 1e-300))))
