"""Beside score: stretches of time that people do not want to be learned from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.batch import Batch
from devices.records import SeriesRecord
from devices.series_registry import SeriesRegistry

MOST = 1000
"""Stretches kept; beyond, the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Event time from `start` up to and without `end` (ns) of a device's metrics whose names match `metric`."""

    device: str
    metric: str
    start: int
    end: int

    def covers(self, record: SeriesRecord) -> bool:
        """Whether it is about this series."""
        return record.device == self.device and fnmatchcase(record.metric, self.metric)


class NotLearned:
    """All such stretches, and which readings lie in one."""

    def __init__(self, registry: SeriesRegistry) -> None:
        self._registry = registry
        self._stretches: list[Stretch] = []
        self._covered: list[list[int]] = []
        self._looked_at = 0

    def add(self, stretch: Stretch) -> None:
        """Learn from it no more."""
        self._stretches.append(stretch)
        self._covered.append([r.series for r in self._registry.records[: self._looked_at] if stretch.covers(r)])
        while len(self._stretches) > MOST:
            del self._stretches[0], self._covered[0]

    def learn(self, batch: Batch) -> NDArray[np.bool_]:
        """Which readings may be learned, (n,)."""
        may = np.ones(len(batch), np.bool_)
        if not self._stretches or not len(batch):
            return may
        self._look_at_new_series()
        first, last = int(batch.time.min()), int(batch.time.max())
        for stretch, series in zip(self._stretches, self._covered, strict=True):
            if series and stretch.start <= last and stretch.end > first:
                inside = (batch.time >= stretch.start) & (batch.time < stretch.end)
                may &= ~(inside & np.isin(batch.series, series))
        return may

    def state(self) -> list[dict[str, Any]]:
        """All stretches, as JSON."""
        return [asdict(stretch) for stretch in self._stretches]

    def load(self, state: Iterable[dict[str, Any]]) -> None:
        """Take over what `state` returned."""
        self._stretches, self._covered = [], []
        for saved in state:
            self.add(Stretch(**saved))

    def _look_at_new_series(self) -> None:
        new = self._registry.records[self._looked_at :]
        self._looked_at = len(self._registry)
        for stretch, series in zip(self._stretches, self._covered, strict=True):
            series.extend(record.series for record in new if stretch.covers(record))
