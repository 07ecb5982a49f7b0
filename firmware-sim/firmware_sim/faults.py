"""Before stage 1 of 7: labelled faults, and how each kind distorts what a device measures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from firmware_sim.models import Channel

WHOLE_DEVICE = "*"
"""Stands for the metric where a fault concerns all of a device."""

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

    def label(self) -> dict[str, str]:
        """The label as text: device, metric, kind, start and end in ISO 8601 with milliseconds."""
        return {
            "device": self.device,
            "metric": self.metric,
            "kind": self.kind.value,
            "start": iso_time(self.start),
            "end": iso_time(self.end),
        }


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


def iso_time(time: int) -> str:
    """ISO 8601 with milliseconds and Z for a time in ns."""
    whole, rest = divmod(time // 1_000_000, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"
