"""Score: exact streaming median and MAD of each slot's last readings, in compiled form.

A slot holds a ring of its last readings and their order by value, as positions in the ring. A new reading takes the
place of the oldest in the ring and is moved to its rank by swapping neighbours.
"""

from __future__ import annotations

import math
from typing import Any

from common.compiled import njit
from detectors.statistics.tails import LARGEST, first_change_score, student_score

_MAD_TO_DEVIATION = 1.4826022185056018
_MEAN_ABSOLUTE_TO_DEVIATION = 1.2533141373155003


@njit
def median_of(ring: Any, order: Any, held: int) -> float:
    """The median of the `held` readings; of an even number, the mean of the middle two."""
    half = held // 2
    high = float(ring[order[half]])
    if held % 2 == 1:
        return high
    return 0.5 * float(ring[order[half - 1]]) + 0.5 * high


@njit
def deviation_about(ring: Any, order: Any, held: int, median: float) -> float:
    """Standard deviation estimated from the median absolute deviation, or, where that is 0, from the mean absolute one.

    Absolute deviations grow from the median outward on both sides, so the middle one is found by bisecting how many of
    the smallest half lie to the left.
    """
    right = held // 2
    left = right - 1
    wanted = held // 2 + 1
    low, high = max(0, wanted - (held - right)), min(wanted, right)
    while low < high:
        trial = (low + high) // 2
        if median - ring[order[left - trial]] < ring[order[right + wanted - trial - 1]] - median:
            low = trial + 1
        else:
            high = trial
    taken_right = wanted - low
    to_left = median - ring[order[left - low + 1]] if low > 0 else 0.0
    to_right = ring[order[right + taken_right - 1]] - median if taken_right > 0 else 0.0
    middle = max(to_left, to_right)
    if held % 2 == 0:
        # The one below the middle is the other side's last, or the one before on this side.
        if to_left >= to_right:
            before = median - ring[order[left - low + 2]] if low > 1 else 0.0
            below = max(before, to_right)
        else:
            before = ring[order[right + taken_right - 2]] - median if taken_right > 1 else 0.0
            below = max(before, to_left)
        middle = 0.5 * below + 0.5 * middle
    if middle > 0.0:
        return middle * _MAD_TO_DEVIATION
    mean = 0.0
    for i in range(held):
        mean += abs(ring[i] - median) / held
    return mean * _MEAN_ABSOLUTE_TO_DEVIATION


@njit
def _first_not_below(ring: Any, order: Any, held: int, value: float) -> int:
    low, high = 0, held
    while low < high:
        middle = (low + high) // 2
        if ring[order[middle]] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit
def replace(ring: Any, order: Any, held: int, place: int, value: float) -> None:
    """Write `value` at `place` of the ring and restore the order; `place` = `held` adds, any other overwrites."""
    rank = held
    if place == held:
        order[held] = place
        held += 1
    else:
        rank = _first_not_below(ring, order, held, ring[place])
        while order[rank] != place:
            rank += 1
    ring[place] = value
    while rank > 0 and ring[order[rank - 1]] > value:
        order[rank] = order[rank - 1]
        rank -= 1
    while rank + 1 < held and ring[order[rank + 1]] < value:
        order[rank] = order[rank + 1]
        rank += 1
    order[rank] = place


@njit
def robust_step(
    slot: Any, value: Any, learn: Any, count: Any, recent: Any, order: Any, warmup: int, band: float,
    score: Any, expected: Any, lower: Any, upper: Any,
) -> None:  # fmt: skip
    """Score each reading against its slot's median and MAD, then put it into the ring where `learn`."""
    window = recent.shape[1]
    for i in range(slot.shape[0]):
        current = value[i]
        if not math.isfinite(current):
            continue
        current = max(-LARGEST, min(LARGEST, current))
        k = slot[i]
        held = min(count[k], window)
        if count[k] >= warmup:
            median = median_of(recent[k], order[k], held)
            sigma = deviation_about(recent[k], order[k], held, median)
            deviation = abs(current - median)
            if sigma > 0.0:
                score[i] = student_score(deviation / sigma)
            else:
                score[i] = 0.0 if deviation == 0.0 else first_change_score(float(held))
            expected[i] = median
            lower[i] = median - band * sigma
            upper[i] = median + band * sigma
        if learn[i]:
            replace(recent[k], order[k], held, count[k] % window, current)
            count[k] += 1
