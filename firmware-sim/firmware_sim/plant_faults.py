"""Faults of the plant itself: when they come, and which metrics show them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.time_units import HOUR
from devices.fault_labels import FaultLabel, Severity
from firmware_sim.worlds.normality import VISIBLE, abnormality
from firmware_sim.worlds.surroundings import Surroundings
from firmware_sim.worlds.world import DeviceTruth, Floats, PlantFault, PlantFaults, Signal, World

APART = 14 * HOUR
"""Between two faults of a plant: no metric shows two at once, so each effect has one cause."""
AFTER = 8 * HOUR
"""The plant may need so long to be as before."""
UNSEEN = "no metric strays from what is usual at that hour"
MOST_SHARE = 0.75
"""Of the time that faults may take up."""


def schedule_plant_faults(world: World, around: Surroundings, first: int, last: int, size: int) -> PlantFaults:
    """Plant faults at random between two times, ns, one at a time."""
    random = around.random("plant faults")
    wanted: list[tuple[float, PlantFault]] = []
    for kind in world.plant_faults:
        place = int(random.integers(kind.places * size))
        count = int(random.integers(kind.occurrences[0], kind.occurrences[1] + 1))
        wanted += [
            (float(np.exp(random.uniform(np.log(kind.shortest), np.log(kind.longest)))), PlantFault(kind, place, 0, 0))
            for _ in range(count)
        ]
    span = (last - first - APART) * MOST_SHARE
    taken, total = [], 0.0
    for number in random.permutation(len(wanted)):
        need = wanted[number][0] * HOUR + APART
        if total + need <= span:
            taken.append(wanted[number])
            total += need
    pauses = random.dirichlet(np.ones(len(taken) + 1)) * (last - first - APART - total)
    faults: list[PlantFault] = []
    at = float(first)
    seen: dict[str, int] = {}
    for pause, (hours, fault) in zip(pauses, taken, strict=False):
        start = int(at + pause) // 1_000_000 * 1_000_000
        end = start + int(hours * HOUR)
        occurrence = seen.get(fault.kind.name, 0)
        seen[fault.kind.name] = occurrence + 1
        faults.append(PlantFault(fault.kind, fault.place, start, end, occurrence))
        at = end + APART
    return PlantFaults(tuple(faults), around.seconds)


def label_plant_faults(
    healthy: Sequence[DeviceTruth], faulty: Sequence[DeviceTruth], faults: PlantFaults, around: Surroundings
) -> list[FaultLabel]:
    """A label for each metric that strays visibly from its usual behaviour during a fault or soon after it.

    A fault that no metric shows gets one label that says so, on the metric that it moves most.
    """
    shown: dict[PlantFault, list[FaultLabel]] = {fault: [] for fault in faults.faults}
    hidden: dict[PlantFault, tuple[float, FaultLabel]] = {}
    for before, after in zip(healthy, faulty, strict=True):
        for metric, old, new in zip(before.metrics, before.values, after.values, strict=True):
            if np.array_equal(old, new):
                continue
            counts = metric.signal is Signal.COUNTER
            least = max(metric.noise, 0.3 * metric.resolution)
            odd = abnormality(new, old, around, least, counts)
            if after.on is not None:
                odd[~after.on] = 0.0
            for fault in faults.faults:
                stretch = slice(*np.searchsorted(around.time, (fault.start, fault.end + AFTER)).tolist())
                if np.array_equal(old[stretch] - old[stretch.start], new[stretch] - new[stretch.start]):
                    continue
                label, peak = _label(fault, after.device, metric.name, odd, around)
                if label.unseen:
                    hidden[fault] = max(hidden.get(fault, (-1.0, label)), (peak, label), key=lambda pair: pair[0])
                else:
                    shown[fault].append(label)
    unseen = {fault: [label] for fault, (_, label) in hidden.items()}
    return [label for fault in faults.faults for label in shown[fault] or unseen.get(fault, [])]


def _label(fault: PlantFault, device: str, metric: str, odd: Floats, around: Surroundings) -> tuple[FaultLabel, float]:
    first, end, last = np.searchsorted(around.time, (fault.start, fault.end, fault.end + AFTER)).tolist()
    visible = np.flatnonzero(odd[first:end] > VISIBLE) + first
    peak = float(odd[first:end].max(initial=0.0))
    after = np.flatnonzero(odd[end:last] > VISIBLE) + end
    ends = max(fault.end, int(around.time[after[-1]]) if len(after) and len(visible) else 0)
    seen_from = int(around.time[visible[0]]) if len(visible) else fault.start
    few = len(visible) < 3
    return FaultLabel(
        device,
        metric,
        fault.kind.name,
        fault.start,
        ends,
        severity_of(peak),
        fault.root,
        fault.occurrence,
        not fault.kind.grows,
        visible_from=None if few else max(seen_from, fault.start),
        unseen=UNSEEN if few else "",
    ), peak


def severity_of(spreads: float) -> Severity:
    """The severity of an effect of so many usual scatters."""
    if spreads > 15.0:
        return Severity.CRITICAL
    return Severity.MAJOR if spreads > 6.0 else Severity.MINOR
