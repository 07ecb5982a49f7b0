"""A tank that is filled through a valve and emptied by use."""

from __future__ import annotations

import numpy as np

from firmware_sim.models.device_model import VALUE_FAULTS, Channel, DeviceModel, Floats, Surroundings

FILLING = 0.3
"""Part of a cycle in which the valve is open."""


class Tank(DeviceModel):
    """Level between some 30 and 80 %: the valve opens, inflow raises the level, the valve closes, use lowers it."""

    kind = "tank"
    area = "utilities"
    channels = (
        Channel("level", "%", 2, 0, 100, 3.0, (*VALUE_FAULTS, "correlation_break")),
        Channel("flow", "l/min", 2, 0, 200, 2.0, ("noise_burst", "stuck", "missing_channel")),
        Channel("valve", "%", 0, 0, 100, 5.0, ("missing_channel",)),
    )

    def __init__(self, devices: int, surroundings: Surroundings) -> None:
        super().__init__(devices, surroundings)
        self._period = self._each(240, 420)
        self._offset = self._each(0, 1)
        self._inflow = self._each(70, 110)
        self._slosh = self._noise("level", sigma=0.12, tau=2)
        self._turbulence = self._noise("flow", sigma=0.015, tau=2)

    def block(self, seconds: Floats) -> Floats:
        """Level, flow and valve position."""
        ticks = len(seconds)
        phase = (seconds / self._period + self._offset) % 1.0
        filling = phase < FILLING
        filled = np.where(filling, phase / FILLING, (1 - phase) / (1 - FILLING))
        level = 30 + 50 * filled + self._slosh.block(ticks)
        flow = np.where(filling, self._inflow * (1 + self._turbulence.block(ticks)), 0.0)
        return np.stack((level, flow, np.where(filling, 100.0, 0.0)))
