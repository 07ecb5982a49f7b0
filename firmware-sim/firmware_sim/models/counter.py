"""A machine's counter of parts made."""

from __future__ import annotations

import numpy as np

from firmware_sim.models.device_model import Channel, DeviceModel, Floats, Surroundings, Total, wave


class Counter(DeviceModel):
    """A count that only grows, and the cycle time behind it, a little longer at night."""

    kind = "counter"
    area = "hall-2"
    channels = (
        Channel("count", "", 0, 0, 1e12, 5.0, ("stuck", "missing_channel")),
        Channel("cycle_time", "s", 3, 0, 600, 0.05),
    )

    def __init__(self, devices: int, surroundings: Surroundings) -> None:
        super().__init__(devices, surroundings)
        self._cycle = self._each(2.5, 5.5)
        self._pace = self._noise("pace", sigma=0.008, tau=60)
        self._jitter = self._noise("jitter", sigma=0.006, tau=1)
        self._parts = self._carries["parts"] = Total(np.floor(self._each(10_000, 90_000)))

    def block(self, seconds: Floats) -> Floats:
        """Count and cycle time."""
        ticks, day = len(seconds), self._day(seconds)
        cycle = self._cycle * (1 - 0.03 * wave(day - 0.3) + self._pace.block(ticks) + self._jitter.block(ticks))
        parts = self._parts.block(self._surroundings.interval / cycle)
        return np.stack((np.floor(parts), cycle))
