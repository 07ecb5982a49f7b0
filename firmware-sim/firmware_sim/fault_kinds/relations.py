"""Faults that show against other metrics, other devices, or the time of day alone."""

from __future__ import annotations

import numpy as np

from firmware_sim.fault_kinds.fault_kind import FaultKind, Readings, Window


class CorrelationBreak(FaultKind):
    """The metric moves against the others instead of with them; no reading is odd in itself."""

    name = "correlation break"
    summary = "a metric mirrored about its mean: it falls where the others rise, and no value is odd in itself"
    hours = (6.0, 24.0)
    least_readings = 60
    occurrences = (1, 2)

    def apply(self, window: Window) -> Readings:
        """Each value mirrored about the window's mean."""
        return window.time, 2 * float(np.mean(window.value)) - window.value


class SensorSwap(FaultKind):
    """Two devices' wires exchanged."""

    name = "sensor swap"
    summary = "the metric shows what the same metric of another device measures"
    hours = (12.0, 72.0)
    least_readings = 40
    occurrences = (1, 1)

    def apply(self, window: Window) -> Readings:
        """The other device's values."""
        return window.time, window.value if window.partner is None else window.partner

    def unseen(self, window: Window, changed: Readings) -> str:
        """Where the two are too much alike."""
        alike = super().unseen(window, changed)
        return "the two sensors show too much the same" if alike or window.partner is None else ""


class SeasonalChange(FaultKind):
    """What was done by day is done at another time from then on."""

    name = "seasonal change"
    summary = "the course of the day comes six to ten hours later from then on; labelled for the first day"
    hours = (24.0, 24.0)
    least_readings = 40
    occurrences = (1, 1)
    permanent = True
    settles_hours = 240.0

    def apply(self, window: Window) -> Readings:
        """The values of some hours before."""
        span = max(int(window.time[-1] - window.time[0]), 1)
        later = int(len(window.value) * min((6 + 4 * window.choice) * 3.6e12 / span, 1.0))
        if window.earlier is None or later == 0:
            return window.time, window.value
        return window.time, np.concatenate((window.earlier[-later:], window.value[:-later]))


class Replay(FaultKind):
    """Readings of the day before sent again as new, as an intruder would to hide what happens."""

    name = "replay"
    summary = "the readings of the day before, sent again as if they were new"
    hours = (4.0, 20.0)
    least_readings = 40
    occurrences = (1, 1)

    def apply(self, window: Window) -> Readings:
        """Yesterday's values."""
        if window.earlier is None or len(window.earlier) != len(window.value):
            return window.time, window.value
        return window.time, window.earlier

    def unseen(self, window: Window, changed: Readings) -> str:
        """Always."""
        return "the readings are the metric's own, of a day before"
