"""The contract of a world: what is true in it over time, and what its sensors make of that.

A world is simulated on a regular grid of times. Everything is a function of the grid and the seed: the same span and
the same seed give the same run, byte for byte.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from firmware_sim.worlds.surroundings import Surroundings

Floats = NDArray[np.float64]


class Signal(StrEnum):
    """What kind of signal a metric is: it decides which faults make sense."""

    MEASUREMENT = "measurement"
    COUNTER = "counter"
    STATE = "state"
    BATTERY = "battery"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a kind of device, and its sensor.

    `resolution` is the step in which it is reported, `low` and `high` what the sensor can show, `noise` the standard
    deviation of its own noise, all in `unit`. With `report_change` the sensor reports when the value has moved by that
    much, and at least every `heartbeat` seconds. A counter starts anew at `rollover`.
    """

    name: str
    unit: str
    resolution: float
    low: float
    high: float
    noise: float = 0.0
    signal: Signal = Signal.MEASUREMENT
    report_change: float | None = None
    heartbeat: float = 3600.0
    rollover: float | None = None


@dataclass(frozen=True, slots=True)
class DeviceTruth:
    """What is true for one device on the grid: `values` (metrics, n), and where it has power, `on` (n,) or None."""

    device: str
    kind: str
    metrics: tuple[Metric, ...]
    values: Floats
    on: NDArray[np.bool_] | None = None
    group: str = ""
    """Devices of one group see the same surroundings: a machine's line, a room's neighbours."""


@dataclass(frozen=True, slots=True)
class PlantFaultKind:
    """A fault of the plant itself, which the physics carries to several metrics.

    `shortest` and `longest` are its duration in hours; `grows` where its effect rises from nothing, else it is there at
    once. `places` is how many places in the world it can befall.
    """

    name: str
    summary: str
    shortest: float
    longest: float
    grows: bool
    places: int
    occurrences: tuple[int, int] = (1, 3)


@dataclass(frozen=True, slots=True)
class PlantFault:
    """One such fault, at a place, from `start` until before `end`, in ns."""

    kind: PlantFaultKind
    place: int
    start: int
    end: int
    occurrence: int = 0

    @property
    def root(self) -> str:
        """What the labels of its effects have in common."""
        return f"{self.kind.name}-{self.place + 1}-{self.occurrence + 1}"


@dataclass(frozen=True, slots=True)
class PlantFaults:
    """The plant faults of a run; `effect` tells a world how strongly one acts."""

    faults: tuple[PlantFault, ...] = ()
    seconds: Floats = field(default_factory=lambda: np.empty(0))

    def effect(self, kind: str, place: int) -> Floats:
        """How strongly faults of this kind act at this place on the grid, (n,) from 0 to 1."""
        effect = np.zeros(len(self.seconds))
        for fault in self.faults:
            if fault.kind.name != kind or fault.place != place:
                continue
            start, end = fault.start / 1e9, fault.end / 1e9
            first, last = np.searchsorted(self.seconds, (start, end))
            if fault.kind.grows:
                effect[first:last] = ((self.seconds[first:last] - start) / (end - start)) ** 1.5
            else:
                effect[first:last] = 1.0
        return effect

    def only(self, fault: PlantFault) -> PlantFaults:
        """This one alone."""
        return replace(self, faults=(fault,))


class World(ABC):
    """One kind of site with its devices. Subclasses have no state: all comes from the surroundings."""

    name: ClassVar[str]
    summary: ClassVar[str]
    interval: ClassVar[float]
    """Seconds between two readings of its devices, and the step of its grid."""
    sources: ClassVar[tuple[str, ...]]
    """Where the magnitudes come from."""
    plant_faults: ClassVar[tuple[PlantFaultKind, ...]] = ()

    @abstractmethod
    def simulate(self, around: Surroundings, faults: PlantFaults, size: int) -> Sequence[DeviceTruth]:
        """What is true for every device on the grid; `size` 1 is a small site, 2 twice that."""


def device_name(kind: str, number: int) -> str:
    """The name of a device, numbered from 0: `pump-01`."""
    return f"{kind}-{number + 1:02d}"
