"""Homes: switches, contacts, motion, plugs, an energy meter, batteries; most report on change."""

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

CONTACT = (
    Metric("contact", "", 1.0, 0, 1, 0.0, Signal.STATE, 0.5, 3000.0),
    Metric("battery", "%", 1.0, 0, 100, 0.0, Signal.BATTERY, 1.0, 21_600.0),
)
MOTION = (
    Metric("occupancy", "", 1.0, 0, 1, 0.0, Signal.STATE, 0.5, 3000.0),
    Metric("illuminance", "lx", 1.0, 0, 65_535, 1.0, Signal.MEASUREMENT, 10.0, 3000.0),
)
CLIMATE = (
    Metric("temperature", "°C", 0.1, -20, 60, 0.03, Signal.MEASUREMENT, 0.2, 3600.0),
    Metric("humidity", "%", 0.5, 0, 100, 0.2, Signal.MEASUREMENT, 1.0, 3600.0),
    Metric("battery", "%", 1.0, 0, 100, 0.0, Signal.BATTERY, 1.0, 21_600.0),
)
FRIDGE_PLUG = (
    Metric("power", "W", 0.1, 0, 3680, 0.4),
    Metric("energy", "kWh", 0.001, 0, 1e6, 0.0, Signal.COUNTER),
)
METER = (
    Metric("power", "W", 1.0, 0, 30_000, 2.0),
    Metric("energy", "kWh", 0.001, 0, 1e8, 0.0, Signal.COUNTER),
)
SWITCH = (Metric("state", "", 1.0, 0, 1, 0.0, Signal.STATE),)


class SmartHome(World):
    """Homes of some people each. A fridge fails, a pipe freezes, a light stays on."""

    name = "smart-home"
    summary = "contacts, motion, climate on batteries (report on change), plugs, switches, meters that only count up"
    interval = 60.0
    sources = (
        "zigbee2mqtt, supported devices: Aqara contact, motion and climate sensors report changes, else about hourly",
        "BDEW standard load profile H0: evening peak, quiet nights, later mornings at weekends",
        "CR2032 in such sensors: one to two years, the voltage falls off at the end",
    )
    plant_faults = (
        PlantFaultKind("fridge failure", "the fridge's compressor runs on without a pause", 8, 48, False, 1, (1, 2)),
        PlantFaultKind("heating left off", "the rooms of a home cool down", 12, 48, False, 1, (1, 2)),
        PlantFaultKind("standby waste", "something draws power day and night", 24, 96, False, 1, (1, 2)),
    )

    def simulate(self, around: Surroundings, faults: PlantFaults, size: int) -> Sequence[DeviceTruth]:
        """One home for each size, of nine devices."""
        devices: list[DeviceTruth] = []
        for home in range(size):
            devices += self._home(around, faults, home)
        return devices

    def _home(self, around: Surroundings, faults: PlantFaults, home: int) -> list[DeviceTruth]:
        group = f"home-{home}"
        late = np.where(around.workday, 0.0, 1.5)
        awake = np.clip(around.between(6.5, 22.8, soft=0.4) - 0.3 * (late > 0) * around.between(6, 8), 0, 1)
        away = around.between(8, 16.5, soft=0.3) * around.workday
        present = np.clip(awake - 0.85 * away, 0, 1)
        light = around.sun * (1 - 0.7 * around.cloud)
        found: list[tuple[str, int, tuple[Metric, ...], Floats]] = []
        for n in range(2):
            comings = around.spells(f"{group}.door-{n}", 0.7 * present + 0.15 * awake, minutes=(1, 5))
            values = np.stack((1 - comings, self._charge(around, f"{group}.contact-{n}", 0.12)))
            found.append(("contact", n, CONTACT, values))
        for n in range(2):
            seen = around.spells(f"{group}.motion-{n}", 5.0 * present + 0.02, minutes=(2, 8))
            lamp = 120 * seen * (light < 0.05)
            found.append(("motion", n, MOTION, np.stack((seen, 300 * light + lamp))))
        cold = faults.effect("heating left off", home)
        for n in range(2):
            wish = 21 - 2.5 * (1 - awake) - cold * np.maximum(7 - 0.2 * around.outdoor, 0)
            air = around.lagged(wish, hours=3) + around.lagged(present, hours=1) * 0.7 + 1.2 * light
            humid = np.clip(48 + 5 * around.lagged(present, hours=1) - 1.5 * (air - 21) + 6 * cold, 20, 90)
            humid = humid + around.wander(f"{group}.humid-{n}", sigma=2, hours=12)
            air = air + around.wander(f"{group}.air-{n}", sigma=0.25, hours=2)
            found.append(("climate", n, CLIMATE, np.stack((air, humid, self._charge(around, f"{group}.c-{n}", 0.2)))))
        phase = around.random(f"{group}.fridge").uniform(0, 50)
        cycle = (around.seconds / 60 + phase + 4 * around.wander(f"{group}.cycle", sigma=1, hours=3)) % 50 < 17
        runs = np.maximum(cycle, faults.effect("fridge failure", home))
        fridge = 1.1 + 78 * runs
        energy = 120 + np.cumsum(fridge) * around.step / 3.6e6
        found.append(("fridge-plug", 0, FRIDGE_PLUG, np.stack((fridge, energy))))
        lamp_on = around.spells(f"{group}.lamp", 0.9 * present * (light < 0.08), minutes=(20, 140))
        found.append(("switch", 0, SWITCH, lamp_on[None, :]))
        cooking = around.spells(f"{group}.cooking", 0.5 * present, minutes=(8, 45))
        washing = around.spells(f"{group}.washing", 0.05 * awake, minutes=(60, 110))
        used = 95 + fridge + 60 * lamp_on + 1700 * cooking + 480 * washing + 160 * present
        used = used + 420 * faults.effect("standby waste", home)
        meter = np.stack((used, 18_203 + np.cumsum(used) * around.step / 3.6e6))
        found.append(("meter", 0, METER, meter))
        each = {"contact": 2, "motion": 2, "climate": 2}
        return [
            DeviceTruth(device_name(kind, home * each.get(kind, 1) + n), kind, metrics, values, group=group)
            for kind, n, metrics, values in found
        ]

    def _charge(self, around: Surroundings, name: str, a_day: float) -> Floats:
        """A battery's charge, % (rows,): slow at first, and still far from empty."""
        fresh = around.random(f"{name}.battery").uniform(60, 100)
        charge: Floats = np.maximum(fresh - (around.seconds - around.seconds[0]) / 86_400 * a_day, 1.0)
        return charge
