"""A fleet of delivery vans: tours by day, engine, position, tyre pressure; off at night."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from firmware_sim.worlds.recursion import recursion
from firmware_sim.worlds.surroundings import Surroundings
from firmware_sim.worlds.world import DeviceTruth, Metric, PlantFaultKind, PlantFaults, Signal, World, device_name

VAN = (
    Metric("speed", "km/h", 1.0, 0, 250, 0.5),
    Metric("engine_temperature", "°C", 1.0, -40, 215, 0.4),
    Metric("oil_pressure", "bar", 0.05, 0, 10, 0.06),
    Metric("supply_voltage", "V", 0.01, 0, 32, 0.03),
    Metric("tyre_pressure", "kPa", 1.0, 0, 800, 1.0),
    Metric("odometer", "km", 0.1, 0, 2e6, 0.0, Signal.COUNTER),
    Metric("latitude", "°", 0.00001, -90, 90, 0.00002),
    Metric("longitude", "°", 0.00001, -180, 180, 0.00003),
)


class VehicleFleet(World):
    """Vans that report while their ignition is on. Thermostats stick, tyres lose air, alternators fail."""

    name = "vehicle-fleet"
    summary = "vans on tours: position, speed, engine, tyres, odometer; silent with the ignition off"
    interval = 30.0
    sources = (
        "SAE J1979: coolant temperature from -40 to 215 °C in steps of 1 K, speed in steps of 1 km/h",
        "Common light vans: coolant 85 to 95 °C, tyres 350 to 420 kPa, 13.8 to 14.4 V with the engine on",
    )
    plant_faults = (
        PlantFaultKind("overheating", "coolant too hot, oil thin", 12, 40, False, 4, (1, 3)),
        PlantFaultKind("slow puncture", "a tyre loses air from day to day", 120, 260, True, 4, (1, 1)),
        PlantFaultKind("alternator failure", "the supply falls to the battery's voltage", 12, 40, False, 4, (1, 2)),
    )

    def simulate(self, around: Surroundings, faults: PlantFaults, size: int) -> Sequence[DeviceTruth]:
        """Four vans for each size."""
        return [self._van(around, faults, number) for number in range(4 * size)]

    def _van(self, around: Surroundings, faults: PlantFaults, number: int) -> DeviceTruth:
        name = device_name("van", number)
        constants = around.random(f"{name}.constants")
        first, last = 7 + constants.uniform(-1, 1), 16 + constants.uniform(-1, 2)
        tour = (around.between(first, last, soft=0.01) > 0.5) & (around.weekday < 6) & ~around.holiday
        stops = around.spells(f"{name}.stops", np.full(around.rows, 3.5), minutes=(2, 12))
        driving = tour & (stops < 0.5)
        road = np.clip(42 + 26 * around.wander(f"{name}.road", sigma=1, hours=0.25), 0, 118)
        traffic = np.clip(1 + 0.4 * around.wander(f"{name}.traffic", sigma=1, hours=0.02), 0, 1.3)
        speed = around.lagged(driving * road * traffic, hours=0.006) * tour
        hot, thin = faults.effect("overheating", number), faults.effect("slow puncture", number)
        dead = faults.effect("alternator failure", number)
        warm = around.lagged(np.where(tour, 89.0 + 1.5 * np.tanh(speed / 60 - 0.8), 12.0), hours=0.12)
        engine = np.where(tour, warm + around.lagged(hot * 18.0, hours=0.2), warm)
        oil = tour * (1.4 + 0.025 * speed + 1.6 * np.clip(1 - engine / 90, 0, 1) - 0.6 * around.lagged(hot, hours=0.2))
        volts = np.where(tour, 14.1 - 0.012 * np.maximum(around.outdoor - 15, 0) - 2.0 * dead, 12.5)
        tyre = constants.uniform(360, 410) * (1 + 0.0034 * (around.outdoor - 10)) + 14 * around.lagged(
            speed / 80, hours=0.4
        )
        tyre = tyre - 110 * thin
        kilometres = np.cumsum(speed) * around.step / 3600
        turn = np.cumsum(around.wander(f"{name}.turn", sigma=1, hours=0.05) * speed * 0.004)
        place = []
        for step, home in ((np.cos(turn), 49.48), (np.sin(turn), 8.46)):
            # Home pulls the van back, so that it stays in its district.
            moved = recursion(speed * step * around.step / 3600 / 90, 1.0, 0.9995, 0.0)
            place.append(home + constants.uniform(-0.05, 0.05) + moved)
        odometer = constants.uniform(2e4, 2e5) + kilometres
        values = np.stack((speed, engine, oil, volts, tyre, odometer, *place))
        return DeviceTruth(name, "van", VAN, values, on=tour, group="fleet")
