"""Route, its memory: which series there are, and which device each belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from common.growth import grown
from devices.records import SeriesRecord

Key = TypeVar("Key", str, tuple[str, str])


class TooManySeriesError(Exception):
    """A limit on the number of series is reached; the message names the limit and who reached it."""


class SeriesRegistry:
    """Dense indices for (device, metric) pairs and for devices, given in order of first sight and never reused.

    A series that is deleted keeps its index. Where its device sends again, device and series are new ones.
    """

    def __init__(self, *, max_series: int, max_series_per_device: int) -> None:
        self._max_series = max_series
        self._max_per_device = max_series_per_device
        self._series: dict[tuple[str, str], int] = {}
        self._devices: dict[str, int] = {}
        self._loaded: dict[tuple[str, int | None], int] = {}
        self._went: dict[int, int] = {}
        self._later_series: dict[tuple[str, str], list[int]] = {}
        self._later_devices: dict[str, list[int]] = {}
        self._series_per_device: list[int] = []
        self._most_per_device = 0
        self._device_of = np.empty(0, np.int32)
        self.records: list[SeriesRecord] = []
        self._changed: set[int] = set()
        self._before: dict[int, list[tuple[int, SeriesRecord]]] = {}
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
            number = self._loaded.setdefault((record.device, record.gone_at), len(self.device_names))
            self._append(record, number)
            if record.gone_at is not None:
                self._went[record.series] = record.gone_at
        self.stand_at(0)

    def stand_at(self, position: int) -> None:
        """Be as at a journal position: what went later is there, and what took its place waits until it goes."""
        self._series, self._devices = {}, {}
        later_series, later_devices = defaultdict(list), defaultdict(list)
        self._series_per_device = [0] * len(self.device_names)
        for record in self.records:
            went = self._went.get(record.series, position)
            self.records[record.series] = replace(record, gone_at=went if went < position else None)
            if went < position:
                continue
            key, number = (record.device, record.metric), int(self._device_of[record.series])
            self._series_per_device[number] += 1
            if self._series.setdefault(key, record.series) != record.series:
                later_series[key].append(record.series)
            if self._devices.setdefault(record.device, number) != number:
                later_devices[record.device].append(number)
        self._later_series, self._later_devices = dict(later_series), dict(later_devices)
        self._most_per_device = max(self._series_per_device, default=0)

    def all_known(self) -> list[SeriesRecord]:
        """Every record, as far as it is known what becomes of it: for another registry to load."""
        return [replace(record, gone_at=self._went.get(record.series)) for record in self.records]

    def series_of(self, device: str) -> list[int]:
        """The series of a device that are there, in order."""
        number = self._devices.get(device)
        if number is None:
            return []
        return [each for each in np.flatnonzero(self.device_of() == number).tolist() if self.is_there(each)]

    def is_there(self, series: int) -> bool:
        """Whether the series has not been deleted, nor become part of another."""
        return self.records[series].gone_at is None

    def there(self) -> NDArray[np.bool_]:
        """Of each device number, whether it has a series that is there, (devices,)."""
        return np.array(self._series_per_device, np.int64) > 0

    def knows_device(self, device: str) -> bool:
        """Whether the device has a series that is there."""
        return device in self._devices

    def remove(self, device: str, position: int) -> list[int]:
        """Let the device go with all its series, at a journal position; returns them."""
        gone = self.series_of(device)
        for series in gone:
            record = self.records[series]
            self.records[series] = replace(record, gone_at=position)
            self._went[series] = position
            self._changed.add(series)
            key = (record.device, record.metric)
            if self._series.get(key) == series:
                _go_on(self._series, self._later_series, key)
        if gone:
            self._series_per_device[self._devices[device]] = 0
            _go_on(self._devices, self._later_devices, device)
        return gone

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
        # Plain text: names as codecs give them carry facts, and no writer of JSON takes them for keys.
        record = SeriesRecord(len(self.records), str(device), str(metric), unit, kind)
        self._append(record, self._devices.setdefault(record.device, len(self.device_names)))
        self._series[record.device, record.metric] = record.series
        return record.series, record

    def describe(self, series: int, *, arrival: int, unit: str | None = None, kind: str | None = None) -> None:
        """Change what is known of a series, by a message of this `arrival`, ns."""
        was = self.records[series]
        now = replace(was, unit=was.unit if unit is None else unit, kind=was.kind if kind is None else kind)
        if now == was:
            return
        self.records[series] = now
        self._before.setdefault(series, []).append((arrival, was))
        self._changed.add(series)

    def record_at(self, series: int, moment: int) -> SeriesRecord:
        """The record as the messages up to the arrival `moment`, ns, described it.

        What came before the changes were taken last is in it anyway.
        """
        before = (was for arrival, was in self._before.get(series, ()) if moment < arrival)
        return next(before, self.records[series])

    def take_changed(self, known: int) -> list[SeriesRecord]:
        """The records of the first `known` series that have changed since this was called last."""
        changed = [self.records[series] for series in sorted(self._changed) if series < known]
        self._changed.clear()
        self._before.clear()
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

    def _append(self, record: SeriesRecord, number: int) -> None:
        if number == len(self.device_names):
            self.device_names.append(record.device)
            self._series_per_device.append(0)
        self._series_per_device[number] += 1
        self._most_per_device = max(self._most_per_device, self._series_per_device[number])
        self.records.append(record)
        self._device_of = grown(self._device_of, record.series + 1, -1)
        self._device_of[record.series] = number


def _go_on(current: dict[Key, int], later: dict[Key, list[int]], key: Key) -> None:
    """Let the next number that a key had in the past that is known take the place of the present one."""
    waiting = later.get(key)
    if waiting:
        current[key] = waiting.pop(0)
    else:
        del current[key]
