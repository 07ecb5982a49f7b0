"""Score: the channels for special signals and special faults together, each asked where the kind is right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit, subkernel
from detectors import signal_kind
from detectors.channels import angle, battery, counter_rate, dwell, error_codes, noise_level, slow_drift, stuck
from detectors.channels.angle import angle_step
from detectors.channels.battery import battery_band, battery_step
from detectors.channels.counter_rate import counter_band, counter_step
from detectors.channels.dwell import dwell_overdue, dwell_step
from detectors.channels.error_codes import code_step
from detectors.channels.noise_level import noise_step
from detectors.channels.slow_drift import drift_step
from detectors.channels.stuck import at_rest, stuck_step
from detectors.fleet_detector import Column
from detectors.signal_kind import (
    ANGLE,
    BATTERY,
    COUNTER,
    DAILY_TOTAL,
    MEASUREMENT,
    SPARSE,
    STATE,
    UNKNOWN,
    circle_of,
    kind_step,
)
from detectors.statistics.calibration import clamp

SPECIAL_NAMES = (
    "error_code", "stuck", "long_visit", "chatter", "new_state", "odd_hour", "stopped", "fast", "slow", "reset",
    "noise", "drift", "direction", "falling",
)  # fmt: skip
"""What the answer is about, by number."""

ERROR_CODE, STUCK, LONG_VISIT, STOPPED, NOISE, DRIFT, DIRECTION, FALLING = 0, 1, 2, 6, 10, 11, 12, 13
"""Places in SPECIAL_NAMES; those of a state and of a counter follow on the first of them in the order of `CAUSE`."""

_EVIDENCE, _TOLERANCE = 20.0, 0.02
_SEEN_AS_STATE = 200.0
"""Readings in which a series of no known kind is looked at as a state too."""


_PARTS: tuple[tuple[str, Mapping[str, Column]], ...] = (
    ("kind", signal_kind.LAYOUT),
    ("codes", error_codes.LAYOUT),
    ("stuck", stuck.LAYOUT),
    ("dwell", dwell.LAYOUT),
    ("counter", counter_rate.LAYOUT),
    ("noise", noise_level.LAYOUT),
    ("drift", slow_drift.LAYOUT),
    ("angle", angle.LAYOUT),
    ("battery", battery.LAYOUT),
)


def special_layout() -> dict[str, Column]:
    """The state columns of the kind and of all channels, as `channel.column`."""
    return {f"{part}.{name}": column for part, layout in _PARTS for name, column in layout.items()}


@subkernel
def _higher(decades: float, place: int, best: float, best_place: int) -> tuple[float, int]:
    """The higher of two answers; NaN is none."""
    return (decades, place) if decades > best or (math.isnan(best) and not math.isnan(decades)) else (best, best_place)


@subkernel
def _as_state(state: Any, time: int, clock: int, value: float, learn: bool) -> tuple[float, int]:
    decades = dwell_step(state.dwell, time, clock, value, learn)
    # `CAUSE` is written on learning; a reading that is only scored has no name but the commonest one.
    cause = int(state.dwell.present[dwell.CAUSE]) if learn else dwell.LONG_VISIT
    return decades, LONG_VISIT + max(cause, dwell.LONG_VISIT) - dwell.LONG_VISIT


@subkernel
def _as_counter(state: Any, time: int, clock: int, value: float, learn: bool) -> tuple[float, int]:
    decades = counter_step(state.counter, time, clock, value, learn)
    cause = int(state.counter.total[counter_rate.CAUSE]) if learn else counter_rate.STOPPED
    return decades, STOPPED + max(cause, counter_rate.STOPPED) - counter_rate.STOPPED


@subkernel
def _noise(state: Any, time: int, clock: int, value: float, learn: bool) -> float:
    """Decades of the noise; NaN at a resting place, where to stand still is usual."""
    decades = noise_step(state.noise, time, clock, value, learn)
    return math.nan if at_rest(state.stuck, value) else float(decades)


@subkernel
def special_step(
    state: Any, time: int, clock: int, value: float, learn: bool, resting: Any
) -> tuple[float, int, float]:
    """Decades of one reading by the channels that suit its kind, what they are about, and the value for the others.

    `state` is a record of `special_layout`; `time` in ns, `clock` the local time in ns since a Monday's midnight;
    `resting` (k,) are values at which standing still is in order. Decades are NaN where no channel has anything to say;
    what they are about is a place in `SPECIAL_NAMES`. The value is what channels for measurements may judge and learn;
    NaN for an error code, a state, a counter, a battery and an angle, which they must leave alone: levels and ranges
    mean nothing on a circle, and a battery is lower than ever each time it is lower.
    """
    kind = kind_step(state.kind, time, value, learn)
    signal = state.kind.signal
    counts = COUNTER <= kind <= DAILY_TOTAL
    best, place = math.nan, STUCK
    if kind != STATE and not counts:
        best = code_step(state.codes, time, value, learn)
        if not math.isnan(best):
            return best, ERROR_CODE, math.nan
    if kind == STATE or (kind == UNKNOWN and signal[signal_kind.LEARNED] < _SEEN_AS_STATE):
        decades, cause = _as_state(state, time, clock, value, learn)
        if kind == STATE:
            return decades, cause, math.nan
    if counts or (kind <= MEASUREMENT and signal[signal_kind.DOWN] < 0.01):
        decades, cause = _as_counter(state, time, clock, value, learn)
        if counts:
            return decades, cause, math.nan
    if kind == BATTERY:
        return battery_step(state.battery, time, value, learn), FALLING, math.nan
    judged = value
    if kind == ANGLE:
        judged = math.nan
        turn = circle_of(signal)
        if turn > 0.0:
            best, place = angle_step(state.angle, time, value, turn, learn), DIRECTION
    decades = stuck_step(state.stuck, time, value, learn, _EVIDENCE, _TOLERANCE, resting)
    best, place = _higher(decades, STUCK, best, place)
    if kind <= MEASUREMENT:
        best, place = _higher(_noise(state, time, clock, value, learn), NOISE, best, place)
    if kind <= MEASUREMENT or kind == SPARSE:
        best, place = _higher(drift_step(state.drift, time, clock, value, learn), DRIFT, best, place)
    return best, place, judged


@subkernel
def special_band(state: Any, time: int, clock: int) -> tuple[float, float, float]:
    """What a counter or a battery is expected to show, at least and at most; NaN for other kinds. Changes nothing.

    Of a counter nothing is expected that it could be back to later: it counts on.
    """
    kind = signal_kind.kind_of(state.kind)
    if COUNTER <= kind <= DAILY_TOTAL:
        low, high = counter_band(state.counter, time, clock)
        return math.nan, low, high
    if kind == BATTERY:
        return battery_band(state.battery)
    return math.nan, math.nan, math.nan


@subkernel
def special_overdue(state: Any, time: int, clock: int) -> float:
    """Decades of a state's having lasted up to `time` (ns) without a reading; NaN for other kinds. Changes nothing."""
    if signal_kind.kind_of(state.kind) != STATE:
        return math.nan
    return dwell_overdue(state.dwell, time, clock)


class SpecialAnswers(NamedTuple):
    """What `ask_special` says of each reading, (n,) each.

    `decades`, `place` and `judged` as `special_step` gives them; `learned`: readings learned of the series with this
    one. `decades` is NaN and `learned` 0 where the reading is not a finite number. `band` (n, 3) is what was expected,
    at least and at most, as `special_band` gives it.
    """

    decades: NDArray[np.float64]
    place: NDArray[np.int8]
    judged: NDArray[np.float64]
    learned: NDArray[np.int64]
    band: NDArray[np.float64]


def no_answers(n: int) -> SpecialAnswers:
    """Answers to fill, for n readings: nothing is judged, nothing learned."""
    return SpecialAnswers(
        np.full(n, np.nan), np.zeros(n, np.int8), np.full(n, np.nan), np.zeros(n, np.int64), np.full((n, 3), np.nan)
    )


@njit(allocates=False)
def ask_special(
    slots: Any, times: Any, clocks: Any, values: Any, learns: Any, records: Any, resting: Any, answers: Any
) -> None:
    """Ask of each row in order, then learn it; `clocks` and `resting` as in `special_step`, `records` one a slot.

    A kernel of its own, which compiles beside that of the channels for measurements.
    """
    for i in range(len(slots)):
        if not math.isfinite(values[i]):
            continue
        state = records[slots[i]]
        answers.band[i, 0], answers.band[i, 1], answers.band[i, 2] = special_band(state, times[i], clocks[i])
        answers.decades[i], answers.place[i], answers.judged[i] = special_step(
            state, times[i], clocks[i], clamp(values[i]), learns[i], resting
        )
        answers.learned[i] = state.kind.signal[signal_kind.LEARNED]
