"""Score: the channels of one device together: do several lie away from where they usually are, for long?"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from common.compiled import njit
from detectors.detector import MAX_SCORE
from detectors.fleet_detector import Column
from detectors.multivariate.row_detector import RowDetector, RowParameters, RowScores, share
from detectors.statistics.calibration import clamp

_REACH = 3.0
"""Standard deviations as which a row further off is learned: a fault moves the baseline by a bounded amount a row."""
_FARTHEST = 10.0
_FAINTEST = 1e-6
"""Smallest spread of a channel, as a share of its mean."""

_LEVELS = (2.0, 3.0)
"""Null scores at which the null model is held against what this device showed."""
_EXPECTED = 3.0
"""Rows beyond each level that the null model's own promise is worth, beside those counted."""
_COUNTED = 100_000.0
"""Rows after which the counts are halved, so that old ones fade."""
_ODD, _ONE_IN = 4.0, 8
"""Of rows that score so much only each eighth is counted: a fault that lasts is to count as few rows."""


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
    alone. Channels that follow one another, or have heavy tails, are together far more often than that law says: how
    often this device's rows were beyond one in 100 and one in 1000 by it tempers its decades. So the device's alarm
    stands for those of its channels, which open none of their own meanwhile, unless `channel_alarms` says so.

    Works: on machines whose faults move several sensors for a while. Fails: on devices that change their operating
    point by themselves, and in the first thousand rows of devices whose channels follow one another. Half-life, memory
    and number of channels were chosen with the SKAB water loop in view.

    Cost: about 0.3 us a row of 8 channels. Memory: 40 bytes a channel and 32 a device. Source: the EWMA control chart
    (Roberts, Technometrics 1, 1959).
    """

    name: ClassVar[str] = "joint"
    Parameters: ClassVar[type[BaseModel]] = JointParameters

    def __init__(self, parameters: JointParameters) -> None:
        self.settings = parameters
        self.rate = 1.0 - 0.5 ** (1.0 / parameters.half_life)
        strongest = (min(count, parameters.strongest) for count in range(parameters.channels + 1))
        self.ways = np.array([math.comb(count, k) * 2.0**k for count, k in enumerate(strongest)])
        super().__init__(parameters)

    @property
    def replaces_channel_alarms(self) -> bool:
        """Unless the channels are to have alarms of their own."""
        return not self.settings.channel_alarms

    def layout(self) -> dict[str, Column]:
        """Per slot: rows `learned`, rows `counted` and those of them `beyond` each level; per channel rows `seen`,
        `mean`, `variance`, the running mean of its deviation, `average`, and that one's mean square.
        """
        channels = (self.channels,)
        return {
            "learned": Column(np.int64),
            "counted": Column(np.float64),
            "beyond": Column(np.float64, (len(_LEVELS),)),
            "seen": Column(np.int64, channels),
            "mean": Column(np.float64, channels),
            "variance": Column(np.float64, channels),
            "average": Column(np.float64, channels),
            "square": Column(np.float64, channels),
        }

    def run(self, rows: tuple[Any, Any, Any, Any], scores: RowScores) -> None:
        """Score and learn the rows in order."""
        arrays, settings = self.arrays, self.settings
        _run(
            *rows, arrays["learned"], arrays["counted"], arrays["beyond"], arrays["seen"], arrays["mean"],
            arrays["variance"], arrays["average"], arrays["square"], self.ways, self.rate, settings.half_life,
            settings.memory, settings.strongest, settings.warmup, scores.score, scores.parts, scores.usual,
            scores.deviation, scores.distance,
        )  # fmt: skip


@njit
def _run(
    slots: NDArray[np.int32], values: Any, given: Any, learns: Any, learned: Any, counted: Any, beyond: Any, seen: Any,
    mean: Any, variance: Any, average: Any, square: Any, ways: Any, rate: float, half_life: float, memory: float,
    strongest: int, warmup: int, score: Any, parts: Any, usual: Any, spreads: Any, distance: Any,
) -> None:  # fmt: skip
    channels = values.shape[1]
    middle, width, moved, size, odds, order = np.empty((6, channels))
    run = (2.0 - rate) / rate
    for i in range(slots.shape[0]):
        s = slots[i]
        present, speaking, alone = 0, 0, -1
        null_score, together = -1.0, 0.0
        for j in range(channels):
            if seen[s, j] > 0:
                usual[i, j] = mean[s, j]
                spreads[i, j] = math.sqrt(variance[s, j])
            if not math.isnan(given[i, j]) and (alone < 0 or given[i, j] > given[i, alone]):
                alone = j
            if not math.isfinite(values[i, j]):
                continue
            present += 1
            value = clamp(values[i, j])
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
            null_score = _together(distance[i], min(strongest, speaking), ways[speaking], odds, order)
            together = _tempered(null_score, counted[s], beyond[s], min(strongest, speaking))
            score[i] = together
            own = given[i, alone] - math.log10(present) if alone >= 0 else 0.0
            if own > score[i]:
                score[i] = own
                for j in range(channels):
                    odds[j] = 0.0 if math.isnan(given[i, j]) else max(given[i, j] - math.log10(present), 0.0)
            share(odds, score[i], parts[i])
        if not learns[i]:
            continue
        if null_score >= 0.0:
            _count(counted, beyond, s, null_score, together < _ODD or learned[s] % _ONE_IN == 0)
        for j in range(channels):
            if not math.isfinite(values[i, j]):
                continue
            count = seen[s, j]
            weight = 1.0 / (count + 1) if count < warmup else 1.0 / memory
            off, spread = clamp(values[i, j]) - middle[j], moved[j] * moved[j]
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


@njit
def _within(off: float, reach: float) -> float:
    return min(max(off, -reach), reach)


@njit
def _tempered(null_score: float, counted: float, beyond: Any, strongest: int) -> float:
    """What a null score is worth on this device, in decades, never more than itself.

    Straight lines through what was seen at the two levels; beyond them at least 1 / `strongest`, which is what channels
    that move as one make of a decade.
    """
    low, high = _LEVELS
    at_low, at_high = _seen(low, counted, beyond[0]), _seen(high, counted, beyond[1])
    if null_score <= low:
        return float(null_score * at_low / low)
    rise = (at_high - at_low) / (high - low)
    if null_score > high:
        return float(at_high + (null_score - high) * min(max(rise, 1.0 / strongest), 1.0))
    return float(at_low + (null_score - low) * rise)


@njit
def _seen(level: float, counted: float, beyond: float) -> float:
    """Decades of how seldom a row was beyond the level, at most the level itself."""
    share = (beyond + _EXPECTED) / (counted + _EXPECTED * 10.0**level)
    return float(min(-math.log10(share), level))


@njit
def _count(counted: Any, beyond: Any, s: int, null_score: float, counts: bool) -> None:
    """Count a row of this null score."""
    if not counts:
        return
    counted[s] += 1.0
    for k in range(len(_LEVELS)):
        if null_score >= _LEVELS[k]:
            beyond[s, k] += 1.0
    if counted[s] >= _COUNTED:
        counted[s] *= 0.5
        for k in range(len(_LEVELS)):
            beyond[s, k] *= 0.5


@njit
def _together(distance: Any, strongest: int, ways: float, odds: Any, order: Any) -> float:
    """Decades of the mean of the `strongest` of the distances that are there; `odds` is left with those.

    `order` is room to sort in.
    """
    channels = distance.shape[0]
    for j in range(channels):
        order[j] = -1.0 if math.isnan(distance[j]) else distance[j]
    total = 0.0
    for k in range(strongest):
        largest = k
        for j in range(k + 1, channels):
            if order[j] > order[largest]:
                largest = j
        order[k], order[largest] = order[largest], order[k]
        total += order[k]
    least = order[strongest - 1]
    for j in range(channels):
        odds[j] = distance[j] if distance[j] >= least else 0.0
    return float(_decades(total / strongest, strongest, ways))


@njit
def _decades(far: float, strongest: int, ways: float) -> float:
    """-log10 of the bound on the probability that the mean of the largest deviations is at least `far`."""
    tail = min(1.0, ways * 0.5 * math.erfc(far * math.sqrt(0.5 * strongest)))
    return float(min(MAX_SCORE, -math.log10(max(tail, 1e-300))))
