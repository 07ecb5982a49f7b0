"""Beside decode and route: what messages tell beside numbers: states, presence, refusals, clocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from devices.messages import FLAG_RETAIN, MessageChunk
from devices.records import StateRecord
from devices.series_registry import SeriesRegistry
from ingest.decoded import Odd, Presence, Readings, Rejection
from ingest.device_status import DeviceStatuses

_PARTS = frozenset({"state", "data", "telemetry", "sensor", "sensors", "values", "readings", "measurements", "json"})
"""Last levels of topics that hold a device's readings as JSON: what the device is called is before them."""
_CLOCK_KINDS = frozenset({"clock_not_set", "clock_ahead", "long_before_arrival"})
_NOTED = _CLOCK_KINDS | {"time_unread"}


@dataclass(frozen=True, slots=True)
class _SignOfLife:
    """So many messages with readings of a device: whether their times are as they should be, and none is retained."""

    device: str
    messages: int
    is_on_time: bool
    is_live: bool


class Observer:
    """Follows what is no number, as a function of the messages alone.

    `statuses` are the notes on devices by name, `last_state` the newest text of each series, `last_known` the values of
    retained messages without a time, by series, where nothing newer has come.
    """

    def __init__(self, registry: SeriesRegistry) -> None:
        self.statuses = DeviceStatuses()
        self.last_state: dict[int, str] = {}
        self.last_known: dict[int, float | str] = {}
        self._registry = registry
        self._parts: dict[str, list[str]] = {}
        self._met = 0

    def step(self, readings: Readings, chunk: MessageChunk) -> list[StateRecord]:
        """Take in what a chunk told, message by message; the changes of states in it."""
        self._meet_parts()
        self._follow_devices(readings, chunk)
        self._keep_last_known(readings)
        changes = []
        for state in readings.states:
            if self.last_state.get(state.series) != state.text:
                self.last_state[state.series] = state.text
                changes.append(StateRecord(state.series, state.time, state.text))
        return changes

    def forget(self, device: str, series: Iterable[int]) -> None:
        """The device is there no more, nor are its series."""
        self.statuses.forget(device)
        for number in series:
            self.last_state.pop(number, None)
            self.last_known.pop(number, None)

    def state(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {
            "devices": self.statuses.state(),
            "last_state": [[series, text] for series, text in self.last_state.items()],
            "last_known": [[series, value] for series, value in self.last_known.items()],
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self.statuses.load(saved.get("devices", {}))
        self.last_state = dict(map(tuple, saved.get("last_state", [])))
        self.last_known = dict(map(tuple, saved.get("last_known", [])))

    def _meet_parts(self) -> None:
        """Let what `site/pump/status` says hold for `site/pump/state`, whose JSON holds the readings of the pump."""
        names = self._registry.device_names
        for name in names[self._met :]:
            device, _, last = name.rpartition("/")
            if last.lower() not in _PARTS or not device or self._registry.knows_device(device):
                continue
            self._parts.setdefault(device, []).append(name)
            said = self.statuses.get(device)
            if said is not None and said.online is not None and not said.refused:
                self.statuses.set_online(name, said.online, said.online_since)
                self.statuses.forget(device)
        self._met = len(names)

    def _keep_last_known(self, readings: Readings) -> None:
        """Keep what retained messages say of a series until a newer reading or state of it has come."""
        if not readings.retained and not self.last_known:
            return
        newest: dict[int, int] = {}
        of_series, of_message = readings.told
        for series, message in ((readings.series, readings.message), (of_series, of_message)):
            for number, at in zip(series.tolist(), message.tolist(), strict=True):
                newest[number] = max(at, newest.get(number, at))
        for number in self.last_known.keys() & newest.keys():
            del self.last_known[number]
        for each in readings.retained:
            if newest.get(each.series, -1) < each.message:
                self.last_known[each.series] = each.value

    def _follow_devices(self, readings: Readings, chunk: MessageChunk) -> None:
        """Note on devices what each message told, in order: refused, odd clock, sign of life, there or gone."""
        notes: list[tuple[int, int, Rejection | Odd | Presence | _SignOfLife]] = []
        notes += [(each.message, 0, each) for each in readings.rejections if each.whole and each.device]
        notes += [(each.message, 1, each) for each in readings.odd if each.kind in _NOTED]
        for each in readings.presence:
            of = self._parts.get(each.device) or [each.device]
            notes += [(each.message, 3, replace(each, device=device)) for device in of]
        noted = {each.device for _, _, each in notes}
        if noted or len(self.statuses):
            odd = {(each.device, each.message) for each in readings.odd if each.kind in _CLOCK_KINDS}
            notes += [(at, 2, sign) for at, sign in self._signs_of_life(readings, chunk, noted, odd)]
        for at, _, note in sorted(notes, key=lambda each: each[:2]):
            arrival = int(chunk.arrival[at])
            match note:
                case Rejection():
                    self.statuses.refuse(note.device, note.reason.value, note.detail, arrival)
                case Odd():
                    self._note_clock(note)
                case Presence():
                    self.statuses.set_online(note.device, note.online, arrival)
                case _:
                    self._note_sign_of_life(note, arrival)

    def _note_clock(self, odd: Odd) -> None:
        if odd.kind == "clock_not_set":
            self.statuses.of(odd.device).clock_not_set += odd.readings
        elif odd.kind == "time_unread":
            status = self.statuses.of(odd.device)
            status.time_unread += 1
            status.time_detail = odd.detail[:200]
        else:
            self.statuses.offset(odd.device, odd.offset, unbelievable=odd.kind == "clock_ahead")

    def _note_sign_of_life(self, sign: _SignOfLife, arrival: int) -> None:
        self.statuses.count(sign.device, sign.messages)
        if sign.is_on_time:
            self.statuses.on_time(sign.device)
        if sign.is_live:
            self.statuses.observe(sign.device, arrival)

    def _signs_of_life(
        self, readings: Readings, chunk: MessageChunk, noted: set[str], odd: set[tuple[str, int]]
    ) -> Iterator[tuple[int, _SignOfLife]]:
        """The messages with readings of devices that have notes, or are `noted` now, and where they stand.

        Those of a device that nothing else is noted of, and that was not gone, are told as one.
        """
        device = self._registry.device_of()[readings.series]
        pairs = np.unique(np.stack([device, readings.message]), axis=1)
        devices, first, counts = np.unique(pairs[0], return_index=True, return_counts=True)
        for number, place, count in zip(devices.tolist(), first.tolist(), counts.tolist(), strict=True):
            name = self._registry.device_names[number]
            status = self.statuses.get(name)
            if name not in noted:
                if status is None:
                    continue
                if status.online is not False:
                    yield int(pairs[1, place]), _SignOfLife(name, count, is_on_time=True, is_live=False)
                    continue
            messages = pairs[1, place : place + count]
            live = (chunk.flags[messages] & FLAG_RETAIN) == 0
            for at, is_live in zip(messages.tolist(), live.tolist(), strict=True):
                yield at, _SignOfLife(name, 1, is_on_time=(name, at) not in odd, is_live=is_live)
