"""A cold chain: cold rooms with compressor cycles, defrosts, doors, under the weather."""

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

COLD_ROOM = (
    Metric("temperature", "°C", 0.1, -55, 125, 0.06),
    Metric("suction_pressure", "bar", 0.01, 0, 16, 0.02),
    Metric("power", "W", 1.0, 0, 20_000, 12.0),
    Metric("compressor", "", 1.0, 0, 1, 0.0, Signal.STATE),
    Metric("door", "", 1.0, 0, 1, 0.0, Signal.STATE, 0.5, 3600.0),
)
LOGGER = (
    Metric("temperature", "°C", 0.5, -40, 85, 0.1, Signal.MEASUREMENT, 0.5, 3600.0),
    Metric("battery", "%", 1.0, 0, 100, 0.0, Signal.BATTERY, 1.0, 21_600.0),
)


class ColdChain(World):
    """Cold rooms in pairs (chilled, frozen) on one supply, each with a battery logger at its far wall."""

    name = "cold-chain"
    summary = (
        "cold rooms: compressor cycles, defrosts, doors, outside weather; loggers on batteries that report changes"
    )
    interval = 60.0
    sources = (
        "Regulation (EC) 37/2005 and EN 12830: deep-frozen food at -18 °C, recorders of 0.1 K resolution",
        "ASHRAE Handbook, Refrigeration: hysteresis of 2 to 4 K, three to four defrosts a day",
        "DS18B20 data sheet: 85 °C after power-up, range -55 to 125 °C",
    )
    plant_faults = (
        PlantFaultKind("door left open", "a room warms, its compressor runs on", 0.7, 3, False, 2, (2, 5)),
        PlantFaultKind("refrigerant leak", "suction pressure falls, cycles grow longer", 100, 240, True, 2, (1, 1)),
        PlantFaultKind("compressor failure", "no cooling: the room follows its surroundings", 3, 10, False, 2, (1, 2)),
        PlantFaultKind("supply failure", "all rooms of a pair lose cooling at once", 2, 8, False, 1, (1, 2)),
    )

    def simulate(self, around: Surroundings, faults: PlantFaults, size: int) -> Sequence[DeviceTruth]:
        """Two pairs of cold rooms for each size, with a logger each."""
        devices = []
        for number in range(4 * size):
            name = device_name("cold-room", number)
            frozen = number % 2 == 1
            room = self._room(around, faults, name, number, frozen)
            devices.append(DeviceTruth(name, "cold-room", COLD_ROOM, room, group=f"pair-{number // 2}"))
            far = around.lagged(room[0], hours=0.5) + 0.4
            drain = 100 - (around.seconds - around.seconds[0]) / 86_400 * (0.25 if frozen else 0.12)
            charge = np.maximum(drain - around.random(f"{name}.battery").uniform(0, 40), 2.0)
            logger = device_name("logger", number)
            devices.append(DeviceTruth(logger, "logger", LOGGER, np.stack((far, charge)), group=f"pair-{number // 2}"))
        return devices

    def _room(self, around: Surroundings, faults: PlantFaults, name: str, number: int, frozen: bool) -> Floats:
        constants = around.random(f"{name}.constants")
        target = -20.0 if frozen else 4.0
        left_open = faults.effect("door left open", number)
        leak = faults.effect("refrigerant leak", number)
        failed = np.maximum(faults.effect("compressor failure", number), faults.effect("supply failure", number // 2))
        visits = 3.0 * around.between(5.5, 19) * around.workday + 0.5 * around.between(8, 16) + 0.02
        door = np.maximum(around.spells(f"{name}.door", visits, minutes=(1, 4)), left_open)
        ambient = 16 + 0.35 * around.outdoor
        defrost = ((around.hour + constants.uniform(0, 6)) % 6 < (0.45 if frozen else 0.25)).astype(np.float64)
        cooling = constants.uniform(0.42, 0.55) if frozen else constants.uniform(0.25, 0.33)
        tightness = constants.uniform(250, 320)
        temperature, runs = _thermostat(
            ambient, door, defrost, cooling * (1 - 0.5 * leak), failed, target, tightness, around.step / 60.0
        )
        pressure = (1.1 if frozen else 2.6) * (1 - 0.35 * leak) * (1 + 0.02 * (temperature - target))
        pressure = around.lagged(np.where(runs > 0, pressure, (2.4 if frozen else 4.1) * (1 - 0.2 * leak)), hours=0.03)
        power = 60 + runs * (1450 if frozen else 820) * (1 + 0.008 * (ambient - 20)) + 900 * defrost * frozen
        return np.stack((temperature, pressure, power, runs, door))


@njit(nogil=True)
def _thermostat(
    ambient: Floats,
    door: Floats,
    defrost: Floats,
    cooling: Floats,
    failed: Floats,
    target: float,
    tightness: float,
    minutes: float,
) -> tuple[Floats, Floats]:
    """Temperature and compressor of a room that cools between 1.2 K above and below its target.

    `cooling` is in K a minute, `tightness` the minutes in which heat leaks in, ten times faster at an open door.
    """
    temperature, runs = np.empty(len(ambient)), np.empty(len(ambient))
    now, on = target, False
    for i in range(len(ambient)):
        if now > target + 1.2:
            on = True
        elif now < target - 1.2:
            on = False
        works = on and defrost[i] == 0.0 and failed[i] == 0.0
        leaking = (ambient[i] - now) / tightness * (1.0 + 9.0 * door[i]) + 0.12 * defrost[i]
        now += minutes * (leaking - (cooling[i] if works else 0.0))
        temperature[i] = now
        runs[i] = 1.0 if works else 0.0
    return temperature, runs
