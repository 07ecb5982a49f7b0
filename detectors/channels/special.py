"""Score: the channels for special signals and special faults together, each asked where the kind is right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from common.compiled import subkernel
from detectors import signal_kind
from detectors.channels import angle, counter_rate, dwell, error_codes, noise_level, slow_drift, stuck
from detectors.channels.angle import angle_step, unwrapped
from detectors.channels.counter_rate import counter_step
from detectors.channels.dwell import dwell_overdue, dwell_step
from detectors.channels.error_codes import code_step
from detectors.channels.noise_level import noise_step
from detectors.channels.slow_drift import drift_step
from detectors.channels.stuck import stuck_step
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

SPECIAL_NAMES = (
    "error_code", "stuck", "long_visit", "chatter", "new_state", "odd_hour", "stopped", "fast", "slow", "reset",
    "noise", "drift", "direction",
)  # fmt: skip
"""What the answer is about, by number."""

ERROR_CODE, STUCK, LONG_VISIT, STOPPED, NOISE, DRIFT, DIRECTION = 0, 1, 2, 6, 10, 11, 12
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
def special_step(
    state: Any, time: int, clock: int, value: float, learn: bool, resting: Any
) -> tuple[float, int, float]:
    """Decades of one reading by the channels that suit its kind, what they are about, and the value for the others.

    `state` is a record of `special_layout`; `time` in ns, `clock` the local time in ns since a Monday's midnight;
    `resting` (k,) are values at which standing still is in order. Decades are NaN where no channel has anything to say;
    what they are about is a place in `SPECIAL_NAMES`. The value is what channels for measurements may judge and learn:
    that of an angle without its seam; NaN for an error code, a state and a counter, which they must leave alone.
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
    judged = value
    if kind == ANGLE:
        turn = circle_of(signal)
        if turn > 0.0:
            judged = unwrapped(state.angle, value, turn)
            best, place = angle_step(state.angle, time, value, turn, learn), DIRECTION
    if kind != BATTERY:
        decades = stuck_step(state.stuck, time, value, learn, _EVIDENCE, _TOLERANCE, resting)
        best, place = _higher(decades, STUCK, best, place)
    if kind <= MEASUREMENT:
        best, place = _higher(noise_step(state.noise, time, clock, value, learn), NOISE, best, place)
    if kind <= MEASUREMENT or kind == SPARSE:
        best, place = _higher(drift_step(state.drift, time, clock, value, learn), DRIFT, best, place)
    return best, place, judged


@subkernel
def special_overdue(state: Any, time: int, clock: int) -> float:
    """Decades of a state's having lasted up to `time` (ns) without a reading; NaN for other kinds. Changes nothing."""
    if signal_kind.kind_of(state.kind) != STATE:
        return math.nan
    return dwell_overdue(state.dwell, time, clock)
