"""A user's detectors as a user would write them, which docs/own-detector.md shows: one a series, and one of a fleet."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from detectors.detector import Scores
from detectors.fleet_detector import Column, FleetDetector, empty_scores, take_inputs


class Jump:
    """Decades by which a step from one reading to the next exceeds the usual one: one object for each series."""

    def __init__(self, usual: float = 1.0) -> None:
        self.usual = usual
        self.last: float | None = None

    def score(self, value: float, time: int) -> float:  # noqa: ARG002
        """0 to 12; changes nothing. `time` is in nanoseconds since the epoch."""
        if self.last is None:
            return 0.0
        return max(0.0, math.log10(max(abs(value - self.last) / self.usual, 1e-300)))

    def learn(self, value: float, time: int) -> None:  # noqa: ARG002
        """Take the reading in."""
        self.last = value


class EverywhereParameters(BaseModel):
    """What can be set in the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: float = Field(default=1e6, gt=0, description="Largest absolute value that is in order.")


class Everywhere(FleetDetector):
    """One object for all series: arrays in, arrays out, as the detectors of this package are."""

    name: ClassVar[str] = "everywhere"
    Parameters: ClassVar[type[BaseModel]] = EverywhereParameters

    def layout(self) -> dict[str, Column]:
        """Readings learned, by series."""
        return {"count": Column(np.int64)}

    def step(self, slot: Any, time: Any, value: Any, learn: Any) -> Scores:
        """3 beyond the limit, else 0."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        finite = np.isfinite(inputs.value)
        limit = self.parameters.limit  # type: ignore[attr-defined]
        scores.score[finite] = np.where(np.abs(inputs.value[finite]) > limit, 3.0, 0.0)
        np.add.at(self.arrays["count"], inputs.slot[finite & inputs.learn], 1)
        return scores

    def warming(self) -> tuple[Any, Any]:
        """Nothing needs to be learned first."""
        return self.arrays["count"][: self.size].copy(), np.zeros(self.size, np.int64)
