"""Labelled faults, and how each kind distorts what a device measures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from devices.fault_labels import WHOLE_DEVICE, FaultLabel, Severity
from firmware_sim.models import Channel

__all__ = ["WHOLE_DEVICE", "ActiveFault", "Fault", "FaultKind"]

SPIKE_SPACING = 3
OSCILLATION_READINGS = 10


class FaultKind(StrEnum):
    """What can go wrong. Sizes are `strength` times the channel's ordinary spread."""

    SPIKE = "spike"
    """Every third reading is off; one reading where the fault is short."""
    LEVEL_SHIFT = "level_shift"
    """All readings are off by the same amount."""
    DRIFT = "drift"
    """Readings move away steadily, the farthest at the end."""
    STUCK = "stuck"
    """The first reading is repeated."""
    NOISE_BURST = "noise_burst"
    """Readings scatter widely."""
    DROPOUT = "dropout"
    """The device is silent."""
    OSCILLATION = "oscillation"
    """Readings swing with a period of ten readings."""
    CORRELATION_BREAK = "correlation_break"
    """The channel moves against the others instead of with them, from where it stood; no reading is odd in itself."""
    MISSING_CHANNEL = "missing_channel"
    """The device reports, but without this metric."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one metric: from `start` until before `end`, event time in ns. It is its own label."""

    device: str
    metric: str
    kind: FaultKind
    start: int
    end: int
    strength: float = 8.0

    def label(self) -> FaultLabel:
        """What is published and kept about it."""
        root = f"{self.device}/{self.metric}/{self.kind.value}/{self.start // 1_000_000_000}"
        silent = self.kind in (FaultKind.DROPOUT, FaultKind.MISSING_CHANNEL)
        severity = Severity.CRITICAL if silent or abs(self.strength) > 15 else Severity.MAJOR
        return FaultLabel(
            self.device,
            self.metric,
            self.kind.value,
            self.start,
            self.end,
            severity,
            root,
            abrupt=self.kind is not FaultKind.DRIFT,
        )


class ActiveFault:
    """A fault while it lasts, with what it remembers from one block of readings to the next."""

    def __init__(self, fault: Fault, *, interval: int, seed: int) -> None:
        self.fault = fault
        self._interval = interval
        self._random = np.random.default_rng([seed, crc32(repr(fault).encode())])
        self._first: float | None = None

    def distort(self, times: NDArray[np.int64], values: NDArray[np.float64], channel: Channel) -> NDArray[np.float64]:
        """What the device reports in place of `values` (n,), all read at `times` within the fault, in order."""
        fault = self.fault
        size = fault.strength * channel.scale
        reading: NDArray[np.float64] = (times - fault.start) / self._interval
        if self._first is None and len(values):
            self._first = float(values[0])
        match fault.kind:
            case FaultKind.SPIKE:
                return values + np.where(np.floor(reading) % SPIKE_SPACING == 0, size, 0.0)
            case FaultKind.LEVEL_SHIFT:
                return values + size
            case FaultKind.DRIFT:
                return values + size * reading * (self._interval / (fault.end - fault.start))
            case FaultKind.STUCK:
                return np.full_like(values, self._first)
            case FaultKind.NOISE_BURST:
                return values + size * self._random.standard_normal(len(values))
            case FaultKind.OSCILLATION:
                swing: NDArray[np.float64] = np.sin(2 * np.pi * reading / OSCILLATION_READINGS)
                return values + size * swing
            case FaultKind.CORRELATION_BREAK:
                return 2 * (0.0 if self._first is None else self._first) - values
            case FaultKind.MISSING_CHANNEL | FaultKind.DROPOUT:
                return np.full_like(values, np.nan)
