"""Score: value novelty: how far a reading lies from the nearest value that its series ever showed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from common.compiled import njit, subkernel
from detectors.detector import Scores
from detectors.fleet_detector import Column
from detectors.part import PartDetector
from detectors.statistics.calibration import Prior, clamp, compress, decades, learn_score

CENTRES = 64


LAYOUT = {"origin": Column(np.float64), "centres": Column(np.float32, (CENTRES + 1,)), "used": Column(np.int32)}
"""A series' record: the values seen, merged to at most `CENTRES` sorted representatives, as offsets from the first
value."""

# The gap of a fresh value among n uniform ones is about range / 2n, and its tail falls off steeply: the prior puts 1
# in 100 readings of a grown series beyond 1 % of the range seen.
PRIOR = Prior(start=0.003, shape=2.0, weight=1000.0, lowest=-15.0)


@subkernel
def _place(centres: Any, used: int, offset: np.float32) -> int:
    low, high = 0, used
    while low < high:
        middle = (low + high) // 2
        if centres[middle] < offset:
            low = middle + 1
        else:
            high = middle
    return low


@subkernel
def novelty_score(state: Any, value: float) -> float:
    """Distance from `value` to the nearest centre over the range of the centres; 0 before two values were seen."""
    used = state.used
    if used == 0:
        return 0.0
    centres = state.centres
    offset = np.float32(value - state.origin)
    place = _place(centres, used, offset)
    distance = np.inf
    if place > 0:
        distance = offset - centres[place - 1]
    if place < used:
        distance = min(distance, centres[place] - offset)
    span = centres[used - 1] - centres[0]
    if span > 0.0:
        return float(min(distance / span, 1e6))
    return 1.0 if distance > 0.0 else 0.0


@subkernel
def novelty_learn(state: Any, value: float) -> None:
    """Add `value` to the centres; when they are full, the two that lie closest are merged."""
    used = state.used
    if used == 0:
        state.origin = value
    centres = state.centres
    offset = np.float32(value - state.origin)
    place = _place(centres, used, offset)
    if place < used and centres[place] == offset:
        return
    for i in range(used, place, -1):
        centres[i] = centres[i - 1]
    centres[place] = offset
    used += 1
    if used > CENTRES:
        closest, gap = 1, np.inf
        for i in range(1, used - 2):
            if centres[i + 1] - centres[i] < gap:
                closest, gap = i, centres[i + 1] - centres[i]
        centres[closest] = np.float32(0.5) * (centres[closest] + centres[closest + 1])
        for i in range(closest + 1, used - 1):
            centres[i] = centres[i + 1]
        used -= 1
    state.used = used


class Novelty(PartDetector):
    """Distance to the nearest earlier value, over the range of earlier values, calibrated on the series' own past.

    Works: on values never seen before, above, below or *between* the usual ones (a valve that stops half way),
    whatever the distribution. Fails: on usual values at unusual times or in unusual order, and on a fault that
    repeats an earlier fault's value. On a steady trend every reading is new, which the calibration learns. A level
    shift is old news after one reading.

    Cost: about 0.2 us a reading. Memory: 0.5 KiB a slot. Source: the nearest-neighbour distance of Ramaswamy et al.,
    SIGMOD 2000, in one dimension; representatives merged as in Ben-Haim and Tom-Tov, JMLR 11, 2010.
    """

    name: ClassVar[str] = "novelty"
    part_layout: ClassVar[dict[str, Column]] = LAYOUT
    record_parts: ClassVar[Mapping[str, int]] = {"": 0}

    def run(self, rows: tuple[Any, Any, Any], scores: Scores) -> None:
        """Score and learn the rows in order."""
        arrays = self.arrays
        _run(*rows, self.records[""], arrays["learned"], arrays["counts"], self.needed, PRIOR, scores.score)


@njit
def _run(
    slots: Any, values: Any, learns: Any, records: Any, learned: Any, counts: Any, needed: int, prior: Any, scores: Any
) -> None:
    for i in range(len(slots)):
        if not np.isfinite(values[i]):
            continue
        slot, value = slots[i], clamp(values[i])
        state = records[slot]
        state = records[slot]
        raw = novelty_score(state, value)
        if learned[slot] >= needed:
            scores[i] = compress(decades(counts, slot, raw, prior))
        if learns[i]:
            novelty_learn(state, value)
            learn_score(counts, slot, raw, prior)
            learned[slot] += 1
