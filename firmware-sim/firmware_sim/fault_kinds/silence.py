"""Faults of what does not come: dropouts, silent death, a metric that is left out."""

from __future__ import annotations

import numpy as np

from firmware_sim.fault_kinds.fault_kind import FaultKind, Readings, Window
from firmware_sim.worlds.world import Signal


class Dropout(FaultKind):
    """The device is silent for a while."""

    name = "dropout"
    summary = "the device is silent for a while, without saying goodbye"
    signals = tuple(Signal)
    hours = (1.0, 10.0)
    least_readings = 15
    occurrences = (1, 4)
    whole_device = True

    def apply(self, window: Window) -> Readings:
        """Nothing."""
        return np.empty(0, np.int64), np.empty(0)


class SilentDeath(Dropout):
    """The device is silent from then on."""

    name = "silent death"
    summary = "the device is silent from then on; labelled for the first day"
    hours = (24.0, 24.0)
    occurrences = (1, 1)
    permanent = True


class MissingMetric(Dropout):
    """The device reports, but without one of its metrics."""

    name = "missing metric"
    summary = "the device goes on reporting, one of its metrics does not"
    hours = (3.0, 24.0)
    occurrences = (1, 3)
    whole_device = False
