"""Stage 5 of 7: raw scores to probabilities on this series' own past, so that detectors speak one language.

A raw score is any number >= 0 that grows with oddness. Its calibration is the probability of a score this high among
the series' earlier scores, given in decades (-log10). Two sources of evidence are pooled:

* the series' own past, a histogram over log2 of the raw score (the empirical body);
* a prior Pareto tail (`Prior`), worth `weight` readings: what such a score looks like on a typical series. It speaks
  where the own past is silent: beyond the highest score seen, and early in a series' life.

Extreme-value theory gives the Pareto form for the tail of a score that is a ratio (distance over range, error
over scale); see Siffer et al., Anomaly Detection in Streams with Extreme Value Theory, KDD 2017. The pool is the
posterior mean of the exceedance probability under a Dirichlet prior; unlike a tail fitted on the series alone, it
ranks records of different series by their size, and never divides by a count of zero.

Works when earlier scores say what to expect of later ones. Fails on series whose spread grows for ever: each record
is then as surprising as the prior says. Cost: about 40 ns a score. Memory: `BINS` float32 a series and calibrated
part.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from detectors.base import MAX_SCORE
from detectors.fleet import Column

BINS = 64
PER_OCTAVE = 4.0
MEMORY = 100_000.0
"""Readings after which the histogram is halved: old scores fade, and float32 counts stay exact enough."""


COUNTS = Column(np.float32, (BINS + 1,))
"""The state column of a calibration: a histogram a slot, its total in the last place."""


class Prior(NamedTuple):
    """The score's tail on a typical series: P(raw >= x) = min(1, (start / x) ** shape), worth `weight` readings.

    `lowest` is log2 of the histogram's lower edge; the histogram spans 16 octaves above it.
    """

    start: float
    shape: float
    weight: float
    lowest: float


@njit(cache=True)  # type: ignore[untyped-decorator]
def _position(raw: float, lowest: float) -> float:
    """Where `raw` lies in units of bins, within [0, BINS]."""
    if raw <= 0.0:
        return 0.0
    return min(max((math.log2(raw) - lowest) * PER_OCTAVE, 0.0), BINS - 1e-3)


@njit(cache=True)  # type: ignore[untyped-decorator]
def decades(counts: Any, slot: int, raw: float, prior: Any) -> float:
    """-log10 of the probability of a raw score of at least `raw`. `counts` (slots, BINS + 1), the total in the last
    column."""
    if raw <= 0.0:
        return 0.0
    position = _position(raw, prior.lowest)
    cell = int(position)
    above = counts[slot, cell] * (cell + 1 - position)
    for i in range(cell + 1, BINS):
        above += counts[slot, i]
    pareto = 1.0 if raw <= prior.start else (prior.start / raw) ** prior.shape
    return -math.log10(min((above + prior.weight * pareto) / (counts[slot, BINS] + prior.weight), 1.0))


@njit(cache=True)  # type: ignore[untyped-decorator]
def learn_score(counts: Any, slot: int, raw: float, prior: Any) -> None:
    """Count `raw` among the series' scores."""
    counts[slot, int(_position(raw, prior.lowest))] += 1.0
    counts[slot, BINS] += 1.0
    if counts[slot, BINS] >= MEMORY:
        for i in range(BINS + 1):
            counts[slot, i] *= 0.5


@njit(cache=True)  # type: ignore[untyped-decorator]
def quantile(counts: Any, slot: int, probability: float, prior: Any) -> float:
    """The raw score that is exceeded with `probability`, own past and prior pooled, to a bin's width."""
    wanted = probability * (counts[slot, BINS] + prior.weight)
    above = 0.0
    for cell in range(BINS - 1, 0, -1):
        edge = 2.0 ** (prior.lowest + cell / PER_OCTAVE)
        pareto = 1.0 if edge <= prior.start else (prior.start / edge) ** prior.shape
        above += counts[slot, cell]
        if above + prior.weight * pareto >= wanted:
            return edge
    return 2.0**prior.lowest


@njit(cache=True)  # type: ignore[untyped-decorator]
def compress(score: float) -> float:
    """`score` bent smoothly below MAX_SCORE beyond 6 decades, so that huge scores keep their order."""
    half = 0.5 * MAX_SCORE
    return score if score <= half else MAX_SCORE - half * half / score
