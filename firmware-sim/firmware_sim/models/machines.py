"""Rotating and stroking machines, whose temperature, vibration and current follow one load."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from firmware_sim.models.device_model import VALUE_FAULTS, Channel, DeviceModel, Floats, Surroundings, wave

COUPLED = (*VALUE_FAULTS, "correlation_break")


class Machine(DeviceModel):
    """A machine under a load between 0 and 1 that follows the shift and wanders.

    Current and vibration follow the load at once, temperature with some two minutes of inertia.
    """

    area = "hall-1"
    rise: ClassVar[float]
    """Kelvin above ambient at full load."""
    roughness: ClassVar[float]
    """Vibration at middle load, mm/s."""
    idle: ClassVar[float]
    span: ClassVar[float]
    """Current without load, and what full load adds, A."""

    def __init__(self, devices: int, surroundings: Surroundings) -> None:
        super().__init__(devices, surroundings)
        self._ambient = self._each(20, 23)
        self._base_load = self._each(0.55, 0.7)
        self._wear = self._each(0.85, 1.2)
        self._load = self._noise("load", sigma=0.05, tau=120)
        self._shake = self._noise("vibration", sigma=0.02, tau=2)
        self._probe = self._noise("temperature", sigma=0.06, tau=1)
        self._clamp = self._noise("current", sigma=0.008, tau=1)
        self._heat = self._inertia("heat", tau=120)

    def block(self, seconds: Floats) -> Floats:
        """Temperature, vibration and current."""
        ticks, day = len(seconds), self._day(seconds)
        load = np.clip(self._base_load + 0.1 * wave(day - 0.3) + self._load.block(ticks), 0.15, 1.0)
        ambient = self._ambient + 2 * wave(day - 0.4)
        temperature = ambient + self.rise * self._wear * self._heat.block(load) + self._probe.block(ticks)
        vibration = self.roughness * self._wear * (0.5 + 0.8 * load) * (1 + self._shake.block(ticks))
        current = self.idle + self.span * (load + self._clamp.block(ticks))
        return np.stack((temperature, vibration, current))


class Press(Machine):
    """A forming press."""

    kind = "press"
    channels = (
        Channel("temperature", "°C", 2, -20, 150, 1.2, COUPLED),
        Channel("vibration", "mm/s", 3, 0, 50, 0.12, COUPLED),
        Channel("current", "A", 2, 0, 100, 1.2, COUPLED),
    )
    rise, roughness, idle, span = 34.0, 2.4, 4.0, 22.0


class Pump(Machine):
    """A centrifugal pump."""

    kind = "pump"
    area = "hall-2"
    channels = (
        Channel("temperature", "°C", 2, -20, 150, 0.9, COUPLED),
        Channel("vibration", "mm/s", 3, 0, 50, 0.08, COUPLED),
        Channel("current", "A", 2, 0, 60, 0.6, COUPLED),
    )
    rise, roughness, idle, span = 26.0, 1.5, 2.0, 11.0


class Motor(Machine):
    """A conveyor's motor."""

    kind = "motor"
    channels = (
        Channel("temperature", "°C", 2, -20, 180, 1.5, COUPLED),
        Channel("vibration", "mm/s", 3, 0, 50, 0.06, COUPLED),
        Channel("current", "A", 2, 0, 40, 0.35, COUPLED),
    )
    rise, roughness, idle, span = 42.0, 1.1, 1.2, 6.5
