"""Stage 5 of 7: the channels of one device scored together, one row of readings at a time."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from detectors.base import Scores
from detectors.calibration import compress, tame
from detectors.fleet import Column, FleetDetector, take_inputs

TAIL_START, TAIL_SHAPE = 2.0, 4.0
"""Tail of the combined deviation on a typical device: P(deviation >= x) = (2 / x) ** 4. Independent readings would
have a normal tail; a plant's are autocorrelated, and their smoothed deviations spread several times wider. The
steepness is placed by the SKAB water loop, where a score of 3 parts normal from faulty rows best."""


class MultivariateParameters(BaseModel):
    """The shape of a row, and how fast the two averages move."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: int = Field(ge=1, le=1024, description="Values in a row.")
    strongest: int = Field(default=3, ge=1, le=1024, description="Channels whose deviations are averaged.")
    smoothing: float = Field(default=0.02, gt=0, le=1, description="Weight of a new deviation in its running mean.")
    forgetting: float = Field(default=0.001, ge=0, lt=1, description="Weight of a new row in the grown baseline.")
    warmup: int = Field(default=400, ge=4, le=1_000_000, description="Rows learned, equally, before the first score.")


class Multivariate(FleetDetector):
    """Mean of the strongest smoothed deviations over a device's channels (a robust MEWMA), in decades of a fixed
    tail.

    Each channel is measured in deviations from its own baseline, smoothed exponentially, and the `strongest`
    channels' absolute values are averaged: a fault of a plant moves a few channels for long, noise moves each for a
    moment. The baseline weighs the first `warmup` rows equally, then forgets slowly, and learns a row as if no
    further off than three deviations. A missing channel (NaN) counts as neither normal nor odd.

    Unlike the per-series detectors' scores these stay high as long as the fault lasts, and come from a fixed law
    instead of the device's own past, which a long fault would teach that it is normal. `step` takes values of shape
    (n, channels); `parts` holds each channel's share of the score, `part_names` the channels' numbers.

    Works: on lasting shifts in one or several channels. Fails: on single odd readings, on faults that only change how
    channels move together, and where the warm-up is not normal. A shift that stays is learned after a few times 1 /
    `forgetting` rows.

    Cost: about 0.3 us a row of 8 channels. Memory: 24 bytes a channel and 8. Source: Lowry et al., A Multivariate
    EWMA Control Chart, Technometrics 34, 1992; averaging the top channels: Mei, Biometrika 97, 2010.
    """

    name: ClassVar[str] = "multivariate"
    Parameters: ClassVar[type[BaseModel]] = MultivariateParameters

    def __init__(self, parameters: MultivariateParameters) -> None:
        self.settings = parameters
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """Per slot: rows `learned`; per channel `mean`, `variance`, and smoothed `deviation`."""
        channels = (self.settings.channels,)
        return {
            "learned": Column(np.int64),
            "mean": Column(np.float64, channels),
            "variance": Column(np.float64, channels),
            "deviation": Column(np.float64, channels),
        }

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each row, then learn it where `learn`; `value` is (n, channels). Raises ValueError for another
        shape."""
        rows, channels = len(slot), self.settings.channels
        if value.shape != (rows, channels):
            raise ValueError(f"value: expected shape {(rows, channels)}, got {value.shape}")
        inputs = take_inputs(self.size, slot, time, np.zeros(rows), learn)
        settings = self.settings
        score = np.full(rows, np.nan)
        parts = np.full((rows, channels), np.nan, np.float32)
        arrays = self.arrays
        _run(
            inputs.slot, np.require(value, np.float64, ["C", "W"]), inputs.learn,
            arrays["learned"], arrays["mean"], arrays["variance"], arrays["deviation"],
            min(settings.strongest, channels), settings.smoothing, settings.forgetting, settings.warmup, score, parts,
        )  # fmt: skip
        none = np.full(rows, np.nan)
        return Scores(score, none, none.copy(), none.copy(), parts, tuple(str(k) for k in range(channels)))

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows learned, and `warmup` needed."""
        return self.arrays["learned"][: self.size].copy(), np.full(self.size, self.settings.warmup, np.int64)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _run(
    slots: Any, values: Any, learns: Any, learned: Any, mean: Any, variance: Any, deviation: Any,
    strongest: int, smoothing: float, forgetting: float, warmup: int, scores: Any, parts: Any,
) -> None:  # fmt: skip
    channels = values.shape[1]
    smoothed = np.empty(channels)
    # Standard deviation of an exponential mean of independent deviations.
    unit = math.sqrt(smoothing / (2.0 - smoothing))
    for i in range(len(slots)):
        slot = slots[i]
        present = 0
        for k in range(channels):
            smoothed[k] = deviation[slot, k]
            if not np.isfinite(values[i, k]):
                continue
            present += 1
            spread = math.sqrt(variance[slot, k])
            off = tame(values[i, k]) - mean[slot, k]
            if learned[slot] >= 2:
                now = (
                    min(max(off / spread, -10.0), 10.0)
                    if spread > 0.0
                    else (0.0 if off == 0.0 else math.copysign(10.0, off))
                )
                smoothed[k] += smoothing * (now - smoothed[k])
        if present == 0:
            continue
        if learned[slot] >= warmup:
            order = np.sort(np.abs(smoothed))[::-1]
            combined = 0.0
            for k in range(strongest):
                combined += order[k] / strongest
            combined /= unit
            scores[i] = compress(TAIL_SHAPE * max(math.log10(max(combined, 1e-9) / TAIL_START), 0.0))
            counted = order[strongest - 1]
            total = 0.0
            for k in range(channels):
                parts[i, k] = abs(smoothed[k]) if abs(smoothed[k]) >= counted else 0.0
                total += parts[i, k]
            for k in range(channels):
                parts[i, k] *= scores[i] / max(total, 1e-9)
        if not learns[i]:
            continue
        rate = 1.0 / (learned[slot] + 1) if learned[slot] < warmup else forgetting
        for k in range(channels):
            if not np.isfinite(values[i, k]):
                continue
            deviation[slot, k] = smoothed[k]
            off = tame(values[i, k]) - mean[slot, k]
            if learned[slot] >= warmup:
                reach = 3.0 * math.sqrt(variance[slot, k])
                off = min(max(off, -reach), reach)
            mean[slot, k] += rate * off
            variance[slot, k] = (1.0 - rate) * (variance[slot, k] + rate * off * off)
        learned[slot] += 1
