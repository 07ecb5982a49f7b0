"""A plant on paper: what all sensors of a world report over some weeks, and the truth about it.

No broker and no clock is needed: columns of readings and labels of faults come from the seed alone. Plant faults act
through the physics of the world; faults of sensors and of transport are put into what the sensors report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from common.time_units import SECOND
from devices.fault_labels import WHOLE_DEVICE, Expected, FaultLabel, Severity
from firmware_sim.plant_faults import label_plant_faults, schedule_plant_faults
from firmware_sim.sensor_faults import SensorFaults
from firmware_sim.worlds.sampling import Series, sample
from firmware_sim.worlds.surroundings import SECONDS_A_DAY, Surroundings
from firmware_sim.worlds.world import PlantFaults, Signal, World

FIRST_MONDAY = int(datetime(2026, 1, 4, 23, tzinfo=UTC).timestamp())
"""Midnight in Berlin before Monday, 5 January 2026."""
WEEKS_APART = 5


@dataclass(frozen=True, slots=True)
class PlantOptions:
    """How long a plant runs, `days`; how many of them, from the first on, are free of faults; and how large it is.

    `sick` is the share of the series that get a fault of their own, `interval` the seconds between two readings in
    place of the world's own.
    """

    days: float = 35
    learning_days: float = 7
    size: int = 1
    sick: float = 0.7
    interval: float | None = None


@dataclass(frozen=True, slots=True)
class Plant:
    """One run of a world under a seed: what its sensors report, and the labels, in the order of their start."""

    world: str
    seed: int
    around: Surroundings
    learned_by: int
    series: list[Series]
    labels: list[FaultLabel] = field(default_factory=list)
    faults: PlantFaults = field(default_factory=PlantFaults)

    @property
    def start(self) -> int:
        """When it begins, ns."""
        return self.around.start

    @property
    def end(self) -> int:
        """When it ends, ns."""
        return self.around.end

    @property
    def readings(self) -> int:
        """Readings of all series."""
        return sum(len(series.time) for series in self.series)


def make_plant(world: World, seed: int, options: PlantOptions | None = None, *, start: int | None = None) -> Plant:
    """Simulate a world from `start`, ns; else runs of different seeds begin on different Mondays, for other seasons."""
    options = options or PlantOptions()
    monday = FIRST_MONDAY + seed * WEEKS_APART % 104 * 7 * SECONDS_A_DAY
    step = options.interval or world.interval
    rows = int(options.days * SECONDS_A_DAY / step)
    around = Surroundings(monday * SECOND if start is None else start, step, rows, seed)
    learned_by = around.start + int(options.learning_days * SECONDS_A_DAY) * SECOND
    faults = schedule_plant_faults(world, around, learned_by, around.end, options.size)
    healthy = world.simulate(around, PlantFaults((), around.seconds), options.size)
    faulty = world.simulate(around, faults, options.size) if faults.faults else healthy
    labels = label_plant_faults(healthy, faulty, faults, around)
    series = sample(faulty, around)
    sensors = SensorFaults(series, around, labels, first=learned_by, last=around.end)
    labels = [*labels, *sensors.spread(options.sick), *_roll_overs(series), *_holidays(around)]
    labels.sort(key=lambda label: label.start)
    return Plant(world.name, seed, around, learned_by, sensors.faulty(), labels, faults)


def _roll_overs(series: Sequence[Series]) -> list[FaultLabel]:
    """Where counters roll over: ordinary operation."""
    labels = []
    for one in series:
        if one.metric.signal is not Signal.COUNTER or one.metric.rollover is None:
            continue
        for row in (np.flatnonzero(np.diff(one.value) < -one.metric.rollover / 2) + 1).tolist():
            time = int(one.time[row])
            root = f"roll-over/{one.name}/{row}"
            labels.append(
                FaultLabel(
                    one.device,
                    one.metric.name,
                    "counter roll-over",
                    time,
                    time + 600 * SECOND,
                    Severity.MINOR,
                    root,
                    expected=Expected.SILENCE,
                )
            )
    return labels


def _holidays(around: Surroundings) -> list[FaultLabel]:
    """Public holidays on working days, a label for the whole plant: nothing that the past could teach."""
    edges = np.diff(np.concatenate(([0], around.holiday.astype(np.int8), [0])))
    labels = []
    for first, last in zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True):
        start, end = int(around.time[first]), int(around.time[min(last, around.rows - 1)])
        if end > start:
            labels.append(
                FaultLabel(
                    WHOLE_DEVICE,
                    WHOLE_DEVICE,
                    "public holiday",
                    start,
                    end,
                    Severity.MINOR,
                    f"holiday/{start}",
                    expected=Expected.EITHER,
                )
            )
    return labels
