"""A solar site with a battery: sun and cloud, inverters, the grid, loads of a household."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.compiled import njit
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

INVERTER = (
    Metric("ac_power", "W", 1.0, 0, 12_000, 3.0),
    Metric("dc_voltage", "V", 0.1, 0, 1000, 0.6),
    Metric("temperature", "°C", 0.1, -40, 110, 0.1),
    Metric("energy_today", "kWh", 0.01, 0, 200, 0.0, Signal.COUNTER),
)
BATTERY = (
    Metric("state_of_charge", "%", 0.1, 0, 100, 0.02),
    Metric("voltage", "V", 0.01, 0, 60, 0.02),
    Metric("current", "A", 0.1, -300, 300, 0.15),
)
GRID = (
    Metric("voltage", "V", 0.1, 0, 300, 0.35),
    Metric("frequency", "Hz", 0.001, 0, 70, 0.004),
    Metric("import", "kWh", 0.001, 0, 1e8, 0.0, Signal.COUNTER),
    Metric("export", "kWh", 0.001, 0, 1e8, 0.0, Signal.COUNTER),
)


class SolarBattery(World):
    """Roofs of two strings under one sky, a battery and a grid meter. Strings fail, panels soil, fans stop."""

    name = "solar-battery"
    summary = "inverters under sun and cloud, a battery, a grid meter with counters; a daily total that starts anew"
    interval = 60.0
    sources = (
        "EN 50160: 230 V plus or minus 10 %, 50 Hz plus or minus 1 %",
        "PVGIS (European Commission): yield of south-facing roofs at 49 degrees north, 950 to 1100 kWh per kWp a year",
        "LiFePO4 cells: 3.0 to 3.45 V over most of the charge, 16 in series",
    )
    plant_faults = (
        PlantFaultKind("string failure", "half of a roof yields nothing", 24, 72, False, 2, (1, 2)),
        PlantFaultKind("soiling", "a roof yields less over days", 150, 300, True, 2, (1, 1)),
        PlantFaultKind("fan failure", "an inverter runs hot in the sun, and throttles", 20, 60, False, 2, (1, 3)),
        PlantFaultKind("undervoltage", "the grid's voltage sags for all", 0.5, 4, False, 1, (2, 4)),
    )

    def simulate(self, around: Surroundings, faults: PlantFaults, size: int) -> Sequence[DeviceTruth]:
        """Two inverters, a battery and a meter for each size."""
        devices: list[DeviceTruth] = []
        light = around.sun * (1 - 0.78 * around.cloud**1.5)
        for site in range(size):
            made = np.zeros(around.rows)
            for number in (2 * site, 2 * site + 1):
                values = self._inverter(around, faults, number, light)
                made += values[0]
                name = device_name("inverter", number)
                devices.append(DeviceTruth(name, "inverter", INVERTER, values, group=f"site-{site}"))
            base = 260 + 340 * around.between(6.5, 23)
            cooking = around.spells(f"site-{site}.cooking", 0.35 * around.between(7, 21), minutes=(10, 50))
            used = base + 1900 * cooking + 60 * np.abs(around.wander(f"site-{site}.load", sigma=1, hours=0.5))
            charge, flow = _battery((made - used), 8.0, around.step / 3600.0)
            over = made - used - flow
            volts = 50.6 + 0.028 * charge + 0.006 * flow / 51.2
            battery = np.stack((charge, volts, flow / 51.2))
            devices.append(DeviceTruth(device_name("battery", site), "battery", BATTERY, battery, group=f"site-{site}"))
            sag = faults.effect("undervoltage", site)
            voltage = 231 - 2.5 * around.between(17, 21, soft=1) + 0.0006 * over - 17 * sag
            voltage = voltage + around.wander(f"site-{site}.voltage", sigma=0.9, hours=0.7)
            frequency = 50 + around.wander("grid.frequency", sigma=0.018, hours=0.15)
            bought, sold = (np.cumsum(np.maximum(p, 0)) * around.step / 3.6e6 for p in (-over, over))
            meter = np.stack((voltage, frequency, 5210 + bought, 11_822 + sold))
            devices.append(DeviceTruth(device_name("meter", site), "meter", GRID, meter, group=f"site-{site}"))
        return devices

    def _inverter(self, around: Surroundings, faults: PlantFaults, number: int, light: Floats) -> Floats:
        name = device_name("inverter", number)
        peak = around.random(f"{name}.constants").uniform(2500, 4500)
        hot = faults.effect("fan failure", number)
        loss = 1 - 0.5 * faults.effect("string failure", number) - 0.3 * faults.effect("soiling", number)
        power = peak * np.minimum(light, 0.85) * loss * (1 - 0.004 * np.maximum(around.outdoor - 10, 0))
        power = np.where(power > 15, power * (1 - 0.25 * hot), 0.0)
        awake = power > 0
        volts = awake * (560 + 25 * np.log1p(power / peak * 20) - 1.3 * (around.outdoor - 10))
        heat = around.lagged(power / peak * (26 + 32 * hot), hours=0.6)
        day = (around.local // 86_400).astype(np.int64)
        total = np.cumsum(power) * around.step / 3.6e6
        before = np.concatenate(([0.0], total[:-1]))[np.searchsorted(day, day)]
        return np.stack((power, volts, around.outdoor + 6 + heat, total - before))


@njit(nogil=True)
def _battery(surplus: Floats, capacity: float, hours: float) -> tuple[Floats, Floats]:
    """State of charge (%) and power into a battery of `capacity` kWh that takes the sun's surplus, up to 5 kW."""
    charge, flow = np.empty(len(surplus)), np.empty(len(surplus))
    now = 0.5 * capacity
    for i in range(len(surplus)):
        power = min(max(surplus[i], -5000.0), 5000.0)
        room = (capacity - now) / hours * 1000.0
        left = (now - 0.1 * capacity) / hours * 1000.0
        power = min(power, room) if power > 0 else -min(-power, max(left, 0.0))
        now += power / 1000.0 * hours
        charge[i] = 100.0 * now / capacity
        flow[i] = power
    return charge, flow
