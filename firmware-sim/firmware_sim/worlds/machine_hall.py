"""A machine hall: motors whose heat, vibration and current follow the load."""

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

MOTOR = (
    Metric("temperature", "°C", 0.1, -40, 200, 0.15),
    Metric("vibration", "mm/s", 0.01, 0, 50, 0.04),
    Metric("crest_factor", "", 0.01, 1, 20, 0.08),
    Metric("current", "A", 0.01, 0, 60, 0.06),
    Metric("speed", "1/min", 1.0, 0, 3600, 1.5),
    Metric("energy", "kWh", 0.01, 0, 1e9, 0.0, Signal.COUNTER),
)
HALL = (
    Metric("temperature", "°C", 0.1, -40, 85, 0.05),
    Metric("humidity", "%", 0.1, 0, 100, 0.3),
    Metric("door", "", 1.0, 0, 1, 0.0, Signal.STATE),
)
MOTORS_A_LINE = 3


class MachineHall(World):
    """Lines of motors, a climate sensor with the hall's door. Bearings wear, a line's coolant fails, belts slip."""

    name = "machine-hall"
    summary = "motors in lines under two shifts: temperature, vibration, current, speed, energy; the hall's climate"
    interval = 60.0
    sources = (
        "ISO 20816-3: vibration of machines of 15 kW and more: up to 2.3 mm/s new, from 7.1 mm/s dangerous",
        "IEC 60034-1: temperature rise of windings, insulation class B 80 K",
        "Randall, Vibration-based Condition Monitoring: crest factor of sound bearings 3 to 4, rising before the rms",
    )
    plant_faults = (
        PlantFaultKind("bearing wear", "a bearing's vibration and heat rise over days", 120, 300, True, 3, (1, 1)),
        PlantFaultKind("coolant loss", "all motors of a line run hot from one cause", 4, 24, False, 1, (1, 3)),
        PlantFaultKind("belt slip", "speed falls, the load with it", 1, 8, False, 3, (2, 5)),
    )

    def simulate(self, around: Surroundings, faults: PlantFaults, size: int) -> Sequence[DeviceTruth]:
        """A line of three motors for each size, and the hall."""
        hall = around.lagged(19 + 0.15 * (around.outdoor - 10), hours=8) + 2 * around.between(6, 22) * around.workday
        devices = [
            self._motor(around, faults, hall, line, line * MOTORS_A_LINE + place)
            for line in range(size)
            for place in range(MOTORS_A_LINE)
        ]
        traffic = 1.5 * around.between(6.5, 21.5) * around.workday
        door = around.spells("hall.door", traffic, minutes=(2, 9))
        air = hall - 2.5 * around.lagged(door, hours=0.25) + around.wander("hall.air", sigma=0.3, hours=2)
        humidity = np.clip(48 - 1.1 * (air - 20) + around.wander("hall.humidity", sigma=3, hours=20), 15, 95)
        devices.append(DeviceTruth("hall-01", "hall", HALL, np.stack((air, humidity, door)), group="hall"))
        return devices

    def _motor(self, around: Surroundings, faults: PlantFaults, hall: Floats, line: int, number: int) -> DeviceTruth:
        name = device_name("motor", number)
        constants = around.random(f"{name}.constants")
        wear, slip = faults.effect("bearing wear", number), faults.effect("belt slip", number)
        hot = faults.effect("coolant loss", line)
        pauses = around.spells(f"line-{line}.pause", np.full(around.rows, 0.06), minutes=(5, 40))
        running = (around.between(6, 22, soft=0.02) > 0.5) & around.workday & (pauses < 0.5)
        product = np.round(around.wander(f"line-{line}.product", sigma=1.2, hours=10)) * 0.06
        load = 0.62 + product + around.wander(f"{name}.load", sigma=0.035, hours=0.3) + constants.uniform(-0.05, 0.05)
        load = np.clip(load * (1 - 0.45 * slip), 0.1, 1.0) * running
        rise = constants.uniform(40, 55)
        heat = around.lagged(load * (rise + 30 * hot) + 14 * wear * running, hours=0.5)
        rough = constants.uniform(1.0, 1.8)
        vibration = running * rough * (0.6 + 0.6 * load) * (1 + 2.5 * wear) + 0.05
        crest = 3.3 + constants.uniform(-0.2, 0.2) + 3.0 * np.sqrt(wear) * running
        current = running * (3.2 + 17 * load * (1 + 0.06 * wear)) + 0.15
        speed = running * (1480 - 28 * load) * (1 - 0.12 * slip)
        energy = constants.uniform(2e3, 9e4) + np.cumsum(current * 0.61) * around.step / 3600.0
        values = np.stack((hall + heat, vibration, crest, current, speed, energy))
        return DeviceTruth(name, "motor", MOTOR, values, group=f"line-{line}")
