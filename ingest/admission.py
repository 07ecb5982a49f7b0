"""Between route and score: which new series detectors take up, so that invented names cost little.

A detector's state of a series takes some ten thousand bytes, a name that somebody publishes once takes twenty. Series
that come within an hour's allowance are taken up at once. Beyond it they wait until they have sent so many readings
that they are worth it, and behind the most that may be scored none is taken up any more. All of them are stored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.growth import grown
from common.time_units import HOUR
from detectors.detector import State
from devices.batch import NO_TIME
from ingest.ingest_settings import LimitSettings

_WORTH_IT = 20
"""Readings by which a series that waits has shown that it goes on."""


class Admission:
    """Per series whether it is taken up, and how many readings it sent while it waited.

    It goes by the readings and their arrivals alone, in their order, so that a replay takes up the same ones.
    """

    def __init__(self, limits: LimitSettings) -> None:
        self._most = limits.max_scored_series
        self._an_hour = limits.max_new_series_an_hour
        self._admitted = np.empty(0, np.bool_)
        self._waits = np.empty(0, np.bool_)
        self._seen = np.empty(0, np.int32)
        self._since = np.empty(0, np.int64)
        self._hour = 0
        self._in_hour = 0
        self._count = 0
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Series that are stored without being scored."""
        return self._waiting

    @property
    def full(self) -> bool:
        """Whether as many are scored as may be."""
        return self._count >= self._most

    def admits(self, series: int, arrival: int) -> bool:
        """Whether a series that is met for the first time, by a reading of this arrival (ns), is taken up at once."""
        self._grow(series + 1)
        if self._admitted[series]:
            return True
        hour = arrival // HOUR
        if hour != self._hour:
            self._hour, self._in_hour = hour, 0
        if self.full or self._in_hour >= self._an_hour:
            if not self._waits[series]:
                self._waits[series] = True
                self._waiting += 1
            return False
        self._in_hour += 1
        self._take(series)
        return True

    def are_waiting(self, series: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of these (n,) wait; a negative one is no series."""
        self._grow(int(series.max(initial=-1)) + 1)
        return self._waits[series] & (series >= 0)

    def hears(self, series: int, arrival: int) -> bool:
        """A reading of a series came: whether it shows that the series is worth it, and is taken up from now on."""
        if series >= len(self._waits) or not self._waits[series]:
            return False
        self._seen[series] = min(int(self._seen[series]) + 1, _WORTH_IT)
        if self._seen[series] < _WORTH_IT or self.full:
            return False
        self._take(series)
        self._since[series] = arrival
        return True

    def taken_up(self, series: NDArray[np.int32], arrival: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Which readings (n,) came, by their arrival, once their series was taken up; None for all."""
        if not len(series):
            return None
        self._grow(int(series.max()) + 1)
        came = arrival >= self._since[series]
        return None if came.all() else came

    def is_admitted(self, series: int) -> bool:
        """Whether detectors may score the series."""
        return series < len(self._admitted) and bool(self._admitted[series])

    def let_go(self, series: list[int]) -> None:
        """These series are gone: others may take their places."""
        for number in series:
            if number < len(self._admitted):
                self._count -= bool(self._admitted[number])
                self._waiting -= bool(self._waits[number])
                self._admitted[number] = self._waits[number] = False

    def state(self) -> State:
        """A copy of the whole state."""
        return {
            "admitted": self._admitted.copy(),
            "waits": self._waits.copy(),
            "seen": self._seen.copy(),
            "since": self._since.copy(),
            "hour": np.array([self._hour, self._in_hour], np.int64),
        }

    def load(self, state: State) -> None:
        """Take over a state that `state` returned."""
        self._admitted = np.array(state["admitted"], np.bool_)
        self._waits = np.array(state["waits"], np.bool_)
        self._seen = np.array(state["seen"], np.int32)
        self._since = np.array(state["since"], np.int64)
        self._hour, self._in_hour = (int(value) for value in state["hour"])
        self._count = int(np.count_nonzero(self._admitted))
        self._waiting = int(np.count_nonzero(self._waits))

    def admit_all(self, series: list[int]) -> None:
        """Take these for admitted: an earlier version scored them."""
        if series:
            self._grow(max(series) + 1)
            for number in series:
                if not self._admitted[number]:
                    self._take(number)

    def _take(self, series: int) -> None:
        self._admitted[series] = True
        self._count += 1
        if self._waits[series]:
            self._waits[series] = False
            self._waiting -= 1

    def _grow(self, size: int) -> None:
        if size > len(self._admitted):
            self._admitted, self._waits = (grown(array, size, False) for array in (self._admitted, self._waits))
            self._seen = grown(self._seen, size, 0)
            self._since = grown(self._since, size, NO_TIME)
