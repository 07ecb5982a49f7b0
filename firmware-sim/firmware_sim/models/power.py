"""A building's power meter with a daily and a weekly load profile."""

from __future__ import annotations

import numpy as np

from firmware_sim.models.device_model import (
    VALUE_FAULTS,
    Channel,
    DeviceModel,
    Floats,
    Surroundings,
    office_hours,
    wave,
)


class PowerMeter(DeviceModel):
    """Load rises in working hours and halves at the weekend; the voltage sags under it; current follows from both."""

    kind = "meter"
    area = "power"
    channels = (
        Channel("power", "kW", 2, 0, 500, 2.0),
        Channel("voltage", "V", 1, 0, 300, 0.6),
        Channel("current", "A", 2, 0, 2000, 9.0, (*VALUE_FAULTS, "correlation_break")),
    )

    def __init__(self, devices: int, surroundings: Surroundings) -> None:
        super().__init__(devices, surroundings)
        self._base = self._each(18, 30)
        self._peak = self._each(40, 80)
        self._mains = self._each(228, 233)
        self._demand = self._noise("demand", sigma=1.6, tau=180)
        self._switching = self._noise("switching", sigma=0.4, tau=2)
        self._grid = self._noise("voltage", sigma=0.5, tau=60)
        self._clamp = self._noise("current", sigma=0.002, tau=1)

    def block(self, seconds: Floats) -> Floats:
        """Power, voltage and current of one phase equivalent."""
        ticks, day = len(seconds), self._day(seconds)
        work = office_hours(day) * (0.4 + 0.6 * self._workday(seconds))
        evening = np.clip(wave(day - 0.55), 0.0, None)
        power = self._base + self._peak * work + 6 * evening + self._demand.block(ticks) + self._switching.block(ticks)
        power = np.clip(power, 1.0, None)
        voltage = self._mains - 0.03 * power + self._grid.block(ticks)
        current = 1000 * power / voltage * (1 + self._clamp.block(ticks))
        return np.stack((power, voltage, current))
