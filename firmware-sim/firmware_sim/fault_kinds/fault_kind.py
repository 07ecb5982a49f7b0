"""The contract of a kind of fault: how it distorts what one metric, or one device, reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from devices.fault_labels import Expected
from firmware_sim.worlds.world import Floats, Metric, Signal

Readings = tuple[NDArray[np.int64], Floats]
"""Times, int64 ns, and values."""

MEASURED = (Signal.MEASUREMENT,)


@dataclass(frozen=True, slots=True)
class Window:
    """The readings that a fault takes hold of, `time` and `value` (n,), and what the fault is like.

    `before` is the last value before it. `spread` is how much the metric usually scatters at an hour, `ripple` from
    reading to reading. `size` is in spreads, `sign` +1 or -1; both are the same for all occurrences of a fault, as is
    `choice`, a number from 0 to 1. `earlier` are the values a day before at like times, `partner` those of another
    device's like metric, where there are any.
    """

    time: NDArray[np.int64]
    value: Floats
    before: float
    metric: Metric
    spread: float
    ripple: float
    size: float
    sign: float
    choice: float
    random: np.random.Generator
    earlier: Floats | None = None
    partner: Floats | None = None

    @property
    def progress(self) -> Floats:
        """How much of the fault is over at each reading, 0 to 1, (n,)."""
        begin, end = self.time[0], self.time[-1]
        progress: Floats = (self.time - begin) / max(end - begin, 1)
        return progress


class FaultKind(ABC):
    """One kind of fault. Subclasses have no state."""

    name: ClassVar[str]
    summary: ClassVar[str]
    signals: ClassVar[tuple[Signal, ...]] = MEASURED
    hours: ClassVar[tuple[float, float]]
    """Shortest and longest duration."""
    least_readings: ClassVar[int] = 1
    most_readings: ClassVar[int | None] = None
    """Where it is set, the duration is in readings, from `least_readings` to this."""
    occurrences: ClassVar[tuple[int, int]] = (1, 3)
    sizes: ClassVar[tuple[float, float]] = (5.0, 20.0)
    abrupt: ClassVar[bool] = True
    permanent: ClassVar[bool] = False
    """It stays; its label ends after `hours`, when it has become the new normal."""
    settles_hours: ClassVar[float] = 0.0
    """Of one that stays: how long after its label it may still look odd to what is learning it as the new normal."""
    whole_device: ClassVar[bool] = False
    expected: ClassVar[Expected] = Expected.ALARM
    keeps_limits: ClassVar[bool] = True
    """What it gives lies within the sensor's limits."""

    @abstractmethod
    def apply(self, window: Window) -> Readings:
        """What is reported in the window's place."""

    def unseen(self, window: Window, changed: Readings) -> str:
        """Why nothing that only knows the past can see it; empty where it can be seen.

        Where readings and times correspond, a change smaller than three usual scatters cannot.
        """
        if len(changed[1]) != len(window.value) or not len(window.value):
            return ""
        small = float(np.nanmax(np.abs(changed[1] - window.value))) < 3.0 * window.spread
        return "smaller than three times the usual scatter" if small else ""

    def suits(self, metric: Metric) -> bool:
        """Whether a metric can have it."""
        return metric.signal in self.signals
