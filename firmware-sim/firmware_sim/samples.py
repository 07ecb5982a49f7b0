"""A device's series put together: what it measures at one time leaves it as one sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from firmware_sim.worlds.sampling import Series

NEVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured at one time, ns by the device's clock: values by metric."""

    time: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Presence:
    """How a family of devices says that a device is there, and its broker that it is gone: a retained topic.

    Where `online` is None, what the device writes tells that it is there, and the will is not retained.
    """

    topic: str
    online: bytes | None = b"online"
    offline: bytes = b"offline"


class SampleStream:
    """The samples of a device, in the order in which they leave it, from the one after `since` (ns) on."""

    def __init__(self, series: Sequence[Series], *, since: int = -1) -> None:
        self._series: Sequence[Series] = ()
        self.replace(series, since=since)

    def replace(self, series: Sequence[Series], *, since: int) -> None:
        """Go on with other series of the device after `since`, ns."""
        self._series = series
        sent = np.concatenate([one.sent for one in series])
        place = np.concatenate([np.arange(len(one.time)) for one in series])
        number = np.concatenate([np.full(len(one.time), i) for i, one in enumerate(series)])
        order = np.lexsort((number, place, sent))
        self._sent, self._place, self._number = sent[order], place[order], number[order]
        self._next = int(np.searchsorted(self._sent, since, side="right"))

    def read(self, now: int) -> list[Sample]:
        """What left the device since the last call, up to `now`, ns."""
        return [sample for _, sample in self.read_sent(now)]

    def read_sent(self, now: int) -> list[tuple[int, Sample]]:
        """The same, each with when it left, ns."""
        last = max(int(np.searchsorted(self._sent, now, side="right")), self._next)
        part = slice(self._next, last)
        self._next = last
        found: list[tuple[int, Sample]] = []
        values: dict[str, float] = {}
        rows = zip(self._number[part].tolist(), self._place[part].tolist(), self._sent[part].tolist(), strict=True)
        for i, j, leaves in rows:
            name, time = self._series[i].metric.name, int(self._series[i].time[j])
            if not found or found[-1][0] != leaves or found[-1][1].time != time or name in values:
                values = {}
                found.append((leaves, Sample(time, values)))
            values[name] = float(self._series[i].value[j])
        return found

    def next_time(self, now: int) -> int:
        """When something leaves the device next, ns; NEVER where nothing more does."""
        place = max(self._next, int(np.searchsorted(self._sent, now, side="right")))
        return int(self._sent[place]) if place < len(self._sent) else NEVER
