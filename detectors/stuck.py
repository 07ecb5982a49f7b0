"""Stage 5 of 7: a sensor that is stuck: flat for longer than this sensor ever was."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.compiled import njit
from detectors.detector import MAX_SCORE, Scores
from detectors.fleet_detector import Column, FleetDetector, empty_scores, take_inputs
from detectors.statistics.tails import LARGEST

LEARNED, ANCHOR, RUN, STEP = range(4)
"""Columns of `present`: readings learned; the first value of the present run, its length; the usual step between
runs."""

RUNS, EQUAL, TOTAL, LOGS, LONGEST, LONGEST_BEFORE = range(6)
"""Columns of `past`: ended runs; readings in them that repeat the one before, all readings in them; the sum of
their log run lengths; the longest run of this memory and of the one before."""

_MEMORY = 100_000.0
_PRIOR_READINGS = 10.0
_BELIEVED = 2.0
_STEP_RATE = 0.05


class StuckParameters(BaseModel):
    """What counts as flat, and where flat is in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: float = Field(
        default=0.02, ge=0, le=1, description="Share of the sensor's usual step up to which readings count as equal."
    )
    evidence: int = Field(
        default=20, ge=1, le=1_000_000, description="Changes of value seen before a flat run can be odd at all."
    )
    resting: list[float] = Field(
        default=[0.0], max_length=16, description="Values at which a flat run is in order, such as 0 of what is off."
    )
    warmup: int = Field(default=30, ge=4, le=1_000_000, description="Readings learned before the first score.")


class Stuck(FleetDetector):
    """How improbable the present run of equal values is, given how long this sensor's runs were.

    Two laws are asked, and the milder one is believed. By the share of readings that repeat the one before, a run of
    n has probability share^(n - 1): right for a noisy sensor, that never repeats itself. By the lengths of past runs,
    a reading is in a run as long as the longest with the share that the longest has of all readings, which falls off
    beyond as their own Pareto tail: right for a quantised one, which is calm by night. While a run lasts it teaches
    nothing; once ended it teaches at most twice the longest before, so that one fault does not make the next one
    usual.

    Works: on sensors with noise of their own that freeze. Fails: where the sensor was never seen to move (a score
    needs `evidence`), where it freezes at a value of `resting`, and for a run that is only as long as earlier ones.
    The score stays up as long as the sensor is stuck. Readings are counted, so a sensor that reports only changes is
    never flat.

    Cost: about 30 ns a reading. Memory: 80 bytes a slot. Source: persistence tests of sensor quality control (WMO
    Guide to Instruments, No. 8, volume V; QARTOD "flat line test"); Hill, Ann. Statist. 3, 1975, on
    lengths weighted by length, whose Pareto tail is flatter by one.
    """

    name: ClassVar[str] = "stuck"
    Parameters: ClassVar[type[BaseModel]] = StuckParameters

    def __init__(self, parameters: StuckParameters) -> None:
        self.settings = parameters
        self.resting = np.array(parameters.resting, np.float64)
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """`present` (size, 4), see `LEARNED`; `past` (size, 6), see `RUNS`."""
        return {"present": Column(np.float64, (4,)), "past": Column(np.float64, (6,))}

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score the run that each reading continues or ends, then lengthen or note it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        settings = self.settings
        _run(
            inputs.slot, inputs.value, inputs.learn, self.arrays["present"], self.arrays["past"], settings.tolerance,
            float(settings.evidence), float(settings.warmup), self.resting, scores.score,
        )  # fmt: skip
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        count = self.arrays["present"][: self.size, LEARNED].astype(np.int64)
        return count, np.full(self.size, self.settings.warmup, np.int64)


@njit
def run_score(past: Any, length: float) -> float:
    """Decades of improbability of a run of `length` equal readings, by the milder of the two laws; 0 for one reading.

    Below the longest run before, the Pareto law is the straight line, in logs, from one reading to the record.
    """
    if length <= 1.0:
        return 0.0
    by_share = (length - 1.0) * math.log10((past[TOTAL] + 2.0) / (past[EQUAL] + 1.0))
    longest = max(past[LONGEST], past[LONGEST_BEFORE])
    record = math.log10(past[TOTAL] / max(longest, 1.0) + 1.0)
    if length <= longest:
        by_length = record * math.log(length) / math.log(longest)
    else:
        steepness = 1.0 + (past[TOTAL] + _PRIOR_READINGS) / (past[LOGS] + _PRIOR_READINGS)
        by_length = record + steepness * math.log10(length / max(longest, 1.0))
    return max(0.0, min(MAX_SCORE, by_share, by_length))


@njit
def _note_run(past: Any, length: float) -> None:
    """Learn an ended run, as if no longer than twice the longest before."""
    longest = max(past[LONGEST], past[LONGEST_BEFORE])
    if past[RUNS] > 0.0:
        length = min(length, _BELIEVED * longest)
    past[RUNS] += 1.0
    past[EQUAL] += length - 1.0
    past[TOTAL] += length
    past[LOGS] += length * math.log(length)
    past[LONGEST] = max(past[LONGEST], length)
    if past[TOTAL] >= _MEMORY:
        for column in range(LONGEST):
            past[column] *= 0.5
        past[LONGEST_BEFORE] = past[LONGEST]
        past[LONGEST] = 1.0


@njit
def _run(
    slots: Any, values: Any, learns: Any, presents: Any, pasts: Any, tolerance: float, evidence: float, warmup: float,
    resting: Any, score: Any,
) -> None:  # fmt: skip
    for i in range(slots.shape[0]):
        if not math.isfinite(values[i]):
            continue
        present, past = presents[slots[i]], pasts[slots[i]]
        value = max(-LARGEST, min(LARGEST, values[i]))
        change = abs(value - present[ANCHOR])
        flat = present[RUN] > 0.0 and change <= tolerance * present[STEP]
        if present[LEARNED] >= warmup:
            rests = False
            for k in range(resting.shape[0]):
                rests = rests or value == resting[k]
            judged = flat and not rests and past[RUNS] >= evidence
            score[i] = run_score(past, present[RUN] + 1.0) if judged else 0.0
        if not learns[i]:
            continue
        present[LEARNED] += 1.0
        if flat:
            present[RUN] += 1.0
            continue
        if present[RUN] > 0.0:
            _note_run(past, present[RUN])
            usual = present[STEP]
            # A jump teaches no more than four usual steps.
            present[STEP] += _STEP_RATE * (min(change, 4.0 * usual) - usual) if usual > 0.0 else change
        present[ANCHOR] = value
        present[RUN] = 1.0
