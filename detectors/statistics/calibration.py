"""Score: raw scores to probabilities on this series' own past, so that detectors speak one language.

A raw score is any number >= 0 that grows with oddness. Its calibration is the probability of a score this high among
the series' earlier scores, given in decades (-log10). Two sources of evidence are pooled:

* the series' own past, a histogram over log2 of the raw score (the empirical body);
* a prior Pareto tail (`Prior`), worth `weight` readings: what such a score looks like on a typical series. It speaks
  where the own past is silent: beyond the highest score seen, and early in a series' life.

Extreme-value theory gives the Pareto form for the tail of a score that is a ratio (distance over range, error
over scale); see Siffer et al., Anomaly Detection in Streams with Extreme Value Theory, KDD 2017. The pool is the
posterior mean of the exceedance probability under a Dirichlet prior; unlike a tail fitted on the series alone, it
ranks records of different series by their size, and never divides by a count of zero. `decades_fitted` lets a
series' own fitted tail take the prior's place as evidence accumulates, so that alarm budgets hold in the long run.

Works when earlier scores say what to expect of later ones. Fails on series whose spread grows for ever: each record
is then as surprising as the prior says. Cost: about 40 ns a score. Memory: `BINS` float32 a series and calibrated
part.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from common.compiled import subkernel
from detectors.detector import MAX_SCORE
from detectors.fleet_detector import Column

BINS = 64
PER_OCTAVE = 4.0
LARGEST = 1e30
"""Readings are cut to this size before the parts see them, so that squares and ranges stay finite."""
FITTED_SHARE = 0.005
"""Share of a series' highest scores that its own tail is fitted to."""
FEWEST_FITTED = 10.0
FIT_WEIGHT = 10.0
"""Scores that an exponential tail of the prior's steepness is worth when the tail is fitted."""
SHORTEST_TAIL, LONGEST_TAIL = -0.5, 0.3
"""Bounds of the fitted tail's shape: the method of moments has no use beyond them."""
CAUTION = 500.0
"""What a score claims beyond the readings seen counts by n / (n + CAUTION): a young series' parts have yet to learn
their usual size, and without this it would overrun its alarm budget several times in its first week."""
FITTED_BY = 5000.0
"""Readings at which the fitted tail counts as much as the prior's: 25 scores are in the fit then."""


COUNTS = Column(np.float32, (BINS + 1,))
"""The state column of a calibration: a histogram a slot, its total in the last place."""


class Prior(NamedTuple):
    """The score's tail on a typical series: P(raw >= x) = min(1, (start / x) ** shape), worth `weight` readings.

    `lowest` is log2 of the histogram's lower edge; the histogram spans 16 octaves above it. After `memory` readings
    the histogram is halved, so that old scores fade.
    """

    start: float
    shape: float
    weight: float
    lowest: float
    memory: float = 100_000.0


@subkernel
def _position(raw: float, lowest: float) -> float:
    """Where `raw` lies in units of bins, within [0, BINS]."""
    if raw <= 0.0:
        return 0.0
    return min(max((math.log2(raw) - lowest) * PER_OCTAVE, 0.0), BINS - 1e-3)


@subkernel
def _above(counts: Any, slot: int, raw: float, prior: Any) -> float:
    """How many earlier scores were at least `raw`, a bin's scores taken to lie evenly."""
    position = _position(raw, prior.lowest)
    cell = int(position)
    # What lies beyond the histogram was put into its last cell whole.
    above = counts[slot, cell] * (cell + 1 - position if cell < BINS - 1 else 1.0)
    return float(above + _held(counts, slot, cell + 1))


@subkernel(inline="always", fastmath={"reassoc"})
def _held(counts: Any, slot: int, first: int) -> float:
    """Scores in the cells from `first` on. Counts add up exactly, so their order is free."""
    held = 0.0
    for i in range(first, BINS):
        held += np.float64(counts[slot, i])
    return held


@subkernel
def decades(counts: Any, slot: int, raw: float, prior: Any) -> float:
    """-log10 of the probability of a raw score of at least `raw`, own past and prior pooled.

    `counts` (slots, BINS + 1), the total in the last column.
    """
    if raw <= 0.0:
        return 0.0
    pareto = 1.0 if raw <= prior.start else (prior.start / raw) ** prior.shape
    above = _above(counts, slot, raw, prior)
    return -math.log10(min((above + prior.weight * pareto) / (counts[slot, BINS] + prior.weight), 1.0))


@subkernel
def fit_tail(counts: Any, tail: Any, slot: int, prior: Any) -> None:
    """Fit a generalised Pareto law to the octaves by which the highest scores exceed their start.

    `tail` (slots, 4) gets the start in log2, its share, the law's shape and its scale in octaves. By the method of
    moments (Hosking and Wallis, Technometrics 29, 1987), shrunk towards an exponential law of the prior's steepness
    by FIT_WEIGHT pseudo-scores. A shape below 0 says that the scores have an end, as those of a seasonal series do.
    """
    total = counts[slot, BINS]
    wanted = max(FITTED_SHARE * total, FEWEST_FITTED)
    held, first, second, start = 0.0, 0.0, 0.0, 1
    for i in range(BINS - 1, 0, -1):
        place = (i + 0.5) / PER_OCTAVE
        held += counts[slot, i]
        first += counts[slot, i] * place
        second += counts[slot, i] * place * place
        if held >= wanted:
            start = i
            break
    edge = start / PER_OCTAVE
    mean = first / max(held, 1e-9) - edge
    variance = second / max(held, 1e-9) - (mean + edge) ** 2
    believed = held / (held + FIT_WEIGHT)
    shape = believed * 0.5 * (1.0 - mean * mean / max(variance, 1e-9))
    shape = min(max(shape, SHORTEST_TAIL), LONGEST_TAIL)
    mean = believed * mean + (1.0 - believed) / (prior.shape * math.log(2.0))
    tail[slot, 0] = prior.lowest + edge
    tail[slot, 1] = held / max(total, 1.0)
    tail[slot, 2] = shape
    tail[slot, 3] = mean * (1.0 - shape)


@subkernel
def _beyond(tail: Any, slot: int, octaves: float) -> float:
    """The fitted law's probability of a score `octaves` above its start."""
    shape, scale = tail[slot, 2], tail[slot, 3]
    if abs(shape) < 1e-3:
        return float(tail[slot, 1] * math.exp(-octaves / scale))
    left = 1.0 + shape * octaves / scale
    return float(tail[slot, 1] * left ** (-1.0 / shape)) if left > 0.0 else 0.0


@subkernel
def decades_fitted(counts: Any, tail: Any, slot: int, raw: float, prior: Any, readings: int) -> float:
    """As `decades`, with the prior's tail giving way to the series' own fitted one as `readings` accumulate.

    The fit's weight grows with the square of the readings: a tail drawn through a handful of scores would make every
    series' records look alike.
    """
    if raw <= 0.0:
        return 0.0
    above = _above(counts, slot, raw, prior)
    total = counts[slot, BINS]
    pareto = 1.0 if raw <= prior.start else (prior.start / raw) ** prior.shape
    octaves = math.log2(raw) - tail[slot, 0]
    own = _beyond(tail, slot, octaves) if octaves > 0.0 else (above + 0.5) / (total + 1.0)
    maturity = (readings / FITTED_BY) ** 2
    pooled = (pareto + maturity * own) / (1.0 + maturity)
    probability = (above + prior.weight * pooled) / (total + prior.weight)
    return -math.log10(min(max(probability, 1e-300), 1.0))


@subkernel
def cautious(score: float, readings: int) -> float:
    """`score` of a series that has seen `readings`: what it claims beyond them counts in part, more as they grow."""
    supported = math.log10(max(readings, 1))
    if score <= supported:
        return score
    return supported + (score - supported) * readings / (readings + CAUTION)


@subkernel
def learn_score(counts: Any, slot: int, raw: float, prior: Any, weight: float = 1.0) -> None:
    """Count `raw` among the series' scores, as `weight` of one."""
    counts[slot, int(_position(raw, prior.lowest))] += weight
    counts[slot, BINS] += weight
    if counts[slot, BINS] >= prior.memory:
        for i in range(BINS + 1):
            counts[slot, i] *= 0.5


@subkernel
def quantile(counts: Any, slot: int, probability: float, prior: Any) -> float:
    """The raw score that is exceeded with `probability`, own past and prior pooled, to a bin's width."""
    wanted = probability * (counts[slot, BINS] + prior.weight)
    # From one cell to the next below, the Pareto tail grows by a constant factor.
    growth = 2.0 ** (prior.shape / PER_OCTAVE)
    pareto = (prior.start * 2.0 ** -(prior.lowest + BINS / PER_OCTAVE)) ** prior.shape
    above = 0.0
    for cell in range(BINS - 1, 0, -1):
        pareto *= growth
        above += counts[slot, cell]
        if above + prior.weight * min(pareto, 1.0) >= wanted:
            return float(2.0 ** (prior.lowest + cell / PER_OCTAVE))
    return float(2.0**prior.lowest)


@subkernel
def clamp(value: float) -> float:
    """`value` within +-LARGEST."""
    return min(max(value, -LARGEST), LARGEST)


@subkernel
def compress(score: float) -> float:
    """`score` bent smoothly below MAX_SCORE beyond 6 decades, so that huge scores keep their order."""
    half = 0.5 * MAX_SCORE
    return score if score <= half else MAX_SCORE - half * half / score
