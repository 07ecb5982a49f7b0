"""Beside decode and route: what messages tell beside numbers: states, presence, refusals, clocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from devices.messages import FLAG_RETAIN, MessageChunk
from devices.records import StateRecord
from devices.series_registry import SeriesRegistry
from ingest.decoded import Readings
from ingest.device_status import DeviceStatuses

_PARTS = frozenset({"state", "data", "telemetry", "sensor", "sensors", "values", "readings", "measurements", "json"})
"""Last levels of topics that hold a device's readings as JSON: what the device is called is before them."""
_CLOCK_KINDS = frozenset({"clock_not_set", "clock_ahead", "clock_behind"})


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
        """Take in what a chunk told; the changes of states in it."""
        self._meet_parts()
        for rejection in readings.rejections:
            if rejection.whole and rejection.device:
                arrival = int(chunk.arrival[rejection.message])
                self.statuses.refuse(rejection.device, rejection.reason.value, rejection.detail, arrival)
        self._clocks(readings)
        said: dict[str, int] = {}
        for presence in readings.presence:
            arrival = int(chunk.arrival[presence.message])
            for device in self._parts.get(presence.device) or [presence.device]:
                self.statuses.set_online(device, presence.online, arrival)
                said[device] = arrival
        self._note_signs_of_life(readings, chunk, said)
        self.last_known.update(readings.last_known)
        if self.last_known and len(readings.series):
            for series in self.last_known.keys() & set(readings.series.tolist()):
                del self.last_known[series]
        changes = []
        for state in readings.states:
            self.last_known.pop(state.series, None)
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

    def _clocks(self, readings: Readings) -> None:
        for odd in readings.odd:
            if odd.kind == "clock_not_set":
                self.statuses.of(odd.device).clock_not_set += odd.readings
            elif odd.kind in _CLOCK_KINDS:
                self.statuses.offset(odd.device, odd.offset, unbelievable=odd.kind == "clock_ahead")
            elif odd.kind == "time_unread":
                status = self.statuses.of(odd.device)
                status.time_unread += 1
                status.time_detail = odd.detail[:200]

    def _note_signs_of_life(self, readings: Readings, chunk: MessageChunk, said: Mapping[str, int]) -> None:
        """Count the messages of devices that have notes, and take back what does not hold any more.

        `said` is when a device was last said to be there or not, in this chunk: what came before that is no news.
        """
        if not len(self.statuses) or not len(readings.series):
            return
        device = self._registry.device_of()[readings.series]
        pairs = np.unique(np.stack([device, readings.message]), axis=1)
        devices, first, messages = np.unique(pairs[0], return_index=True, return_counts=True)
        odd = {each.device for each in readings.odd if each.kind in _CLOCK_KINDS}
        for number, place, count in zip(devices.tolist(), first.tolist(), messages.tolist(), strict=True):
            name = self._registry.device_names[number]
            self.statuses.count(name, count)
            if name not in odd:
                self.statuses.on_time(name)
            message = int(pairs[1, place + count - 1])
            arrival = int(chunk.arrival[message])
            if not chunk.flags[message] & FLAG_RETAIN and arrival > said.get(name, -1):
                self.statuses.observe(name, arrival)
