"""Score: the shared body of the ensemble's parts where they run as detectors of their own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from detectors.detector import Scores
from detectors.fleet_detector import Column, empty_scores, take_inputs
from detectors.record_detector import RecordDetector
from detectors.statistics.calibration import COUNTS


class PartParameters(BaseModel):
    """What every calibrated part lets be set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warmup: int = Field(default=30, ge=4, le=1_000_000, description="Readings learned before the first score.")


class PartDetector(RecordDetector):
    """A raw score, calibrated on the series' own past. A subclass states its layout and runs its kernel."""

    Parameters: ClassVar[type[BaseModel]] = PartParameters
    part_layout: ClassVar[dict[str, Column]]
    record_parts: ClassVar[Mapping[str, int]] = {}

    def __init__(self, parameters: PartParameters) -> None:
        self.needed = parameters.warmup
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """The part's own arrays, `learned` (size,), and `counts`, the calibration's histogram."""
        return {**self.part_layout, "learned": Column(np.int64), "counts": COUNTS}

    @abstractmethod
    def run(self, rows: tuple[Any, Any, Any], scores: Scores) -> None:
        """Score and learn the rows (slot, value, learn) in order, filling `scores`."""

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each reading by the calibrated probability of its raw score, then learn it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        self.run((inputs.slot, inputs.value, inputs.learn), scores)
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        return self.arrays["learned"][: self.size].copy(), np.full(self.size, self.needed, np.int64)
