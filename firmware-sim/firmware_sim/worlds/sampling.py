"""What sensors make of a world: jitter, noise, quantisation, limits, reports on change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from firmware_sim.worlds.surroundings import Surroundings
from firmware_sim.worlds.world import DeviceTruth, Floats, Metric

JITTER = 0.004
"""Standard deviation of a sampling time, in steps of the grid."""


@dataclass(slots=True)
class Series:
    """What one metric of one device reports, in order of arrival: `time` int64 ns and `value` float64, both (n,).

    `sent` int64 ns (n,) is when a reading leaves the device: its time, but where the device's clock or the way is at
    fault.
    """

    device: str
    kind: str
    group: str
    metric: Metric
    time: NDArray[np.int64]
    value: Floats
    sent: NDArray[np.int64]

    @property
    def name(self) -> str:
        """Device and metric."""
        return f"{self.device}/{self.metric.name}"


def sample(devices: Sequence[DeviceTruth], around: Surroundings) -> list[Series]:
    """What all sensors of the devices report over the whole grid."""
    series: list[Series] = []
    for truth in devices:
        random = around.random(f"{truth.device}.sampling")
        step = around.step * 1e9
        phase = random.uniform(0.05, 0.8) * step
        late = phase + np.clip(random.normal(0, JITTER, around.rows), -0.02, 0.02) * step
        time = around.time + late.astype(np.int64) // 1_000_000 * 1_000_000
        for metric, values in zip(truth.metrics, truth.values, strict=True):
            noise = around.random(f"{truth.device}.{metric.name}.noise").standard_normal(around.rows)
            # A counter of seconds of sensor noise would run backwards: counters and states are exact.
            reported = quantised(values + metric.noise * noise, metric)
            kept = np.ones(around.rows, np.bool_) if truth.on is None else truth.on.copy()
            if metric.report_change is not None:
                kept &= _changes(time, reported, metric.report_change, int(metric.heartbeat * 1e9))
            series.append(Series(truth.device, truth.kind, truth.group, metric, time[kept], reported[kept], time[kept]))
    return series


def quantised(values: Floats, metric: Metric) -> Floats:
    """`values` as the sensor shows them: within its limits, in its steps; counters only whole steps that are over."""
    steps = np.clip(values, metric.low, metric.high) / metric.resolution
    whole = np.floor(steps + 1e-6) if metric.signal == "counter" else np.round(steps)
    return np.round(whole * metric.resolution, 6)


@njit(nogil=True)
def _changes(time: NDArray[np.int64], value: Floats, change: float, heartbeat: int) -> NDArray[np.bool_]:
    """Which readings a sensor sends that reports a change of at least `change`, and something each `heartbeat` ns."""
    kept = np.zeros(len(value), np.bool_)
    last, at = 0.0, 0
    for i in range(len(value)):
        if i == 0 or abs(value[i] - last) >= change - 1e-9 or time[i] - at >= heartbeat:
            kept[i] = True
            last, at = value[i], time[i]
    return kept
