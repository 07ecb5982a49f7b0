"""Score: rarity of level: how unusual the mean of the last stretch of readings is, in two lengths."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from detectors import rarity
from detectors.detector import Scores
from detectors.fleet_detector import Column
from detectors.part import PartDetector
from detectors.rarity import rarity_learn, rarity_score
from detectors.statistics.calibration import COUNTS, clamp, compress, decades, learn_score

SHORT, LONG = 16, 64
"""Readings in the two stretches."""


class LevelState(NamedTuple):
    """Per slot: the last LONG readings in a ring, as offsets from the first, and how many were seen."""

    origin: NDArray[np.float64]
    ring: NDArray[np.float32]
    seen: NDArray[np.int64]


LAYOUT = {"origin": Column(np.float64), "ring": Column(np.float32, (LONG,)), "seen": Column(np.int64)}
_LIMIT = 1e30


@njit
def level_mean(state: Any, slot: int, value: float, length: int) -> float:
    """Mean offset of `value` and the `length` - 1 readings before it; NaN while there are fewer."""
    seen = state.seen[slot]
    if seen + 1 < length:
        return float(np.nan)
    total = np.float32(min(max(value - state.origin[slot], -_LIMIT), _LIMIT)) + 0.0
    first, end = (seen - length + 1) % LONG, seen % LONG
    ring = state.ring[slot]
    if first < end:
        total += _sum(ring[first:end])
    elif length > 1:
        total += _sum(ring[first:]) + _sum(ring[:end])
    return float(total / length)


@njit
def _sum(values: Any) -> float:
    """The sum, in four sums side by side: one alone would wait for each addition."""
    n = values.shape[0]
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for i in range(n // 4):
        a += values[4 * i]
        b += values[4 * i + 1]
        c += values[4 * i + 2]
        d += values[4 * i + 3]
    for i in range(n - n % 4, n):
        a += values[i]
    return (a + b) + (c + d)


@njit
def level_learn(state: Any, slot: int, value: float) -> None:
    """Put `value` into the ring."""
    seen = state.seen[slot]
    if seen == 0:
        state.origin[slot] = value
    state.ring[slot, seen % LONG] = np.float32(min(max(value - state.origin[slot], -_LIMIT), _LIMIT))
    state.seen[slot] = seen + 1


class Level(PartDetector):
    """The rarer of the means over the last SHORT and LONG readings, each by its own histogram and calibration.

    Works: on faults that last, of readings that are each ordinary and together are not: a series that stays high, low
    or flat where it should move. Fails: on single spikes, which a mean hides, and on series that wander. A level shift
    is rare until its share of the past grows.

    Cost: about 0.5 us a reading. Memory: 1.4 KiB a slot. Source: as `rarity`, on moving averages; aggregation over
    several scales as in Burnaev and Ishimtsev, arXiv:1608.04585.
    """

    name: ClassVar[str] = "level"
    part_layout: ClassVar[dict[str, Column]] = {
        **LAYOUT,
        **{f"short_{name}": column for name, column in rarity.LAYOUT.items()},
        **{f"long_{name}": column for name, column in rarity.LAYOUT.items()},
        "long_counts": COUNTS,
    }

    def run(self, rows: tuple[Any, Any, Any], scores: Scores) -> None:
        """Score and learn the rows in order."""
        arrays = self.arrays
        state = LevelState(*(arrays[name] for name in LAYOUT))
        short = rarity.RarityState(*(arrays[f"short_{name}"] for name in rarity.LAYOUT))
        long = rarity.RarityState(*(arrays[f"long_{name}"] for name in rarity.LAYOUT))
        counts = (arrays["counts"], arrays["long_counts"])
        _run(*rows, state, short, long, arrays["learned"], *counts, self.needed, rarity.PRIOR, scores.score)


@njit
def level_score(rare: Any, slot: int, mean: float) -> float:
    """One over the share of earlier means that lie in cells no fuller than this one's; 0 where there is no mean."""
    return rarity_score(rare, slot, mean) if np.isfinite(mean) else 0.0


@njit
def level_count(rare: Any, counts: Any, slot: int, mean: float, raw: float, prior: Any) -> None:
    """Learn a mean and its score."""
    if np.isfinite(mean):
        rarity_learn(rare, slot, mean)
        learn_score(counts, slot, raw, prior)


@njit
def _run(
    slots: Any, values: Any, learns: Any, state: Any, short: Any, long: Any, learned: Any, counts: Any,
    long_counts: Any, needed: int, prior: Any, scores: Any,
) -> None:  # fmt: skip
    for i in range(len(slots)):
        if not np.isfinite(values[i]):
            continue
        slot, value = slots[i], clamp(values[i])
        near, far = level_mean(state, slot, value, SHORT), level_mean(state, slot, value, LONG)
        raw_near, raw_far = level_score(short, slot, near), level_score(long, slot, far)
        if learned[slot] >= needed:
            found = max(decades(counts, slot, raw_near, prior), decades(long_counts, slot, raw_far, prior))
            scores[i] = compress(found)
        if learns[i]:
            level_count(short, counts, slot, near, raw_near, prior)
            level_count(long, long_counts, slot, far, raw_far, prior)
            level_learn(state, slot, value)
            learned[slot] += 1
