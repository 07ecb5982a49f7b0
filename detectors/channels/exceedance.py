"""Score: how rare a size is among the sizes that this series showed before, in compiled form.

The channels' statistics are ratios to what is usual (the length of a visit over the usual length, noise over usual
noise). Their past is kept as a histogram of half octaves; beyond its upper end the tail is a Pareto law fitted to the
highest sizes.

Cost: about 15 ns a question, 60 ns to learn. Memory: 92 bytes a histogram. Source: Hill, Ann. Statist. 3, 1975.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from common.compiled import subkernel
from detectors.fleet_detector import Column

BINS = 20
PER_OCTAVE = 2.0
LOWEST = -3.0
"""log2 of the histogram's lower edge; its upper edge is 2^7. What lies outside is counted in the outermost bins."""

START, DECADES, STEEPNESS = BINS, BINS + 1, BINS + 2
"""Behind the counts: where the tail starts (in bins), the decades there, decades a bin beyond it."""

SIZES = BINS + 3
SIZES_COLUMN = Column(np.float32, (SIZES,))
"""The state column of one histogram with its tail."""

MEMORY = 4_096.0
"""Sizes counted before all counts are halved, so that the oldest fade."""

_IN_TAIL = 16.0
_PRIOR_STEEPNESS = 2.0
_PRIOR_WEIGHT = 4.0
_FLATTEST, _STEEPEST = 0.7, 8.0
_BIN_LOG = math.log(2.0) / PER_OCTAVE


@subkernel
def _position(size: float) -> float:
    """Where `size` (above 0) lies, in units of bins above the lower edge."""
    return (math.log2(size) - LOWEST) * PER_OCTAVE


@subkernel
def sizes_decades(sizes: Any, size: float) -> float:
    """-log10 of the probability that the next size is at least `size`; 0 where nothing was learned.

    `sizes` (SIZES,) is what `sizes_learn` keeps. Below the tail's start the line goes on to 0: less than the truth.
    """
    if size <= 0.0:
        return 0.0
    return max(0.0, float(sizes[DECADES]) + float(sizes[STEEPNESS]) * (_position(size) - float(sizes[START])))


@subkernel
def sizes_quantile(sizes: Any, decades: float) -> float:
    """The size exceeded with a probability of 10^-`decades`, by the tail; at least that where the tail starts."""
    start = float(sizes[START])
    if sizes[STEEPNESS] > 0.0:
        start += max(0.0, decades - float(sizes[DECADES])) / float(sizes[STEEPNESS])
    return float(2.0 ** (start / PER_OCTAVE + LOWEST))


@subkernel
def sizes_learn(sizes: Any, size: float) -> None:
    """Count one size, which is 0 or more, in `sizes` (SIZES,), and fit the tail anew."""
    cell = 0
    if size > 0.0:
        cell = int(min(max(_position(size), 0.0), BINS - 1.0))
    sizes[cell] += 1.0
    total = 0.0
    for k in range(BINS):
        total += float(sizes[k])
    if total >= MEMORY:
        for k in range(BINS):
            sizes[k] *= 0.5
        total *= 0.5
    _fit(sizes, total)


@subkernel
def _fit(sizes: Any, total: float) -> None:
    """The Pareto tail of the sixteen largest sizes, a bin's sizes taken to lie evenly in it.

    Its steepness is drawn to 2 while there are few, and lies between 0.7 and 8.
    """
    needed = min(_IN_TAIL, total)
    above, excess = 0.0, 0.0
    cell = BINS - 1
    while cell > 0 and above + float(sizes[cell]) < needed:
        above += float(sizes[cell])
        cell -= 1
    share = min((needed - above) / max(float(sizes[cell]), 1.0), 1.0)
    start = cell + 1.0 - share
    for k in range(cell + 1, BINS):
        excess += float(sizes[k]) * (k + 0.5 - start)
    excess = (excess + (needed - above) * 0.5 * share) * _BIN_LOG
    steepness = (needed + _PRIOR_WEIGHT) / (excess + _PRIOR_WEIGHT / _PRIOR_STEEPNESS)
    steepness = min(max(steepness, _FLATTEST), _STEEPEST)
    sizes[START] = start
    sizes[DECADES] = math.log10((total + 1.0) / max(needed, 1.0))
    sizes[STEEPNESS] = steepness * _BIN_LOG / math.log(10.0)
