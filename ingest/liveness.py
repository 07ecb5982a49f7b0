"""Which devices are heard from. A retained message is history, not a sign of life.

A device may send on several topics in one burst, at steady intervals, on change alone, or a few times a day. So silence
is not measured by the usual interval between messages but by the longest that the device has been silent for: by a
little more than that where its intervals are alike, by several times that, and by a day at least, where they are not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from common.growth import grown
from detectors.detector import State
from devices.batch import NO_TIME

_SECOND = 10**9
_CLOCK_SET_BACK = 5 * _SECOND
_LEAST_SILENCE = 30 * _SECOND
_DAY = 86_400 * _SECOND
_NEW_FOR = 3 * _DAY
"""How long a device that has hardly sent is new, before it is silent."""
_FEWEST, _ENOUGH = 3, 20
"""Intervals that a device must have shown before it is not new any more, and before its longest one is trusted: the
first ones may all be of one burst."""
_STEADY, _STEADY_FACTOR, _CHANGE_FACTOR = 0.5, 5.0, 4.0
"""A device is steady whose long intervals lie off their mean by at most so much of it, in the mean; how many of its
longest intervals a steady device, and one that sends on change, may be silent for."""
_WEIGHT = 0.1


class _Activity(NamedTuple):
    """Per device: newest event time and arrival, the mean of its long intervals, how far they lie off it in the mean,
    and the longest, in ns, and how many intervals it has shown."""

    last_event: NDArray[np.int64]
    last_arrival: NDArray[np.int64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    longest: NDArray[np.float64]
    intervals: NDArray[np.int64]


@njit(nogil=True)
def _observe(
    device: NDArray[np.int32], time: NDArray[np.int64], arrival: NDArray[np.int64], activity: _Activity
) -> None:
    for i in range(len(device)):
        d = device[i]
        gap = arrival[i] - activity.last_arrival[d]
        if gap < -_CLOCK_SET_BACK:
            activity.last_event[d] = time[i]
            activity.last_arrival[d] = arrival[i]
            continue
        activity.last_event[d] = max(activity.last_event[d], time[i])
        if gap <= 1_000_000:  # the readings of one message, or of one burst, are one sign of life
            continue
        if activity.last_arrival[d] >= 0:
            longest = activity.longest[d]
            activity.intervals[d] += 1
            if gap >= longest:
                # An outage must not make the device be waited for much longer from then on.
                known = activity.intervals[d] > 20
                activity.longest[d] = min(float(gap), 4.0 * longest) if known else float(gap)
            elif gap > 0.1 * longest:
                activity.longest[d] = longest - 0.005 * (longest - gap)
            if gap > 0.1 * activity.longest[d]:
                taken = min(float(gap), activity.longest[d])
                if activity.mean[d] == 0.0:
                    activity.mean[d] = taken
                activity.deviation[d] += _WEIGHT * (abs(taken - activity.mean[d]) - activity.deviation[d])
                activity.mean[d] += _WEIGHT * (taken - activity.mean[d])
        activity.last_arrival[d] = arrival[i]


class Liveness:
    """Per device: newest event time, newest arrival, and the intervals that silence is measured by.

    All times int64 ns; `NO_TIME` where nothing was heard.
    """

    def __init__(self) -> None:
        none, no = np.empty(0, np.int64), np.empty(0)
        self._activity = _Activity(none, none, no, no, no, none)

    @property
    def last_event(self) -> NDArray[np.int64]:
        """Newest event time of each device."""
        return self._activity.last_event

    @property
    def last_arrival(self) -> NDArray[np.int64]:
        """Newest arrival of each device, -1 where nothing was heard."""
        return self._activity.last_arrival

    def grow(self, devices: int) -> None:
        """Make room for that many devices."""
        activity = self._activity
        if devices > len(activity.last_event):
            self._activity = _Activity(
                grown(activity.last_event, devices, NO_TIME),
                grown(activity.last_arrival, devices, -1),
                grown(activity.mean, devices, 0.0),
                grown(activity.deviation, devices, 0.0),
                grown(activity.longest, devices, 0.0),
                grown(activity.intervals, devices, 0),
            )

    def observe(self, device: NDArray[np.int32], time: NDArray[np.int64], arrival: NDArray[np.int64]) -> None:
        """Take note of live readings, all arrays (n,): device index, event time, arrival time."""
        _observe(device, time, arrival, self._activity)

    def silent(self, now: int) -> NDArray[np.bool_]:
        """Which devices have been silent by `now` (arrival clock, ns) for longer than they ever are."""
        return (now - self.last_arrival > self.patience()) & (self.last_arrival >= 0)

    def new(self) -> NDArray[np.bool_]:
        """Which devices have not shown yet how often they send."""
        return self._activity.intervals < _FEWEST

    def on_change(self) -> NDArray[np.bool_]:
        """Which devices send at intervals that are not alike, as those do that send on change."""
        return (self._activity.intervals >= _ENOUGH) & (self._activity.deviation > _STEADY * self._activity.mean)

    def patience(self) -> NDArray[np.float64]:
        """Nanoseconds that each device may be silent for."""
        longest = self._activity.longest
        steady = np.maximum(_LEAST_SILENCE, _STEADY_FACTOR * longest)
        changing = np.maximum(_DAY, _CHANGE_FACTOR * longest)
        known = np.where(self.on_change(), changing, steady)
        return np.where(self._activity.intervals < _ENOUGH, np.maximum(_NEW_FOR, _CHANGE_FACTOR * longest), known)

    def state(self) -> State:
        """A copy of the whole state."""
        return {name: array.copy() for name, array in self._activity._asdict().items()}

    def load(self, state: State) -> None:
        """Take over a state that `state` returned, by this version or the one before it."""
        last_event = np.array(state["last_event"], np.int64)
        none = np.zeros(len(last_event))
        self._activity = _Activity(
            last_event,
            np.array(state["last_arrival"], np.int64),
            np.array(state.get("mean", none), np.float64),
            np.array(state.get("deviation", none), np.float64),
            np.array(state.get("longest", none), np.float64),
            np.array(state.get("intervals", none), np.int64),
        )
