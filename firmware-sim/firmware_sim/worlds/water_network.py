"""A water network: pumps fill a tank by its level, districts draw on it, pipes leak."""

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

DISTRICT = (
    Metric("flow", "m³/h", 0.1, 0, 500, 0.3),
    Metric("pressure", "bar", 0.01, 0, 16, 0.015),
    Metric("volume", "m³", 0.1, 0, 1e9, 0.0, Signal.COUNTER),
)
TANK = (
    Metric("level", "m", 0.01, 0, 8, 0.006),
    Metric("turbidity", "NTU", 0.01, 0, 40, 0.01),
    Metric("chlorine", "mg/l", 0.01, 0, 5, 0.008),
)
PUMP = (
    Metric("running", "", 1.0, 0, 1, 0.0, Signal.STATE),
    Metric("power", "kW", 0.01, 0, 100, 0.05),
    Metric("starts", "", 1.0, 0, 65_536, 0.0, Signal.COUNTER, rollover=65_536.0),
)


class WaterNetwork(World):
    """Zones of a tank, its pump and three districts, which draw by the hour. Pipes burst or leak, pumps lose head."""

    name = "water-network"
    summary = "pumps, tanks, district flow and pressure, quality, meters that only count up; leaks and bursts"
    interval = 60.0
    sources = (
        "DVGW W 410: hourly factors of domestic demand, morning peak about twice the mean",
        "IWA, minimum night flow: 2 to 4 in the morning, where leaks show first",
        "Drinking water ordinance (TrinkwV): turbidity below 1 NTU, free chlorine up to 0.3 mg/l",
    )
    plant_faults = (
        PlantFaultKind("burst pipe", "flow up, pressure down in a district, the tank falls", 3, 20, False, 3, (1, 3)),
        PlantFaultKind("growing leak", "night flow rises over days", 120, 260, True, 3, (1, 1)),
        PlantFaultKind("pump failure", "the tank is not filled", 3, 9, False, 1, (1, 2)),
        PlantFaultKind("dirty water", "turbidity rises, chlorine falls", 2, 12, False, 1, (1, 3)),
    )

    def simulate(self, around: Surroundings, faults: PlantFaults, size: int) -> Sequence[DeviceTruth]:
        """A zone for each size."""
        devices: list[DeviceTruth] = []
        for zone in range(size):
            drawn, districts = self._districts(around, faults, zone)
            dry = faults.effect("pump failure", zone)
            area, capacity = 260.0, 190.0
            level, runs = _pumped(drawn, dry, area, capacity, around.step / 3600.0)
            for number, (flow, pressure) in districts.items():
                volume = 4e4 + 9e3 * number + np.cumsum(flow) * around.step / 3600.0
                values = np.stack((flow, pressure + 0.1 * (level - 4), volume))
                devices.append(
                    DeviceTruth(device_name("district", number), "district", DISTRICT, values, group=f"z{zone}")
                )
            dirt = faults.effect("dirty water", zone)
            storm = np.maximum(around.wander("weather.rain", sigma=1, hours=30) - 1.6, 0)
            turbidity = 0.12 + 0.04 * storm + 0.9 * dirt + 0.02 * np.abs(around.wander(f"t{zone}", sigma=1, hours=1))
            chlorine = 0.24 - 0.14 * dirt + around.wander(f"chlorine-{zone}", sigma=0.012, hours=6)
            water = np.stack((level, turbidity, chlorine))
            devices.append(DeviceTruth(device_name("tank", zone), "tank", TANK, water, group=f"z{zone}"))
            starts = 65_200 + zone * 40 + np.cumsum(np.diff(runs, prepend=runs[0]) > 0)
            pump = np.stack((runs, 0.4 + runs * (31 + 0.6 * (level - 4)), starts % 65_536))
            devices.append(DeviceTruth(device_name("pump", zone), "pump", PUMP, pump, group=f"z{zone}"))
        return devices

    def _districts(
        self, around: Surroundings, faults: PlantFaults, zone: int
    ) -> tuple[Floats, dict[int, tuple[Floats, Floats]]]:
        drawn = np.zeros(around.rows)
        found = {}
        late = 1.5 * ~around.workday
        course = 0.28 + 1.5 * around.between(6, 9, soft=0.5) * np.exp(-0.3 * late) + 0.75 * around.between(9, 23)
        course = course + 0.55 * around.between(18, 21.5, soft=0.7) + 0.35 * late * around.between(9, 13)
        for number in range(3 * zone, 3 * zone + 3):
            constants = around.random(f"district-{number}.constants")
            use = constants.uniform(18, 45)
            whims = np.exp(around.wander(f"district-{number}.demand", sigma=0.06, hours=0.4))
            burst, leak = faults.effect("burst pipe", number), faults.effect("growing leak", number)
            flow = use * (course * whims + 1.4 * burst + 0.7 * leak) * (1 + 0.01 * (around.outdoor - 10))
            pressure = constants.uniform(4.2, 5.6) - 0.00022 * flow**2 - 0.9 * burst - 0.25 * leak
            drawn += flow
            found[number] = (flow, pressure)
        return drawn, found


@njit(nogil=True)
def _pumped(drawn: Floats, dry: Floats, area: float, capacity: float, hours: float) -> tuple[Floats, Floats]:
    """Level (m) and pump of a tank of `area` m² that is filled at `capacity` m³/h between two of its levels."""
    level, runs = np.empty(len(drawn)), np.empty(len(drawn))
    now, on = 4.5, False
    for i in range(len(drawn)):
        if now < 3.4:
            on = True
        elif now > 5.4:
            on = False
        works = on and dry[i] == 0.0
        now = min(max(now + hours * ((capacity if works else 0.0) - drawn[i]) / area, 0.0), 7.5)
        level[i] = now
        runs[i] = 1.0 if works else 0.0
    return level, runs
