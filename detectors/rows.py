"""Stage 5 of 7: what detectors of whole rows share: the readings of one device at one time, a channel each."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from detectors.base import Scores
from detectors.calibration import COUNTS, tame
from detectors.fleet import Column, FleetDetector, take_inputs
from detectors.winsor import spread

REACH = 10.0
"""Deviations that one channel of a row counts at most."""

_CLIP = 4.0
_SETTLED = 20


class RowParameters(BaseModel):
    """The shape of a row, and how fast its covariance is learned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: int = Field(ge=2, le=64, description="Values in a row.")
    half_life: float = Field(default=2000.0, ge=1, le=1e7, description="Rows after which a row counts half.")
    warmup: int = Field(default=200, ge=8, le=1_000_000, description="Rows learned before the first score.")


class RowDetector(FleetDetector):
    """A mean and a covariance of a slot's rows, exponentially weighted, and a calibration. A subclass runs its kernel.

    A value that is NaN is taken to be the channel's mean; a row of NaN alone has no score and is not learned. Values
    are learned as if no further than four deviations off.
    """

    Parameters: ClassVar[type[BaseModel]] = RowParameters

    def __init__(self, parameters: RowParameters) -> None:
        self.settings = parameters
        self.rate = 1.0 - 0.5 ** (1.0 / parameters.half_life)
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """Per slot: rows `learned`; `mean` and `deviation` a channel; `correlation` a pair; `counts`, the histogram."""
        channels = self.settings.channels
        return {
            "learned": Column(np.int64),
            "mean": Column(np.float64, (channels,)),
            "deviation": Column(np.float64, (channels,)),
            "correlation": Column(np.float64, (channels, channels)),
            "counts": COUNTS,
        }

    @abstractmethod
    def run(self, rows: tuple[Any, ...], score: NDArray[np.float64], parts: NDArray[np.float32]) -> None:
        """Score and learn the rows (slot, values, learn) in order, filling `score` (n,) and `parts` (n, channels)."""

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each row, then learn it where `learn`; `value` is (n, channels). Raises ValueError for another
        shape."""
        count, channels = len(slot), self.settings.channels
        if value.shape != (count, channels):
            raise ValueError(f"value: expected shape {(count, channels)}, got {value.shape}")
        inputs = take_inputs(self.size, slot, time, np.zeros(count), learn)
        score = np.full(count, np.nan)
        parts = np.full((count, channels), np.nan, np.float32)
        self.run((inputs.slot, np.require(value, np.float64, ["C", "W"]), inputs.learn), score, parts)
        none = np.full(count, np.nan)
        return Scores(score, none, none.copy(), none.copy(), parts, tuple(str(k) for k in range(channels)))

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows learned, and `warmup` needed."""
        return self.arrays["learned"][: self.size].copy(), np.full(self.size, self.settings.warmup, np.int64)


@njit(cache=True)  # type: ignore[untyped-decorator]
def standardise(values: Any, mean: Any, deviation: Any, z: Any) -> int:
    """Fill `z` with deviations from the mean, at most `REACH`, 0 where missing; returns how many values there are."""
    present = 0
    for j in range(values.shape[0]):
        z[j] = 0.0
        if not math.isfinite(values[j]):
            continue
        present += 1
        off = tame(values[j]) - mean[j]
        if deviation[j] > 0.0:
            z[j] = max(-REACH, min(REACH, off / deviation[j]))
        elif off != 0.0:
            z[j] = math.copysign(REACH, off)
    return present


@njit(cache=True)  # type: ignore[untyped-decorator]
def learn_row(values: Any, mean: Any, deviation: Any, correlation: Any, z: Any, learned: int, rate: float) -> None:
    """Learn a row whose deviations are `z`: channel by channel, then how they go together."""
    weight = max(rate, 1.0 / (learned + 1))
    settled = learned >= _SETTLED
    for j in range(values.shape[0]):
        if not math.isfinite(values[j]):
            continue
        off = tame(values[j]) - mean[j]
        if settled and deviation[j] > 0.0:
            off = max(-_CLIP * deviation[j], min(_CLIP * deviation[j], off))
        mean[j] += weight * off
        deviation[j] = spread(deviation[j], off, weight)
    if not settled:
        return
    since = max(rate, 1.0 / (learned + 1 - _SETTLED))
    for j in range(values.shape[0]):
        for k in range(values.shape[0]):
            both = max(-_CLIP, min(_CLIP, z[j])) * max(-_CLIP, min(_CLIP, z[k]))
            correlation[j, k] += since * (both - correlation[j, k])
