"""Decode: raw messages become columns of readings; routes that share a codec are decoded together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from common.growth import grown
from devices.batch import NO_TIME
from devices.codec import Codec, Decoded, Note
from devices.codec import Role as ValueRole
from devices.messages import FLAG_RETAIN, MessageChunk
from devices.profile import Role
from devices.rejection_reasons import Reason
from devices.times import parse_time, parse_zone
from ingest import careful_decode
from ingest.decoded import Readings, State, Taken, Texts
from ingest.refusals import Refusal
from ingest.route import Router, Unresolved
from ingest.routed import RoutedChunk
from ingest.topic_routes import IGNORED

_FAR_BEHIND = 840_000_000_000
"""From so long behind its arrival (ns) a reading's time may tell a clock without a zone."""


class Decoder:
    """Decodes chunks by route. What is refused is named; nothing raises for what a payload holds."""

    def __init__(self, router: Router, *, max_payload: int, keeps_texts: bool = False) -> None:
        self._router = router
        self._keeps_texts = keeps_texts
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
        describes = [route.message is not None and bool(route.message.describes) for route in routes]
        self._describes = np.array([*describes, False, False], np.bool_)
        self._any_describe = any(describes)
        self._future_skew = np.array([route.future_skew for route in routes], np.int64)
        self._earliest = np.array([route.earliest for route in routes], np.int64)
        asks_time = [route.settings.properties is not None and route.settings.properties.time != "" for route in routes]
        self._asks_time = np.array([*asks_time, False, False], np.bool_)

    def route(self, chunk: MessageChunk) -> RoutedChunk:
        """The chunk with the topics and routes of its messages."""
        topics, refused = self._router.topics(chunk)
        self._fit()
        return RoutedChunk(chunk, topics, self._router.route_of(topics), refused)

    def until_news(self, routed: RoutedChunk) -> int:
        """How many messages are to be decoded together: those before a description that changes how others are read.

        What stands before such a description is read without it, as if each message had come alone.
        """
        routes = routed.routes
        if not self._any_describe or not self._describes[routes].any():
            return len(routed)
        decoded = (self._codec_of_route[routes] >= 0) & ~self._undecoded[routes]
        first = int(decoded.argmax()) if decoded.any() else len(routed)
        learned = False
        for message in np.flatnonzero(self._describes[routes]).tolist():
            if learned or self._router.is_news(int(routed.topics[message]), routed.chunk.payload(message)):
                if message > first:
                    return message
                learned = True
        return len(routed)

    def decode(self, chunk: MessageChunk) -> Readings:
        """All readings of the chunk, and what was refused."""
        return self.decode_routed(self.route(chunk))

    def decode_routed(self, routed: RoutedChunk) -> Readings:
        """The same of messages whose topics have been looked up."""
        chunk, topics, routes = routed.chunk, routed.topics, routed.routes
        taken = Taken(self._router, chunk, topics)
        for message, refusal in routed.refused.items():
            taken.reject(message, refusal.reason, refusal.detail, whole=True)
        if self._any_undecoded:
            routes = self._take_undecoded(chunk, topics, routes, taken)
        lengths = chunk.spans[:, 3] - chunk.spans[:, 2]
        if len(lengths) and lengths.max() > self._max_payload:
            routes = routes.copy()
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
        if self._asks_time.any():
            times = self._times_told(chunk, routes, taken)
            parts = [(codec, _at_times(decoded, times[message]), message) for codec, decoded, message in parts]
        unresolved = [taken.unresolved(*part) for part in parts]
        refused = self._router.meet(unresolved)
        for (_, decoded, at), readings, met in zip(parts, unresolved, refused, strict=True):
            self._take_readings(decoded, at, (readings, met), routes, taken)
        return taken.readings(ignored=int(np.count_nonzero(routes == IGNORED)))

    def _times_told(self, chunk: MessageChunk, routes: NDArray[np.int32], taken: Taken) -> NDArray[np.int64]:
        """The time that a user property of each message tells, (messages,); NO_TIME where none does."""
        times = np.full(len(chunk), NO_TIME, np.int64)
        for message in np.flatnonzero(self._asks_time[routes]).tolist():
            settings = self._router.routes[routes[message]].settings
            name = settings.properties.time if settings.properties is not None else ""
            text = chunk.properties(message).user.get(name)
            if text is None:
                continue
            try:
                zone = parse_zone(settings.time_zone) if settings.time_zone else UTC
                near = int(chunk.arrival[message])
                times[message] = parse_time(_number_or_text(text), zone=zone, form=settings.time_format, near=near)
            except ValueError as error:
                detail = f'user property "{name[:80]}": {error}'
                taken.note([Note(0, "time_unread", detail)], np.array([message], np.intp))
        return times

    def _take_undecoded(
        self, chunk: MessageChunk, topics: NDArray[np.int32], routes: NDArray[np.int32], taken: Taken
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
        self, codec: int, messages: NDArray[np.intp], taken: Taken
    ) -> tuple[int, Decoded, NDArray[np.int32]]:
        """Decode the messages of one codec: its number, the readings, and the message of each in the chunk."""
        chunk = taken.chunk
        everything = len(messages) == len(chunk)
        payloads = chunk.payloads()
        decoded = careful_decode.decode(self._router.codecs[codec], payloads if everything else payloads.take(messages))
        message = decoded.message if everything else messages[decoded.message].astype(np.int32)
        for rejected in decoded.rejected:
            at = int(messages[rejected.message])
            taken.reject(at, rejected.reason, rejected.detail, whole=rejected.whole, count=rejected.count)
        taken.note(decoded.notes, messages)
        return codec, *self._take_presence(codec, decoded, message, taken)

    def _take_readings(
        self,
        decoded: Decoded,
        message: NDArray[np.int32],
        met: tuple[Unresolved, Mapping[int, Refusal]],
        routes: NDArray[np.int32],
        taken: Taken,
    ) -> None:
        chunk, codec = taken.chunk, met[0].codec
        series, refused = self._router.series(*met)
        value = self._router.convert(met[0], series, decoded.value)
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
        self, codec: int, decoded: Decoded, message: NDArray[np.int32], taken: Taken
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
        taken: Taken,
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
            taken.odd_times("long_before_arrival", behind, series, message, time, arrival)
        return np.where(old | ahead, arrival, time)

    def _take_states(
        self,
        codec: int,
        rows: NDArray[np.bool_],
        columns: tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]],
        said: NDArray[np.int64],
        taken: Taken,
    ) -> None:
        series, time, value, message = columns
        words = self._router.codecs[codec].words
        if self._keeps_texts:
            told = rows & ~((said == NO_TIME) & ((taken.chunk.flags[message] & FLAG_RETAIN) != 0))
            text = np.array(words, object)[value[told].astype(np.intp)]
            taken.texts.append(Texts(series[told], time[told], text, message[told]))
        retained = rows & (said == NO_TIME)
        retained &= (taken.chunk.flags[message] & FLAG_RETAIN) != 0
        for row in np.flatnonzero(retained).tolist():
            taken.retained(int(message[row]), int(series[row]), words[int(value[row])])
        rows = rows & ~retained
        taken.tell(series[rows], message[rows])
        rows = rows & ~self._repeated(codec, series, value, rows, taken)
        for row in np.flatnonzero(rows).tolist():
            text = words[int(value[row])]
            taken.states.append(State(int(message[row]), int(series[row]), int(time[row]), text))

    def _repeated(
        self,
        codec: int,
        series: NDArray[np.int32],
        value: NDArray[np.float64],
        rows: NDArray[np.bool_],
        taken: Taken,
    ) -> NDArray[np.bool_]:
        """Which rows say the state that their series has said before in all of them: counted, and nothing else.

        Most states are such. What is known here is a cache: without it the same changes are found.
        """
        self._last_state = last = grown(self._last_state, len(self._router.registry), -1)
        of, text = series[rows], self._numbers_of(codec)[value[rows].astype(np.intp)]
        changed = np.unique(of[last[of] != text])
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
        taken: Taken,
    ) -> None:
        """Take the values of retained messages without a time out of `keep`: when they were measured is unknown."""
        retained = keep & (said == NO_TIME)
        if not retained.any():
            return
        retained &= (taken.chunk.flags[message] & FLAG_RETAIN) != 0
        for row in np.flatnonzero(retained).tolist():
            taken.retained(int(message[row]), int(series[row]), float(value[row]))
        keep &= ~retained


def _at_times(decoded: Decoded, times: NDArray[np.int64]) -> Decoded:
    """Readings at the times that their messages' properties tell, where they do."""
    return replace(decoded, time=np.where(times == NO_TIME, decoded.time, times))


def _number_or_text(text: str) -> int | float | str:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


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
