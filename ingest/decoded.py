"""Decode, what comes of it: readings in columns, and what else the messages of a chunk say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from devices.codec import Decoded, Note
from devices.codecs.readings import MOST_NAMED
from devices.messages import MessageChunk
from devices.rejection_reasons import NO_DATA, Reason
from ingest.route import Router, Unresolved

_MOST_DETAILS = 1_000

_NO_ROWS = (np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int32))


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message of the chunk (`whole`), or `count` readings of it, that go to the dead letters.

    `device` is the one that the message is of, as far as its topic tells; empty where it tells none.
    """

    message: int
    reason: Reason
    detail: str
    whole: bool = True
    count: int = 1
    device: str = ""


@dataclass(frozen=True, slots=True)
class Presence:
    """A message says whether a device is there."""

    message: int
    device: str
    online: bool


@dataclass(frozen=True, slots=True)
class State:
    """A reading that is text: what a series says from `time` on."""

    message: int
    series: int
    time: int
    text: str


@dataclass(frozen=True, slots=True)
class Retained:
    """The value of a retained message without a time: what stood at the broker, of an unknown age."""

    message: int
    series: int
    value: float | str


@dataclass(frozen=True, slots=True)
class Odd:
    """Something odd about the time of a device's message, or about the message as a whole.

    `kind` is `clock_not_set`, `clock_ahead`, `long_before_arrival` (history, what waited, or a clock that is behind),
    or that of a codec's note; `offset` (ns) is how far the time lay ahead of its arrival.
    """

    message: int
    device: str
    kind: str
    detail: str = ""
    offset: int = 0
    readings: int = 1


@dataclass(frozen=True, slots=True)
class Texts:
    """Readings that are text, each of them, as columns (n,): `text` are strings, the others as those of numbers are."""

    series: NDArray[np.int32]
    time: NDArray[np.int64]
    text: NDArray[np.object_]
    message: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Readings:
    """Columns of readings in message order: `series`, `time` (event time), `value`, `message` (row in the chunk).

    `ignored` counts readings, and whole messages, that the configuration drops; `no_data` those that hold no data, by
    reason, of which `no_data_details` tell the first. `states` are texts, without `repeated_states` that say what their
    series has said before; `told` are series and message of all of them, (t,) each. `texts` are all readings that are
    text, where the decoder keeps them.
    """

    series: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    message: NDArray[np.int32]
    rejections: list[Rejection]
    ignored: int
    no_data: Counter[Reason] = field(default_factory=Counter)
    states: list[State] = field(default_factory=list)
    presence: list[Presence] = field(default_factory=list)
    odd: list[Odd] = field(default_factory=list)
    retained: list[Retained] = field(default_factory=list)
    no_data_details: list[tuple[int, Reason, str]] = field(default_factory=list)
    repeated_states: int = 0
    told: tuple[NDArray[np.int32], NDArray[np.int32]] = (_NO_ROWS[0], _NO_ROWS[3])
    texts: list[Texts] = field(default_factory=list)


class Taken:
    """What is gathered of one chunk."""

    def __init__(self, router: Router, chunk: MessageChunk, topics: NDArray[np.int32]) -> None:
        self.chunk = chunk
        self.topics = topics
        self.ignored = 0
        self.repeated_states = 0
        self.states: list[State] = []
        self.texts: list[Texts] = []
        self._router = router
        self._columns: list[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]]] = []
        self._rejections: list[Rejection] = []
        self._named: Counter[tuple[int, Reason]] = Counter()
        self._no_data: Counter[Reason] = Counter()
        self._details: list[tuple[int, Reason, str]] = []
        self._presence: list[Presence] = []
        self._odd: list[Odd] = []
        self._retained: list[Retained] = []
        self._told: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []

    def add(
        self, series: NDArray[np.int32], time: NDArray[np.int64], value: NDArray[np.float64], message: NDArray[np.int32]
    ) -> None:
        """Take readings."""
        self._columns.append((series, time, value, message))

    def reject(self, message: int, reason: Reason, detail: str, *, whole: bool, count: int = 1) -> None:
        """Count what holds no data; name the first readings of a message that are refused, and count the others."""
        if reason in NO_DATA:
            self.no_data(message, reason, detail, count)
            return
        self._named[message, reason] += count
        if whole or self._named[message, reason] - count < MOST_NAMED:
            self._rejections.append(Rejection(message, reason, detail, whole, count, self.owner(message)))

    def no_data(self, message: int, reason: Reason, detail: str, count: int = 1) -> None:
        """Count a message, or readings of it, that hold no data."""
        self._no_data[reason] += count
        if len(self._details) < _MOST_DETAILS:
            self._details.append((message, reason, detail))

    def unresolved(self, codec: int, decoded: Decoded, message: NDArray[np.int32]) -> Unresolved:
        """Readings of one codec as the router takes them."""
        topics = self.topics[message]
        return Unresolved(codec, topics, decoded.metric, decoded.device, decoded.time, message, self.chunk)

    def owner(self, message: int) -> str:
        """The device that a message is of, as far as its topic tells."""
        topic = int(self.topics[message])
        return self._router.owner(topic) if topic >= 0 else ""

    def note(self, notes: list[Note], messages: NDArray[np.intp]) -> None:
        """Take a codec's notes on messages whose readings were taken."""
        for note in notes:
            at = int(messages[note.message])
            self._odd.append(Odd(at, self.owner(at), note.kind, note.detail))

    def say_presence(self, message: int, device: str | None, online: bool) -> None:
        """A message says whether a device, by default the one of its topic, is there."""
        name = self.owner(message) if device is None else self._router.book.current(device)
        self._presence.append(Presence(message, name, online))
        self.no_data(message, Reason.AVAILABILITY, f'"{name}" is {"online" if online else "offline"}')

    def retained(self, message: int, series: int, value: float | str) -> None:
        """Keep the value of a retained message without a time as the last known one."""
        self._retained.append(Retained(message, series, value))
        detail = "retained by the broker without a time of its own: kept as the last known value, of an unknown age"
        self.no_data(message, Reason.RETAINED, detail)

    def tell(self, series: NDArray[np.int32], message: NDArray[np.int32]) -> None:
        """Take note that these messages tell states of these series, (t,) each."""
        self._told.append((series, message))

    def odd_times(
        self,
        kind: str,
        rows: NDArray[np.bool_],
        series: NDArray[np.int32],
        message: NDArray[np.int32],
        time: NDArray[np.int64],
        arrival: NDArray[np.int64],
    ) -> None:
        """Note the odd times of rows, once for each device and message."""
        registry = self._router.registry
        device = registry.device_of()[series]
        found: dict[tuple[int, int], list[int]] = {}
        for row in np.flatnonzero(rows).tolist():
            found.setdefault((int(message[row]), int(device[row])), []).append(row)
        for (at, number), places in found.items():
            row = max(places, key=lambda place: int(time[place]))
            offset = int(time[row]) - int(arrival[row])
            shown = f"time {np.datetime64(int(time[row]), 'ns')}Z"
            self._odd.append(Odd(at, registry.device_names[number], kind, shown, offset, len(places)))

    def readings(self, *, ignored: int) -> Readings:
        """All of it."""
        shown: Counter[tuple[int, Reason]] = Counter()
        for each in self._rejections:
            shown[each.message, each.reason] += each.count
        for (at, reason), count in (self._named - shown).items():
            detail = f"{count:,} readings more"
            self._rejections.append(Rejection(at, reason, detail, whole=False, count=count, device=self.owner(at)))
        told = self._told or [(_NO_ROWS[0], _NO_ROWS[3])]
        series, time, value, message = self._columns[0] if self._columns else _NO_ROWS
        if len(self._columns) > 1:
            message = np.concatenate([part[3] for part in self._columns])
            order = np.argsort(message, kind="stable")
            message = message[order]
            series = np.concatenate([part[0] for part in self._columns])[order]
            time = np.concatenate([part[1] for part in self._columns])[order]
            value = np.concatenate([part[2] for part in self._columns])[order]
        return Readings(
            series,
            time,
            value,
            message,
            self._rejections,
            ignored + self.ignored,
            self._no_data,
            sorted(self.states, key=_message_of),
            self._presence,
            self._odd,
            sorted(self._retained, key=_message_of),
            self._details,
            self.repeated_states,
            (np.concatenate([part[0] for part in told]), np.concatenate([part[1] for part in told])),
            self.texts,
        )


def _message_of(told: State | Retained) -> int:
    return told.message
