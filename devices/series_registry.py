"""Route, its memory: which series there are, and which device each belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from common.growth import grown
from devices.records import SeriesRecord


class TooManySeriesError(Exception):
    """A limit on the number of series is reached; the message names the limit and who reached it."""


class SeriesRegistry:
    """Dense indices for (device, metric) pairs and for devices, given in order of first sight and never reused."""

    def __init__(self, *, max_series: int, max_series_per_device: int) -> None:
        self._max_series = max_series
        self._max_per_device = max_series_per_device
        self._series: dict[tuple[str, str], int] = {}
        self._devices: dict[str, int] = {}
        self._series_per_device: list[int] = []
        self._most_per_device = 0
        self._device_of = np.empty(0, np.int32)
        self.records: list[SeriesRecord] = []
        self._changed: set[int] = set()
        self.device_names: list[str] = []

    def __len__(self) -> int:
        return len(self.records)

    def load(self, records: Iterable[SeriesRecord]) -> None:
        """Take over stored records; they must be numbered from `len(self)` without a gap, else ValueError."""
        for record in records:
            if record.series != len(self.records):
                raise ValueError(
                    f"series {record.device}/{record.metric}: expected index {len(self)}, got {record.series}"
                )
            self._add(record)

    def find(self, device: str, metric: str) -> int | None:
        """The index of a known series."""
        return self._series.get((device, metric))

    def find_or_add(
        self, device: str, metric: str, unit: str = "", kind: str = "measurement"
    ) -> tuple[int, SeriesRecord | None]:
        """The index of a series, and its record if it is new. Raises TooManySeriesError."""
        known = self._series.get((device, metric))
        if known is not None:
            return known, None
        if len(self.records) >= self._max_series:
            raise TooManySeriesError(
                f'series "{device[:80]}" "{metric[:80]}": limits.max_series = {self._max_series} is reached'
            )
        number = self._devices.get(device)
        if number is not None and self._series_per_device[number] >= self._max_per_device:
            limit = f"limits.max_series_per_device = {self._max_per_device}"
            raise TooManySeriesError(f'metric "{metric[:80]}": device "{device[:80]}" has reached {limit}')
        record = SeriesRecord(len(self.records), device, metric, unit, kind)
        self._add(record)
        return record.series, record

    def describe(self, series: int, *, unit: str | None = None, kind: str | None = None) -> None:
        """Change what is known of a series."""
        was = self.records[series]
        now = replace(was, unit=was.unit if unit is None else unit, kind=was.kind if kind is None else kind)
        if now == was:
            return
        self.records[series] = now
        self._changed.add(series)

    def take_changed(self, known: int) -> list[SeriesRecord]:
        """The records of the first `known` series that have changed since this was called last."""
        changed = [self.records[series] for series in sorted(self._changed) if series < known]
        self._changed.clear()
        return changed

    def near_limit(self, share: float) -> str | None:
        """A sentence about the limit that more than `share` of is used up, of all series first; None where none is."""
        if len(self.records) > share * self._max_series:
            return f"{len(self.records):,} of limits.max_series = {self._max_series:,} series"
        if self._most_per_device > share * self._max_per_device:
            number = self._series_per_device.index(self._most_per_device)
            return (
                f'device "{self.device_names[number]}" has {self._most_per_device:,} of '
                f"limits.max_series_per_device = {self._max_per_device:,} series"
            )
        return None

    def device_of(self) -> NDArray[np.int32]:
        """Device index of every series, (len(self),) int32."""
        return self._device_of[: len(self.records)]

    def _add(self, record: SeriesRecord) -> None:
        number = self._devices.setdefault(record.device, len(self.device_names))
        if number == len(self.device_names):
            self.device_names.append(record.device)
            self._series_per_device.append(0)
        self._series_per_device[number] += 1
        self._most_per_device = max(self._most_per_device, self._series_per_device[number])
        self._series[record.device, record.metric] = record.series
        self.records.append(record)
        self._device_of = grown(self._device_of, record.series + 1, -1)
        self._device_of[record.series] = number
