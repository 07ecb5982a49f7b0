"""Score: the shared body of the channels that know the clock on the wall, where they run as detectors of their own."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from detectors.detector import Scores
from detectors.fleet_detector import Column, Inputs, empty_scores, take_inputs
from detectors.record_detector import RecordDetector
from detectors.statistics.calendar_time import offsets


class ChannelParameters(BaseModel):
    """What such a channel lets be set. A subclass adds `warmup` with the channel's own default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_zone: str = Field(default="UTC", description="IANA time zone in which hours and days are counted.")
    warmup: int = Field(default=30, ge=1, le=1_000_000, description="Readings learned before the first score.")

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        offsets(zone)
        return zone


class ChannelDetector(RecordDetector):
    """A channel that scores a reading from its series' record and the time on the wall.

    A subclass states its columns, the column and place that count readings learned, and runs its kernel.
    """

    channel_layout: ClassVar[dict[str, Column]]
    learned: ClassVar[tuple[str, int]]

    def __init__(self, parameters: ChannelParameters) -> None:
        self.settings = parameters
        self.changes, self.offsets = offsets(parameters.time_zone)
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """The columns of the channel's record."""
        return self.channel_layout

    @abstractmethod
    def run(self, inputs: Inputs, records: Any, score: NDArray[np.float64]) -> None:
        """Fill `score` for each row in order, and learn it where it is to be learned."""

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each reading, then learn it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        self.run(inputs, self.records[""], scores.score)
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        column, place = self.learned
        count = self.arrays[column][: self.size, place].astype(np.int64)
        return count, np.full(self.size, self.settings.warmup, np.int64)
