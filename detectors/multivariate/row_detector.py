"""Score: what detectors of a device's rows share: the readings of one device at one time, a channel each."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.compiled import njit
from detectors.detector import Scores
from detectors.fleet_detector import ArrayState, Column, take_inputs
from detectors.statistics.calibration import COUNTS, clamp
from detectors.statistics.winsor import spread

REACH = 10.0
"""Deviations that one channel of a row counts at most."""

BAND = 3.0
"""Deviations to either side of a channel's mean in which it is usually found."""

_CLIP = 4.0
_SETTLED = 20


class RowParameters(BaseModel):
    """The shape of a row, and how fast what is usual is learned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: int = Field(
        default=16, ge=2, le=1024, description="Most metrics of a device that are scored together: those met first."
    )
    half_life: float = Field(default=2000.0, ge=1, le=1e7, description="Rows after which a row counts half.")
    warmup: int = Field(default=200, ge=8, le=1_000_000, description="Rows learned before the first score.")


@dataclass(frozen=True, slots=True)
class RowScores(Scores):
    """Scores of n rows of c channels; `parts` (n, c) float32 are the channels' shares of the score, in decades.

    `usual` and `deviation` (n, c) float64: where each channel was expected and its standard deviation, as known before
    the row, in the channel's unit; NaN where a channel was not met yet. `distance` (n, c): how many of the deviations
    that are usual the channel is away, as this detector measures it. The row as a whole has no expected value.
    """

    usual: NDArray[np.float64] = field(kw_only=True)
    deviation: NDArray[np.float64] = field(kw_only=True)
    distance: NDArray[np.float64] = field(kw_only=True)

    @classmethod
    def empty(cls, rows: int, channels: int) -> RowScores:
        """Scores of so many rows, every entry NaN, to be filled."""
        score, expected, lower, upper = np.full((4, rows), np.nan)
        usual, deviation, distance = np.full((3, rows, channels), np.nan)
        parts = np.full((rows, channels), np.nan, np.float32)
        names = tuple(str(number) for number in range(channels))
        return cls(score, expected, lower, upper, parts, names, usual=usual, deviation=deviation, distance=distance)


class RowDetector(ArrayState):
    """A detector whose slots are devices and whose readings are rows; a subclass states its `layout` and its `run`.

    A channel that is NaN in a row is not there: it counts as neither normal nor odd. One that is met later than the
    others is learned from then on, and counts once it has warmed up by itself; the first score comes when two channels
    have. A row of NaN alone has no score and is not learned.
    """

    def __init__(self, parameters: BaseModel) -> None:
        self.channels = int(parameters.channels)  # type: ignore[attr-defined]
        self.warmup = int(parameters.warmup)  # type: ignore[attr-defined]
        super().__init__(parameters)

    @property
    def replaces_channel_alarms(self) -> bool:
        """Whether a device's alarm stands for those of its channels, since this detector takes their scores too."""
        return False

    @classmethod
    def examples(cls) -> tuple[Mapping[str, object], ...]:
        """The defaults, and rows of another width."""
        return ({}, {"channels": 3, "warmup": 60})

    @abstractmethod
    def run(
        self,
        rows: tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]],
        scores: RowScores,
    ) -> None:
        """Score and learn the rows (slot, values, channel scores, learn) in order, filling `scores`."""

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
        channel_score: NDArray[np.float64] | None = None,
    ) -> RowScores:
        """Score each row, then learn it where `learn`; `value` is (n, c), NaN where a channel is missing.

        There may be fewer channels in a row than `channels`; those beyond are missing. `channel_score` (n, c) is what
        the channels' own detectors said, NaN for nothing. Raises ValueError for another shape.
        """
        if value.ndim != 2 or len(value) != len(slot) or value.shape[1] > self.channels:
            raise ValueError(f"value: expected shape ({len(slot)}, at most {self.channels}), got {value.shape}")
        shape = (len(slot), value.shape[1])
        given = np.full(shape, np.nan) if channel_score is None else channel_score
        if given.shape != shape:
            raise ValueError(f"channel_score: expected shape {shape}, got {given.shape}")
        inputs = take_inputs(self.size, slot, time, np.zeros(len(slot)), learn)
        scores = RowScores.empty(*shape)
        values, given = (np.require(array, np.float64, ["C", "W"]) for array in (value, given))
        self.run((inputs.slot, values, given, inputs.learn), scores)
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows learned, and `warmup` needed."""
        return self.arrays["learned"][: self.size].copy(), np.full(self.size, self.warmup, np.int64)

    def warming_of(self, slot: int) -> tuple[int, int]:
        """Rows that one device has learned, and those needed before its first score."""
        return int(self.arrays["learned"][slot]), self.warmup


class CorrelatedRows(RowDetector):
    """A mean and a deviation of each channel, the channels' correlations, and a calibration: what several share.

    Values are learned as if no further than four deviations off.
    """

    Parameters: ClassVar[type[BaseModel]] = RowParameters

    def __init__(self, parameters: RowParameters) -> None:
        self.rate = 1.0 - 0.5 ** (1.0 / parameters.half_life)
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """Per slot: rows `learned`; `seen`, `mean`, `deviation` a channel; `correlation` a pair; `counts`, a
        histogram.
        """
        channels = self.channels
        return {
            "learned": Column(np.int64),
            "seen": Column(np.int64, (channels,)),
            "mean": Column(np.float64, (channels,)),
            "deviation": Column(np.float64, (channels,)),
            "correlation": Column(np.float64, (channels, channels)),
            "counts": COUNTS,
        }


@njit
def standardise(
    values: Any, seen: Any, mean: Any, deviation: Any, warmup: int, z: Any, usual: Any, spreads: Any, distance: Any
) -> tuple[int, int]:
    """Fill `z` with deviations from the mean, at most `REACH`, and what is known of each channel; 0 where missing.

    `distance` stays NaN where a channel is missing or warming up: such a one does not speak. Returns how many channels
    are there, and how many of them speak.
    """
    present = speaking = 0
    for j in range(values.shape[0]):
        z[j] = 0.0
        if seen[j] > 0:
            usual[j] = mean[j]
            spreads[j] = deviation[j]
        if not math.isfinite(values[j]):
            continue
        present += 1
        if seen[j] == 0:
            continue
        off = clamp(values[j]) - mean[j]
        if deviation[j] > 0.0:
            z[j] = max(-REACH, min(REACH, off / deviation[j]))
        elif off != 0.0:
            z[j] = math.copysign(REACH, off)
        if seen[j] >= warmup:
            speaking += 1
            distance[j] = abs(z[j])
    return present, speaking


@njit
def learn_row(
    values: Any, seen: Any, mean: Any, deviation: Any, correlation: Any, z: Any, warmup: int, rate: float
) -> bool:
    """Learn a row whose deviations are `z`: channel by channel, then how they go together; True where a channel is
    warm with this row.
    """
    became_warm = False
    for j in range(values.shape[0]):
        if not math.isfinite(values[j]):
            continue
        for k in range(j + 1):
            fewer = min(seen[j], seen[k])
            if not math.isfinite(values[k]) or fewer < _SETTLED:
                continue
            both = max(-_CLIP, min(_CLIP, z[j])) * max(-_CLIP, min(_CLIP, z[k]))
            together = correlation[j, k] + max(rate, 1.0 / (fewer + 1 - _SETTLED)) * (both - correlation[j, k])
            correlation[j, k] = together
            correlation[k, j] = together
    for j in range(values.shape[0]):
        if not math.isfinite(values[j]):
            continue
        weight = max(rate, 1.0 / (seen[j] + 1))
        off = clamp(values[j]) - mean[j]
        if seen[j] >= _SETTLED and deviation[j] > 0.0:
            off = max(-_CLIP * deviation[j], min(_CLIP * deviation[j], off))
        mean[j] += weight * off
        deviation[j] = spread(deviation[j], off, weight)
        seen[j] += 1
        became_warm |= seen[j] == warmup
    return became_warm


@njit
def share(odds: Any, score: float, parts: Any) -> None:
    """Fill `parts` with the score's division by `odds`, which are 0 or more."""
    total = 0.0
    for j in range(odds.shape[0]):
        total += odds[j]
    for j in range(odds.shape[0]):
        parts[j] = score * odds[j] / total if total > 0.0 else 0.0
