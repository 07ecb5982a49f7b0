"""Faults of counters: a reset, a stop, counting too fast."""

from __future__ import annotations

import numpy as np

from firmware_sim.fault_kinds.fault_kind import FaultKind, Readings, Window
from firmware_sim.worlds.world import Signal


class CounterReset(FaultKind):
    """The counter starts anew at zero, as after a change of the meter."""

    name = "counter reset"
    summary = "a counter starts anew at zero and counts on; labelled for the first hour"
    signals = (Signal.COUNTER,)
    hours = (1.0, 1.0)
    least_readings = 2
    occurrences = (1, 1)
    permanent = True
    settles_hours = 24.0

    def apply(self, window: Window) -> Readings:
        """The count since the fault's start."""
        value = window.value - window.value[0]
        return window.time, np.where(value < 0, value + (window.metric.rollover or 0.0), value)

    def unseen(self, window: Window, changed: Readings) -> str:
        """A total that starts anew every day hides a reset."""
        return "the total starts anew by itself" if float(np.diff(window.value, prepend=0).min()) < 0 else ""


class CounterStop(FaultKind):
    """The counter stands still while what it counts goes on."""

    name = "counter stop"
    summary = "a counter stands still for hours, then counts on from there"
    signals = (Signal.COUNTER,)
    hours = (6.0, 30.0)
    least_readings = 40

    def apply(self, window: Window) -> Readings:
        """The last count, again and again. What follows the window is not made up for."""
        return window.time, np.full_like(window.value, window.before)

    def unseen(self, window: Window, changed: Readings) -> str:
        """Where hardly anything was counted."""
        few = float(np.mean(np.diff(window.value) > 0)) < 0.05 or float(np.ptp(window.value)) < 5 * window.ripple
        return "hardly anything would have been counted" if few else ""


class CounterTooFast(FaultKind):
    """The counter counts several times what it should."""

    name = "counter too fast"
    summary = "a counter counts three to eight times what it should, for hours"
    signals = (Signal.COUNTER,)
    hours = (4.0, 24.0)
    least_readings = 30
    sizes = (3.0, 8.0)

    def apply(self, window: Window) -> Readings:
        """The increments multiplied."""
        added = np.maximum(np.diff(window.value, prepend=window.before), 0.0)
        return window.time, np.round(window.before + np.cumsum(added) * window.size, 6)

    def unseen(self, window: Window, changed: Readings) -> str:
        """Where hardly anything was counted."""
        few = float(np.mean(np.diff(window.value) > 0)) < 0.05
        return "hardly anything would have been counted" if few else ""
