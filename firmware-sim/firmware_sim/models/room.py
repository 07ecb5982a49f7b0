"""An air-conditioned room, where people raise temperature, humidity and CO2."""

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


class Room(DeviceModel):
    """An office: full on workdays, nearly empty at night and at the weekend."""

    kind = "room"
    area = "building"
    channels = (
        Channel("temperature", "°C", 2, -10, 60, 0.3),
        Channel("humidity", "%", 1, 0, 100, 0.8, (*VALUE_FAULTS, "correlation_break")),
        Channel("co2", "ppm", 0, 380, 5000, 25.0),
    )

    def __init__(self, devices: int, surroundings: Surroundings) -> None:
        super().__init__(devices, surroundings)
        self._setpoint = self._each(20.5, 22.5)
        self._crowd = self._each(350, 700)
        self._comings = self._noise("occupancy", sigma=0.06, tau=300)
        self._probe = self._noise("temperature", sigma=0.05, tau=5)
        self._hygrometer = self._noise("humidity", sigma=0.25, tau=10)
        self._infrared = self._noise("co2", sigma=4.0, tau=3)
        self._air = self._inertia("air", tau=600)

    def block(self, seconds: Floats) -> Floats:
        """Temperature, humidity and CO2."""
        ticks, day = len(seconds), self._day(seconds)
        people = office_hours(day) * (0.1 + 0.9 * self._workday(seconds)) + self._comings.block(ticks)
        stale = self._air.block(np.clip(people, 0.0, 1.3))
        temperature = self._setpoint + 1.4 * stale + 0.5 * wave(day - 0.35) + self._probe.block(ticks)
        humidity = 44 + 6 * stale - 1.8 * (temperature - self._setpoint) + self._hygrometer.block(ticks)
        co2 = 430 + self._crowd * stale + self._infrared.block(ticks)
        return np.stack((temperature, humidity, co2))
