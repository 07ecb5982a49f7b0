"""A fault of the plant that is asked for while its world lives: where it acts, and what the sensors then report.

The world is simulated anew with the fault, and the readings of the devices that it reaches are replaced. A metric that
has a fault of its own at the time keeps that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from common.time_units import HOUR, SECOND
from devices.fault_labels import WHOLE_DEVICE, FaultLabel, Severity, iso_time
from firmware_sim.fault_kinds import FAULT_KINDS
from firmware_sim.plant_faults import AFTER, UNSEEN, label_plant_faults
from firmware_sim.plants import FIRST_MONDAY, Plant
from firmware_sim.worlds.sampling import Series, sample
from firmware_sim.worlds.surroundings import SECONDS_A_DAY, Surroundings
from firmware_sim.worlds.world import DeviceTruth, PlantFault, PlantFaultKind, PlantFaults, Signal, World

FOREVER = 2**62
TRIAL_STEP, TRIAL_ROWS = 300.0, 864
"""A trial of three working days tells whom a fault reaches: each device is on at some time of it."""
LEAST_DAYS = 8.0
"""What a metric usually does at an hour is judged by so many days at least."""


@dataclass(frozen=True, slots=True)
class PlantInjection:
    """What came of a request: the fault's labels, one for each metric that shows it, and the series that changed."""

    fault: PlantFault
    labels: Sequence[FaultLabel]
    changed: Mapping[str, Series]

    def sentence(self) -> str:
        """For who asked."""
        seen = ", ".join(f"{label.device} {label.metric}" for label in self.labels if not label.unseen)
        return f"{self.fault.kind.name} until {iso_time(self.fault.end)}: " + (f"seen by {seen}" if seen else UNSEEN)


class PlantInjector:
    """Lets faults of the plant begin in a world that lives, and knows those that have begun."""

    def __init__(self, world: World, plant: Plant, size: int) -> None:
        self._world = world
        self._plant = plant
        self._size = size
        self._faults = plant.faults.faults
        self.kinds = {kind.name: kind for kind in world.plant_faults}

    def reach(self) -> dict[str, list[str]]:
        """The kinds of plant faults that each device shows, wherever they are."""
        around = self._trial()
        healthy = self._simulate(around, ())
        found: dict[str, list[str]] = {one.device: [] for one in healthy}
        for kind in self._world.plant_faults:
            everywhere = [_lasting(kind, place, around) for place in range(kind.places * self._size)]
            for before, after in zip(healthy, self._simulate(around, everywhere), strict=True):
                if not np.array_equal(before.values, after.values):
                    found[before.device].append(kind.name)
        return found

    def inject(
        self, name: str, device: str, now: int, seconds: float | None, labels: Sequence[FaultLabel]
    ) -> PlantInjection:
        """Let the fault `name` begin `now`, ns, where it reaches a device, for its shortest usual time if not given.

        `labels` are those of all faults of sensors that are known. Raises ValueError where it does not
        reach the device.
        """
        kind = self.kinds[name]
        place = self._place(kind, device)
        duration = kind.shortest * 3600 if seconds is None else seconds
        start = now // 1_000_000 * 1_000_000
        again = sum(one.kind.name == name for one in self._faults)
        fault = PlantFault(kind, place, start, start + int(duration * SECOND), again)
        around = self._grid(fault)
        healthy = self._simulate(around, self._faults)
        faulty = self._simulate(around, (*self._faults, fault))
        told = label_plant_faults(healthy, faulty, PlantFaults((fault,), around.seconds), around)
        reached = [
            (before, after)
            for before, after in zip(healthy, faulty, strict=True)
            if not np.array_equal(before.values, after.values)
        ]
        before, after = (sample([pair[side] for pair in reached], around) for side in (0, 1))
        known = {one.name: one for one in self._plant.series}
        changed = {
            new.name: _spliced(known[new.name], old, new, (now, around.end), _windows(labels, new))
            for old, new in zip(before, after, strict=True)
            if not np.array_equal(old.value, new.value) or not np.array_equal(old.time, new.time)
        }
        self._faults = (*self._faults, fault)
        return PlantInjection(fault, told or [_unseen(fault, device)], changed)

    def _place(self, kind: PlantFaultKind, device: str) -> int:
        """A place at which the fault reaches the device, by halving the places."""
        around = self._trial()
        usual = {one.device: one.values for one in self._simulate(around, ())}[device]

        def reaches(places: range) -> bool:
            truth = self._simulate(around, [_lasting(kind, place, around) for place in places])
            return any(one.device == device and not np.array_equal(one.values, usual) for one in truth)

        places = range(kind.places * self._size)
        if not reaches(places):
            raise ValueError(f"{device}: {kind.name!r} does not reach it")
        while len(places) > 1:
            half = places[: len(places) // 2]
            places = half if reaches(half) else places[len(places) // 2 :]
        return places[0]

    def _simulate(self, around: Surroundings, faults: Sequence[PlantFault]) -> Sequence[DeviceTruth]:
        return self._world.simulate(around, PlantFaults(tuple(faults), around.seconds), self._size)

    def _trial(self) -> Surroundings:
        return Surroundings(FIRST_MONDAY * SECOND, TRIAL_STEP, TRIAL_ROWS, self._plant.seed)

    def _grid(self, fault: PlantFault) -> Surroundings:
        """The plant's own grid, no longer than is needed: a shorter one is the beginning of a longer one."""
        around = self._plant.around
        until = max(fault.end + AFTER, around.start + int(LEAST_DAYS * SECONDS_A_DAY) * SECOND)
        rows = ceil((until - around.start) / (around.step * SECOND))
        return replace(around, rows=min(rows, around.rows))


def _lasting(kind: PlantFaultKind, place: int, around: Surroundings) -> PlantFault:
    """A fault from an hour after the grid's begin to its end."""
    return PlantFault(kind, place, around.start + HOUR, around.end)


def _unseen(fault: PlantFault, device: str) -> FaultLabel:
    """The label of a fault that moves nothing, such as one of a machine that is off all the while."""
    kind = fault.kind
    return FaultLabel(
        device,
        WHOLE_DEVICE,
        kind.name,
        fault.start,
        fault.end,
        Severity.MINOR,
        fault.root,
        fault.occurrence,
        not kind.grows,
        unseen=UNSEEN,
    )


def _windows(labels: Sequence[FaultLabel], series: Series) -> list[tuple[int, int]]:
    """When a series has a fault of its own, ns."""
    sensors = {kind.name: kind for kind in FAULT_KINDS}
    return [
        (label.start, FOREVER if sensors[label.kind].permanent else label.end)
        for label in labels
        if label.device == series.device
        and label.metric in (series.metric.name, WHOLE_DEVICE)
        and label.kind in sensors
    ]


def _spliced(
    series: Series, old: Series, new: Series, span: tuple[int, int], windows: Sequence[tuple[int, int]]
) -> Series:
    """`series` with the readings of `new` in a span, ns, but in the windows; a counter goes on from where that led."""
    first, last = span
    own = _inside(series.sent, [(0, first), (last, FOREVER), *windows])
    fresh = _inside(new.sent, [span]) & ~_inside(new.sent, windows)
    value = series.value.copy()
    if series.metric.signal is Signal.COUNTER and len(old.value) and len(new.value):
        later = value[series.sent >= last] + (new.value[-1] - old.value[-1])
        value[series.sent >= last] = later if series.metric.rollover is None else later % series.metric.rollover
    sent = np.concatenate((series.sent[own], new.sent[fresh]))
    order = np.argsort(sent, kind="stable")
    return replace(
        series,
        time=np.concatenate((series.time[own], new.time[fresh]))[order],
        value=np.concatenate((value[own], new.value[fresh]))[order],
        sent=sent[order],
    )


def _inside(times: NDArray[np.int64], spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which times lie in any of the spans, the end left out."""
    inside = np.zeros(len(times), np.bool_)
    for first, last in spans:
        inside |= (times >= first) & (times < last)
    return inside
