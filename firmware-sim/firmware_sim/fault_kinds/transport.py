"""Faults on the way: clocks, duplicates, disorder, floods. The values are right."""

from __future__ import annotations

import numpy as np

from common.time_units import SECOND
from devices.fault_labels import Expected
from firmware_sim.fault_kinds.fault_kind import FaultKind, Readings, Window
from firmware_sim.worlds.world import Signal

EVERY = tuple(Signal)


class ClockSkew(FaultKind):
    """The device's clock is behind, as after a reboot without time from the network."""

    name = "clock skew"
    summary = "times run some minutes to hours behind, then are right again"
    signals = EVERY
    hours = (2.0, 12.0)
    least_readings = 10
    occurrences = (1, 2)
    expected = Expected.EITHER

    def apply(self, window: Window) -> Readings:
        """Times earlier by the same amount."""
        return window.time - int((300 + 7000 * window.choice) * SECOND), window.value


class Duplicates(FaultKind):
    """Each message comes twice."""

    name = "duplicates"
    summary = "every reading arrives twice, as at QoS 1 after a lost acknowledgement"
    signals = EVERY
    hours = (2.0, 12.0)
    least_readings = 10
    expected = Expected.SILENCE

    def apply(self, window: Window) -> Readings:
        """All readings doubled."""
        return np.repeat(window.time, 2), np.repeat(window.value, 2)


class Disorder(FaultKind):
    """Messages overtake one another."""

    name = "disorder"
    summary = "neighbouring readings arrive in the wrong order"
    signals = EVERY
    hours = (2.0, 12.0)
    least_readings = 10
    expected = Expected.SILENCE

    def apply(self, window: Window) -> Readings:
        """Every second pair exchanged."""
        order = np.arange(len(window.time))
        pairs = order[: len(order) // 4 * 4].reshape(-1, 4)
        pairs[:, :2] = pairs[:, 1::-1]
        order[: pairs.size] = pairs.ravel()
        return window.time[order], window.value[order]


class Flood(FaultKind):
    """The device sends far too often, as in a loop gone wrong."""

    name = "flood"
    summary = "the device sends each reading thirty times over within its interval"
    signals = EVERY
    hours = (0.5, 2.0)
    least_readings = 10
    occurrences = (1, 2)
    expected = Expected.EITHER

    def apply(self, window: Window) -> Readings:
        """Thirty readings in place of one, a tenth of a second apart."""
        spaced = window.time[:, None] + np.arange(30, dtype=np.int64)[None, :] * (SECOND // 10)
        return spaced.ravel(), np.repeat(window.value, 30)
