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
REACH = 3.0
"""Standard deviations as which a row further off is learned: a fault moves the baseline by a bounded amount a row."""
MEMORY = 3000
"""Rows that the baseline goes back after the warm-up: a shift that stays is learned within a few times as many.
Half-life, channels and memory were chosen with the SKAB water loop in view."""
FAINTEST = 1e-6
"""Smallest spread of a channel, as a share of its mean."""

_RATE = 1.0 - 0.5 ** (1.0 / HALF_LIFE)
_RUN = (2.0 - _RATE) / _RATE
"""Variance of independent readings over that of their running average."""


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
    """The channels' own scores, and the mean of their largest few lasting deviations, as one probability.

    Each channel's deviation from its mean is averaged exponentially and divided by what such averages usually
    amount to on this channel, which takes its autocorrelation into account. Of c channels the k furthest speak: under
    normality the mean of k absolute deviations exceeds s with probability at most C(c, k) 2^k Q(s sqrt(k)). Everything
    is learned, odd rows as if less odd. A channel's own score speaks too, less log10 c for the c chances of it
    (Bonferroni): it finds what lasts a few rows or shows in one channel alone.

    Works: on machines whose faults move several sensors for a while. Fails: on devices that change their operating
    point by themselves; on heavy-tailed channels it gives several times the budgeted alarms. Cost: about 0.3 us a row
    of 8 channels. Memory: 4 float64 a channel. Source: the EWMA control chart (Roberts, Technometrics 1959).
    """

    def __init__(self, channels: int, alarm: AlarmSettings) -> None:
        self._state = np.zeros((4, channels))
        self._learned = np.zeros(1, np.int64)
        self._ways = math.comb(channels, min(CHANNELS, channels)) * 2.0 ** min(CHANNELS, channels)
        self._policy = AlarmPolicy(alarm)
        self._policy.grow(1)

    def step(
        self, time: NDArray[np.int64], value: NDArray[np.float64], channel_score: NDArray[np.float64]
    ) -> DeviceScores:
        """Score each row of `value` (n, channels), NaN where a channel has none, then learn it; rows in time order.

        `channel_score` (n, channels) is what the channels' detectors said, NaN for nothing.
        """
        rows, channels = value.shape
        score, leading, distance = np.full(rows, np.nan), np.zeros(rows, np.int64), np.zeros(rows)
        _step(np.ascontiguousarray(value), self._state, self._learned, self._ways, score, leading, distance)
        alone = np.fmax.reduce(channel_score, axis=1) - math.log10(channels)
        score = np.where(np.isnan(score), np.nan, np.fmax(score, alone))
        verdicts = self._policy.step(np.zeros(rows, np.int32), time, score)
        return DeviceScores(score, verdicts.anomaly, verdicts.event, leading, distance)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _step(
    values: NDArray[np.float64],
    state: NDArray[np.float64],
    learned: NDArray[np.int64],
    ways: float,
    scores: NDArray[np.float64],
    leading: NDArray[np.int64],
    distance: NDArray[np.float64],
) -> None:
    mean, variance, average, square = state[0], state[1], state[2], state[3]
    channels = len(mean)
    k = min(CHANNELS, channels)
    deviation = np.empty(channels)
    for i in range(len(values)):
        if not np.isfinite(values[i]).any():
            continue
        seen = learned[0]
        weight = 1.0 / (seen + 1) if seen < WARMUP else 1.0 / MEMORY
        for j in range(channels):
            if np.isfinite(values[i, j]):
                if seen == 0:
                    mean[j] = values[i, j]
                off = values[i, j] - mean[j]
                # A channel that never moved has a spread all the same, so that its first move shows.
                least = FAINTEST * abs(mean[j]) + 1e-12
                variance[j] = max(variance[j], least * least)
                square[j] = max(square[j], least * least / _RUN)
                if seen > 2:
                    off = _within(off, 10.0 * math.sqrt(variance[j]))
                average[j] += _RATE * (off - average[j])
            deviation[j] = abs(average[j]) / math.sqrt(square[j]) if square[j] > 0.0 else 0.0
        leading[i] = np.argmax(deviation)
        distance[i] = deviation[leading[i]]
        if seen >= WARMUP:
            scores[i] = _decades(np.sort(deviation)[channels - k :].mean(), k, ways)
        for j in range(channels):
            if not np.isfinite(values[i, j]):
                continue
            off, size = values[i, j] - mean[j], average[j] * average[j]
            if seen >= WARMUP:
                off = _within(off, REACH * math.sqrt(variance[j]))
                size = min(size, REACH * REACH * square[j])
            mean[j] += weight * off
            variance[j] = (1.0 - weight) * (variance[j] + weight * off * off)
            # The average needs about a half-life to fill before its size says anything.
            if seen > HALF_LIFE:
                square[j] += (size - square[j]) * (weight if seen >= WARMUP else 1.0 / (seen - HALF_LIFE))
        learned[0] += 1


@njit(cache=True)  # type: ignore[untyped-decorator]
def _within(off: float, reach: float) -> float:
    return min(max(off, -reach), reach)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _decades(far: float, k: int, ways: float) -> float:
    """-log10 of the bound on the probability that the mean of the k largest deviations is at least `far`."""
    tail = min(1.0, ways * 0.5 * math.erfc(far * math.sqrt(0.5 * k)))
    return float(min(MAX_SCORE, -math.log10(max(tail, 1e-300))))
