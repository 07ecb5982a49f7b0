"""Score: adaptive windowing: whether the newest readings have another mean than those before, at any cut."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.compiled import njit
from detectors.detector import Scores
from detectors.fleet_detector import Column, FleetDetector, empty_scores, take_inputs
from detectors.statistics.calibration import COUNTS, clamp
from detectors.statistics.null_model import PRIOR, calibrated_score, learn_calibrated

BUCKETS = 5
"""Buckets of one size before two of them become one of the next size."""

ROWS = 14
"""Sizes: 1, 2, 4, ... readings. The window holds at most 5 x (2^14 - 1) readings; what is older is dropped."""

_REACH = 4.0
"""Standard deviations of the window that a reading counts at most, so that one outlier is no change of the mean."""

_FEWEST = 5


class AdwinParameters(BaseModel):
    """How sure a change must be before the readings from before it are forgotten."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delta: float = Field(
        default=1e-6, gt=0, lt=1, description="Probability of a change by chance at which the old part is dropped."
    )
    warmup: int = Field(default=30, ge=10, le=1_000_000, description="Readings learned before the first score.")


class Adwin(FleetDetector):
    """A window that grows while its mean is steady; the score is how surely the mean differs across its likeliest cut.

    The window is kept as buckets of 1, 2, 4, ... readings with their mean and variance. Each cut between buckets
    compares the means of both sides; the bound on chance differences (Hoeffding-Bernstein, with the number of cuts
    accounted for) gives the odds. Once a cut is surer than `delta` the old side is dropped, so a change scores for a
    moment, and the new normal is learned at once.

    The bound holds for independent readings; the odds are tempered by those that this series showed before.

    Works: on changes of the mean of any size, of which small ones take longer to be sure of. Fails: on autocorrelated
    series, whose mean changes all the time: they keep the window short and, once that is usual, the scores low; on a
    daily course, which gives six to thirteen alarms in its first week (take `seasonal` or `ensemble` there); on changes
    of the variance alone. Expected is the window's mean.

    Cost: about 0.9 us a reading. Memory: 1.6 KiB a slot. Source: Bifet and Gavalda, "Learning from Time-Changing Data
    with Adaptive Windowing", SIAM Data Mining 2007.
    """

    name: ClassVar[str] = "adwin"
    Parameters: ClassVar[type[BaseModel]] = AdwinParameters

    def __init__(self, parameters: AdwinParameters) -> None:
        self.settings = parameters
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """Per slot: readings `learned`; `origin`, the first of them; by size and age the buckets' `total` and sum of
        squared deviations (`squares`), relative to the origin; `used` buckets by size; `counts`, the histogram."""
        grid = (ROWS, BUCKETS + 1)
        return {
            "learned": Column(np.int64),
            "origin": Column(np.float64),
            "total": Column(np.float64, grid),
            "squares": Column(np.float64, grid),
            "used": Column(np.int8, (ROWS,)),
            "counts": COUNTS,
        }

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score the likeliest cut with each reading in the window, then keep the reading where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        arrays = self.arrays
        _run(
            inputs.slot, inputs.value, inputs.learn, arrays["learned"], arrays["origin"], arrays["total"],
            arrays["squares"], arrays["used"], arrays["counts"], -math.log10(self.settings.delta),
            self.settings.warmup, PRIOR, scores.score, scores.expected,
        )  # fmt: skip
        return scores

    def width(self) -> NDArray[np.int64]:
        """Readings in the window, per slot (size,)."""
        sizes = 2 ** np.arange(ROWS, dtype=np.int64)
        widths: NDArray[np.int64] = self.arrays["used"][: self.size].astype(np.int64) @ sizes
        return widths

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        return self.arrays["learned"][: self.size].copy(), np.full(self.size, self.settings.warmup, np.int64)


@njit
def _moments(total: Any, squares: Any, used: Any) -> tuple[float, float, float]:
    """Readings, mean and sum of squared deviations of the window."""
    n, mean, around = 0.0, 0.0, 0.0
    for row in range(ROWS):
        size = float(1 << row)
        for place in range(used[row]):
            bucket_mean = total[row, place] / size
            apart = bucket_mean - mean
            around += squares[row, place] + apart * apart * n * size / (n + size)
            n += size
            mean += apart * size / n
    return n, mean, around


@njit
def _likeliest_cut(total: Any, used: Any, value: float, n: float, mean: float, around: float) -> tuple[float, int]:
    """Decades of certainty that the mean changed at the likeliest cut of window and `value`, and how many buckets,
    counted from the newest, are on its newer side.

    The bound is |difference| <= sigma sqrt(2 L / m) + 2 sigma L / (3 m) with 1 / m = 1 / n0 + 1 / n1 and
    L = ln(2 ln(n) / p), solved for p.
    """
    whole = n + 1.0
    apart = value - mean
    whole_sum = n * mean + value
    sigma = math.sqrt(max(around + apart * apart * n / whole, 0.0) / whole)
    if sigma <= 0.0:
        return 0.0, -1
    cuts = math.log(2.0 * math.log(whole))
    newer_n, newer_sum = 1.0, value
    best, best_cut, cut = 0.0, -1, 0
    for row in range(ROWS):
        size = float(1 << row)
        for place in range(used[row] - 1, -1, -1):
            newer_n += size
            newer_sum += total[row, place]
            cut += 1
            older_n = whole - newer_n
            if newer_n < _FEWEST or older_n < _FEWEST:
                continue
            m = newer_n * older_n / whole
            difference = abs(newer_sum / newer_n - (whole_sum - newer_sum) / older_n) / sigma
            # 2 / (3 m) r^2 + sqrt(2 / m) r - difference = 0 for r = sqrt(L).
            root = (math.sqrt(2.0 / m + 8.0 / 3.0 * difference / m) - math.sqrt(2.0 / m)) * 0.75 * m
            certainty = (root * root - cuts) / math.log(10.0)
            if certainty > best:
                best, best_cut = certainty, cut
    return best, best_cut


@njit
def _forget_beyond(used: Any, total: Any, squares: Any, kept: int) -> None:
    """Drop all but the newest `kept` buckets. The newest of a row stands last in it."""
    for row in range(ROWS):
        have = int(used[row])
        stay = min(have, kept)
        kept -= stay
        for place in range(stay):
            total[row, place] = total[row, have - stay + place]
            squares[row, place] = squares[row, have - stay + place]
        for place in range(stay, have):
            total[row, place] = 0.0
            squares[row, place] = 0.0
        used[row] = stay


@njit
def _insert(total: Any, squares: Any, used: Any, value: float) -> None:
    """Add a bucket of one reading; where a row overflows its two oldest buckets become one of the next row."""
    total[0, used[0]] = value
    squares[0, used[0]] = 0.0
    used[0] += 1
    for row in range(ROWS):
        if used[row] <= BUCKETS:
            return
        size = float(1 << row)
        dropped = 2 if row + 1 < ROWS else 1
        if dropped == 2:
            apart = (total[row, 0] - total[row, 1]) / size
            above = row + 1
            total[above, used[above]] = total[row, 0] + total[row, 1]
            squares[above, used[above]] = squares[row, 0] + squares[row, 1] + apart * apart * size / 2.0
            used[above] += 1
        for place in range(used[row]):
            moved = place + dropped < used[row]
            total[row, place] = total[row, place + dropped] if moved else 0.0
            squares[row, place] = squares[row, place + dropped] if moved else 0.0
        used[row] -= dropped


@njit
def _run(
    slots: Any, values: Any, learns: Any, learned: Any, origin: Any, total: Any, squares: Any, used: Any, counts: Any,
    sure: float, warmup: int, prior: Any, score: Any, expected: Any,
) -> None:  # fmt: skip
    for i in range(slots.shape[0]):
        if not math.isfinite(values[i]):
            continue
        k = slots[i]
        seen = learned[k]
        current = clamp(values[i])
        value = current - origin[k] if seen > 0 else 0.0
        n, mean, around = _moments(total[k], squares[k], used[k])
        if n >= _FEWEST:
            reach = _REACH * math.sqrt(around / n)
            if reach > 0.0 and seen >= warmup:
                value = max(mean - reach, min(mean + reach, value))
        null_score, cut = _likeliest_cut(total[k], used[k], value, n, mean, around)
        if seen >= warmup:
            score[i] = calibrated_score(counts, k, null_score, prior)
            expected[i] = mean + origin[k]
        if not learns[i]:
            continue
        if seen == 0:
            origin[k] = current
        if seen >= warmup:
            learn_calibrated(counts, k, null_score, score[i], seen, prior)
            if null_score >= sure:
                _forget_beyond(used[k], total[k], squares[k], cut)
        _insert(total[k], squares[k], used[k], value)
        learned[k] += 1
