"""Score: angles: how far a direction is from the usual one, the short way round."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.compiled import njit, subkernel
from detectors.channels.exceedance import SIZES_COLUMN, sizes_decades, sizes_learn
from detectors.detector import MAX_SCORE, Scores
from detectors.fleet_detector import Column, empty_scores, take_inputs
from detectors.record_detector import RecordDetector

LEARNED, COSINE, SINE, SPREAD, FAR = range(5)
"""Columns of `direction`: readings learned; the mean cosine and sine of late; the usual deviation, a share of the half
turn; readings in a row further off than usual ones ever are."""

_RATE, _SPREAD_RATE = 0.02, 0.01
_FEWEST = 50.0
_CLIP = 4.0
_STEADY = 0.3
"""Length of the mean direction, 1 where all are alike, below which there is no usual direction."""
_ODD = 3.0
_ADOPTED = 60.0


LAYOUT = {"direction": Column(np.float64, (5,)), "deviations": SIZES_COLUMN}
"""A series' record: `direction` (5) float64, see `LEARNED`; `deviations` (SIZES) float32."""


@subkernel
def angle_difference(angle: float, other: float, turn: float) -> float:
    """`angle` - `other` the short way round, in [-`turn` / 2, `turn` / 2)."""
    return float((angle - other + 0.5 * turn) % turn - 0.5 * turn)


@subkernel
def usual_angle(state: Any, turn: float) -> float:
    """The mean direction of late, in [0, `turn`); NaN where nothing was learned."""
    direction = state.direction
    if direction[COSINE] == 0.0 and direction[SINE] == 0.0:
        return math.nan
    return float(math.atan2(direction[SINE], direction[COSINE]) / (2.0 * math.pi) * turn % turn)


@subkernel
def angle_step(state: Any, time: int, value: float, turn: float, learn: bool) -> float:  # noqa: ARG001 - all take a time
    """Decades of one direction, NaN with nothing to say; learns it where `learn`.

    `state` is an `AngleState`; `turn` is the full circle in the reading's unit.
    """
    direction = state.direction
    usual = usual_angle(state, turn)
    off = abs(angle_difference(value, usual, turn)) / (0.5 * turn) if direction[LEARNED] > 0.0 else 0.0
    length = math.hypot(direction[COSINE], direction[SINE])
    ratio = off / max(direction[SPREAD], 1e-9)
    score = math.nan
    if direction[LEARNED] >= _FEWEST and length >= _STEADY:
        score = max(0.0, min(MAX_SCORE, sizes_decades(state.deviations, ratio)))
    if learn:
        odd = score >= _ODD
        direction[FAR] = direction[FAR] + 1.0 if odd else 0.0
        rate = max(_RATE, 1.0 / (direction[LEARNED] + 1.0))
        turned = 2.0 * math.pi * value / turn
        if not odd or direction[FAR] >= _ADOPTED:
            direction[COSINE] += rate * (math.cos(turned) - direction[COSINE])
            direction[SINE] += rate * (math.sin(turned) - direction[SINE])
            spread_rate = max(_SPREAD_RATE, 1.0 / (direction[LEARNED] + 1.0))
            limit = _CLIP * direction[SPREAD] if direction[LEARNED] > 20.0 else 1.0
            direction[SPREAD] += spread_rate * (min(off, limit) - direction[SPREAD])
            if direction[LEARNED] >= 20.0:
                sizes_learn(state.deviations, ratio)
        direction[LEARNED] += 1.0
    return score


class AngleParameters(BaseModel):
    """The circle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    turn: float = Field(default=360.0, gt=0, le=1e9, description="The full circle: 360, or 6.2832 for radians.")
    warmup: int = Field(default=50, ge=4, le=1_000_000, description="Readings learned before the first score.")


class Angle(RecordDetector):
    """How far a direction is from the mean direction of late, the short way round: 359 and 1 degrees are neighbours.

    The deviation over the usual deviation is turned to decades by the series' own past. Where directions are all over
    the circle there is no usual one, and the score is 0. `expected` is the mean direction.

    Works: on vanes, headings, phases that keep a direction. Fails: where the direction turns for good faster than the
    mean follows (some fifty readings), and on a course of the day.

    Cost: about 70 ns a reading. Memory: 132 bytes a slot. Source: Mardia and Jupp, Directional Statistics, 2000.
    """

    name: ClassVar[str] = "angle"
    Parameters: ClassVar[type[BaseModel]] = AngleParameters

    def __init__(self, parameters: AngleParameters) -> None:
        self.settings = parameters
        super().__init__(parameters)

    @classmethod
    def examples(cls) -> tuple[dict[str, object], ...]:
        """Degrees, and radians."""
        return ({}, {"turn": 6.283185307179586})

    def layout(self) -> dict[str, Column]:
        """The arrays of `AngleState`."""
        return LAYOUT

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each direction, then learn it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        _run(*inputs, self.records[""], self.settings.turn, float(self.settings.warmup), scores.score, scores.expected)
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        count = self.arrays["direction"][: self.size, LEARNED].astype(np.int64)
        return count, np.full(self.size, self.settings.warmup, np.int64)


@njit(allocates=False)
def _run(
    slots: Any, times: Any, values: Any, learns: Any, records: Any, turn: float, warmup: float, score: Any,
    expected: Any,
) -> None:  # fmt: skip
    for i in range(slots.shape[0]):
        if not math.isfinite(values[i]):
            continue
        state = records[slots[i]]
        warm = state.direction[LEARNED] >= warmup
        usual = usual_angle(state, turn)
        decades = angle_step(state, times[i], values[i] % turn, turn, learns[i])
        if warm:
            score[i] = 0.0 if math.isnan(decades) else decades
            expected[i] = usual
