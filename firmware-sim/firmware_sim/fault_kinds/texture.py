"""Faults of the signal's texture: stuck, noise, oscillation."""

from __future__ import annotations

import numpy as np

from firmware_sim.fault_kinds.fault_kind import FaultKind, Readings, Window

OSCILLATION_READINGS = 10


class Stuck(FaultKind):
    """The last value is repeated."""

    name = "stuck"
    summary = "the last value is repeated; a sensor that reports on change only says that it is there"
    hours = (3.0, 24.0)
    least_readings = 40

    def apply(self, window: Window) -> Readings:
        """One value; of a sensor that reports on change only the heartbeats."""
        time = window.time
        if window.metric.report_change is not None:
            step = int(window.metric.heartbeat * 1e9)
            time = np.arange(time[0] + step // 2, time[-1], step, dtype=np.int64)
        return time, np.full(len(time), window.before)

    def unseen(self, window: Window, changed: Readings) -> str:
        """Where the metric would hardly have moved anyway."""
        if len(window.value) < 4 or float(np.ptp(window.value)) < 2.5 * window.metric.resolution:
            return "the metric would hardly have moved"
        # A signal that rests at one value (off, empty, night) for as long on healthy days looks just like this.
        if float(np.mean(np.diff(window.value) == 0)) > 0.9:
            return "the metric rests at one value most of the time"
        return ""


class NoiseBurst(FaultKind):
    """The reading scatters widely, as with a loose contact."""

    name = "noise burst"
    summary = "readings scatter five to twenty times as much as they do"
    hours = (0.5, 5.0)
    least_readings = 15
    occurrences = (2, 5)

    def apply(self, window: Window) -> Readings:
        """Gaussian noise on top."""
        return window.time, window.value + _grain(window) * window.random.standard_normal(len(window.value))

    def unseen(self, window: Window, changed: Readings) -> str:
        """Sized by the ripple from reading to reading, so always to be seen; unless cut off by the sensor's limits."""
        cut = float(np.std(changed[1] - window.value)) < 2.0 * window.ripple
        return "cut off by the sensor's limits" if cut else ""


class Oscillation(FaultKind):
    """The reading swings, as under a control loop that is unstable."""

    name = "oscillation"
    summary = "readings swing with a period of ten readings"
    hours = (1.0, 8.0)
    least_readings = 30
    occurrences = (1, 4)

    def apply(self, window: Window) -> Readings:
        """A sine on top."""
        swing = np.sin(2 * np.pi * np.arange(len(window.value)) / OSCILLATION_READINGS)
        return window.time, window.value + 1.5 * _grain(window) * swing

    def unseen(self, window: Window, changed: Readings) -> str:
        """As for a noise burst."""
        cut = float(np.std(changed[1] - window.value)) < 2.0 * window.ripple
        return "cut off by the sensor's limits" if cut else ""


def _grain(window: Window) -> float:
    return window.size * max(window.ripple, window.metric.resolution)
