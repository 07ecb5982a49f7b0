"""Registry: what people, and rules, say of each device: name, labels, retired, muted, merged into another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any

from devices.records import DeviceRecord, SeriesRecord

MOST_DEVICES = 100_000
"""Most devices that are noted; beyond, new ones have no labels and no time of first sight."""

LabelsOf = Callable[[str, Sequence[str]], dict[str, str]]
"""The labels that rules give a device that appears on a topic of these levels."""


_FIELDS = tuple(each.name for each in fields(DeviceRecord))
_values_of = attrgetter(*_FIELDS)


def _no_labels(_device: str, _levels: Sequence[str]) -> dict[str, str]:
    return {}


class DeviceBook:
    """The records of all devices, by identity. A function of the journal and the settings alone."""

    def __init__(self, labels_of: LabelsOf = _no_labels) -> None:
        self._labels_of = labels_of
        self._records: dict[str, DeviceRecord] = {}
        self._changed: set[str] = set()
        self._retired: frozenset[str] = frozenset()
        self._muted: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[DeviceRecord]:
        return iter(list(self._records.values()))

    def load(self, records: Iterable[DeviceRecord]) -> None:
        """Take over stored records in place of what is known."""
        self._records = {record.device: record for record in records}
        self._changed.clear()
        self._retired = frozenset(record.device for record in self if record.retired_at is not None)
        self._muted = frozenset(record.device for record in self if record.muted_at is not None)

    def load_state(self, saved: Iterable[dict[str, Any]]) -> None:
        """Take over what `state` returned."""
        self.load(DeviceRecord(**record) for record in saved)

    def state(self) -> list[dict[str, Any]]:
        """All records, as JSON, with labels that are not copied: the engine waits for this with each snapshot."""
        return [dict(zip(_FIELDS, _values_of(record), strict=True)) for record in self._records.values()]

    def stand_at(self, position: int) -> None:
        """Take back the merges from a journal position on, which are to be done again."""
        for record in self:
            if record.merged_at is not None and record.merged_at >= position:
                self._records[record.device] = replace(record, merged_into="", merged_at=None)

    def get(self, device: str) -> DeviceRecord:
        """What is known of a device; a blank record where nothing is."""
        return self._records.get(device) or DeviceRecord(device)

    def knows(self, device: str) -> bool:
        """Whether anything is noted of the device."""
        return device in self._records

    def current(self, device: str) -> str:
        """The device whose readings these are: another one where it was merged into that."""
        for _ in range(len(self._records)):
            record = self._records.get(device)
            if record is None or not record.merged_into:
                break
            device = record.merged_into
        return device

    @property
    def retired(self) -> frozenset[str]:
        """The devices that are out of service."""
        return self._retired

    def is_retired(self, device: str) -> bool:
        """Whether the device is out of service."""
        return device in self._retired

    @property
    def muted(self) -> frozenset[str]:
        """The devices whose alarms nobody is to be told of."""
        return self._muted

    def meet(self, device: str, levels: Sequence[str], arrival: int) -> None:
        """A device sends on a topic of these levels; at its first sight, rules give it its labels."""
        if device in self._records or len(self._records) >= MOST_DEVICES:
            return
        self.put(DeviceRecord(device, labels=self._labels_of(device, levels), first_seen=arrival))

    def suggest_name(self, device: str, name: str) -> None:
        """Show a device under the name that it says it has, unless a person has named it."""
        record = self._records.get(device)
        if record is not None and not record.name and name != device:
            self.put(replace(record, name=name))

    def put(self, record: DeviceRecord) -> None:
        """Note a record in place of the one before."""
        self._records[record.device] = record
        self._changed.add(record.device)
        if (record.retired_at is not None) != (record.device in self._retired):
            self._retired ^= {record.device}
        if (record.muted_at is not None) != (record.device in self._muted):
            self._muted ^= {record.device}

    def forget(self, device: str) -> None:
        """Note nothing of the device any more."""
        self._records.pop(device, None)
        self._changed.add(device)
        self._retired -= {device}
        self._muted -= {device}

    def take_changed(self) -> tuple[list[DeviceRecord], list[str]]:
        """The records that have changed since this was called last, and the devices that are forgotten."""
        changed = sorted(self._changed)
        self._changed.clear()
        kept = [self._records[device] for device in changed if device in self._records]
        return kept, [device for device in changed if device not in self._records]


def noted(known: Iterable[DeviceRecord], series: Iterable[SeriesRecord]) -> list[DeviceRecord]:
    """The records that are known, and a blank one for each other device that has series: it was seen earlier."""
    found = {record.device: record for record in known}
    for each in series:
        if each.gone_at is None and each.device not in found:
            found[each.device] = DeviceRecord(each.device)
    return list(found.values())
