"""Between stages 4 and 5 of 7: event time. Readings wait for earlier ones up to a watermark; beyond it is late."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from common.growth import grown
from devices.batch import NO_TIME, Batch


@njit(nogil=True)
def _mark_late(
    series: NDArray[np.int32], time: NDArray[np.int64], newest: NDArray[np.int64], latest: int, late: NDArray[np.bool_]
) -> int:
    """Mark rows at or behind their series' newest time, and advance `newest`; returns how many are late.

    A newest time beyond `latest` does not count.
    """
    count = 0
    for i in range(len(series)):
        s = series[i]
        if time[i] > newest[s] or newest[s] > latest:
            newest[s] = time[i]
            late[i] = False
        else:
            late[i] = True
            count += 1
    return count


@njit(nogil=True)
def _advance(key: NDArray[np.int32], time: NDArray[np.int64], high: NDArray[np.int64], latest: int) -> None:
    """Raise each device's highest time seen; one beyond `latest` does not count."""
    for i in range(len(key)):
        known = high[key[i]]
        high[key[i]] = time[i] if known > latest else max(known, time[i])


class Orderer:
    """Puts each device's readings into event-time order and marks the late ones.

    A reading of a route with a reorder window waits until its device has sent one that is a whole window newer (the
    watermark has passed it), or until the window has passed by arrival time, whichever is first. Arrival time is the
    journal's, so a replay releases the same readings at the same places. The state is `newest` per series, `high`
    per device, and the rows that wait.

    A time further ahead than `future_skew` ns of the arrival of what comes now was given by a clock that has been set
    back since: it is forgotten, so that what comes now is not late.
    """

    def __init__(self, *, future_skew: int = 2**62) -> None:
        self._future_skew = future_skew
        self._newest = np.empty(0, np.int64)
        self._high = np.empty(0, np.int64)
        self._waiting = Batch.empty()
        self._due = np.empty(0, np.int64)
        self._watermark_lag = np.empty(0, np.int64)
        self._device = np.empty(0, np.int32)

    @property
    def waiting(self) -> int:
        """Readings held back."""
        return len(self._waiting)

    def grow(self, series: int, devices: int) -> None:
        """Make room for that many series and devices."""
        self._newest = grown(self._newest, series, NO_TIME)
        self._high = grown(self._high, devices, NO_TIME)

    def step(
        self,
        batch: Batch,
        device: NDArray[np.int32],
        window: NDArray[np.int64] | None,
        arrival: NDArray[np.int64] | None,
        now: int,
    ) -> tuple[Batch, NDArray[np.bool_]]:
        """Release what is due at arrival time `now`, in order; returns it with its late mask.

        `device` int32 (n,) is the device of each row, `window` and `arrival` int64 (n,) its reorder window and arrival
        time in ns; both None where no row has a window.
        """
        if window is not None and arrival is not None:
            batch = self._reorder(batch, device, window, arrival, now)
        elif len(self._waiting):
            none = np.zeros(len(batch), np.int64)
            batch = self._reorder(batch, device, none, none, now)
        late = np.empty(len(batch), np.bool_)
        _mark_late(batch.series, batch.time, self._newest, now + self._future_skew, late)
        return batch, late

    def _reorder(
        self, batch: Batch, device: NDArray[np.int32], window: NDArray[np.int64], arrival: NDArray[np.int64], now: int
    ) -> Batch:
        _advance(device, batch.time, self._high, now + self._future_skew)
        rows = Batch.concatenate([self._waiting, batch])
        due = np.concatenate([self._due, arrival + window])
        lag = np.concatenate([self._watermark_lag, window])
        owner = np.concatenate([self._device, device])
        # What arrived later than now did so before the clock was set back.
        overdue = (due <= now) | (due - lag > now)
        release = (rows.time <= self._high[owner] - lag) | overdue | (lag == 0)
        if (overdue & (lag > 0)).any():
            release |= _not_newer(rows.time, owner, overdue & (lag > 0))
        keep = ~release
        self._waiting, self._due = rows.take(keep), due[keep]
        self._watermark_lag, self._device = lag[keep], owner[keep]
        released = rows.take(release)
        windowed = lag[release] > 0
        if not windowed.any():
            return released
        # Rows without a window keep their arrival order; the others go by time, ties by arrival.
        order = np.concatenate(
            [np.flatnonzero(~windowed), np.flatnonzero(windowed)[np.argsort(released.time[windowed], kind="stable")]]
        )
        return released.take(order)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """A copy of the whole state."""
        return {
            "newest": self._newest.copy(),
            "high": self._high.copy(),
            "waiting.series": self._waiting.series,
            "waiting.time": self._waiting.time,
            "waiting.value": self._waiting.value,
            "waiting.due": self._due,
            "waiting.lag": self._watermark_lag,
            "waiting.device": self._device,
        }

    def load(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over a state that `state` returned."""
        self._newest = np.array(state["newest"], np.int64)
        self._high = np.array(state["high"], np.int64)
        self._waiting = Batch(
            np.array(state["waiting.series"], np.int32),
            np.array(state["waiting.time"], np.int64),
            np.array(state["waiting.value"], np.float64),
        )
        self._due = np.array(state["waiting.due"], np.int64)
        self._watermark_lag = np.array(state["waiting.lag"], np.int64)
        self._device = np.array(state["waiting.device"], np.int32)


def _not_newer(time: NDArray[np.int64], device: NDArray[np.int32], than: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows (n,) that are not newer than the newest row marked in `than` of their own device.

    What arrived last may be older than what has waited long enough: it must not stay behind, where it would be late.
    """
    devices, place = np.unique(device, return_inverse=True)
    newest = np.full(len(devices), NO_TIME, np.int64)
    np.maximum.at(newest, place[than], time[than])
    return time <= newest[place]
