"""Score: a change of the noise: its variance of late against its variance before."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.compiled import njit
from detectors.detector import Scores
from detectors.fleet_detector import Column, FleetDetector, empty_scores, take_inputs
from detectors.statistics.calibration import COUNTS
from detectors.statistics.null_model import PRIOR, calibrated_score, learn_calibrated
from detectors.statistics.tails import LARGEST, normal_score
from detectors.statistics.winsor import spread

LEARNED, LAST, RECENT, USUAL, RUN = range(5)
"""Columns of a row: readings learned; the last of them; the standard deviation of steps of late and usually; readings
since the two have differed."""

_FIELDS = 5
_REACH = 4.0
_DIFFER = 3.0
_FEWEST = 10.0
_UNEVEN = 2.2
"""Steps between independent readings are correlated by -1/2, which makes variances of them 1.5 times less certain; the
rest is for the longer tail of an exponential mean."""


class VarianceChangeParameters(BaseModel):
    """The two memories, and when a change is accepted as the new normal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recent: float = Field(default=32.0, ge=4, le=1e6, description="Readings that the recent variance is a mean over.")
    usual: float = Field(default=1000.0, ge=8, le=1e7, description="Readings that the usual variance is a mean over.")
    warmup: int = Field(default=100, ge=4, le=1_000_000, description="Readings learned before the first score.")
    relearn_after: int = Field(
        default=120, ge=2, le=1_000_000, description="Readings after which a change that stays is the new normal."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.recent >= self.usual:
            raise ValueError(f"recent: expected less than usual = {self.usual}, got {self.recent}")
        return self


class VarianceChange(FleetDetector):
    """The ratio of the recent to the usual variance of steps between readings, as its two-sided F tail.

    Noise is measured by steps from one reading to the next, so that slow movement of the level is not taken for it;
    a step beyond four usual deviations counts as four, so a lone jump is no change of the noise. The tail is that of
    the F law for two exponential means, tempered by the ratios that this series showed before. Where the ratio has
    been far out for `relearn_after` readings the recent variance becomes the usual one.

    Works: on noise that grows (a worn bearing, a loose contact, interference) or dies down (a clogged or frozen
    sensor). Fails: on changes of the level alone, and on bursty series, whose noise changes all the time. A series
    that was constant scores its first steps by how long it was constant.

    Cost: about 200 ns a reading. Memory: 300 bytes a slot. Source: the F test of variances (NIST/SEMATECH e-Handbook,
    1.3.5.9), by Paulson's normal approximation, Ann. Math. Statist. 13, 1942; EWMS charts: MacGregor and Harris, J.
    Quality Technology 25, 1993.
    """

    name: ClassVar[str] = "variance_change"
    Parameters: ClassVar[type[BaseModel]] = VarianceChangeParameters

    def __init__(self, parameters: VarianceChangeParameters) -> None:
        self.settings = parameters
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """`steps` (size, 5), see `LEARNED`; `counts`, the calibration's histogram."""
        return {"steps": Column(np.float64, (_FIELDS,)), "counts": COUNTS}

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score the ratio with each reading's step in it, then learn the step where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        settings = self.settings
        _run(
            inputs.slot, inputs.value, inputs.learn, self.arrays["steps"], self.arrays["counts"], settings.recent,
            settings.usual, float(settings.warmup), float(settings.relearn_after), PRIOR, scores.score,
        )  # fmt: skip
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        count = self.arrays["steps"][: self.size, LEARNED].astype(np.int64)
        return count, np.full(self.size, self.settings.warmup, np.int64)


@njit
def ratio_score(ratio: float, recent: float, usual: float) -> float:
    """-log10 of the two-sided tail of a ratio of variances over `recent` and `usual` degrees of freedom.

    The cube root of a variance is nearly normal (Wilson and Hilferty), and so is the difference of two of them.
    """
    root = ratio ** (1.0 / 3.0)
    a, b = 2.0 / (9.0 * recent), 2.0 / (9.0 * usual)
    return float(normal_score(abs((1.0 - b) * root - (1.0 - a)) / math.sqrt(b * root * root + a)))


@njit
def _run(
    slots: Any, values: Any, learns: Any, steps: Any, counts: Any, recent: float, usual: float, warmup: float,
    relearn: float, prior: Any, score: Any,
) -> None:  # fmt: skip
    for i in range(slots.shape[0]):
        if not math.isfinite(values[i]):
            continue
        k = slots[i]
        row = steps[k]
        value = max(-LARGEST, min(LARGEST, values[i]))
        # A mean over n readings weighs the newest by 2 / (n + 1), as it varies like a plain mean over n.
        seen = row[LEARNED]
        recent_n, usual_n = min(seen, recent), min(seen, usual)
        step = value - row[LAST] if seen > 0.0 else 0.0
        if row[USUAL] > 0.0 and seen > _FEWEST:
            step = max(-_REACH * row[USUAL], min(_REACH * row[USUAL], step))
        new_recent = spread(row[RECENT], step, 2.0 / (recent_n + 1.0))
        null_score = 0.0
        if row[USUAL] > 0.0:
            ratio = new_recent / row[USUAL]
            null_score = ratio_score(ratio * ratio, max(recent_n / _UNEVEN, 1.0), max(usual_n / _UNEVEN, 1.0))
        elif step != 0.0:
            null_score = math.log10(seen + 2.0)
        if seen >= warmup:
            score[i] = calibrated_score(counts, k, null_score, prior)
        if not learns[i]:
            continue
        if seen >= warmup:
            learn_calibrated(counts, k, null_score, score[i], int(seen), prior)
        row[LEARNED] += 1.0
        row[LAST] = value
        if seen == 0.0:
            continue
        row[RECENT] = new_recent
        row[USUAL] = spread(row[USUAL], step, 2.0 / (usual_n + 1.0))
        row[RUN] = row[RUN] + 1.0 if null_score >= _DIFFER else 0.0
        if row[RUN] >= relearn:
            row[USUAL] = row[RECENT]
            row[RUN] = 0.0
