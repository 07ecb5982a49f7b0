"""Who is heard from: devices, and metrics of devices. A retained message is history, not a sign of life.

A device may send on several topics in one burst, at steady intervals, on change alone, a few times a day, or by day
only. So silence is not measured by the usual interval between messages but by the longest that keeps coming: by several
times that, and by a day at least where intervals are not alike. An outage does not keep coming, so that the next one is
told as soon as the first was.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit, subkernel
from common.growth import grown
from common.time_units import DAY, HOUR, SECOND
from detectors.detector import State
from devices.batch import NO_TIME

_CLOCK_SET_BACK = 5 * SECOND
LEAST_SILENCE = 30 * SECOND
"""Nobody is silent sooner (ns)."""
_NEW_FOR = 3 * DAY
"""How long a device that has hardly sent is new, before it is silent."""
_FEWEST, _ENOUGH = 3, 20
"""Intervals that a device must have shown before it is not new any more, and before its longest one is trusted: the
first ones may all be of one burst."""
_STEADY, _STEADY_FACTOR, _LONG_FACTOR, _CHANGE_FACTOR = 0.5, 5.0, 3.0, 4.0
"""A device is steady whose long intervals lie off their mean by at most so much of it, in the mean; how many of its
longest intervals a steady device may be silent for, one whose longest is over an hour, and one that sends on change."""
_NO_LIMIT = int(np.iinfo(np.int64).max)
_WEIGHT = 0.1
_LENGTHS = 24
"""Interval lengths told apart: powers of two of a second, the last of them half a year."""
_MEMORY = 14 * DAY
_ONCE, _TWICE, _EACH = 0.5, 1.5, 4.0
"""An interval keeps coming that came once on the first day, later twice, and in the end every `_EACH` days."""


class _Activity(NamedTuple):
    """Of each: newest event time and arrival, the first arrival, the mean of the long intervals, how far they lie off
    it in the mean, the longest that keeps coming, and the longest of all of late, in ns; how many intervals there were;
    how many of each length, fading, and when they faded last."""

    last_event: NDArray[np.int64]
    last_arrival: NDArray[np.int64]
    first_arrival: NDArray[np.int64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    longest: NDArray[np.float64]
    longest_of_all: NDArray[np.float64]
    intervals: NDArray[np.int64]
    lengths: NDArray[np.float32]
    faded: NDArray[np.int64]


_FRESH = {
    "last_event": (np.int64, NO_TIME),
    "last_arrival": (np.int64, -1),
    "first_arrival": (np.int64, -1),
    "mean": (np.float64, 0.0),
    "deviation": (np.float64, 0.0),
    "longest": (np.float64, 0.0),
    "longest_of_all": (np.float64, 0.0),
    "intervals": (np.int64, 0),
    "lengths": (np.float32, 0.0),
    "faded": (np.int64, -1),
}


def _fresh(name: str, size: int) -> NDArray[Any]:
    kind, fill = _FRESH[name]
    return np.full((size, _LENGTHS) if name == "lengths" else size, fill, kind)


@subkernel
def _find_longest(d: int, now: int, activity: _Activity) -> None:
    """The longest interval that keeps coming: lengths are counted from the longest down."""
    age = (now - activity.first_arrival[d]) / DAY
    needed = _ONCE if age < 1.0 else max(_TWICE, min(age, _MEMORY / DAY) / _EACH)
    count, found = 0.0, 0
    for k in range(_LENGTHS - 1, -1, -1):
        count += activity.lengths[d, k]
        if count >= needed:
            found = k
            break
    activity.longest[d] = min(2.0 ** (found + 1) * SECOND, activity.longest_of_all[d])


@subkernel
def _note_interval(d: int, now: int, gap: int, activity: _Activity) -> None:
    activity.intervals[d] += 1
    activity.longest_of_all[d] = max(activity.longest_of_all[d], float(gap))
    length = int(min(max(math.log2(gap / SECOND), 0.0), _LENGTHS - 1.0))
    activity.lengths[d, length] += 1.0
    passed = now - activity.faded[d]
    if passed > HOUR:
        activity.faded[d] = now
        left = math.exp(-passed / _MEMORY)
        for k in range(_LENGTHS):
            activity.lengths[d, k] *= left
        # It is to be as long as one of the longest of those that are remembered.
        longest = 0
        for k in range(_LENGTHS):
            longest = k if activity.lengths[d, k] >= 0.1 else longest
        activity.longest_of_all[d] = max(min(activity.longest_of_all[d], 2.0 ** (longest + 1) * SECOND), float(gap))
        _find_longest(d, now, activity)
    elif gap > activity.longest[d]:
        _find_longest(d, now, activity)
    if gap > 0.1 * activity.longest[d]:
        taken = min(float(gap), activity.longest[d])
        if activity.mean[d] == 0.0:
            activity.mean[d] = taken
        activity.deviation[d] += _WEIGHT * (abs(taken - activity.mean[d]) - activity.deviation[d])
        activity.mean[d] += _WEIGHT * (taken - activity.mean[d])


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
            _note_interval(d, arrival[i], gap, activity)
        else:
            activity.first_arrival[d] = activity.faded[d] = arrival[i]
        activity.last_arrival[d] = arrival[i]


class Liveness:
    """Of each device, or each metric: newest event time and arrival, and the intervals that silence is measured by.

    All times int64 ns; `NO_TIME` where nothing was activity.
    """

    def __init__(self) -> None:
        self._activity = _Activity(**{name: _fresh(name, 0) for name in _FRESH})
        self._limit, self._limited_from = np.zeros((2, 0), np.int64)
        """How long each may be silent for by what describes it (ns; 0: nothing does), and since which arrival."""

    @property
    def last_event(self) -> NDArray[np.int64]:
        """Newest event time of each device."""
        return self._activity.last_event

    @property
    def last_arrival(self) -> NDArray[np.int64]:
        """Newest arrival of each device, -1 where nothing was activity."""
        return self._activity.last_arrival

    def grow(self, size: int) -> None:
        """Make room for that many."""
        if size > len(self._activity.last_event):
            # Those who ask what is silent meanwhile find at least as many limits as they find others.
            self._limit, self._limited_from = (grown(each, size, 0) for each in (self._limit, self._limited_from))
            now = self._activity._asdict()
            self._activity = _Activity(**{name: grown(now[name], size, _FRESH[name][1]) for name in _FRESH})

    def limit(self, one: int, within: int, arrival: int) -> bool:
        """Let one be silent for `within` ns at most (0: as long as it ever is); returns whether that is new."""
        if not within and one >= len(self._limit):
            return False
        self.grow(one + 1)
        if self._limit[one] == within:
            return False
        self._limit[one], self._limited_from[one] = within, arrival
        return True

    def limits(self, now: int) -> NDArray[np.float64]:
        """The nanoseconds that a description lets each be silent for, as of `now`; infinite where none says."""
        return np.where((self._limit > 0) & (self._limited_from <= now), self._limit, np.inf)

    def described(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The nanoseconds that a description lets each of the first so many be silent for, infinite where none says,
        and since which arrival: it may be among what has been read ahead."""
        limit = self._limit[:count]
        return np.where(limit > 0, limit, np.inf), self._limited_from[:count]

    @property
    def shortest_limit(self) -> float:
        """The shortest of these, ns; infinite where there is none."""
        return float(self._limit.min(where=self._limit > 0, initial=_NO_LIMIT))

    def observe(self, device: NDArray[np.int32], time: NDArray[np.int64], arrival: NDArray[np.int64]) -> None:
        """Take note of live readings, all arrays (n,): device index, event time, arrival time."""
        _observe(device, time, arrival, self._activity)

    def silent(self, now: int) -> NDArray[np.bool_]:
        """Which devices have been silent by `now` (arrival clock, ns) for longer than they ever are."""
        patience = self.patience()
        patience = np.minimum(patience, self.limits(now)[: len(patience)])
        return (now - self.last_arrival > patience) & (self.last_arrival >= 0)

    def quiet(self, now: int) -> NDArray[np.bool_]:
        """Which devices have sent nothing by `now` (arrival clock, ns) for far longer than they ever took so far.

        Not yet a reason to call one silent: what is known of it may be one burst, or it may send on change alone.
        """
        far = np.maximum(LEAST_SILENCE, _STEADY_FACTOR * self._activity.longest_of_all)
        described = np.isfinite(self.limits(now)[: len(far)])
        return (now - self.last_arrival > far) & (self._activity.intervals > 0) & ~described

    def new(self) -> NDArray[np.bool_]:
        """Which devices have not shown yet how often they send."""
        return self._activity.intervals < _FEWEST

    def known(self) -> NDArray[np.bool_]:
        """Which have shown enough intervals for the longest of them to be trusted."""
        return self._activity.intervals >= _ENOUGH

    @property
    def longest(self) -> NDArray[np.float64]:
        """The longest interval of each that keeps coming, ns."""
        return self._activity.longest

    def on_change(self) -> NDArray[np.bool_]:
        """Which devices send at intervals that are not alike, as those do that send on change."""
        return self.known() & (self._activity.deviation > _STEADY * self._activity.mean)

    def patience(self) -> NDArray[np.float64]:
        """Nanoseconds that each may be silent for."""
        longest = self._activity.longest
        factor = np.where(longest > HOUR, _LONG_FACTOR, _STEADY_FACTOR)
        steady = np.maximum(LEAST_SILENCE, factor * longest)
        changing = np.maximum(DAY, _CHANGE_FACTOR * longest)
        known = np.where(self.on_change(), changing, steady)
        new = np.maximum(_NEW_FOR, _CHANGE_FACTOR * self._activity.longest_of_all)
        return np.where(self._activity.intervals < _ENOUGH, new, known)

    def state(self) -> State:
        """A copy of the whole state."""
        limits = {"limit": self._limit.copy(), "limited_from": self._limited_from.copy()}
        return {name: array.copy() for name, array in self._activity._asdict().items()} | limits

    def load(self, state: State) -> None:
        """Take over a state that `state` returned, by this version or one before it."""
        size = len(state["last_event"])
        saved = {**{name: _fresh(name, size) for name in _FRESH}, **state}
        if "first_arrival" not in state:
            # The version before knew one longest interval: it counts as one that keeps coming.
            saved["first_arrival"] = saved["faded"] = saved["last_arrival"]
            saved["longest_of_all"] = saved["longest"]
            length = np.clip(np.log2(np.maximum(saved["longest"], SECOND) / SECOND), 0, _LENGTHS - 1).astype(int)
            saved["lengths"][np.arange(size), length] = _MEMORY / DAY
        self._activity = _Activity(**{name: np.array(saved[name], kind) for name, (kind, _) in _FRESH.items()})
        nothing = np.zeros(size, np.int64)
        self._limit, self._limited_from = (
            np.array(state.get(name, nothing), np.int64) for name in ("limit", "limited_from")
        )
