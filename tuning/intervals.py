"""Figures with 95 % confidence intervals, from counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z = 1.959963984540054
"""The normal quantile of 97.5 %."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A value, its interval, and how many cases it rests on; NaN where there are none."""

    value: float
    low: float
    high: float
    cases: int

    def text(self, digits: int = 2) -> str:
        """Value and interval, as 0.87 [0.81, 0.92]; a dash without cases."""
        if math.isnan(self.value):
            return "-"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def json(self) -> dict[str, float | int | None]:
        """For a JSON file; null for NaN."""
        value, low, high = (None if math.isnan(v) else round(v, 4) for v in (self.value, self.low, self.high))
        return {"value": value, "low": low, "high": high, "cases": self.cases}


def share(hits: int, cases: int) -> Figure:
    """A share of cases, with Wilson's interval (E. B. Wilson, JASA 1927)."""
    if cases == 0:
        return Figure(math.nan, math.nan, math.nan, 0)
    p, z2 = hits / cases, Z * Z
    middle = (p + z2 / (2 * cases)) / (1 + z2 / cases)
    half = Z / (1 + z2 / cases) * math.sqrt(p * (1 - p) / cases + z2 / (4 * cases * cases))
    return Figure(p, max(middle - half, 0.0), min(middle + half, 1.0), cases)


def rate(events: int, exposure: float) -> Figure:
    """Events for each unit of exposure, with the exact interval of a Poisson count (F. Garwood, Biometrika 1936)."""
    if exposure <= 0:
        return Figure(math.nan, math.nan, math.nan, 0)
    # The mean under which so many events or more, or so few or less, are seen once in forty times.
    low = _poisson_mean(events - 1, 0.975) if events else 0.0
    high = _poisson_mean(events, 0.025)
    return Figure(events / exposure, low / exposure, high / exposure, events)


def mean(values: Sequence[float], *, highest: float = math.inf) -> Figure:
    """The mean of the values that are numbers, from 0 to `highest`, with the normal interval of its standard error."""
    given = np.array([value for value in values if not math.isnan(value)])
    if not len(given):
        return Figure(math.nan, math.nan, math.nan, 0)
    middle = float(given.mean())
    half = Z * float(given.std(ddof=1)) / math.sqrt(len(given)) if len(given) > 1 else 0.0
    return Figure(middle, max(middle - half, 0.0), min(middle + half, highest), len(given))


def median(values: Sequence[float]) -> Figure:
    """The median of the values that are numbers, between two of them whose ranks bound it by the binomial."""
    given = np.sort([value for value in values if not math.isnan(value)])
    n = len(given)
    if n == 0:
        return Figure(math.nan, math.nan, math.nan, 0)
    low = max(_half_quantile(n, 0.025) - 1, 0)
    high = min(_half_quantile(n, 0.975), n - 1)
    return Figure(float(np.median(given)), float(given[low]), float(given[high]), n)


def _poisson_mean(most: int, probability: float) -> float:
    """The mean of a Poisson law that gives at most so many events with this probability, by bisection."""
    counts = np.arange(most + 1)
    log_factorials = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, most + 1)))))
    low, high = 0.0, most + 10.0 * math.sqrt(most + 1.0) + 10.0
    for _ in range(80):
        middle = (low + high) / 2
        if float(np.exp(counts * math.log(middle) - middle - log_factorials).sum()) > probability:
            low = middle
        else:
            high = middle
    return low


def _half_quantile(trials: int, probability: float) -> int:
    """The least number of heads in so many tosses that is not exceeded with this probability."""
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, trials + 1)))))
    shares = np.exp(logs[-1] - logs - logs[::-1] - trials * math.log(2.0))
    return int(np.searchsorted(np.cumsum(shares), probability))
