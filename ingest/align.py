"""Beside score: a device's readings, one metric at a time, aligned into rows with a value for each channel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit, subkernel
from common.growth import grown
from detectors.detector import State

FILLED = 4.0
"""How many of its usual intervals a channel's last value stands in for a new one before it counts as missing."""

_NO_TIME = np.iinfo(np.int64).min
_NONE = -1
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
    "message": (np.int64, True, _NO_TIME),
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


class Aligner:
    """The last value of each device's channels, and which of them have had a reading since its last row.

    A row is complete once the last reading that one message has of one time is in, and either that message brought
    several channels (one payload with several metrics), or each channel has had a reading since the last row (a topic
    for each metric). A channel without a new reading is forward-filled with its last value, but no longer than `FILLED`
    of its usual intervals: after that it is missing, and no longer waited for. Nor is one waited for whose interval is
    more than `FILLED` times that of the fastest that has a reading. A row has two values at least, and is newer than
    the one before. The first reading of a channel, or the first after it was missing, starts the next row afresh, so
    that rows hold readings of one round.

    All this depends on the readings and their messages alone: batches may be cut anywhere between two messages.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.size = 0
        self.width = 0
        self._following = np.empty(0, np.int64)
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
        """Wait for this channel of a device no longer, nor fill in its value."""
        self.arrays["active"][slot, channel] = False

    def step(
        self,
        slot: NDArray[np.int32],
        channel: NDArray[np.int32],
        time: NDArray[np.int64],
        message: NDArray[np.int64],
        value: NDArray[np.float64],
        score: NDArray[np.float64],
    ) -> Rows:
        """Take n readings in order, all (n,), and give the rows that they complete.

        `slot` is -1 for readings that belong to no row; `time` ascends within a channel; `message` tells the readings
        of one message from those of others; `score` is what the channel's own detectors say of the reading, NaN for
        nothing.
        """
        n, a = len(slot), self.arrays
        last = np.empty(n, np.bool_)
        if len(self._following) < self.size:
            self._following = np.full(len(a["newest"]), _NONE, np.int64)
        most = _mark_last(slot, time, message, self._following, last)
        none = np.full((2, most, self.width), np.nan)
        rows = Rows(np.empty(most, np.int32), np.empty(most, np.int64), np.empty(most, np.intp), *none)
        readings = _Readings(slot, channel, time, message, value, score, last)
        count = _align(readings, _State(**a), rows.slot, rows.time, rows.at, rows.value, rows.score)
        return Rows(rows.slot[:count], rows.time[:count], rows.at[:count], rows.value[:count], rows.score[:count])

    @property
    def layout_text(self) -> str:
        """Name and type of each array, and how many channels there are."""
        columns = (
            f"{name} {np.dtype(kind).str}{'[channels]' if each else ''}" for name, (kind, each, _) in _COLUMNS.items()
        )
        return f"{self.channels}: " + ", ".join(sorted(columns))

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
def _mark_last(slots: Any, times: Any, messages: Any, following: Any, last: Any) -> int:
    """Mark the last reading of each device, message and time in a batch; returns how many there are.

    `following` is scratch space, -1 for each slot: the reading after this one of the same device.
    """
    count = 0
    for i in range(len(slots) - 1, -1, -1):
        last[i] = False
        s = slots[i]
        if s >= 0:
            after = following[s]
            last[i] = after < 0 or times[after] != times[i] or messages[after] != messages[i]
            following[s] = i
            count += last[i]
    for i in range(len(slots)):
        if slots[i] >= 0:
            following[slots[i]] = _NONE
    return count


class _Readings(NamedTuple):
    """n readings as the kernel takes them, all (n,); `last` marks the last one of its device, message and time."""

    slot: NDArray[np.int32]
    channel: NDArray[np.int32]
    time: NDArray[np.int64]
    message: NDArray[np.int64]
    value: NDArray[np.float64]
    score: NDArray[np.float64]
    last: NDArray[np.bool_]


class _State(NamedTuple):
    """The state arrays (slots, channels), the last two (slots,): see `_COLUMNS`."""

    active: NDArray[np.bool_]
    fresh: NDArray[np.bool_]
    value: NDArray[np.float64]
    score: NDArray[np.float64]
    time: NDArray[np.int64]
    message: NDArray[np.int64]
    interval: NDArray[np.float64]
    intervals: NDArray[np.float64]
    newest: NDArray[np.int64]
    row_time: NDArray[np.int64]


@njit(nogil=True)
def _align(
    readings: _Readings,
    state: _State,
    row_slot: NDArray[np.int32],
    row_newest: NDArray[np.int64],
    row_at: NDArray[np.intp],
    row_value: NDArray[np.float64],
    row_score: NDArray[np.float64],
) -> int:
    slots, channels, times, messages = readings.slot, readings.channel, readings.time, readings.message
    active, fresh, value, score = state.active, state.fresh, state.value, state.score
    time, message, interval, newest, row_time = state.time, state.message, state.interval, state.newest, state.row_time
    rows, width = 0, row_value.shape[1]
    for i in range(len(slots)):
        s, c = slots[i], channels[i]
        if s < 0:
            continue
        if time[s, c] == _NO_TIME or times[i] - time[s, c] > _fill_time(interval[s, :width], c):
            _start_afresh(c, times[i], messages[i], fresh[s, :width], time[s], message[s])
        else:
            fresh[s, c] = True
        _take(readings, i, state)
        if not readings.last[i] or newest[s] <= row_time[s]:
            continue
        if not _complete(active[s], fresh[s, :width], time[s], message[s], interval[s, :width], times[i], messages[i]):
            continue
        row_slot[rows], row_newest[rows], row_at[rows] = s, newest[s], i
        row_time[s] = newest[s]
        for k in range(row_value.shape[1]):
            if fresh[s, k] or (active[s, k] and newest[s] - time[s, k] <= _fill_time(interval[s, :width], k)):
                row_value[rows, k] = value[s, k]
            row_score[rows, k] = score[s, k]
            score[s, k] = np.nan
            fresh[s, k] = False
        rows += 1
    return rows


@subkernel
def _take(readings: _Readings, i: int, state: _State) -> None:
    """Note a reading as its channel's newest, and learn how far apart the channel's readings usually are."""
    s, c, now = readings.slot[i], readings.channel[i], readings.time[i]
    if state.time[s, c] != _NO_TIME:
        gap = float(now - state.time[s, c])
        if math.isnan(state.interval[s, c]):
            state.interval[s, c] = gap
        state.intervals[s, c] = min(state.intervals[s, c] + 1.0, _REMEMBERED)
        gap = min(gap, _STRETCH * state.interval[s, c])
        state.interval[s, c] += (gap - state.interval[s, c]) / state.intervals[s, c]
    state.time[s, c] = now
    state.message[s, c] = readings.message[i]
    state.value[s, c] = readings.value[i]
    if not math.isnan(readings.score[i]) and not state.score[s, c] >= readings.score[i]:
        state.score[s, c] = readings.score[i]
    state.newest[s] = max(state.newest[s], now)


@subkernel
def _fill_time(interval: Any, channel: int) -> float:
    """Nanoseconds for which a channel's last value stands in: by its own interval, else by the longest other one."""
    own = interval[channel]
    if math.isnan(own):
        for k in range(interval.shape[0]):
            if not interval[k] <= own:
                own = interval[k]
    return FILLED * own if not math.isnan(own) else np.inf


@subkernel
def _start_afresh(channel: int, now: int, newest: int, fresh: Any, time: Any, message: Any) -> None:
    """Let the next row begin with this message: with this channel too, where it has others at the same time."""
    together = False
    for k in range(fresh.shape[0]):
        fresh[k] = k != channel and time[k] == now and message[k] == newest
        together |= fresh[k]
    fresh[channel] = together


@subkernel
def _complete(active: Any, fresh: Any, time: Any, message: Any, interval: Any, now: int, newest: int) -> bool:
    """Whether the newest message has several channels at `now`, or none is awaited; and whether the row would hold two
    values.
    """
    at_once, there, pace = 0, 0, np.inf
    for k in range(fresh.shape[0]):
        if fresh[k]:
            at_once += time[k] == now and message[k] == newest
            there += 1
            pace = min(pace, interval[k])
    if at_once >= 2 or there == 0:
        return at_once >= 2
    for k in range(fresh.shape[0]):
        if active[k] and not fresh[k] and time[k] != _NO_TIME and now - time[k] <= _fill_time(interval, k):
            there += 1
            if not interval[k] > FILLED * pace:
                return False
    return there >= 2
