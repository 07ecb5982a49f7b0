"""Score: learning from deviations so that a fault teaches little and what stays is learned, in compiled form.

Shared by the detectors that keep a level and a deviation for each slot in one row of eight numbers (one cache line).
All updates are relative to the deviation in use, so that neither 1e300 nor 1e-300 leaves the range of a float.
"""

from __future__ import annotations

import math
from typing import Any

from common.compiled import njit

COUNT, AGE, LEVEL, SIGMA, RUN, RUN_MEAN, RUN_SIGMA, PENDING = range(8)
"""Columns of a row: readings learned; readings since the baseline (re)started; level; standard deviation of the
deviations; length, mean and standard deviation of the present run of outlying deviations; size of the last deviation
from a constant."""

FIELDS = 8

USUAL, OUTLYING, RESTART = range(3)
"""Kinds of a learned deviation."""

_CLIP_FROM = 10.0
_NO_CLIP = 1e100


@njit(inline="always")
def spread(sigma: float, deviation: float, rate: float) -> float:
    """The standard deviation after one more deviation from the mean, exponentially weighted; nothing is squared alone.

    sqrt((1 - rate) (sigma^2 + rate deviation^2)), the update of Finch (2009), scaled by the larger of the two.
    """
    scale = max(sigma, abs(deviation))
    if scale == 0.0:
        return 0.0
    a, b = sigma / scale, deviation / scale
    return scale * math.sqrt((1.0 - rate) * (a * a + rate * b * b))


@njit(inline="always")
def learning_rate(age: float, rate: float) -> float:
    """The weight of reading number `age`: 1 / `age` until that falls below `rate`, so that a start is a plain mean."""
    return rate if age * rate >= 1.0 else 1.0 / age


@njit(inline="always")
def is_usual(age: float, run: float, sigma: float, distance: float, clip: float) -> bool:
    """Whether `learn_deviation` would find nothing odd, so that `usual_sigma` is all there is to learn.

    `age` counts this reading too. Nearly every reading is such a one: learned without a row being handed on, it takes a
    third of the time.
    """
    return sigma > 0.0 and abs(distance) < clip and run == 0.0 and age > _CLIP_FROM


@njit(inline="always")
def usual_sigma(sigma: float, distance: float, rate: float) -> float:
    """The standard deviation after a deviation of `distance` standard deviations, exponentially weighted."""
    return sigma * math.sqrt((1.0 - rate) * (1.0 + rate * distance * distance))


@njit
def learn_run(row: Any, deviation: float, relearn: float) -> bool:
    """Add an outlying deviation to the run; True once it is `relearn` long and the baseline is to restart from it.

    The deviations of a run are measured from a level that hardly moves meanwhile, so their mean is the new level's
    distance.
    """
    row[RUN] += 1.0
    offset = deviation - row[RUN_MEAN]
    rate = 1.0 / row[RUN]
    row[RUN_MEAN] += rate * offset
    row[RUN_SIGMA] = spread(row[RUN_SIGMA], offset, rate)
    return bool(row[RUN] >= relearn)


@njit
def end_run(row: Any) -> None:
    """Forget the run of outlying deviations."""
    row[RUN] = 0.0
    row[RUN_MEAN] = 0.0
    row[RUN_SIGMA] = 0.0


@njit
def learn_deviation(
    row: Any, deviation: float, distance: float, rate: float, clip: float, relearn: float
) -> tuple[float, int]:
    """Learn one deviation from the level into SIGMA at `rate`; returns the deviation to learn elsewhere, and its kind.

    `distance` is the deviation over SIGMA where that is above 0. The kind is USUAL, OUTLYING (the deviation is clipped)
    or RESTART (the level is to move by all of the deviation).

    Beyond `clip` standard deviations a reading is learned as if it lay at `clip` (not in the first ten readings, when
    the standard deviation is still a guess). After `relearn` such readings in a row the level moves to their mean and
    the deviation becomes theirs. A series that was constant has no deviation to clip at: there the deviation learned
    is the smaller of this change and the one before, so that a lone spike teaches nothing.
    """
    sigma = float(row[SIGMA])
    row[COUNT] += 1.0
    row[AGE] += 1.0
    settled = row[AGE] > _CLIP_FROM
    limit = clip if settled else _NO_CLIP
    if sigma > 0.0:
        distance = max(-limit, min(limit, distance))
        outlying = settled and abs(distance) >= limit
        learned = distance * sigma
        row[SIGMA] = usual_sigma(sigma, distance, rate)
    elif deviation == 0.0:
        return 0.0, USUAL
    else:
        size = min(abs(deviation), float(row[PENDING])) if settled else abs(deviation)
        outlying = settled
        learned = math.copysign(size, deviation)
        row[SIGMA] = spread(0.0, size, rate)
        row[PENDING] = abs(deviation)
    if not outlying:
        if row[RUN] > 0.0:
            end_run(row)
        return learned, USUAL
    if not learn_run(row, deviation, relearn):
        return learned, OUTLYING
    learned = float(row[RUN_MEAN])
    if row[RUN_SIGMA] > 0.0:
        row[SIGMA] = row[RUN_SIGMA]
    row[AGE] = row[RUN]
    end_run(row)
    return learned, RESTART
