"""How much a series usually scatters, which sizes faults and says which can be seen at all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from firmware_sim.worlds.surroundings import Surroundings
from firmware_sim.worlds.world import Floats

SMOOTHING_HOURS = (0.0, 1.0, 4.0)
VISIBLE = 3.0
"""From so many times the usual scatter on, an effect is called visible."""


def hour_bins(local: Floats, workday: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The hour of the local day, 0 to 23, and 24 more on days off, (n,)."""
    return (local % 86_400 // 3600).astype(np.int64) + 24 * ~workday


def course(values: Floats, bins: NDArray[np.int64]) -> Floats:
    """The median of each of 48 bins, (48,); that of all values where a bin is empty."""
    overall = float(np.median(values)) if len(values) else 0.0
    order = np.argsort(bins, kind="stable")
    edges = np.searchsorted(bins[order], np.arange(49))
    sorted_values = values[order]
    return np.array([np.median(sorted_values[a:b]) if b > a else overall for a, b in pairwise(edges)])


def usual_spread(values: Floats, bins: NDArray[np.int64], least: float) -> float:
    """Scatter about the course of the day, as a standard deviation: by the middle half, or the middle 95 % if wider."""
    if len(values) < 8:
        return least
    rest = values - course(values, bins)[bins]
    low, first, third, high = np.percentile(rest, (2.5, 25, 75, 97.5))
    return float(max((third - first) / 1.349, (high - low) / 3.92, least))


def abnormality(faulty: Floats, healthy: Floats, around: Surroundings, least: float, counts: bool) -> Floats:
    """How far `faulty` strays from what is usual, in usual scatters, (rows,): the most of raw and smoothed values.

    `healthy` (rows,) is the same metric without the fault; of counters the increments are compared.
    """
    bins = hour_bins(around.local, around.workday)
    if counts:
        healthy, faulty = (np.diff(column, prepend=column[0]) for column in (healthy, faulty))
    found = np.zeros(len(faulty))
    for hours in SMOOTHING_HOURS:
        width = max(int(hours * 3600 / around.step), 1)
        smooth, odd = (_trailing_mean(column, width) for column in (healthy, faulty))
        spread = usual_spread(smooth, bins, least / np.sqrt(width))
        middle = course(smooth, bins)[bins]
        stray = np.where(np.abs(odd - smooth) > 0.5 * spread, np.abs(odd - middle) / spread, 0.0)
        found = np.maximum(found, stray)
    return found


def _trailing_mean(values: Floats, width: int) -> Floats:
    """The mean of each value and those before it, `width` in all, or as many as there are, (n,)."""
    if width == 1:
        return values
    sums = np.concatenate(([0.0], np.cumsum(values - values[0])))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - width, 0)
    means: Floats = values[0] + (sums[last] - sums[first]) / (last - first)
    return means
