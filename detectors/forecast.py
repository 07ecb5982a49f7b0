"""Score: forecast error: how far a reading lies from the best of a few simple one-step forecasts."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from detectors.detector import Scores
from detectors.fleet_detector import Column
from detectors.part import PartDetector
from detectors.statistics.calibration import Prior, clamp, compress, decades, learn_score, quantile

RATES = np.array([1.0, 0.3, 0.05, 0.005])
"""Smoothing rates of the forecasts: the last reading, and means over about 3, 20 and 200 readings."""
SCALE_RATE = 0.005
CLIP = 4.0
"""Errors teach the scale as if no larger than this many scales: a fault widens the band by a bounded amount a
reading."""
BAND_PROBABILITY, BAND_BODY, BAND_STRETCH = 0.001, 0.05, 3.0
"""The band holds all but BAND_PROBABILITY of the errors, but is no wider than BAND_STRETCH times what holds all but
BAND_BODY: normal errors need about 1.7 times, and past faults are not to widen it for long."""


class ForecastState(NamedTuple):
    """Per slot: level and mean absolute error of each forecast, and how many readings they have seen."""

    level: NDArray[np.float64]
    error: NDArray[np.float64]
    seen: NDArray[np.int64]


LAYOUT = {
    "level": Column(np.float64, (len(RATES),)),
    "error": Column(np.float64, (len(RATES),)),
    "seen": Column(np.int64),
}

# Errors over their mean size: Student's t with about three degrees of freedom, the usual first guess for sensors.
PRIOR = Prior(start=1.5, shape=3.0, weight=300.0, lowest=-3.0)


@njit
def forecast_best(state: Any, slot: int) -> int:
    """Which forecast has erred least of late."""
    best = 0
    for i in range(1, len(RATES)):
        if state.error[slot, i] < state.error[slot, best]:
            best = i
    return best


@njit
def forecast_scale(state: Any, slot: int, best: int) -> float:
    """The usual size of the best forecast's error, never zero: rounding noise is no evidence."""
    return float(max(state.error[slot, best], 1e-9 * abs(state.level[slot, best]), 1e-300))


@njit
def forecast_score(state: Any, slot: int, value: float) -> float:
    """Absolute error of the best forecast in units of its usual size."""
    if state.seen[slot] == 0:
        return 0.0
    best = forecast_best(state, slot)
    return float(min(abs(value - state.level[slot, best]) / forecast_scale(state, slot, best), 1e6))


@njit
def forecast_reach(counts: Any, slot: int, prior: Any) -> float:
    """Half the band's width, in usual errors."""
    body = quantile(counts, slot, BAND_BODY, prior)
    return float(min(quantile(counts, slot, BAND_PROBABILITY, prior), BAND_STRETCH * body))


@njit
def forecast_learn(state: Any, slot: int, value: float) -> None:
    """Move levels and errors towards `value`."""
    seen = state.seen[slot]
    state.seen[slot] = seen + 1
    if seen == 0:
        state.level[slot, :] = value
        return
    scale_rate = max(SCALE_RATE, 1.0 / seen)
    for i in range(len(RATES)):
        deviation = value - state.level[slot, i]
        size = abs(deviation)
        if seen > 10 and state.error[slot, i] > 0.0:
            size = min(size, CLIP * state.error[slot, i])
        state.error[slot, i] += scale_rate * (size - state.error[slot, i])
        state.level[slot, i] += max(RATES[i], 1.0 / (seen + 1)) * deviation


class Forecast(PartDetector):
    """Error of the exponential mean that has lately forecast best, over its usual error, calibrated on the series'
    past.

    Works: on spikes, steps and sudden noise in series that are steady, drifting or smooth. Fails: on slow faults,
    which the forecast follows, and on faults of shape within the usual step size. A level shift is learned as fast
    as the forecast moves: within about 3 / rate readings of the slowest mean, or at once where a faster mean takes
    over.

    Cost: about 0.3 us a reading. Memory: 0.4 KiB a slot. Source: simple exponential smoothing, Brown 1956; choice of
    the forecast by recent error as in Herbster and Warmuth, Machine Learning 32, 1998.
    """

    name: ClassVar[str] = "forecast"
    part_layout: ClassVar[dict[str, Column]] = LAYOUT

    def run(self, rows: tuple[Any, Any, Any], scores: Scores) -> None:
        """Score and learn the rows in order."""
        arrays = self.arrays
        state = ForecastState(*(arrays[name] for name in LAYOUT))
        out = (scores.score, scores.expected, scores.lower, scores.upper)
        _run(*rows, state, arrays["learned"], arrays["counts"], self.needed, PRIOR, *out)


@njit
def _run(
    slots: Any, values: Any, learns: Any, state: Any, learned: Any, counts: Any, needed: int, prior: Any,
    scores: Any, expected: Any, lower: Any, upper: Any,
) -> None:  # fmt: skip
    for i in range(len(slots)):
        if not np.isfinite(values[i]):
            continue
        slot, value = slots[i], clamp(values[i])
        raw = forecast_score(state, slot, value)
        if learned[slot] >= needed:
            scores[i] = compress(decades(counts, slot, raw, prior))
            best = forecast_best(state, slot)
            half = forecast_reach(counts, slot, prior) * forecast_scale(state, slot, best)
            expected[i] = state.level[slot, best]
            lower[i] = expected[i] - half
            upper[i] = expected[i] + half
        if learns[i]:
            forecast_learn(state, slot, value)
            learn_score(counts, slot, raw, prior)
            learned[slot] += 1
