"""Faults of what has two states: it sticks, or it chatters."""

from __future__ import annotations

import numpy as np

from firmware_sim.fault_kinds.fault_kind import FaultKind, Readings, Window
from firmware_sim.worlds.world import Signal

CHATTER_SECONDS = 20


class SwitchStuck(FaultKind):
    """The state stays for much longer than it does."""

    name = "switch stuck"
    summary = "a state stays on for much longer than it ever does: a door left open, a contact welded"
    signals = (Signal.STATE,)
    hours = (4.0, 30.0)
    least_readings = 10
    occurrences = (1, 4)

    def apply(self, window: Window) -> Readings:
        """The rarer state throughout; of a sensor that reports on change only the heartbeats."""
        rare = 0.0 if float(np.median(window.value)) > 0.5 else 1.0
        time = window.time
        if window.metric.report_change is not None:
            step = int(window.metric.heartbeat * 1e9)
            time = np.arange(time[0], time[-1], step, dtype=np.int64)
        return time, np.full(len(time), rare)

    def unseen(self, window: Window, changed: Readings) -> str:
        """Where the state is as common as the other."""
        share = float(np.mean(window.value == changed[1][0])) if len(changed[1]) else 1.0
        return "the state is that one most of the time" if share > 0.5 else ""


class Chatter(FaultKind):
    """The state flips all the time."""

    name = "chatter"
    summary = "a state flips with every reading, as with a loose contact or a hysteresis too narrow"
    signals = (Signal.STATE,)
    hours = (0.4, 3.0)
    least_readings = 10
    occurrences = (2, 5)

    def apply(self, window: Window) -> Readings:
        """0 and 1 in turn; a sensor that reports on change does so every twenty seconds."""
        time = window.time
        if window.metric.report_change is not None:
            time = np.arange(time[0], time[-1], CHATTER_SECONDS * 1_000_000_000, dtype=np.int64)
        return time, (np.arange(len(time)) % 2).astype(np.float64)

    def unseen(self, window: Window, changed: Readings) -> str:
        """Where it flips that often anyway."""
        return "it flips that often anyway" if float(np.mean(np.diff(window.value) != 0)) > 0.3 else ""
