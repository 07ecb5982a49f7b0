"""Faults of the plant that are asked for while a world lives."""

from __future__ import annotations

import numpy as np
import pytest
from firmware_sim.plant_injection import PlantInjector
from firmware_sim.plants import Plant, PlantOptions, make_plant
from firmware_sim.worlds import WORLDS, find_world
from firmware_sim.worlds.sampling import Series
from firmware_sim.worlds.world import World

from devices.fault_labels import FaultLabel, Severity

HOUR = 3_600_000_000_000
TUESDAY_NOON = 1_767_697_200_000_000_000
"""2026-01-06T12:00 in Berlin."""


def plant_of(name: str, *, size: int = 1, days: float = 14) -> tuple[World, Plant]:
    world = find_world(name)
    return world, make_plant(world, 0, PlantOptions(days=days, learning_days=days, size=size, sick=0.0))


def series_of(plant: Plant, name: str) -> Series:
    return next(one for one in plant.series if one.name == name)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_each_fault_of_a_plant_reaches_a_device_and_can_be_asked_for_there(world: World) -> None:
    _, plant = plant_of(world.name)
    reach = PlantInjector(world, plant, 1).reach()
    assert list(reach) == list(dict.fromkeys(one.device for one in plant.series))
    for kind in world.plant_faults:
        device = next(name for name, kinds in reach.items() if kind.name in kinds)
        hours = max(kind.shortest, 8.0)
        made = PlantInjector(world, plant, 1).inject(
            kind.name, device, plant.start + (7 * 24 + 12) * HOUR, hours * 3600, ()
        )
        assert device in {one.device for one in made.changed.values()}
        assert len({label.root for label in made.labels}) == 1


def test_one_cause_shows_on_all_motors_of_the_line_of_the_device_named() -> None:
    world, plant = plant_of("machine-hall", size=2)
    injector = PlantInjector(world, plant, 2)
    assert injector.reach()["hall-01"] == []
    made = injector.inject("coolant loss", "motor-05", TUESDAY_NOON, 4 * 3600.0, ())
    assert {(label.device, label.metric) for label in made.labels} == {
        (f"motor-0{number}", "temperature") for number in (4, 5, 6)
    }
    assert made.sentence() == (
        "coolant loss until 2026-01-06T15:00:00.000Z: "
        "seen by motor-04 temperature, motor-05 temperature, motor-06 temperature"
    )
    before, after = series_of(plant, "motor-05/temperature"), made.changed["motor-05/temperature"]
    assert np.array_equal(before.time, after.time)
    changed = before.time[before.value != after.value]
    assert TUESDAY_NOON <= changed[0] < TUESDAY_NOON + HOUR
    hot = (after.time > TUESDAY_NOON + 2 * HOUR) & (after.time < TUESDAY_NOON + 4 * HOUR)
    assert 10 < np.median(after.value[hot] - before.value[hot]) < 30
    again = injector.inject("coolant loss", "motor-05", TUESDAY_NOON + 48 * HOUR, None, ())
    assert (again.labels[0].occurrence, (again.fault.end - again.fault.start) // HOUR) == (1, 4)


def test_a_metric_with_a_fault_of_its_own_keeps_it_and_a_counter_never_leaps() -> None:
    world, plant = plant_of("machine-hall")
    injector = PlantInjector(world, plant, 1)
    own = FaultLabel(
        "motor-01", "speed", "stuck", TUESDAY_NOON, TUESDAY_NOON + 2 * HOUR, Severity.MAJOR, "motor-01/speed/stuck/1"
    )
    made = injector.inject("belt slip", "motor-01", TUESDAY_NOON, 4 * 3600.0, [own])
    before, after = series_of(plant, "motor-01/speed"), made.changed["motor-01/speed"]
    inside = (before.time >= own.start) & (before.time < own.end)
    assert np.array_equal(before.value[inside], after.value[inside])
    later = (before.time >= own.end) & (before.time < TUESDAY_NOON + 4 * HOUR)
    assert np.median(after.value[later] / before.value[later]) == pytest.approx(0.88, abs=0.02)
    energy, usual = made.changed["motor-01/energy"].value, series_of(plant, "motor-01/energy").value
    assert energy[-1] < usual[-1]
    assert np.diff(energy).min() >= 0
    assert np.diff(energy).max() <= np.diff(usual).max()


def test_a_fault_of_machines_that_stand_still_is_told_as_one_that_nobody_can_see() -> None:
    world, plant = plant_of("machine-hall")
    made = PlantInjector(world, plant, 1).inject("belt slip", "motor-01", TUESDAY_NOON - 12 * HOUR, 3600.0, ())
    assert made.sentence() == (
        "belt slip until 2026-01-06T00:00:00.000Z: no metric strays from what is usual at that hour"
    )
    assert [(label.device, label.metric) for label in made.labels] == [("motor-01", "*")]


def test_a_fault_that_does_not_reach_a_device_is_refused() -> None:
    world, plant = plant_of("machine-hall")
    with pytest.raises(ValueError, match="hall-01: 'belt slip' does not reach it"):
        PlantInjector(world, plant, 1).inject("belt slip", "hall-01", TUESDAY_NOON, None, ())
