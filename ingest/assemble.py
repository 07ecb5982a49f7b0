"""Between stages 4 and 5 of 7: a device's readings, one metric at a time, become rows with a value for each channel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from common.growth import grown
from detectors.detector import State

HELD = 4.0
"""How many of its usual intervals a channel's last value is held before it counts as missing."""

_NO_TIME = np.iinfo(np.int64).min
_REMEMBERED = 20.0
"""Readings that a channel's usual interval is a mean over."""
_STRETCH = 4.0
"""Times the usual interval as which a longer one is learned at most: an outage must not stretch it."""

_COLUMNS: Mapping[str, tuple[Any, bool, float]] = {
    "active": (np.bool_, True, False),
    "fresh": (np.bool_, True, False),
    "value": (np.float64, True, np.nan),
    "score": (np.float64, True, np.nan),
    "time": (np.int64, True, _NO_TIME),
    "interval": (np.float64, True, np.nan),
    "intervals": (np.float64, True, 0),
    "newest": (np.int64, False, _NO_TIME),
    "row_time": (np.int64, False, _NO_TIME),
}
"""State arrays: type, whether there is one entry a channel or one a device, and what a fresh one holds."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of n devices in the order in which they became complete; times ascend within a `slot`.

    `slot` int32 and `time` int64 ns (n,); `at` intp (n,) is the reading that completed the row; `value` and `score`
    float64 (n, width): NaN where a channel is missing, respectively where its own detectors gave no score since the
    device's last row. `width` is the most channels that any device has had so far.
    """

    slot: NDArray[np.int32]
    time: NDArray[np.int64]
    at: NDArray[np.intp]
    value: NDArray[np.float64]
    score: NDArray[np.float64]


class Assembler:
    """What each device's channels said last, and which of them have spoken since its last row.

    A row is complete once the last reading of one time is in, and either several channels spoke at that time (one
    payload with several metrics), or each channel has spoken since the last row (a topic for each metric). A channel
    that did not speak is held at its last value, but no longer than `HELD` of its usual intervals: after that it is
    missing, and no longer waited for. Nor is one waited for whose interval is more than `HELD` times that of the
    fastest that spoke. A row has two values at least, and is newer than the one before. A channel that speaks for the
    first time, or again after it was missing, starts the next row afresh, so that rows hold readings of one round.

    All this depends on the readings and their order alone. The readings of one time come in one batch where they come
    in one message; batches may be cut anywhere else.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.size = 0
        self.width = 0
        self._upcoming = np.empty(0, np.int64)
        self.arrays: dict[str, NDArray[Any]] = {name: self._fresh(name, 0) for name in _COLUMNS}

    def grow(self, size: int) -> None:
        """Make room for devices 0 to `size` - 1."""
        for name, array in self.arrays.items():
            self.arrays[name] = grown(array, size, _COLUMNS[name][2])
        self.size = max(self.size, size)

    def take(self, slot: int, channel: int) -> None:
        """Wait for this channel of a device too."""
        self.arrays["active"][slot, channel] = True
        self.width = max(self.width, channel + 1)

    def drop(self, slot: int, channel: int) -> None:
        """Wait for this channel of a device no longer, nor hold its value."""
        self.arrays["active"][slot, channel] = False

    def step(
        self,
        slot: NDArray[np.int32],
        channel: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        score: NDArray[np.float64],
    ) -> Rows:
        """Take n readings in order, all (n,), and give the rows that they complete.

        `slot` is -1 for readings that belong to no row; `time` ascends within a channel; `score` is what the channel's
        own detectors say of the reading, NaN for nothing.
        """
        n, a = len(slot), self.arrays
        last = np.empty(n, np.bool_)
        if len(self._upcoming) < self.size:
            self._upcoming = np.full(len(a["newest"]), _NO_TIME)
        most = _mark_last(slot, time, self._upcoming, last)
        none = np.full((2, most, self.width), np.nan)
        rows = Rows(np.empty(most, np.int32), np.empty(most, np.int64), np.empty(most, np.intp), *none)
        count = _assemble(
            slot, channel, time, value, score, last, a["active"], a["fresh"], a["value"], a["score"], a["time"],
            a["interval"], a["intervals"], a["newest"], a["row_time"], rows.slot, rows.time, rows.at, rows.value,
            rows.score,
        )  # fmt: skip
        return Rows(rows.slot[:count], rows.time[:count], rows.at[:count], rows.value[:count], rows.score[:count])

    @property
    def bytes_per_slot(self) -> int:
        """Bytes of state that one device takes."""
        return sum(np.dtype(kind).itemsize * (self.channels if each else 1) for kind, each, _ in _COLUMNS.values())

    def state(self) -> State:
        """A copy of the whole state."""
        return {name: array[: self.size].copy() for name, array in self.arrays.items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state that `state` returned. Raises KeyError or ValueError where it does not fit."""
        loaded = {}
        for name, (kind, each, _) in _COLUMNS.items():
            array = np.array(state[name], kind, order="C")
            if array.shape[1:] != ((self.channels,) if each else ()):
                raise ValueError(f"rows: {name}: expected {self.channels} channels, got shape {array.shape}")
            loaded[name] = array
        self.arrays = loaded
        self.size = len(loaded["newest"])
        met = np.flatnonzero((loaded["active"] | (loaded["time"] != _NO_TIME)).any(axis=0))
        self.width = int(met[-1]) + 1 if len(met) else 0

    def _fresh(self, name: str, size: int) -> NDArray[Any]:
        kind, each, fill = _COLUMNS[name]
        return np.full((size, self.channels) if each else size, fill, kind)


@njit(nogil=True)
def _mark_last(slots: Any, times: Any, upcoming: Any, last: Any) -> int:
    """Mark the last reading of each device and time in a batch; returns how many there are."""
    count = 0
    for i in range(len(slots) - 1, -1, -1):
        last[i] = False
        s = slots[i]
        if s >= 0:
            last[i] = upcoming[s] != times[i]
            upcoming[s] = times[i]
            count += last[i]
    for i in range(len(slots)):
        if slots[i] >= 0:
            upcoming[slots[i]] = _NO_TIME
    return count


@njit(nogil=True)
def _assemble(
    slots: Any, channels: Any, times: Any, values: Any, scores: Any, last: Any, active: Any, fresh: Any, value: Any,
    score: Any, time: Any, interval: Any, intervals: Any, newest: Any, row_time: Any, row_slot: Any, row_newest: Any,
    row_at: Any, row_value: Any, row_score: Any,
) -> int:  # fmt: skip
    rows, width = 0, row_value.shape[1]
    for i in range(len(slots)):
        s, c = slots[i], channels[i]
        if s < 0:
            continue
        if time[s, c] == _NO_TIME or times[i] - time[s, c] > _held(interval[s, :width], c):
            _start_afresh(c, times[i], fresh[s, :width], time[s])
        else:
            fresh[s, c] = True
        if time[s, c] != _NO_TIME:
            gap = float(times[i] - time[s, c])
            if math.isnan(interval[s, c]):
                interval[s, c] = gap
            intervals[s, c] = min(intervals[s, c] + 1.0, _REMEMBERED)
            gap = min(gap, _STRETCH * interval[s, c])
            interval[s, c] += (gap - interval[s, c]) / intervals[s, c]
        time[s, c] = times[i]
        value[s, c] = values[i]
        if not math.isnan(scores[i]) and not score[s, c] >= scores[i]:
            score[s, c] = scores[i]
        newest[s] = max(newest[s], times[i])
        if (
            not last[i]
            or newest[s] <= row_time[s]
            or not _complete(active[s], fresh[s, :width], time[s], interval[s, :width], times[i])
        ):
            continue
        row_slot[rows], row_newest[rows], row_at[rows] = s, newest[s], i
        row_time[s] = newest[s]
        for k in range(row_value.shape[1]):
            if fresh[s, k] or (active[s, k] and newest[s] - time[s, k] <= _held(interval[s, :width], k)):
                row_value[rows, k] = value[s, k]
            row_score[rows, k] = score[s, k]
            score[s, k] = np.nan
            fresh[s, k] = False
        rows += 1
    return rows


@njit(nogil=True)
def _held(interval: Any, channel: int) -> float:
    """Nanoseconds for which a channel's value is held: by its own interval, or the longest other where it has none."""
    own = interval[channel]
    if math.isnan(own):
        for k in range(interval.shape[0]):
            if not interval[k] <= own:
                own = interval[k]
    return HELD * own if not math.isnan(own) else np.inf


@njit(nogil=True)
def _start_afresh(channel: int, now: int, fresh: Any, time: Any) -> None:
    """Let the next row hold what is said from `now` on: by this channel too, where others spoke at the same time."""
    together = False
    for k in range(fresh.shape[0]):
        fresh[k] = k != channel and time[k] == now
        together |= fresh[k]
    fresh[channel] = together


@njit(nogil=True)
def _complete(active: Any, fresh: Any, time: Any, interval: Any, now: int) -> bool:
    """Whether several channels spoke at `now`, or none is awaited; and whether two values would be in the row."""
    at_once, there, pace = 0, 0, np.inf
    for k in range(fresh.shape[0]):
        if fresh[k]:
            at_once += time[k] == now
            there += 1
            pace = min(pace, interval[k])
    if at_once >= 2 or there == 0:
        return at_once >= 2
    for k in range(fresh.shape[0]):
        if active[k] and not fresh[k] and time[k] != _NO_TIME and now - time[k] <= _held(interval, k):
            there += 1
            if not interval[k] > HELD * pace:
                return False
    return there >= 2
