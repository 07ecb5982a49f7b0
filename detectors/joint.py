"""Stage 5 of 7: the channels of one device together: do several lie away from where they usually are, for long?"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from detectors.base import MAX_SCORE
from detectors.calibration import tame
from detectors.fleet import Column
from detectors.rows import RowDetector, RowParameters, RowScores, share

_REACH = 3.0
"""Standard deviations as which a row further off is learned: a fault moves the baseline by a bounded amount a row."""
_FARTHEST = 10.0
_FAINTEST = 1e-6
"""Smallest spread of a channel, as a share of its mean."""


class JointParameters(RowParameters):
    """How long a deviation lasts that counts, how many channels speak, and how fast what is usual is learned."""

    channels: int = Field(
        default=64, ge=2, le=1024, description="Most metrics of a device that are scored together: those met first."
    )
    half_life: float = Field(
        default=10.0, ge=1, le=1e6, description="Rows in which the running mean of a deviation forgets half."
    )
    memory: float = Field(
        default=3000.0, ge=8, le=1e7, description="Rows that what is usual goes back, once warmed up."
    )
    strongest: int = Field(default=3, ge=1, le=1024, description="Channels, those furthest away, that speak together.")
    warmup: int = Field(default=400, ge=8, le=1_000_000, description="Rows learned before the first score.")
    channel_alarms: bool = Field(
        default=False, description="Whether the channels open alarms of their own beside the device's."
    )


class Joint(RowDetector):
    """The channels' own scores, and the mean of their largest few lasting deviations, as one probability.

    Each channel's deviation from its mean is averaged exponentially and divided by what such averages usually
    amount to on this channel, which takes its autocorrelation into account. Of c channels the k furthest speak: under
    normality the mean of k absolute deviations exceeds s with probability at most C(c, k) 2^k Q(s sqrt(k)). Everything
    is learned, odd rows as if less odd. The highest score that a channel's own detectors gave since the last row speaks
    too, less log10 c for the c chances of it (Bonferroni): it finds what lasts a few rows or shows in one channel
    alone. So the device's alarm stands for those of its channels, which open none of their own meanwhile, unless
    `channel_alarms` says so.

    Works: on machines whose faults move several sensors for a while. Fails: on devices that change their operating
    point by themselves; on heavy-tailed channels it gives several times the budgeted alarms. Half-life, memory and
    number of channels were chosen with the SKAB water loop in view.

    Cost: about 0.3 us a row of 8 channels. Memory: 40 bytes a channel and 8 a device. Source: the EWMA control chart
    (Roberts, Technometrics 1, 1959).
    """

    name: ClassVar[str] = "joint"
    takes_channel_scores: ClassVar[bool] = True
    Parameters: ClassVar[type[BaseModel]] = JointParameters

    def __init__(self, parameters: JointParameters) -> None:
        self.settings = parameters
        self.rate = 1.0 - 0.5 ** (1.0 / parameters.half_life)
        strongest = (min(count, parameters.strongest) for count in range(parameters.channels + 1))
        self.ways = np.array([math.comb(count, k) * 2.0**k for count, k in enumerate(strongest)])
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """Per slot: rows `learned`; per channel rows `seen`, `mean`, `variance`, the running mean of its deviation,
        `average`, and that one's mean square.
        """
        channels = (self.channels,)
        return {
            "learned": Column(np.int64),
            "seen": Column(np.int64, channels),
            "mean": Column(np.float64, channels),
            "variance": Column(np.float64, channels),
            "average": Column(np.float64, channels),
            "square": Column(np.float64, channels),
        }

    def run(self, rows: tuple[Any, ...], scores: RowScores) -> None:
        """Score and learn the rows in order."""
        arrays, settings = self.arrays, self.settings
        _run(
            *rows, arrays["learned"], arrays["seen"], arrays["mean"], arrays["variance"], arrays["average"],
            arrays["square"], self.ways, self.rate, settings.half_life, settings.memory, settings.strongest,
            settings.warmup, scores.score, scores.parts, scores.usual, scores.deviation, scores.distance,
        )  # fmt: skip


@njit(cache=True)  # type: ignore[untyped-decorator]
def _run(
    slots: NDArray[np.int32], values: Any, given: Any, learns: Any, learned: Any, seen: Any, mean: Any, variance: Any,
    average: Any, square: Any, ways: Any, rate: float, half_life: float, memory: float, strongest: int, warmup: int,
    score: Any, parts: Any, usual: Any, spreads: Any, distance: Any,
) -> None:  # fmt: skip
    channels = values.shape[1]
    middle, width, moved, size, odds = np.empty((5, channels))
    run = (2.0 - rate) / rate
    for i in range(slots.shape[0]):
        s = slots[i]
        present, speaking, alone = 0, 0, -1
        for j in range(channels):
            if seen[s, j] > 0:
                usual[i, j] = mean[s, j]
                spreads[i, j] = math.sqrt(variance[s, j])
            if not math.isnan(given[i, j]) and (alone < 0 or given[i, j] > given[i, alone]):
                alone = j
            if not math.isfinite(values[i, j]):
                continue
            present += 1
            value = tame(values[i, j])
            middle[j] = mean[s, j] if seen[s, j] > 0 else value
            # A channel that never moved has a spread all the same, so that its first move shows.
            least = _FAINTEST * abs(middle[j]) + 1e-12
            width[j] = max(variance[s, j], least * least)
            size[j] = max(square[s, j], least * least / run)
            off = value - middle[j]
            if seen[s, j] > 2:
                off = _within(off, _FARTHEST * math.sqrt(width[j]))
            moved[j] = average[s, j] + rate * (off - average[s, j])
            if seen[s, j] >= warmup:
                speaking += 1
                distance[i, j] = abs(moved[j]) / math.sqrt(size[j])
        if present == 0:
            continue
        if learned[s] >= warmup and speaking >= 2:
            score[i] = _together(distance[i], min(strongest, speaking), ways[speaking], odds)
            own = given[i, alone] - math.log10(present) if alone >= 0 else 0.0
            if own > score[i]:
                score[i] = own
                for j in range(channels):
                    odds[j] = 0.0 if math.isnan(given[i, j]) else max(given[i, j] - math.log10(present), 0.0)
            share(odds, score[i], parts[i])
        if not learns[i]:
            continue
        for j in range(channels):
            if not math.isfinite(values[i, j]):
                continue
            count = seen[s, j]
            weight = 1.0 / (count + 1) if count < warmup else 1.0 / memory
            off, spread = tame(values[i, j]) - middle[j], moved[j] * moved[j]
            if count >= warmup:
                off = _within(off, _REACH * math.sqrt(width[j]))
                spread = min(spread, _REACH * _REACH * size[j])
            average[s, j] = moved[j]
            mean[s, j] = middle[j] + weight * off
            variance[s, j] = (1.0 - weight) * (width[j] + weight * off * off)
            square[s, j] = size[j]
            # The average needs about a half-life to fill before its size says anything.
            if count > half_life:
                square[s, j] += (spread - size[j]) * (weight if count >= warmup else 1.0 / (count - half_life))
            seen[s, j] = count + 1
        learned[s] += 1


@njit(cache=True)  # type: ignore[untyped-decorator]
def _within(off: float, reach: float) -> float:
    return min(max(off, -reach), reach)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _together(distance: Any, strongest: int, ways: float, odds: Any) -> float:
    """Decades of the mean of the `strongest` of the distances that are there; `odds` is left with those."""
    order = np.sort(np.where(np.isnan(distance), -1.0, distance))[::-1]
    least = order[strongest - 1]
    for j in range(distance.shape[0]):
        odds[j] = distance[j] if distance[j] >= least else 0.0
    return float(_decades(order[:strongest].mean(), strongest, ways))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _decades(far: float, strongest: int, ways: float) -> float:
    """-log10 of the bound on the probability that the mean of the largest deviations is at least `far`."""
    tail = min(1.0, ways * 0.5 * math.erfc(far * math.sqrt(0.5 * strongest)))
    return float(min(MAX_SCORE, -math.log10(max(tail, 1e-300))))
