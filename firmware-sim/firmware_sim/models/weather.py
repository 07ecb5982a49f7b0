"""A weather station in the yard."""

from __future__ import annotations

import numpy as np

from firmware_sim.models.device_model import VALUE_FAULTS, Channel, DeviceModel, Floats, Surroundings, wave


class WeatherStation(DeviceModel):
    """Temperature with a daily cycle, humidity against it, slow pressure, gusty wind."""

    kind = "weather"
    area = "yard"
    channels = (
        Channel("temperature", "°C", 1, -40, 60, 0.4),
        Channel("humidity", "%", 0, 0, 100, 1.5, (*VALUE_FAULTS, "correlation_break")),
        Channel("pressure", "hPa", 1, 800, 1100, 0.4),
        Channel("wind", "m/s", 1, 0, 60, 0.8, ("spike", "stuck", "noise_burst", "missing_channel")),
    )

    def __init__(self, devices: int, surroundings: Surroundings) -> None:
        super().__init__(devices, surroundings)
        self._mean = self._each(9, 15)
        self._breeze = self._each(2, 4)
        self._air = self._noise("temperature", sigma=0.35, tau=600)
        self._damp = self._noise("humidity", sigma=1.2, tau=300)
        self._barometer = self._noise("pressure", sigma=3.0, tau=20_000)
        self._gusts = self._noise("wind", sigma=0.25, tau=30)

    def block(self, seconds: Floats) -> Floats:
        """Temperature, humidity, pressure and wind."""
        ticks, day = len(seconds), self._day(seconds)
        temperature = self._mean + 5 * wave(day - 0.38) + self._air.block(ticks)
        humidity = 68 - 2.5 * (temperature - self._mean) + self._damp.block(ticks)
        pressure = 1013 + self._barometer.block(ticks)
        wind = self._breeze * np.exp(self._gusts.block(ticks))
        return np.stack((temperature, humidity, pressure, wind))
