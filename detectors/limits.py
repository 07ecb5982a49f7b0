"""Score: the rule detectors, which need no learning: `threshold` on the value, `rate_of_change` on its slope."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.compiled import njit
from detectors.detector import MAX_SCORE, Scores
from detectors.fleet_detector import Column, FleetDetector, empty_scores, take_inputs

NANOSECONDS_PER_UNIT = {"second": 1e9, "minute": 60e9, "hour": 3600e9, "day": 86_400e9}


class ThresholdParameters(BaseModel):
    """Limits in the reading's unit; at least one of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lower: float | None = Field(default=None, allow_inf_nan=False, description="Lowest value that is in order.")
    upper: float | None = Field(default=None, allow_inf_nan=False, description="Highest value that is in order.")

    @model_validator(mode="after")
    def _has_limits_in_order(self) -> Self:
        if self.lower is None and self.upper is None:
            raise ValueError("threshold: expected at least one of lower and upper")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"threshold: expected lower <= upper, got lower {self.lower} and upper {self.upper}")
        return self


class Threshold(FleetDetector):
    """Fixed limits: a reading outside them scores MAX_SCORE, a reading inside or on them 0.

    Works: where a safe range is known from a data sheet, a regulation or a process. Fails: on whatever stays within the
    range, and on sensors whose normal range differs from one to the next. Expected is NaN; the band is the limits.

    Cost: about 3 ns a reading. Memory: 8 bytes a slot (the count of readings).
    Source: the Shewhart chart's rule 1 with limits given instead of estimated (NIST/SEMATECH e-Handbook, 6.3.2).
    """

    name: ClassVar[str] = "threshold"
    Parameters: ClassVar[type[BaseModel]] = ThresholdParameters

    @classmethod
    def examples(cls) -> tuple[Mapping[str, object], ...]:
        """Two limits, and one alone; they have no default."""
        return ({"lower": -40.0, "upper": 85.0}, {"upper": 0.5})

    def __init__(self, parameters: ThresholdParameters) -> None:
        super().__init__(parameters)
        self.lower = -math.inf if parameters.lower is None else parameters.lower
        self.upper = math.inf if parameters.upper is None else parameters.upper

    def layout(self) -> dict[str, Column]:
        """`count` (size,): readings learned."""
        return {"count": Column(np.int64)}

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Compare each reading with the limits; learning only counts."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        _compare(
            inputs.slot, inputs.value, inputs.learn, self.arrays["count"], self.lower, self.upper,
            scores.score, scores.lower, scores.upper,
        )  # fmt: skip
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and 0 needed: limits are known from the start."""
        return self.arrays["count"][: self.size].copy(), np.zeros(self.size, np.int64)


class RateOfChangeParameters(BaseModel):
    """The steepest slope that is in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: float = Field(ge=0, allow_inf_nan=False, description="Steepest change that is in order, in units per `per`.")
    per: Literal["second", "minute", "hour", "day"] = Field(default="second", description="Time unit of `limit`.")
    direction: Literal["both", "rising", "falling"] = Field(
        default="both", description="Which changes the limit applies to."
    )


class RateOfChange(FleetDetector):
    """The slope from the previous reading: steeper than the limit scores MAX_SCORE, else 0.

    Works: where physics bounds how fast a quantity can change (a tank's level, a room's temperature). Fails: on noise
    sampled faster than it matters, since a small step over a short time is a steep slope, and on slow drift. Expected
    is the previous value; the band is how far it can have moved since. Two readings of one time have no slope: the
    second is scored 0 where the value is the same and otherwise not at all (NaN).

    Cost: about 10 ns a reading. Memory: 24 bytes a slot. Source: ISO 18436-2 style rate-of-change alarm, as in
    ANSI/ISA-18.2, alarm type "rate-of-change".
    """

    name: ClassVar[str] = "rate_of_change"
    Parameters: ClassVar[type[BaseModel]] = RateOfChangeParameters

    @classmethod
    def examples(cls) -> tuple[Mapping[str, object], ...]:
        """A limit to both sides and one to one side; it has no default."""
        return ({"limit": 5.0, "per": "minute"}, {"limit": 0.1, "direction": "rising"})

    def __init__(self, parameters: RateOfChangeParameters) -> None:
        super().__init__(parameters)
        per_nanosecond = parameters.limit / NANOSECONDS_PER_UNIT[parameters.per]
        self.rise = math.inf if parameters.direction == "falling" else per_nanosecond
        self.fall = math.inf if parameters.direction == "rising" else per_nanosecond

    def layout(self) -> dict[str, Column]:
        """`count`, `time` (ns) and `value` of the last reading learned, each (size,)."""
        return {"count": Column(np.int64), "time": Column(np.int64), "value": Column(np.float64)}

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Compare each slope with the limit, then remember the reading where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        _slope(
            *inputs, self.arrays["count"], self.arrays["time"], self.arrays["value"], self.rise, self.fall,
            scores.score, scores.expected, scores.lower, scores.upper,
        )  # fmt: skip
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and 1 needed: a slope needs a reading before."""
        return self.arrays["count"][: self.size].copy(), np.ones(self.size, np.int64)


@njit
def _compare(
    slot: Any, value: Any, learn: Any, count: Any, lower: float, upper: float, score: Any, low: Any, high: Any
) -> None:
    for i in range(slot.shape[0]):
        if not math.isfinite(value[i]):
            continue
        score[i] = 0.0 if lower <= value[i] <= upper else MAX_SCORE
        if math.isfinite(lower):
            low[i] = lower
        if math.isfinite(upper):
            high[i] = upper
        if learn[i]:
            count[slot[i]] += 1


@njit
def _slope(
    slot: Any, time: Any, value: Any, learn: Any, count: Any, last_time: Any, last_value: Any, rise: float, fall: float,
    score: Any, expected: Any, lower: Any, upper: Any,
) -> None:  # fmt: skip
    for i in range(slot.shape[0]):
        current = value[i]
        if not math.isfinite(current):
            continue
        k = slot[i]
        if count[k] > 0:
            elapsed = time[i] - last_time[k]
            previous = last_value[k]
            expected[i] = previous
            if elapsed > 0:
                high = previous + rise * elapsed
                low = previous - fall * elapsed
                score[i] = 0.0 if low <= current <= high else MAX_SCORE
                if math.isfinite(low):
                    lower[i] = low
                if math.isfinite(high):
                    upper[i] = high
            elif current == previous:
                score[i] = 0.0
        if learn[i]:
            count[k] += 1
            last_time[k] = time[i]
            last_value[k] = current
