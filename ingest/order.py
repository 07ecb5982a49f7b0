"""Between decode and score: event time. Readings wait for earlier ones up to a watermark; beyond it they are late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit, subkernel
from common.growth import grown
from devices.batch import NO_TIME, Batch

_NONE = -1


@dataclass(frozen=True, slots=True)
class Arrived:
    """Readings as they come from the decoder, all (n,): the `device` of each, its reorder `window` and the `arrival`
    of its message, both in ns. Arrival times strictly increase from message to message.
    """

    batch: Batch
    device: NDArray[np.int32]
    window: NDArray[np.int64]
    arrival: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ordered:
    """Readings in the order in which they are scored, all (n,).

    `late` marks those at or behind their series' newest. `arrival`, in ns, names the message that brought each,
    `released` the arrival time up to which it waited: that of a message, or when its window had passed.
    """

    batch: Batch
    late: NDArray[np.bool_]
    arrival: NDArray[np.int64]
    released: NDArray[np.int64]

    def on_time(self) -> Ordered:
        """Those that are not late: mostly all."""
        if not self.late.any():
            return self
        keep = ~self.late
        return Ordered(self.batch.take(keep), self.late[keep], self.arrival[keep], self.released[keep])


class Orderer:
    """Puts each device's readings into event-time order and marks the late ones.

    A reading of a route with a reorder window waits until its device has sent one that is a whole window newer (the
    watermark has passed it), or until the window has passed by arrival time, whichever is first. Arrival time is that
    of the messages and ticks in the journal, one after the other: how the journal was cut into entries changes
    nothing, nor does what other devices send, and a replay releases the same readings at the same places. The state is
    `newest` per series, `high` per device, and the readings that wait. `reorders` says whether any route has a window
    at all.

    Different values of a series at one time are a conflict, not duplicates: each is kept, a nanosecond after the one
    before, in order of arrival.

    A time further ahead than `future_skew` ns of the arrival of what comes now was given by a clock that has been set
    back since: it is forgotten, so that what comes now is not late.
    """

    def __init__(self, *, reorders: bool, future_skew: int = 2**62) -> None:
        self._reorders = reorders
        self._future_skew = future_skew
        self.conflicts = 0
        """Of the readings released last, those that moved to a nanosecond of their own."""
        self._newest = _Newest(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        self._high = np.empty(0, np.int64)
        self._waiting = _nothing()

    @property
    def waiting(self) -> int:
        """Readings held back."""
        return len(self._waiting.batch)

    def grow(self, series: int, devices: int) -> None:
        """Make room for that many series and devices."""
        newest, said = (grown(times, series, NO_TIME) for times in (self._newest.newest, self._newest.said))
        self._newest = _Newest(newest, said, grown(self._newest.last, series, np.nan))
        self._high = grown(self._high, devices, NO_TIME)

    def step(self, arrived: Arrived, moments: NDArray[np.int64]) -> Ordered:
        """Take readings and release, in order, what is due.

        `moments` are the arrival times of all messages, those without a reading too, or the one time of a tick.
        """
        released = arrived.arrival
        if self.waiting or self._reorders:
            arrived, released = self._reorder(arrived, moments)
        # The caller's times stay as they are.
        batch = Batch(arrived.batch.series, arrived.batch.time.copy(), arrived.batch.value)
        late = np.empty(len(batch), np.bool_)
        self.conflicts = _mark_late(
            batch.series, batch.time, batch.value, released, self._future_skew, self._newest, late
        )
        return Ordered(batch, late, arrived.arrival, released)

    def move(self, to: Mapping[int, int]) -> None:
        """Let readings that wait be of other series."""
        waiting = self._waiting.batch
        if len(waiting):
            series = np.array([to.get(each, each) for each in waiting.series.tolist()], np.int32)
            self._waiting = replace(self._waiting, batch=Batch(series, waiting.time, waiting.value))

    def drop(self, series: Sequence[int]) -> int:
        """Let readings of these series wait no more; returns how many there were."""
        keep = np.flatnonzero(~np.isin(self._waiting.batch.series, series))
        dropped = self.waiting - len(keep)
        self._waiting = _taken(self._waiting, keep)
        return dropped

    def _reorder(self, arrived: Arrived, moments: NDArray[np.int64]) -> tuple[Arrived, NDArray[np.int64]]:
        first = self.waiting
        rows = _joined(self._waiting, arrived)
        due = rows.arrival + rows.window
        # What arrived later than what comes now did so before the clock was set back: it is due at once.
        if len(moments):
            due[:first][rows.arrival[:first] > moments[0]] = NO_TIME
        waiting = _Waiting(rows.batch.time, rows.device, rows.window, rows.arrival, due)
        order, released = np.empty(len(due), np.intp), np.full(len(due), NO_TIME, np.int64)
        by_due = np.argsort(due, kind="stable")
        count = _release(waiting, first, moments, by_due, self._future_skew, self._high, order, released)
        self._waiting = _taken(rows, np.flatnonzero(released == NO_TIME))
        return _taken(rows, order[:count]), released[order[:count]]

    def state(self) -> dict[str, NDArray[np.generic]]:
        """A copy of the whole state."""
        return {
            "newest": self._newest.newest.copy(),
            "said": self._newest.said.copy(),
            "last": self._newest.last.copy(),
            "high": self._high.copy(),
            "waiting.series": self._waiting.batch.series,
            "waiting.time": self._waiting.batch.time,
            "waiting.value": self._waiting.batch.value,
            "waiting.device": self._waiting.device,
            "waiting.window": self._waiting.window,
            "waiting.arrival": self._waiting.arrival,
        }

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state that `state` returned, by this version or the one before it."""
        window = np.array(state["waiting.window" if "waiting.window" in state else "waiting.lag"], np.int64)
        arrival = state["waiting.arrival"] if "waiting.arrival" in state else state["waiting.due"] - window
        newest = np.array(state["newest"], np.int64)
        last = np.array(state["last"], np.float64) if "last" in state else np.full(len(newest), np.nan)
        self._newest = _Newest(newest, np.array(state.get("said", newest), np.int64), last)
        self._high = np.array(state["high"], np.int64)
        self._waiting = Arrived(
            Batch(
                np.array(state["waiting.series"], np.int32),
                np.array(state["waiting.time"], np.int64),
                np.array(state["waiting.value"], np.float64),
            ),
            np.array(state["waiting.device"], np.int32),
            window,
            np.array(arrival, np.int64),
        )


class _Waiting(NamedTuple):
    """Readings that wait, then those that came now, all (n,); times in ns."""

    time: NDArray[np.int64]
    device: NDArray[np.int32]
    window: NDArray[np.int64]
    arrival: NDArray[np.int64]
    due: NDArray[np.int64]


class _ReleaseState(NamedTuple):
    """What a release works on.

    Of each device: `high`, its newest time, `limit`, the time up to which what waits is due, and `head`, the first of
    its waiting rows. Of each row: `behind`, the next of its device's, and `released`, the moment as of which it is.
    `order` is the rows as they are released.
    """

    high: NDArray[np.int64]
    limit: NDArray[np.int64]
    head: NDArray[np.int64]
    behind: NDArray[np.int64]
    released: NDArray[np.int64]
    order: NDArray[np.intp]


class _Newest(NamedTuple):
    """Of each series: the `newest` time, what it was `said` to be before a conflict moved it, and the `last` value."""

    newest: NDArray[np.int64]
    said: NDArray[np.int64]
    last: NDArray[np.float64]


@njit(nogil=True)
def _mark_late(
    series: NDArray[np.int32],
    time: NDArray[np.int64],
    value: NDArray[np.float64],
    released: NDArray[np.int64],
    future_skew: int,
    known: _Newest,
    late: NDArray[np.bool_],
) -> int:
    """Mark rows behind their series' newest time, and advance that; one too far ahead does not count.

    Another value at the newest time is a conflict: it moves to the nanosecond after the last one. The same value again
    is late, at the time of the one that it repeats. Returns how many conflicts there are.
    """
    conflicts = 0
    for i in range(len(series)):
        s = series[i]
        if time[i] > known.newest[s] or known.newest[s] > released[i] + future_skew:
            known.newest[s] = known.said[s] = time[i]
            known.last[s] = value[i]
            late[i] = False
            continue
        same = time[i] == known.said[s]
        late[i] = not same or value[i] == known.last[s]
        if not late[i]:
            known.newest[s] += 1
            known.last[s] = value[i]
            conflicts += 1
        if same:
            time[i] = known.newest[s]
    return conflicts


@njit(nogil=True)
def _release(
    rows: _Waiting,
    first: int,
    moments: NDArray[np.int64],
    by_due: NDArray[np.intp],
    future_skew: int,
    high: NDArray[np.int64],
    order: NDArray[np.intp],
    released: NDArray[np.int64],
) -> int:
    """Go from message to message, as if each were alone in the journal; fills `order`, and `released` with its moment.

    What became due before a message is released as of then, whether or not another device sent meanwhile. Rows before
    `first` waited already. Returns how many rows are released. Each device's waiting rows are a linked list, so that a
    message looks at its own device's and at what has become due alone.
    """
    head = np.full(len(high), _NONE, np.int64)
    behind = np.full(len(rows.time), _NONE, np.int64)
    for row in range(first):
        behind[row] = head[rows.device[row]]
        head[rows.device[row]] = row
    limit = np.full(len(high), NO_TIME, np.int64)
    state = _ReleaseState(high, limit, head, behind, released, order)
    touched = np.empty(2 * len(rows.time), np.int32)
    count, at, due = 0, first, 0
    for moment in moments:
        due, count = _release_overdue(rows, state, moment, by_due, due, touched, count)
        devices = 0
        while at < len(rows.time) and rows.arrival[at] <= moment:
            device = rows.device[at]
            known = high[device] <= moment + future_skew
            high[device] = max(high[device], rows.time[at]) if known else rows.time[at]
            touched[devices] = device
            devices += 1
            if rows.window[at] == 0:
                order[count], released[at] = at, moment
                count += 1
            else:
                behind[at] = head[device]
                head[device] = at
            at += 1
        unordered = count
        while due < len(by_due) and rows.due[by_due[due]] <= moment:
            row = by_due[due]
            if row < at and released[row] == NO_TIME:
                limit[rows.device[row]] = max(limit[rows.device[row]], rows.time[row])
                touched[devices] = rows.device[row]
                devices += 1
            due += 1
        count = _settle(rows, state, moment, touched[:devices], count)
        _sort_by_time(order[unordered:count], rows.time)
    return count


@subkernel
def _release_overdue(
    rows: _Waiting,
    state: _ReleaseState,
    moment: int,
    by_due: NDArray[np.intp],
    due: int,
    touched: NDArray[np.int32],
    count: int,
) -> tuple[int, int]:
    """Release one after the other what became due before the moment; returns the new place in `by_due`, and count."""
    while due < len(by_due) and rows.due[by_due[due]] < moment:
        row = by_due[due]
        due += 1
        if state.released[row] == NO_TIME:
            touched[0] = rows.device[row]
            state.limit[rows.device[row]] = rows.time[row]
            passed = moment if rows.due[row] == NO_TIME else rows.due[row]
            unordered = count
            count = _settle(rows, state, passed, touched[:1], count)
            _sort_by_time(state.order[unordered:count], rows.time)
    return due, count


@subkernel
def _settle(rows: _Waiting, state: _ReleaseState, moment: int, touched: NDArray[np.int32], count: int) -> int:
    """Release what the watermark or the limit of each touched device has passed; returns the new count.

    What arrived last may be older than what has waited long enough: it goes with it, since behind it it would be late.
    """
    for device in touched:
        last, row = _NONE, state.head[device]
        while row != _NONE:
            following = state.behind[row]
            if rows.time[row] <= state.high[device] - rows.window[row] or rows.time[row] <= state.limit[device]:
                state.order[count], state.released[row] = row, moment
                count += 1
                if last == _NONE:
                    state.head[device] = following
                else:
                    state.behind[last] = following
            else:
                last = row
            row = following
        state.limit[device] = NO_TIME
    return count


@subkernel
def _sort_by_time(rows: NDArray[np.intp], time: NDArray[np.int64]) -> None:
    """Sort rows by time, in place; ties by arrival, which is by row. Numba's own sorts take seconds to compile."""
    for start in range(len(rows) // 2 - 1, -1, -1):
        _sift(rows, time, start, len(rows))
    for end in range(len(rows) - 1, 0, -1):
        rows[0], rows[end] = rows[end], rows[0]
        _sift(rows, time, 0, end)


@subkernel
def _sift(rows: NDArray[np.intp], time: NDArray[np.int64], at: int, end: int) -> None:
    """Let the row at `at` sink in the heap rows[:end], of which each is later than the two below it."""
    child = 2 * at + 1
    while child < end:
        if child + 1 < end and _is_later(rows[child + 1], rows[child], time):
            child += 1
        if not _is_later(rows[child], rows[at], time):
            return
        rows[at], rows[child] = rows[child], rows[at]
        at, child = child, 2 * child + 1


@subkernel
def _is_later(row: int, other: int, time: NDArray[np.int64]) -> bool:
    return bool(time[row] > time[other] or (time[row] == time[other] and row > other))


def _nothing() -> Arrived:
    return Arrived(Batch.empty(), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64))


def _joined(one: Arrived, other: Arrived) -> Arrived:
    return Arrived(
        Batch.concatenate([one.batch, other.batch]),
        np.concatenate([one.device, other.device]),
        np.concatenate([one.window, other.window]),
        np.concatenate([one.arrival, other.arrival]),
    )


def _taken(rows: Arrived, index: NDArray[np.intp]) -> Arrived:
    return Arrived(rows.batch.take(index), rows.device[index], rows.window[index], rows.arrival[index])
