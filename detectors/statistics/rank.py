"""Score: raw scores on the common scale, by rank among the slot's own last raw scores, compiled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from common.compiled import njit
from detectors.detector import MAX_SCORE

_TAIL = 16


@njit
def tail_of(held: int) -> int:
    """How many of the highest of `held` past scores make the tail."""
    return min(_TAIL, max(1, held // 4))


@njit
def rank_score(past: Any, raw: float) -> float:
    """-log10 of the probability of a raw score as high as `raw`, given `past` ones (m,), in [0, MAX_SCORE].

    Within the past it is the rank, (1 + number at least as high) / (m + 1). Above the 16th highest, where ranks are
    few, the tail is taken to be exponential with the mean excess of those 16. Cost: one pass over `past`. Source:
    Pickands, Ann. Statist. 3, 1975 (a tail's excesses), with shape 0 as in Siffer et al., "Anomaly Detection in
    Streams with Extreme Value Theory", KDD 2017.
    """
    held = past.shape[0]
    kept = tail_of(held)
    highest = np.full(kept, -math.inf)
    at_least = 0
    for i in range(held):
        value = past[i]
        if value >= raw:
            at_least += 1
        if value > highest[0]:
            place = 0
            while place + 1 < kept and highest[place + 1] < value:
                highest[place] = highest[place + 1]
                place += 1
            highest[place] = value
    return score_of_rank(highest, at_least, held, raw)


@njit
def score_of_rank(highest: Any, at_least: int, held: int, raw: float) -> float:
    """The score of `rank_score`, given the `highest` of `held` past scores, ascending, and how many are `at_least` raw.

    Where as many are at least as high as there are in `highest`, their values do not matter.
    """
    kept = highest.shape[0]
    by_rank = math.log10((held + 1.0) / (at_least + 1.0))
    start = float(highest[0])
    if held == 0 or at_least >= kept or raw <= start:
        return by_rank
    excess = 0.0
    for i in range(kept):
        excess += float(highest[i] - start) / kept
    if excess <= 0.0:
        return by_rank
    by_tail = math.log10(held / kept) + (raw - start) / excess * math.log10(math.e)
    return max(0.0, min(MAX_SCORE, by_tail))
