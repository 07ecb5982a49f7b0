"""Beside decode and route: what is known of each device beside its readings: there or not, refused, its clock.

Kept by name, since a device whose every message is refused has no series and yet must be seen. Part of the engine's
state: a function of the journal alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from common.durations import spoken_duration

MOST_DEVICES = 100_000
"""Most devices that anything is noted of; beyond, new ones are passed over."""

_QUARTER = 900_000_000_000
_QUARTER_REACH = 120_000_000_000
_LEAST_STREAK = 5
_LONGEST_OFFSET = 14 * 4
_SKEW_SHOWN = 60_000_000_000


@dataclass(slots=True)
class DeviceStatus:
    """What is noted of one device.

    `online` is what it, or the broker for it, said last of being there (None: nothing yet), at `online_since` (arrival,
    ns). `messages` counts its messages from the first note on, `refused` those of them refused whole, with the newest
    `reason` and `detail` at `refused_at`. `clock_not_set` and `clock_ahead` count readings placed at their arrival for
    their time. `offset` (ns) is how far its clock's time last lay ahead of arrival (negative: behind), `quarters` the
    whole quarter hours of that, and `streak` how many messages in a row it was that.
    """

    online: bool | None = None
    online_since: int = 0
    messages: int = 0
    refused: int = 0
    reason: str = ""
    detail: str = ""
    refused_at: int = 0
    clock_not_set: int = 0
    clock_ahead: int = 0
    time_unread: int = 0
    time_detail: str = ""
    offset: int = 0
    quarters: int = 0
    streak: int = 0

    @property
    def clock(self) -> str:
        """What is wrong with the device's clock, with the remedy, as a sentence; empty where nothing is known to be."""
        if self.quarters and self.streak >= _LEAST_STREAK:
            hours = self.quarters / 4
            way = "ahead" if self.quarters > 0 else "behind"
            sign = "+" if self.quarters > 0 else "-"
            whole, part = divmod(abs(self.quarters), 4)
            zone = f"{sign}{whole:02}:{15 * part:02}"
            return f'clock {abs(hours):g} h {way}: local time without a zone; set time_zone = "{zone}" on its route'
        if self.clock_ahead and self.offset > _SKEW_SHOWN:
            return f"clock {spoken_duration(self.offset)} ahead"
        if self.clock_not_set:
            return "clock not set: its readings are placed at their arrival"
        if self.time_unread:
            return f"time not understood, its readings are placed at their arrival: {self.time_detail}"
        return ""

    @property
    def is_refused(self) -> bool:
        """Whether every message of the device has been refused."""
        return 0 < self.messages == self.refused

    @property
    def refusal(self) -> str:
        """What is refused of the device's messages, as a sentence; empty where nothing is."""
        if not self.refused:
            return ""
        return f"{self.refused:,} of {self.messages:,} messages refused, the last one as {self.reason}: {self.detail}"


class DeviceStatuses:
    """The notes on all devices, by name."""

    def __init__(self) -> None:
        self._devices: dict[str, DeviceStatus] = {}

    def __len__(self) -> int:
        return len(self._devices)

    def __iter__(self) -> Iterator[tuple[str, DeviceStatus]]:
        return iter(list(self._devices.items()))

    def get(self, device: str) -> DeviceStatus | None:
        """What is noted of a device."""
        return self._devices.get(device)

    def of(self, device: str) -> DeviceStatus:
        """The notes on a device, made at first sight; notes that are not kept where there are too many devices."""
        found = self._devices.get(device)
        if found is None:
            found = DeviceStatus()
            if len(self._devices) < MOST_DEVICES:
                self._devices[device] = found
        return found

    def forget(self, device: str) -> None:
        """Note nothing of the device any more."""
        self._devices.pop(device, None)

    def refuse(self, device: str, reason: str, detail: str, arrival: int) -> None:
        """A message of the device was refused whole."""
        status = self.of(device)
        status.messages += 1
        status.refused += 1
        status.reason, status.detail, status.refused_at = reason, detail[:500], arrival

    def count(self, device: str, messages: int) -> None:
        """Messages of a device that has notes were taken."""
        if (status := self._devices.get(device)) is not None:
            status.messages += messages

    def set_online(self, device: str, online: bool, arrival: int) -> bool:
        """The device, or the broker for it, says whether it is there; returns whether that is news."""
        status = self.of(device)
        news = status.online is not online
        if news:
            status.online, status.online_since = online, arrival
        return news

    def observe(self, device: str, arrival: int) -> None:
        """A device that was said to be gone sends: it is there again."""
        status = self._devices.get(device)
        if status is not None and status.online is False and arrival > status.online_since:
            status.online, status.online_since = True, arrival

    def offset(self, device: str, offset: int, *, unbelievable: bool) -> None:
        """A message's time lies `offset` ns ahead of its arrival (negative: behind).

        Ahead it is `unbelievable`; behind it may be a backlog, and counts as the clock's where it is the same whole
        quarters of an hour message after message.
        """
        status = self.of(device)
        quarters = round(offset / _QUARTER)
        near = abs(offset - quarters * _QUARTER) <= _QUARTER_REACH and 0 < abs(quarters) <= _LONGEST_OFFSET
        steady = near and quarters == status.quarters and abs(offset - status.offset) <= _QUARTER_REACH
        status.streak = status.streak + 1 if steady else int(near)
        status.quarters = quarters if near else 0
        status.offset = offset
        if unbelievable:
            status.clock_ahead += 1

    def on_time(self, device: str) -> None:
        """A message's time is as it should be."""
        status = self._devices.get(device)
        if status is not None and status.streak:
            status.streak = status.quarters = status.offset = 0

    def state(self) -> dict[str, Any]:
        """All notes, as JSON."""
        return {name: asdict(status) for name, status in self._devices.items()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state` returned; what another version kept beside is passed over."""
        known = {field.name for field in fields(DeviceStatus)}
        self._devices = {
            name: DeviceStatus(**{key: value for key, value in status.items() if key in known})
            for name, status in saved.items()
        }


def mostly_refused(statuses: DeviceStatuses) -> str:
    """A sentence about the devices most of whose messages are refused, with the newest reason; empty where none is."""
    found = [
        (name, status) for name, status in statuses if status.refused >= 3 and 2 * status.refused > status.messages
    ]
    if not found:
        return ""
    name, status = max(found, key=lambda each: each[1].refused_at)
    others = len(found) - 1
    beside = f" (and of {others:,} other device{'s' if others > 1 else ''})" if others else ""
    return f'most messages of device "{name}"{beside} are refused as {status.reason}; see the dead letters for why'
