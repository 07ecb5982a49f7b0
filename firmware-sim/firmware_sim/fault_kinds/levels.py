"""Faults of the level: shifts, long faults, drifts, full scale, a unit mixed up."""

from __future__ import annotations

import numpy as np

from firmware_sim.fault_kinds.fault_kind import FaultKind, Readings, Window
from firmware_sim.worlds.world import Metric

UNITS = {"°C": (1.8, 32.0), "bar": (14.504, 0.0), "kWh": (1000.0, 0.0), "W": (0.001, 0.0), "kW": (1000.0, 0.0),
         "m": (3.281, 0.0), "km/h": (0.6214, 0.0), "kPa": (0.145, 0.0), "mm/s": (0.03937, 0.0), "V": (1000.0, 0.0),
         "m³/h": (16.67, 0.0), "A": (1000.0, 0.0)}  # fmt: skip
"""Factor and offset to the unit that it is mistaken for: °F, psi, Wh, kW, W, ft, mph, psi, inch/s, mV, l/min, mA."""


class LevelShift(FaultKind):
    """The level shifts and stays."""

    name = "level shift"
    summary = "all readings from then on are off by the same amount; labelled for the first hours"
    hours = (4.0, 4.0)
    least_readings = 12
    occurrences = (1, 1)
    sizes = (5.0, 15.0)
    permanent = True
    settles_hours = 48.0

    def apply(self, window: Window) -> Readings:
        """All readings off by the size."""
        return window.time, window.value + window.sign * window.size * window.spread


class LongFault(LevelShift):
    """The level is off for long, and returns."""

    name = "long fault"
    summary = "readings are off by the same amount for half a day to three days, then right again"
    hours = (12.0, 72.0)
    occurrences = (1, 3)
    permanent = False
    settles_hours = 0.0


class ShortFault(LevelShift):
    """The level is off for a while, and returns."""

    name = "short fault"
    summary = "readings are off by the same amount for up to some hours, again and again"
    hours = (0.3, 5.0)
    least_readings = 8
    occurrences = (2, 6)
    permanent = False
    settles_hours = 0.0


class Drift(FaultKind):
    """The reading moves away steadily, until the sensor is calibrated."""

    name = "drift"
    summary = "readings move away over one to three days, then are right again"
    hours = (24.0, 72.0)
    least_readings = 40
    occurrences = (1, 2)
    sizes = (8.0, 20.0)
    abrupt = False

    def apply(self, window: Window) -> Readings:
        """Off by more and more, by the size at the end."""
        return window.time, window.value + window.sign * window.size * window.spread * window.progress


class SlowDrift(Drift):
    """The reading moves away over a week or two."""

    name = "slow drift"
    summary = "readings move away over one to two weeks, then are right again"
    hours = (170.0, 330.0)
    occurrences = (1, 1)


class Saturation(FaultKind):
    """The sensor's output sticks at the end of its range."""

    name = "saturation"
    summary = "full scale, as of an amplifier at its rail or a wire that is broken"
    hours = (0.3, 8.0)
    least_readings = 5
    occurrences = (1, 4)

    def apply(self, window: Window) -> Readings:
        """The upper or the lower end."""
        return window.time, np.full_like(window.value, window.metric.high if window.sign > 0 else window.metric.low)


class UnitMixUp(FaultKind):
    """Values in another unit, as after an update."""

    name = "unit mix-up"
    summary = "values come in another unit (°F for °C, psi for bar, Wh for kWh), as after an update"
    hours = (6.0, 48.0)
    least_readings = 12
    occurrences = (1, 2)
    keeps_limits = False

    def apply(self, window: Window) -> Readings:
        """Each value converted."""
        factor, offset = UNITS[window.metric.unit]
        return window.time, np.round(window.value * factor + offset, 4)

    def suits(self, metric: Metric) -> bool:
        """Metrics whose unit has one that it is mistaken for."""
        return super().suits(metric) and metric.unit in UNITS
