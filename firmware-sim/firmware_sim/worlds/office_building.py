"""An office building: people, CO2, heating, lights and lifts by the calendar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from firmware_sim.worlds.surroundings import Surroundings
from firmware_sim.worlds.world import (
    DeviceTruth,
    Floats,
    Metric,
    PlantFaultKind,
    PlantFaults,
    Signal,
    World,
    device_name,
)

ROOM = (
    Metric("temperature", "°C", 0.1, -10, 60, 0.05),
    Metric("humidity", "%", 0.5, 0, 100, 0.3),
    Metric("co2", "ppm", 1.0, 380, 5000, 8.0),
    Metric("illuminance", "lx", 1.0, 0, 65_535, 3.0),
    Metric("occupied", "", 1.0, 0, 1, 0.0, Signal.STATE),
)
PLANT = (
    Metric("supply_temperature", "°C", 0.1, 0, 110, 0.1),
    Metric("return_temperature", "°C", 0.1, 0, 110, 0.1),
    Metric("heat", "kWh", 1.0, 0, 1e8, 0.0, Signal.COUNTER),
)
LIFT = (
    Metric("trips", "", 1.0, 0, 65_536, 0.0, Signal.COUNTER, rollover=65_536.0),
    Metric("power", "W", 1.0, 0, 20_000, 8.0),
)
SECONDS_BETWEEN = 120.0


class OfficeBuilding(World):
    """Rooms on floors, one heating plant, a lift. Heating fails, ventilation stops, a window stays open."""

    name = "office-building"
    summary = "rooms with people: temperature, humidity, CO2, light, motion; heating by the weather; a lift"
    interval = SECONDS_BETWEEN
    sources = (
        "EN 16798-1: offices at 20 to 24 °C in winter, CO2 550 to 800 ppm above the outside",
        "Sensirion SCD30 data sheet: CO2 noise of about 10 ppm",
        "DIN EN 12831 and common heating curves: supply 35 to 60 °C by the outside air",
    )
    plant_faults = (
        PlantFaultKind("heating failure", "all rooms cool down from one cause", 10, 40, False, 1, (1, 2)),
        PlantFaultKind("ventilation failure", "CO2 rises higher while people are in", 8, 48, False, 1, (1, 3)),
        PlantFaultKind("window left open", "a room cools, its air is fresh", 3, 14, False, 6, (2, 4)),
        PlantFaultKind("filter clogging", "CO2 rises higher from day to day", 200, 330, True, 1, (1, 1)),
    )

    def simulate(self, around: Surroundings, faults: PlantFaults, size: int) -> Sequence[DeviceTruth]:
        """Six rooms, a heating plant and a lift for each size."""
        devices: list[DeviceTruth] = []
        for house in range(size):
            cold = faults.effect("heating failure", house)
            stale = np.maximum(faults.effect("ventilation failure", house), faults.effect("filter clogging", house))
            for number in range(6 * house, 6 * house + 6):
                devices.append(self._room(around, faults, number, cold, stale, f"house-{house}"))
            demand = np.maximum(17 - around.outdoor, 0) / 25
            night = 0.75 + 0.25 * around.between(5, 19, soft=0.6) * around.workday
            supply = 24 + 34 * demand * night * (1 - 0.95 * around.lagged(cold, hours=0.5))
            supply = supply + 1.2 * np.sin(2 * np.pi * around.seconds / 2400)
            back = 23 + 0.7 * (around.lagged(supply, hours=0.3) - 23)
            heat = 7e4 + np.cumsum(np.maximum(supply - back, 0) * 2.2) * around.step / 3600
            plant = np.stack((supply, back, heat))
            devices.append(DeviceTruth(device_name("heating", house), "heating", PLANT, plant, group=f"house-{house}"))
            calls = 34 * around.between(7.3, 18.5, soft=0.4) * around.workday + 0.4
            trips = around.events(f"lift-{house}", calls)
            values = np.stack(((64_900 + np.cumsum(trips)) % 65_536, 180 + 900 * np.minimum(trips, 4)))
            devices.append(DeviceTruth(device_name("lift", house), "lift", LIFT, values, group=f"house-{house}"))
        return devices

    def _room(
        self, around: Surroundings, faults: PlantFaults, number: int, cold: Floats, stale: Floats, group: str
    ) -> DeviceTruth:
        name = device_name("room", number)
        constants = around.random(f"{name}.constants")
        open_window = faults.effect("window left open", number)
        in_use = around.between(7.8 + constants.uniform(-0.5, 0.7), 17.3 + constants.uniform(-0.7, 0.7), soft=0.3)
        meeting = around.wander(f"{name}.people", sigma=0.28, hours=0.8)
        people = np.clip(in_use * around.workday * (0.75 + meeting), 0, 1.6)
        air = around.lagged(people, hours=0.6)
        target = constants.uniform(20.8, 22.3) - 1.8 * (1 - around.between(5, 19, soft=1) * around.workday)
        warmth = around.lagged(target - cold * (6 - 0.15 * around.outdoor), hours=4.0)
        sunny = around.sun * (1 - around.cloud)
        temperature = warmth + 0.9 * air + constants.uniform(0.3, 1.4) * around.lagged(sunny, hours=1)
        temperature = temperature - around.lagged(open_window * (8 - 0.2 * around.outdoor), hours=0.8)
        damp = around.wander("weather.damp", sigma=4, hours=30)
        humidity = np.clip(42 + 0.35 * (around.outdoor - 8) + damp + 4 * air - 2 * (temperature - 21.5), 12, 90)
        rise = constants.uniform(350, 620) * (1 + 1.3 * stale)
        co2 = 425 + rise * air * (1 - 0.85 * around.lagged(open_window, hours=0.3))
        occupied = (people > 0.35).astype(np.float64)
        light = 900 * sunny * constants.uniform(0.3, 1) + 380 * occupied
        values = np.stack((temperature, humidity, co2, light, occupied))
        return DeviceTruth(name, "room", ROOM, values, group=group)
