"""Which devices are heard from. A retained message is history, not a sign of life."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from common.growth import grown
from detectors.detector import State
from devices.batch import NO_TIME

_CADENCE_WEIGHT = 0.1
_MISSED = 5.0
_LEAST_SILENCE = 30 * 10**9
_CLOCK_SET_BACK = 5 * 10**9


@njit(nogil=True)
def _observe(
    device: NDArray[np.int32],
    time: NDArray[np.int64],
    arrival: NDArray[np.int64],
    last_event: NDArray[np.int64],
    last_arrival: NDArray[np.int64],
    cadence: NDArray[np.float64],
) -> None:
    for i in range(len(device)):
        d = device[i]
        gap = arrival[i] - last_arrival[d]
        if gap < -_CLOCK_SET_BACK:
            last_event[d] = time[i]
            last_arrival[d] = arrival[i]
            continue
        last_event[d] = max(last_event[d], time[i])
        if gap <= 1_000_000:  # the readings of one message, or of one burst, are one sign of life
            continue
        if last_arrival[d] >= 0:
            cadence[d] = gap if cadence[d] == 0.0 else cadence[d] + _CADENCE_WEIGHT * (gap - cadence[d])
        last_arrival[d] = arrival[i]


class Liveness:
    """Per device: newest event time, newest arrival, and the arrival cadence that silence is measured by.

    All times int64 ns; `NO_TIME` where nothing was heard.
    """

    def __init__(self) -> None:
        self.last_event = np.empty(0, np.int64)
        self.last_arrival = np.empty(0, np.int64)
        self._cadence = np.empty(0)

    def grow(self, devices: int) -> None:
        """Make room for that many devices."""
        self.last_event = grown(self.last_event, devices, NO_TIME)
        self.last_arrival = grown(self.last_arrival, devices, -1)
        self._cadence = grown(self._cadence, devices, 0.0)

    def observe(self, device: NDArray[np.int32], time: NDArray[np.int64], arrival: NDArray[np.int64]) -> None:
        """Take note of live readings, all arrays (n,): device index, event time, arrival time."""
        _observe(device, time, arrival, self.last_event, self.last_arrival, self._cadence)

    def silent(self, now: int) -> NDArray[np.bool_]:
        """Which devices have missed several of their usual intervals by `now` (arrival clock, ns)."""
        patience = np.maximum(_LEAST_SILENCE, _MISSED * self._cadence)
        return now - self.last_arrival > patience

    def state(self) -> State:
        """A copy of the whole state."""
        return {
            "last_event": self.last_event.copy(),
            "last_arrival": self.last_arrival.copy(),
            "cadence": self._cadence.copy(),
        }

    def load(self, state: State) -> None:
        """Take over a state that `state` returned."""
        self.last_event = np.array(state["last_event"], np.int64)
        self.last_arrival = np.array(state["last_arrival"], np.int64)
        self._cadence = np.array(state["cadence"], np.float64)
