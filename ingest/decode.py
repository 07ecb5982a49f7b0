"""Decode: raw messages become columns of readings; routes that share a codec are decoded together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from common.growth import grown
from devices.batch import NO_TIME
from devices.codec import Codec, Decoded, Note
from devices.codec import Role as ValueRole
from devices.codecs.readings import MOST_NAMED
from devices.messages import FLAG_RETAIN, MessageChunk
from devices.profile import Role
from devices.rejection_reasons import NO_DATA, Reason
from ingest.route import IGNORED, Router, Unresolved

_FAR_BEHIND = 840_000_000_000
"""From so long behind its arrival (ns) a reading's time may tell a clock without a zone."""


_MOST_DETAILS = 1_000


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
class Odd:
    """Something odd about the time of a device's message, or about the message as a whole.

    `kind` is `clock_not_set`, `clock_ahead`, `clock_behind` (whole quarter hours, perhaps), or that of a codec's note;
    `offset` (ns) is how far the time lay ahead of its arrival.
    """

    message: int
    device: str
    kind: str
    detail: str = ""
    offset: int = 0
    readings: int = 1


@dataclass(frozen=True, slots=True)
class Readings:
    """Columns of readings in message order: `series`, `time` (event time), `value`, `message` (row in the chunk).

    `ignored` counts readings, and whole messages, that the configuration drops; `no_data` those that hold no data, by
    reason, of which `no_data_details` tell the first. `states` are texts, without `repeated_states` that say what their
    series has said before. `last_known` are the values of retained messages without a time, by series: what stood at
    the broker, of an unknown age.
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
    last_known: dict[int, float | str] = field(default_factory=dict)
    no_data_details: list[tuple[int, Reason, str]] = field(default_factory=list)
    repeated_states: int = 0


_NO_ROWS = (np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int32))


class Decoder:
    """Decodes chunks by route. What is refused is named; nothing raises for what a payload holds."""

    def __init__(self, router: Router, *, max_payload: int) -> None:
        self._router = router
        self._max_payload = max_payload
        self._known_routes = -1
        self._last_state = np.empty(0, np.int64)
        self._words: dict[str, int] = {}
        self._word_numbers: dict[int, NDArray[np.int64]] = {}
        self._fit()

    def _fit(self) -> None:
        """Follow the router, whose routes grow."""
        routes = self._router.routes
        if len(routes) == self._known_routes:
            return
        self._known_routes = len(routes)
        # The last elements answer for routes -1 and -2: refused and ignored messages have no codec.
        self._codec_of_route = np.append(self._router.codec_of_route, np.array([-1, -1], np.int32))
        undecoded = [route.role.outcome is not None for route in routes]
        self._undecoded = np.array([*undecoded, False, False], np.bool_)
        self._any_undecoded = any(undecoded)
        self._future_skew = np.array([route.future_skew for route in routes], np.int64)
        self._earliest = np.array([route.earliest for route in routes], np.int64)

    def decode(self, chunk: MessageChunk) -> Readings:
        """All readings of the chunk, and what was refused."""
        topics, refused = self._router.topics(chunk.data, chunk.spans)
        self._fit()
        taken = _Taken(self._router, chunk, topics)
        for message, refusal in refused.items():
            taken.reject(message, refusal.reason, refusal.detail, whole=True)
        routes = self._router.route_of(topics)
        if self._any_undecoded:
            routes = self._take_undecoded(chunk, topics, routes, taken)
        lengths = chunk.spans[:, 3] - chunk.spans[:, 2]
        if len(lengths) and lengths.max() > self._max_payload:
            for message in np.flatnonzero((lengths > self._max_payload) & (routes >= 0)).tolist():
                detail = (
                    f"payload of {lengths[message]} bytes: expected at most limits.max_payload = {self._max_payload}"
                )
                taken.reject(message, Reason.TOO_LARGE, detail, whole=True)
                routes[message] = -1
        codecs = self._codec_of_route[routes]
        parts = []
        for codec in range(len(self._router.codecs)):  # np.unique takes longer than the decoding
            messages = np.flatnonzero(codecs == codec)
            if len(messages):
                parts.append(self._decode_codec(codec, messages, taken))
        if len(parts) > 1:
            self._router.meet([taken.unresolved(*part) for part in parts])
        for part in parts:
            self._take_readings(*part, routes, taken)
        return taken.readings(ignored=int(np.count_nonzero(routes == IGNORED)))

    def _take_undecoded(
        self, chunk: MessageChunk, topics: NDArray[np.int32], routes: NDArray[np.int32], taken: _Taken
    ) -> NDArray[np.int32]:
        """Count commands, logs, descriptions and copies, and learn from descriptions; the routes of what is left."""
        messages = np.flatnonzero(self._undecoded[routes])
        if not len(messages):
            return routes
        routes = routes.copy()
        for message in messages.tolist():
            role = self._router.routes[routes[message]].role
            payload = chunk.payload(message)
            if role == Role.METADATA and payload:
                self._router.describe(int(topics[message]), payload)
            reason = role.outcome if payload else Reason.CLEARED
            assert reason is not None
            taken.no_data(message, reason, f"a message of the kind {role.value}, which holds no readings")
            routes[message] = -1
        return routes

    def _decode_codec(
        self, codec: int, messages: NDArray[np.intp], taken: _Taken
    ) -> tuple[int, Decoded, NDArray[np.int32]]:
        """Decode the messages of one codec: its number, the readings, and the message of each in the chunk."""
        chunk = taken.chunk
        everything = len(messages) == len(chunk)
        payloads = chunk.payloads()
        decoded = self._router.codecs[codec].decode(payloads if everything else payloads.take(messages))
        message = decoded.message if everything else messages[decoded.message].astype(np.int32)
        for rejected in decoded.rejected:
            at = int(messages[rejected.message])
            taken.reject(at, rejected.reason, rejected.detail, whole=rejected.whole, count=rejected.count)
        taken.note(decoded.notes, messages)
        return codec, *self._take_presence(codec, decoded, message, taken)

    def _take_readings(
        self, codec: int, decoded: Decoded, message: NDArray[np.int32], routes: NDArray[np.int32], taken: _Taken
    ) -> None:
        chunk = taken.chunk
        series, refused = self._router.series(taken.unresolved(codec, decoded, message))
        value = self._router.convert(codec, series, decoded.metric, decoded.value)
        words = self._router.roles(codec)
        if words is None and _all_plain(
            series, decoded.time, message, chunk.arrival, routes, self._future_skew, self._earliest
        ):
            taken.add(series, decoded.time, value, message)
            return
        for row, refusal in refused.items():
            taken.reject(int(message[row]), refusal.reason, refusal.detail, whole=False)
        taken.ignored += int(np.count_nonzero(series == IGNORED))
        keep = series >= 0
        route = routes[message]
        arrival = chunk.arrival[message]
        time = self._believed(decoded.time, arrival, route, series, message, keep, taken)
        if words is not None:
            is_text = words[decoded.metric] == ValueRole.TEXT
            self._take_states(codec, is_text & keep, (series, time, value, message), decoded.time, taken)
            keep &= ~is_text
        self._take_retained(keep, series, decoded.time, value, message, taken)
        if keep.all():
            taken.add(series, time, value, message)
        else:
            taken.add(series[keep], time[keep], value[keep], message[keep])

    def _take_presence(
        self, codec: int, decoded: Decoded, message: NDArray[np.int32], taken: _Taken
    ) -> tuple[Decoded, NDArray[np.int32]]:
        """Take out the rows that tell whether devices are there; the readings that are left, and their messages."""
        roles = self._router.roles(codec)
        if roles is None:
            return decoded, message
        tells = roles[decoded.metric] == ValueRole.AVAILABILITY
        if not tells.any():
            return decoded, message
        source = self._router.codecs[codec]
        for row in np.flatnonzero(tells).tolist():
            at = int(message[row])
            taken.say_presence(at, _device_of(source, int(decoded.device[row])), bool(decoded.value[row]))
        keep = ~tells
        return decoded.take(keep), message[keep]

    def _believed(
        self,
        said: NDArray[np.int64],
        arrival: NDArray[np.int64],
        route: NDArray[np.int32],
        series: NDArray[np.int32],
        message: NDArray[np.int32],
        keep: NDArray[np.bool_],
        taken: _Taken,
    ) -> NDArray[np.int64]:
        """The time of each reading: its own where that may be true, else its arrival, and what is odd about it."""
        timeless = said == NO_TIME
        time = np.where(timeless, arrival, said)
        old = keep & (time < self._earliest[route])
        ahead = keep & (time > arrival + self._future_skew[route])
        behind = keep & (time < arrival - _FAR_BEHIND) & ~old
        if old.any():
            taken.odd_times("clock_not_set", old, series, message, time, arrival)
        if ahead.any():
            taken.odd_times("clock_ahead", ahead, series, message, time, arrival)
        if behind.any():
            taken.odd_times("clock_behind", behind, series, message, time, arrival)
        return np.where(old | ahead, arrival, time)

    def _take_states(
        self,
        codec: int,
        rows: NDArray[np.bool_],
        columns: tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]],
        said: NDArray[np.int64],
        taken: _Taken,
    ) -> None:
        series, time, value, message = columns
        words = self._router.codecs[codec].words
        rows = rows & ~self._repeated(codec, series, value, rows, said, taken)
        for row in np.flatnonzero(rows).tolist():
            text = words[int(value[row])]
            if said[row] == NO_TIME and taken.is_retained(int(message[row])):
                taken.retained(int(message[row]), int(series[row]), text)
            else:
                taken.states.append(State(int(message[row]), int(series[row]), int(time[row]), text))

    def _repeated(
        self,
        codec: int,
        series: NDArray[np.int32],
        value: NDArray[np.float64],
        rows: NDArray[np.bool_],
        said: NDArray[np.int64],
        taken: _Taken,
    ) -> NDArray[np.bool_]:
        """Which rows say the state that their series has said before in all of them: counted, and nothing else.

        Most states are such. What is known here is a cache: without it the same changes are found.
        """
        self._last_state = last = grown(self._last_state, len(self._router.registry), -1)
        of, text = series[rows], self._numbers_of(codec)[value[rows].astype(np.intp)]
        changed = np.unique(of[(last[of] != text) | (said[rows] == NO_TIME)])
        repeated = rows & ~np.isin(series, changed) if len(changed) else rows
        taken.repeated_states += int(np.count_nonzero(repeated))
        last[of] = text
        return repeated

    def _numbers_of(self, codec: int) -> NDArray[np.int64]:
        """A number for each of a codec's words, the same for the same word of any codec."""
        words = self._router.codecs[codec].words
        known = self._word_numbers.get(codec, np.empty(0, np.int64))
        if len(known) < len(words):
            numbers = [self._words.setdefault(word, len(self._words)) for word in words]
            known = self._word_numbers[codec] = np.array(numbers, np.int64)
        return known

    def _take_retained(
        self,
        keep: NDArray[np.bool_],
        series: NDArray[np.int32],
        said: NDArray[np.int64],
        value: NDArray[np.float64],
        message: NDArray[np.int32],
        taken: _Taken,
    ) -> None:
        """Take the values of retained messages without a time out of `keep`: when they were measured is unknown."""
        retained = keep & (said == NO_TIME)
        if not retained.any():
            return
        retained &= (taken.chunk.flags[message] & FLAG_RETAIN) != 0
        for row in np.flatnonzero(retained).tolist():
            taken.retained(int(message[row]), int(series[row]), float(value[row]))
        keep &= ~retained


class _Taken:
    """What is gathered of one chunk."""

    def __init__(self, router: Router, chunk: MessageChunk, topics: NDArray[np.int32]) -> None:
        self.chunk = chunk
        self.topics = topics
        self.ignored = 0
        self.repeated_states = 0
        self.states: list[State] = []
        self._router = router
        self._columns: list[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]]] = []
        self._rejections: list[Rejection] = []
        self._named: Counter[tuple[int, Reason]] = Counter()
        self._no_data: Counter[Reason] = Counter()
        self._details: list[tuple[int, Reason, str]] = []
        self._presence: list[Presence] = []
        self._odd: list[Odd] = []
        self._last_known: dict[int, float | str] = {}

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
        return Unresolved(codec, self.topics[message], decoded.metric, decoded.device, self.chunk.arrival[message])

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

    def is_retained(self, message: int) -> bool:
        """Whether the broker had retained the message."""
        return bool(self.chunk.flags[message] & FLAG_RETAIN)

    def retained(self, message: int, series: int, value: float | str) -> None:
        """Keep the value of a retained message without a time as the last known one."""
        self._last_known[series] = value
        detail = "retained by the broker without a time of its own: kept as the last known value, of an unknown age"
        self.no_data(message, Reason.RETAINED, detail)

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
            self.states,
            self._presence,
            self._odd,
            self._last_known,
            self._details,
            self.repeated_states,
        )


def _device_of(codec: Codec, code: int) -> str | None:
    return codec.devices[code] if code >= 0 else None


@njit(nogil=True)
def _all_plain(
    series: NDArray[np.int32],
    time: NDArray[np.int64],
    message: NDArray[np.int32],
    arrival: NDArray[np.int64],
    route: NDArray[np.int32],
    future_skew: NDArray[np.int64],
    earliest: NDArray[np.int64],
) -> bool:
    """Whether every reading has a series and a time of its own that may be true: nearly every chunk is like that."""
    for row in range(len(series)):
        of = message[row]
        if series[row] < 0 or time[row] == NO_TIME:
            return False
        if time[row] > arrival[of] + future_skew[route[of]] or time[row] < earliest[route[of]]:
            return False
        if time[row] < arrival[of] - 840_000_000_000:
            return False
    return True
