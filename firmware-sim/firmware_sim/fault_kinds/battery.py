"""A battery that fails before its time."""

from __future__ import annotations

import numpy as np

from firmware_sim.fault_kinds.fault_kind import FaultKind, Readings, Window
from firmware_sim.worlds.world import Signal


class BatteryCliff(FaultKind):
    """The battery's charge falls off within hours."""

    name = "battery cliff"
    summary = "a battery falls from where it is to a few per cent within hours; labelled for two days"
    signals = (Signal.BATTERY,)
    hours = (48.0, 48.0)
    least_readings = 4
    occurrences = (1, 1)
    abrupt = False
    permanent = True
    settles_hours = 72.0

    def apply(self, window: Window) -> Readings:
        """Falls to a few per cent within 8 to 20 hours, reported by each 5 % that is lost, and stays there."""
        hours = 8 + 12 * window.choice
        fall = np.linspace(window.before, 3.0, max(int((window.before - 3) / 5), 2))
        falling = window.time[0] + (np.linspace(0, hours, len(fall)) * 3.6e12).astype(np.int64)
        after = window.time[window.time > falling[-1]]
        return np.concatenate((falling, after)), np.round(np.concatenate((fall, np.full(len(after), 3.0))))
