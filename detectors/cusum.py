"""Score: cumulative sums: small shifts of the level that last, which no single reading shows."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.compiled import njit
from detectors.detector import Scores
from detectors.fleet_detector import Column, FleetDetector, empty_scores, take_inputs
from detectors.statistics.calibration import COUNTS
from detectors.statistics.null_model import PRIOR, calibrated_score, learn_calibrated
from detectors.statistics.tails import LARGEST
from detectors.statistics.winsor import (
    AGE,
    COUNT,
    FIELDS,
    LEVEL,
    RESTART,
    SIGMA,
    end_run,
    learn_deviation,
    learning_rate,
)

UP, DOWN, UP_LENGTH, DOWN_LENGTH = range(4)
"""Columns of `sums`: the upper and lower sum in deviations, and readings since each was last 0."""

_SETTLED = 2.5
"""allowance x sum from which a shift counts as there: with the textbook allowance of 0.5, a sum of 5."""

_CERTAIN = 1.0
"""Standard errors of the level that are forgiven beside the allowance."""


class SumParameters(BaseModel):
    """What detectors by cumulative sums have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allowance: float = Field(
        default=0.5, gt=0, le=10, description="Deviations that each reading is forgiven; half the shift looked for."
    )
    warmup: int = Field(default=50, ge=4, le=1_000_000, description="Readings learned before the first score.")
    clip: float = Field(
        default=3.0, ge=1.5, le=100, description="Deviations beyond which a reading adds and teaches no more."
    )
    relearn_after: int = Field(
        default=60, ge=2, le=1_000_000, description="Readings after which a shift that stays is the new level."
    )

    @property
    def rate(self) -> float:
        """The least weight of a reading in the baseline; 0: all readings weigh the same."""
        return 0.0


class CusumParameters(SumParameters):
    """Which shifts are looked for, and when one is accepted as the new normal."""

    half_life: float = Field(
        default=1000.0, ge=1, le=1e7, description="Readings after which a reading of the baseline counts half."
    )

    @property
    def rate(self) -> float:
        """The weight of a new reading once the half-life is reached."""
        return float(1.0 - 0.5 ** (1.0 / self.half_life))


class Cusum(FleetDetector):
    """Two one-sided sums of deviations beyond an allowance, as the probability of sums this high.

    A sum grows while readings lie more than `allowance` deviations to its side of the level and falls to 0 otherwise.
    For independent readings a sum reaches h with probability exp(-2 allowance h); that law is tempered by the sums
    that this series showed before. One reading adds at most `clip`, so a lone spike is no shift. A sum that has
    lasted `relearn_after` readings moves the level by the mean of its readings and starts again: one shift is one
    alarm, and the way back within that time takes the sum down again.

    Works: on level shifts of half to three deviations that last, with steady noise. Fails: on lone spikes, and on
    series that wander or have a daily course, each swing of which is a shift to it: a plain sine of a day gives two to
    eight alarms in its first week, until sums as high are usual; take `seasonal` or `ensemble` there. Time is not
    looked at: gaps do not count.

    Cost: about 180 ns a reading. Memory: 356 bytes a slot. Source: Page, "Continuous Inspection Schemes", Biometrika
    41, 1954; Siegmund, "Sequential Analysis", 1985 (the tail); Lucas and Crosier, Comm. Statist. 11, 1982 (robust
    sums).
    """

    name: ClassVar[str] = "cusum"
    Parameters: ClassVar[type[BaseModel]] = CusumParameters

    def __init__(self, parameters: SumParameters) -> None:
        self.settings = parameters
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """`baseline` (size, 8), see `winsor`; `sums` (size, 4), see `UP`; `counts`, the calibration's histogram."""
        return {"baseline": Column(np.float64, (FIELDS,)), "sums": Column(np.float64, (4,)), "counts": COUNTS}

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score the sums with each reading added, then keep them and learn the baseline where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        settings, arrays = self.settings, self.arrays
        _run(
            inputs.slot, inputs.value, inputs.learn, arrays["baseline"], arrays["sums"], arrays["counts"],
            settings.rate, settings.allowance, float(settings.warmup), settings.clip, float(settings.relearn_after),
            PRIOR, scores.score, scores.expected, scores.lower, scores.upper,
        )  # fmt: skip
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        count = self.arrays["baseline"][: self.size, COUNT].astype(np.int64)
        return count, np.full(self.size, self.settings.warmup, np.int64)


@njit(inline="always")
def _restart(row: Any, sums: Any, shift: float, length: float) -> None:
    """Move the level by a shift that has stayed for `length` readings."""
    row[LEVEL] += shift * row[SIGMA]
    row[AGE] = length
    end_run(row)
    sums[:] = 0.0


@njit(error_model="numpy")
def _run(
    slot: Any, value: Any, learn: Any, baseline: Any, all_sums: Any, counts: Any, rate: float, allowance: float,
    warmup: float, clip: float, relearn: float, prior: Any, score: Any, expected: Any, lower: Any, upper: Any,
) -> None:  # fmt: skip
    decades_a_sum = 2.0 * allowance * math.log10(math.e)
    for i in range(slot.shape[0]):
        if not math.isfinite(value[i]):
            continue
        k = slot[i]
        row, sums = baseline[k], all_sums[k]
        current = max(-LARGEST, min(LARGEST, value[i]))
        deviation = current - row[LEVEL]
        sigma = row[SIGMA]
        distance = deviation / sigma if sigma > 0.0 else 0.0
        warm = row[COUNT] >= warmup
        up, down, null_score = 0.0, 0.0, 0.0
        if warm:
            if sigma > 0.0:
                added = max(-clip, min(clip, distance))
            else:
                added = 0.0 if deviation == 0.0 else math.copysign(clip, deviation)
            # The level's own standard error is forgiven too: a young mean is off, and that adds up.
            forgiven = allowance + _CERTAIN * math.sqrt(learning_rate(row[AGE], rate))
            up = max(0.0, sums[UP] + added - forgiven)
            down = max(0.0, sums[DOWN] - added - forgiven)
            null_score = decades_a_sum * max(up, down)
            score[i] = calibrated_score(counts, k, null_score, prior)
            expected[i] = row[LEVEL]
            lower[i] = row[LEVEL] - clip * sigma
            upper[i] = row[LEVEL] + clip * sigma
        if not learn[i]:
            continue
        if row[COUNT] == 0.0:
            row[COUNT] = 1.0
            row[AGE] = 1.0
            row[LEVEL] = current
            continue
        if warm:
            learn_calibrated(counts, k, null_score, score[i], int(row[COUNT]), prior)
            sums[UP], sums[DOWN] = up, down
            sums[UP_LENGTH] = sums[UP_LENGTH] + 1.0 if up > 0.0 else 0.0
            sums[DOWN_LENGTH] = sums[DOWN_LENGTH] + 1.0 if down > 0.0 else 0.0
        weight = learning_rate(row[AGE] + 1.0, rate)
        learned, kind = learn_deviation(row, deviation, distance, weight, clip, relearn)
        if kind == RESTART:
            row[LEVEL] += learned
            sums[:] = 0.0
            continue
        row[LEVEL] += weight * learned
        if sums[UP_LENGTH] >= relearn and allowance * up >= _SETTLED:
            _restart(row, sums, allowance + up / sums[UP_LENGTH], sums[UP_LENGTH])
        elif sums[DOWN_LENGTH] >= relearn and allowance * down >= _SETTLED:
            _restart(row, sums, -allowance - down / sums[DOWN_LENGTH], sums[DOWN_LENGTH])
