"""Score: a sensor that is stuck: flat for longer than this sensor ever was."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.compiled import njit, subkernel
from detectors.detector import MAX_SCORE, Scores
from detectors.fleet_detector import Column, empty_scores, take_inputs
from detectors.record_detector import RecordDetector
from detectors.statistics.calendar_time import DAY
from detectors.statistics.tails import LARGEST

LEARNED, FIRST, LAST, GAP, ANCHOR, RUN, SINCE, STEP, RUNS, EQUAL, TOTAL, LOGS, LONGEST, LONGEST_BEFORE = range(14)
"""Columns of `runs`: readings learned; times of the first and the last reading, and the usual gap, ns; the first value
of the present run, its readings, and since when (ns); the usual step between runs; ended runs; readings in them that
repeat the one before, and all readings in them; the sum of their log lengths, each weighted by its length; the longest
run of this memory and of the one before."""

VALUE, TIMES, LENGTH = range(3)
"""Columns of `rests`: a value at which the signal rested, how often, and its longest rest there."""

RESTS = 2
_REST_LENGTH, _REST_TIMES = 8.0, 3.0
"""Readings that make a rest, and rests at one value that make it a resting place."""
_REST_REACH = 0.02
"""Share of the usual step by which values of one resting place may differ."""
_MEMORY = 100_000.0
_PRIOR_READINGS = 10.0
_BELIEVED = 2.0
_STEP_RATE, _GAP_RATE = 0.05, 0.05
_FEWEST = 6.0
"""Readings in a run before it can be odd: gateways repeat a value now and then."""
_MARGIN = 1.5
"""Nobody minds a run just longer than the longest before: runs count as shorter by this factor."""
_REPEATS = 0.1
_CAUTION = 3.0
"""A series that often repeats itself is not known before a day is over: until then its runs count as shorter."""


LAYOUT = {"runs": Column(np.float64, (14,)), "rests": Column(np.float64, (RESTS, 3))}
"""A series' record: `runs` (14) float64, see `LEARNED`; `rests` (2, 3) float64, see `VALUE`."""


@subkernel
def run_score(runs: Any, length: float) -> float:
    """Decades of improbability of a run of `length` equal readings, by the milder of two measures; 0 for one reading.

    Below the longest run before, the second is the straight line, in logs, from one reading to the record.
    """
    if length <= 1.0:
        return 0.0
    by_share = (length - 1.0) * math.log10((runs[TOTAL] + 2.0) / (runs[EQUAL] + 1.0))
    longest = max(runs[LONGEST], runs[LONGEST_BEFORE])
    record = math.log10(runs[TOTAL] / max(longest, 1.0) + 1.0)
    if length <= longest:
        by_length = record * math.log(length) / math.log(longest)
    else:
        steepness = 1.0 + (runs[TOTAL] + _PRIOR_READINGS) / (runs[LOGS] + _PRIOR_READINGS)
        by_length = record + steepness * math.log10(length / max(longest, 1.0))
    return max(0.0, min(MAX_SCORE, by_share, by_length))


@subkernel
def _longest_rest(rests: Any, value: float, tolerance: float) -> float:
    """The longest rest at this value, 0 where it is no resting place."""
    for k in range(RESTS):
        if rests[k, TIMES] >= _REST_TIMES and abs(rests[k, VALUE] - value) <= tolerance:
            return float(rests[k, LENGTH])
    return 0.0


@subkernel
def at_rest(state: Any, value: float) -> bool:
    """Whether the signal stands still at a value at which it has rested before."""
    runs = state.runs
    return bool(runs[RUN] >= 2.0 and _longest_rest(state.rests, value, _REST_REACH * runs[STEP]) > 0.0)


@subkernel
def _note_rest(rests: Any, value: float, length: float, tolerance: float) -> None:
    """Count an ended rest at its value, in place of the value with the fewest."""
    row = 0
    for k in range(RESTS):
        if rests[k, TIMES] > 0.0 and abs(rests[k, VALUE] - value) <= tolerance:
            rests[k, TIMES] += 1.0
            rests[k, LENGTH] = max(rests[k, LENGTH], length)
            return
        if rests[k, TIMES] < rests[row, TIMES]:
            row = k
    # A resting place that is not met again makes room in time.
    rests[row, TIMES] -= 1.0
    if rests[row, TIMES] <= 0.0:
        rests[row, VALUE] = value
        rests[row, TIMES] = 1.0
        rests[row, LENGTH] = length


@subkernel
def _note_run(runs: Any, length: float) -> None:
    """Learn an ended run, as if no longer than twice the longest before."""
    longest = max(runs[LONGEST], runs[LONGEST_BEFORE])
    if runs[RUNS] > 0.0:
        length = min(length, _BELIEVED * longest)
    runs[RUNS] += 1.0
    runs[EQUAL] += length - 1.0
    runs[TOTAL] += length
    runs[LOGS] += length * math.log(length)
    runs[LONGEST] = max(runs[LONGEST], length)
    if runs[TOTAL] >= _MEMORY:
        for column in range(EQUAL, LONGEST):
            runs[column] *= 0.5
        runs[LONGEST_BEFORE] = runs[LONGEST]
        runs[LONGEST] = 1.0


@subkernel
def _length(runs: Any, time: int) -> float:
    """Readings in the present run with the one at `time`, as far as its duration bears them out."""
    readings = runs[RUN] + 1.0
    if runs[GAP] > 0.0:
        readings = min(readings, 1.0 + (time - runs[SINCE]) / runs[GAP])
    age = (time - runs[FIRST]) / DAY
    if age < 1.0 and runs[EQUAL] > _REPEATS * runs[TOTAL]:
        readings /= 1.0 + _CAUTION * (1.0 - age)
    return float(readings)


@subkernel
def _judge(state: Any, time: int, value: float, evidence: float, tolerance: float) -> float:
    """Decades of the present run with the reading at `time`; NaN where there is no evidence that the sensor moves."""
    runs = state.runs
    length = _length(runs, time)
    if runs[RUNS] < evidence:
        return math.nan
    if length < _FEWEST:
        return 0.0
    rest = _longest_rest(state.rests, value, tolerance)
    if rest > 0.0 and length <= _BELIEVED * rest:
        return 0.0
    return run_score(runs, length / _MARGIN)


@subkernel
def stuck_step(
    state: Any, time: int, value: float, learn: bool, evidence: float, tolerance: float, resting: Any
) -> float:
    """Decades of one reading, NaN with nothing to say; learns it where `learn`.

    `state` is a record of `LAYOUT`; `evidence`: changes to be seen first; `tolerance`: share of the usual step up
    to which readings count as equal; `resting` (k,): values at which a flat run is in order.
    """
    runs = state.runs
    value = max(-LARGEST, min(LARGEST, value))
    change = abs(value - runs[ANCHOR])
    reach = tolerance * runs[STEP]
    flat = runs[RUN] > 0.0 and change <= reach
    score = 0.0 if runs[RUNS] >= evidence else math.nan
    if flat:
        rests = False
        for k in range(resting.shape[0]):
            rests = rests or value == resting[k]
        if not rests:
            score = _judge(state, time, value, evidence, reach)
    if learn:
        _learn(state, time, value, change, flat)
    return score


@subkernel
def _learn(state: Any, time: int, value: float, change: float, flat: bool) -> None:
    """Lengthen the present run, or note it and begin another."""
    runs = state.runs
    gap = time - runs[LAST]
    if runs[LEARNED] == 0.0:
        runs[FIRST] = time
    elif gap > 0.0:
        if runs[GAP] == 0.0:
            runs[GAP] = gap
        runs[GAP] *= 1.0 + _GAP_RATE * max(-1.0, min(1.0, math.log(gap / runs[GAP])))
    runs[LAST] = time
    runs[LEARNED] += 1.0
    if flat:
        runs[RUN] += 1.0
        return
    if runs[RUN] > 0.0:
        if runs[RUN] >= _REST_LENGTH and run_score(runs, runs[RUN]) > 1.0:
            _note_rest(state.rests, runs[ANCHOR], runs[RUN], _REST_REACH * runs[STEP])
        _note_run(runs, runs[RUN])
        usual = runs[STEP]
        # A jump teaches no more than four usual steps.
        runs[STEP] += _STEP_RATE * (min(change, 4.0 * usual) - usual) if usual > 0.0 else change
    runs[ANCHOR] = value
    runs[RUN] = 1.0
    runs[SINCE] = time


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


class Stuck(RecordDetector):
    """How improbable the present run of equal values is, given how long this sensor's runs were.

    Two measures are taken, and the milder one is believed. By the share of readings that repeat the one before, a run
    of n has probability share^(n - 1): right for a noisy sensor, that never repeats itself. By the lengths of past
    runs, a reading is in a run as long as the longest with the share that the longest has of all readings, which falls
    off beyond as their own Pareto tail: right for a quantised one, which is calm by night. While a run lasts it teaches
    nothing; once ended it teaches at most twice the longest before, so that one fault does not make the next one
    usual. A value at which the signal came to rest three times is a resting place: up to twice the longest rest there
    is in order.

    Works: on sensors with noise of their own that freeze. Fails: where the sensor was never seen to move (a score
    needs `evidence`), where it freezes at a value of `resting`, and for a run that is only as long as earlier ones.
    The score stays up as long as the sensor is stuck, and ends with the first reading that moves. A run's length is
    that of its readings or of its duration over the usual gap, whichever is less: neither an outage nor a faster
    cadence makes a run. A sensor that reports only changes is never flat.

    Cost: about 40 ns a reading. Memory: 160 bytes a slot. Source: persistence tests of sensor quality control (WMO
    Guide to Instruments, No. 8, volume V; QARTOD "flat line test"); Hill, Ann. Statist. 3, 1975, on lengths weighted by
    length, whose Pareto tail is flatter by one.
    """

    name: ClassVar[str] = "stuck"
    Parameters: ClassVar[type[BaseModel]] = StuckParameters

    def __init__(self, parameters: StuckParameters) -> None:
        self.settings = parameters
        self.resting = np.array(parameters.resting, np.float64)
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """The arrays of `StuckState`."""
        return LAYOUT

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
            *inputs, self.records[""], settings.tolerance, float(settings.evidence), float(settings.warmup),
            self.resting, scores.score,
        )  # fmt: skip
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        count = self.arrays["runs"][: self.size, LEARNED].astype(np.int64)
        return count, np.full(self.size, self.settings.warmup, np.int64)


@njit(allocates=False)
def _run(
    slots: Any, times: Any, values: Any, learns: Any, records: Any, tolerance: float, evidence: float, warmup: float,
    resting: Any, score: Any,
) -> None:  # fmt: skip
    for i in range(slots.shape[0]):
        if not math.isfinite(values[i]):
            continue
        state = records[slots[i]]
        warm = state.runs[LEARNED] >= warmup
        decades = stuck_step(state, times[i], values[i], learns[i], evidence, tolerance, resting)
        if warm:
            score[i] = 0.0 if math.isnan(decades) else decades
