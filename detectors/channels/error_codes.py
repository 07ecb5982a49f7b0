"""Score: error codes: values such as 85, -127, 65535 or 327.67, by which a sensor says it has no reading."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.compiled import njit, subkernel
from detectors.detector import Scores
from detectors.fleet_detector import Column, empty_scores, take_inputs
from detectors.record_detector import RecordDetector

KNOWN_CODES = np.array(
    [
        85.0, -127.0, 127.0, 128.0, 255.0, -999.0, 999.0, -999.9, 999.9, -9999.0, 9999.0, 99999.0, 32767.0, 32766.0,
        -32768.0, 65535.0, 65534.0, 327.67, -327.68, 3276.7, -3276.8, 655.35, 6553.5, 2147483647.0, -2147483648.0,
        4294967295.0,
    ]
)  # fmt: skip
"""What sensors send for "no measurement": power-on and disconnected values of 1-wire thermometers, ends of integer
ranges with and without decimals, and rows of nines."""

CODE_SCORE = 9.0
"""Decades given to an error code: sure enough for any budget, below what a rule of a person's own gives."""

CANDIDATES = 4

LEARNED, LOW, HIGH, FAR, PENDING, CODE, VISITS = range(7)
"""Columns of `present`: ordinary readings learned; the range that they span; readings in a row far outside it; the
value of the present one; the code last met; lone visits to far outside."""

VALUE, TIMES = range(2)
"""Columns of `candidates`: a value far outside; how often it came and went by itself."""

_FEWEST = 20.0
_TIMES_TO_BELIEVE, _SHARE = 3.0, 0.4
_KNOWN_DISTANCE, _DISTANCE = 0.5, 5.0
"""Widths of the ordinary range that a value lies outside it: a known code, any other."""
_KNOWN_JUMP = 0.1
"""Share of a known code by which it lies outside the range at least: 85 after 84 is a step, not a code."""
_FEWEST_FOR_UNKNOWN = 200.0
"""Ordinary readings before a value that nobody knows can be a code: a young series' next step up lies outside its
range, and comes again."""
_STAYS = 30.0
"""Readings in a row outside the range after which the range is widened: this is no code."""
_ISOLATED = 5.0
_SHRINKS = 1e-5
_SAME = 1e-9


LAYOUT = {"present": Column(np.float64, (7,)), "candidates": Column(np.float64, (CANDIDATES, 2))}
"""A series' record: `present` (7) float64, see `LEARNED`; `candidates` (4, 2) float64, see `VALUE`."""


@subkernel
def _same(left: float, right: float) -> bool:
    return abs(left - right) <= _SAME * max(abs(left), abs(right), 1.0)


@subkernel
def _is_known(value: float) -> bool:
    """Whether the value is one that sensors use as a code."""
    found = False
    for k in range(KNOWN_CODES.shape[0]):
        found = found or _same(value, KNOWN_CODES[k])
    return found


@subkernel
def _outside(present: Any, value: float) -> float:
    """How far the value lies outside the ordinary range, in widths of it; 0 inside, infinite beside a constant."""
    beyond = max(value - present[HIGH], present[LOW] - value)
    if beyond <= 0.0:
        return 0.0
    width = present[HIGH] - present[LOW]
    return float(beyond / width) if width > 0.0 else math.inf


@subkernel
def _candidate(candidates: Any, value: float) -> int:
    """The row of this value, -1 where there is none."""
    for k in range(CANDIDATES):
        if candidates[k, TIMES] > 0.0 and _same(candidates[k, VALUE], value):
            return k
    return -1


@subkernel
def _note(candidates: Any, value: float) -> None:
    """Count one lone visit to `value`, in place of the value that came least where all rows are taken."""
    row = _candidate(candidates, value)
    if row < 0:
        row = 0
        for k in range(1, CANDIDATES):
            if candidates[k, TIMES] < candidates[row, TIMES]:
                row = k
        candidates[row, VALUE] = value
        candidates[row, TIMES] = 0.0
    candidates[row, TIMES] += 1.0


@subkernel
def _recurs(state: Any, value: float) -> bool:
    """Whether this very value came and went before, and most of what lay far outside was this value."""
    row = _candidate(state.candidates, value)
    if row < 0:
        return False
    times = state.candidates[row, TIMES]
    return bool(times + 1.0 >= _TIMES_TO_BELIEVE and times >= _SHARE * state.present[VISITS])


@subkernel
def _learn_ordinary(state: Any, value: float) -> None:
    """Widen the range by an ordinary reading, and settle what the far ones just before it were."""
    present = state.present
    if 0.0 < present[FAR] <= _ISOLATED:
        _note(state.candidates, present[PENDING])
        present[VISITS] += 1.0
    present[FAR] = 0.0
    if present[LEARNED] == 0.0:
        present[LOW] = value
        present[HIGH] = value
    middle = 0.5 * (present[LOW] + present[HIGH])
    present[LOW] = min(present[LOW] + _SHRINKS * (middle - present[LOW]), value)
    present[HIGH] = max(present[HIGH] + _SHRINKS * (middle - present[HIGH]), value)
    present[LEARNED] += 1.0


@subkernel
def code_step(state: Any, time: int, value: float, learn: bool) -> float:  # noqa: ARG001 - all take a time
    """`CODE_SCORE` where the reading is an error code, NaN where it is none; learns it where `learn`.

    `state` is a record of `LAYOUT`. A reading that scores must not teach any other channel.
    """
    present = state.present
    outside = _outside(present, value) if present[LEARNED] > 0.0 else math.inf
    beyond = max(value - present[HIGH], present[LOW] - value)
    known = outside >= _KNOWN_DISTANCE and beyond >= _KNOWN_JUMP * abs(value) and _is_known(value)
    spread = present[HIGH] > present[LOW] and present[LEARNED] >= _FEWEST_FOR_UNKNOWN
    far = known or (spread and outside >= _DISTANCE)
    if present[LEARNED] < _FEWEST:
        # A sensor may begin with its power-on value; one that sends nothing else means it.
        far = known and present[FAR] < _STAYS and far
    recurs = far and not known and _recurs(state, value)
    is_code = far and present[LEARNED] >= _FEWEST and (known or recurs)
    if learn:
        if is_code:
            present[CODE] = value
        stays = present[FAR] >= _STAYS and not is_code
        if not far or stays:
            _learn_ordinary(state, value)
        else:
            same = present[FAR] == 0.0 or _same(present[PENDING], value)
            present[FAR] += 1.0 if same else _ISOLATED + 1.0
            present[PENDING] = value
    return CODE_SCORE if is_code else math.nan


class ErrorCodeParameters(BaseModel):
    """When codes are looked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warmup: int = Field(default=20, ge=20, le=1_000_000, description="Readings learned before the first score.")


class ErrorCodes(RecordDetector):
    """Readings that are no measurements: lone values far outside the range that look like codes.

    A value that sensors are known to use (85, -127, 65535, 327.67, 9999, ...) is a code where it lies outside the
    series' ordinary range by half its width. Any other value is one where it came and went by itself twice before,
    exactly the same, five widths outside, where hardly another one did, after 200 ordinary
    readings. What is far outside and stays is no code: it widens the range after 30 readings. A code scores 9, all else
    0.

    Works: on measurements whose range does not hold the code. Fails: on a boiler that reads 85 now and then, and on the
    first two of a code that nobody knows. Values that are known to be codes are best set as `error_values`.

    Cost: about 20 ns a reading. Memory: 128 bytes a slot. Sources: the data sheets' reserved values, such as Maxim
    DS18B20 (power-on value 85 degrees), and the ends of two's complement ranges.
    """

    name: ClassVar[str] = "error_codes"
    Parameters: ClassVar[type[BaseModel]] = ErrorCodeParameters

    def __init__(self, parameters: ErrorCodeParameters) -> None:
        self.settings = parameters
        super().__init__(parameters)

    def layout(self) -> dict[str, Column]:
        """The arrays of `CodeState`, and readings of every sort as `seen`."""
        return {**LAYOUT, "seen": Column(np.int64)}

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each reading that is a code, then learn it where `learn`."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        scores = empty_scores(len(inputs.slot))
        _run(*inputs, self.records[""], self.settings.warmup, scores.score)
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed."""
        return self.arrays["seen"][: self.size].copy(), np.full(self.size, self.settings.warmup, np.int64)


@njit(allocates=False)
def _run(slots: Any, times: Any, values: Any, learns: Any, records: Any, warmup: int, score: Any) -> None:
    for i in range(slots.shape[0]):
        if not math.isfinite(values[i]):
            continue
        state = records[slots[i]]
        decades = code_step(state, times[i], values[i], learns[i])
        if state.seen >= warmup:
            score[i] = 0.0 if math.isnan(decades) else decades
        if learns[i]:
            state.seen += 1
