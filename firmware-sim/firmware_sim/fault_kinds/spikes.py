"""Faults of single readings: spikes, dips, error codes sent as values."""

from __future__ import annotations

import numpy as np

from firmware_sim.fault_kinds.fault_kind import FaultKind, Readings, Window

ERROR_CODES = (-127.0, 85.0, 65_535.0, -32_768.0, 9999.0, 327.67)
"""DS18B20 unplugged and after power-up; 16 bits all set; the lowest of 16 bits; common in PLCs; 32767 in hundredths."""


class Spike(FaultKind):
    """One or two readings are off."""

    name = "spike"
    summary = "one or two readings are far off, once"
    hours = (0.0, 0.0)
    most_readings = 2
    occurrences = (1, 1)
    sizes = (8.0, 25.0)

    def apply(self, window: Window) -> Readings:
        """All readings off by the size."""
        return window.time, window.value + window.sign * window.size * window.spread


class RecurringSpike(Spike):
    """The same spike again and again."""

    name = "recurring spike"
    summary = "the same spike again and again at random times"
    most_readings = 3
    occurrences = (4, 8)


class DipToZero(FaultKind):
    """The value falls to zero and comes back."""

    name = "dip to zero"
    summary = "the reading falls to zero for moments, again and again"
    hours = (0.0, 0.0)
    most_readings = 5
    occurrences = (2, 6)

    def apply(self, window: Window) -> Readings:
        """Zeros."""
        return window.time, np.zeros_like(window.value)


class ErrorCode(FaultKind):
    """A sensor's error code sent as if it were a value."""

    name = "error code"
    summary = "a code such as -127, 85 or 65535 in place of a value, again and again"
    hours = (0.0, 0.0)
    most_readings = 3
    occurrences = (3, 8)
    keeps_limits = False

    def apply(self, window: Window) -> Readings:
        """The same code each time."""
        code = ERROR_CODES[int(window.choice * len(ERROR_CODES)) % len(ERROR_CODES)]
        return window.time, np.full_like(window.value, code)
