"""Score: the z-score detector: how many deviations a reading lies from what its series usually is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.compiled import njit
from detectors.detector import Scores
from detectors.fleet_detector import Column, FleetDetector, empty_scores, take_inputs
from detectors.statistics.robust import robust_step
from detectors.statistics.tails import LARGEST, first_change_score, normal_score
from detectors.statistics.winsor import (
    AGE,
    COUNT,
    FIELDS,
    LEVEL,
    RESTART,
    RUN,
    SIGMA,
    is_usual,
    learn_deviation,
    learning_rate,
    usual_sigma,
)


class ZScoreParameters(BaseModel):
    """What the baseline is made of and how fast it moves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant: Literal["ewma", "robust"] = Field(
        default="ewma",
        description="`ewma`: weighted mean and deviation; `robust`: median and MAD of the last `window` readings.",
    )
    half_life: float = Field(
        default=200.0, ge=1.0, le=1e7, description="Readings after which a reading counts half (ewma)."
    )
    window: int = Field(default=64, ge=8, le=256, description="Readings kept for median and MAD (robust).")
    warmup: int = Field(default=30, ge=4, le=1_000_000, description="Readings learned before the first score.")
    band: float = Field(default=3.0, gt=0, le=100, description="Half the width of the expected band, in deviations.")
    clip: float = Field(
        default=3.0,
        ge=1.5,
        le=100,
        description="Deviations beyond which a reading teaches no more than one at this distance (ewma).",
    )
    relearn_after: int = Field(
        default=60,
        ge=2,
        le=1_000_000,
        description="Consecutive readings beyond `clip` after which the baseline restarts from them (ewma).",
    )


class ZScore(FleetDetector):
    """Distance from the usual value in units of the usual deviation, as the tail probability of that distance.

    `ewma`: mean and variance are exponentially weighted (weights 1/n until the half-life is reached), the score is
    the two-sided tail of the normal law. A reading beyond `clip` deviations is learned as if it lay at `clip`, so one
    fault moves the mean by at most `clip` x alpha deviations. What stays is learned all the same: `relearn_after`
    readings in a row beyond `clip` restart the baseline from these readings. `robust`: exact median and MAD x 1.4826
    of the last `window` readings; a level shift is learned once it fills half of the window. So few readings cannot
    support the normal law's far tail, hence Student's t with 8 degrees of freedom. Where more than half of the window
    is one value the MAD is 0, and the mean absolute deviation x 1.2533 stands in.

    Where a series has been constant no deviation can be measured; the first change scores log10(readings + 2).

    Works: on noise around a level that is steady or moves slowly, with spikes, dips and level shifts as faults.
    Fails: on faults inside the usual range (a sensor that is stuck, a changed rhythm) and on strong seasons, whose
    range becomes the deviation. Time is not looked at: a baseline counts readings, whatever the gaps.

    Cost: about 20 ns a reading (ewma), about 150 ns (robust, window 64). Memory: 64 bytes a slot (ewma), 9 bytes x
    window + 16 (robust). Source: Finch, "Incremental calculation of weighted mean and variance", 2009; Huber, "Robust
    Statistics", 1981 (winsorising); Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993 (modified z-score
    and its fallback).
    """

    name: ClassVar[str] = "zscore"
    Parameters: ClassVar[type[BaseModel]] = ZScoreParameters

    def __init__(self, parameters: ZScoreParameters) -> None:
        self.settings = parameters
        super().__init__(parameters)
        self.needed = parameters.warmup if parameters.variant == "ewma" else min(parameters.warmup, parameters.window)

    @classmethod
    def examples(cls) -> tuple[Mapping[str, object], ...]:
        """The defaults, and the robust variant."""
        return ({}, {"variant": "robust"})

    def layout(self) -> dict[str, Column]:
        """ewma: `baseline` (size, 8), see `winsor`; robust: `count` (size,), `recent` and `order` (size, window)."""
        if self.settings.variant == "ewma":
            return {"baseline": Column(np.float64, (FIELDS,))}
        window = (self.settings.window,)
        return {"count": Column(np.int64), "recent": Column(np.float64, window), "order": Column(np.uint8, window)}

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each reading by its tail probability, then learn it where `learn`."""
        slot, _, value, learn = take_inputs(self.size, slot, time, value, learn)
        settings = self.settings
        if settings.variant == "ewma":
            scores = Scores(*np.empty((4, len(slot))))
            out = (scores.score, scores.expected, scores.lower, scores.upper)
            alpha = 1.0 - 0.5 ** (1.0 / settings.half_life)
            relearn = float(settings.relearn_after)
            _ewma(
                slot, value, learn, self.arrays["baseline"], alpha, float(self.needed), settings.band, settings.clip,
                relearn, *out,
            )  # fmt: skip
        else:
            scores = empty_scores(len(slot))
            out = (scores.score, scores.expected, scores.lower, scores.upper)
            arrays = self.arrays
            robust_step(
                slot, value, learn, arrays["count"], arrays["recent"], arrays["order"], self.needed, settings.band, *out
            )
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed (robust: at most `window`)."""
        if self.settings.variant == "ewma":
            count = self.arrays["baseline"][: self.size, COUNT].astype(np.int64)
        else:
            count = self.arrays["count"][: self.size].copy()
        return count, np.full(self.size, self.needed, np.int64)


@njit(error_model="numpy")
def _ewma(
    slot: Any, value: Any, learn: Any, baseline: Any, alpha: float, warmup: float, band: float, clip: float,
    relearn: float, score: Any, expected: Any, lower: Any, upper: Any,
) -> None:  # fmt: skip
    for i in range(slot.shape[0]):
        current = value[i]
        k = slot[i]
        score[i] = expected[i] = lower[i] = upper[i] = math.nan
        if not math.isfinite(current):
            continue
        current = max(-LARGEST, min(LARGEST, current))
        count, level, sigma = baseline[k, COUNT], baseline[k, LEVEL], baseline[k, SIGMA]
        deviation = current - level
        distance = deviation / sigma if sigma > 0.0 else 0.0
        if count >= warmup:
            if sigma > 0.0:
                score[i] = normal_score(abs(distance))
            else:
                score[i] = 0.0 if deviation == 0.0 else first_change_score(count)
            expected[i] = level
            lower[i] = level - band * sigma
            upper[i] = level + band * sigma
        if not learn[i]:
            continue
        age = baseline[k, AGE] + 1.0
        rate = learning_rate(age, alpha)
        if is_usual(age, baseline[k, RUN], sigma, distance, clip):
            baseline[k, COUNT] = count + 1.0
            baseline[k, AGE] = age
            baseline[k, LEVEL] = level + rate * (distance * sigma)
            baseline[k, SIGMA] = usual_sigma(sigma, distance, rate)
        elif count == 0.0:
            baseline[k, COUNT] = 1.0
            baseline[k, AGE] = 1.0
            baseline[k, LEVEL] = current
        else:
            learned, kind = learn_deviation(baseline[k], deviation, distance, rate, clip, relearn)
            baseline[k, LEVEL] += learned if kind == RESTART else rate * learned
