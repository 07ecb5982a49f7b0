"""Decode: raw messages become columns of readings; routes that share a codec are decoded together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from devices.batch import NO_TIME
from devices.codec import Decoded
from devices.codecs.readings import MOST_NAMED
from devices.messages import FLAG_RETAIN, MessageChunk
from devices.rejection_reasons import Reason
from ingest.route import IGNORED, Refusal, Router, Unresolved


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message of the chunk (`whole`), or `count` readings of it, that go to the dead letters."""

    message: int
    reason: Reason
    detail: str
    whole: bool = True
    count: int = 1


@dataclass(frozen=True, slots=True)
class Readings:
    """Columns of readings in message order: `series`, `time` (event time), `value`, `message` (row in the chunk).

    `ignored` counts readings, and whole messages, that the configuration drops.
    """

    series: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    message: NDArray[np.int32]
    rejections: list[Rejection]
    ignored: int


class Decoder:
    """Decodes chunks by route. What is refused is named; nothing raises for what a payload holds."""

    def __init__(self, router: Router, *, max_payload: int) -> None:
        self._router = router
        self._max_payload = max_payload
        # The last elements answer for routes -1 and -2: refused and ignored messages have no codec.
        self._codec_of_route = np.append(router.codec_of_route, np.array([-1, -1], np.int32))
        self._future_skew = np.array([route.future_skew for route in router.routes], np.int64)
        self._earliest = np.array([route.earliest for route in router.routes], np.int64)

    def decode(self, chunk: MessageChunk) -> Readings:
        """All readings of the chunk, and what was refused."""
        topics, refused = self._router.topics(chunk.data, chunk.spans)
        rejections = [Rejection(m, r.reason, r.detail) for m, r in refused.items()]
        routes = self._router.route_of(topics)
        lengths = chunk.spans[:, 3] - chunk.spans[:, 2]
        if len(lengths) and lengths.max() > self._max_payload:
            for message in np.flatnonzero((lengths > self._max_payload) & (routes >= 0)).tolist():
                detail = (
                    f"payload of {lengths[message]} bytes: expected at most limits.max_payload = {self._max_payload}"
                )
                rejections.append(Rejection(message, Reason.TOO_LARGE, detail))
                routes[message] = -1
        codecs = self._codec_of_route[routes]
        decoded = []
        for codec in range(len(self._router.codecs)):  # np.unique takes longer than the decoding
            messages = np.flatnonzero(codecs == codec)
            if len(messages):
                decoded.append((codec, messages, self._decode_codec(codec, messages, chunk)))
        if len(decoded) > 1:
            self._router.meet([_unresolved(*part, chunk, topics) for part in decoded])
        parts = [
            self._readings(codec, messages, part, chunk, topics, routes, rejections)
            for codec, messages, part in decoded
        ]
        return _join(parts, rejections, ignored=int(np.count_nonzero(routes == IGNORED)))

    def _decode_codec(self, codec: int, messages: NDArray[np.intp], chunk: MessageChunk) -> Decoded:
        payloads = chunk.payloads()
        return self._router.codecs[codec].decode(payloads if len(messages) == len(chunk) else payloads.take(messages))

    def _readings(
        self,
        codec: int,
        messages: NDArray[np.intp],
        decoded: Decoded,
        chunk: MessageChunk,
        topics: NDArray[np.int32],
        routes: NDArray[np.int32],
        rejections: list[Rejection],
    ) -> Readings:
        everything = len(messages) == len(chunk)
        message = decoded.message if everything else messages[decoded.message].astype(np.int32)
        rejections.extend(
            Rejection(int(messages[r.message]), r.reason, r.detail, r.whole, r.count) for r in decoded.rejected
        )

        series, refused = self._router.series(_unresolved(codec, messages, decoded, chunk, topics))
        if _all_plain(series, decoded.time, message, chunk.arrival, routes, self._future_skew, self._earliest):
            return Readings(series, decoded.time, decoded.value, message, [], 0)
        reject = _Rejecter(message, rejections)
        keep = series >= 0
        reject.refused(refused)

        route = routes[message]
        arrival = chunk.arrival[message]
        timeless = decoded.time == NO_TIME
        time = np.where(timeless, arrival, decoded.time)
        if timeless.any():
            retained = timeless & ((chunk.flags[message] & FLAG_RETAIN) != 0) & keep
            why = "retained by the broker without a time of its own: when is unknown"
            reject.all(retained, keep, Reason.RETAINED, lambda _: why)
        future = keep & (time > arrival + self._future_skew[route])
        if future.any():
            reject.all(future, keep, Reason.FUTURE, lambda row: self._why_future(time[row], route[row]))
        old = keep & (time < self._earliest[route])
        if old.any():
            reject.all(old, keep, Reason.TOO_OLD, lambda row: self._why_old(time[row], route[row]))
        ignored = int(np.count_nonzero(series == IGNORED))
        if keep.all():
            return Readings(series, time, decoded.value, message, [], ignored)
        return Readings(series[keep], time[keep], decoded.value[keep], message[keep], [], ignored)

    def _why_future(self, time: np.int64, route: np.int32) -> str:
        skew = self._router.routes[route].settings.future_skew
        return f"time {np.datetime64(int(time), 'ns')}Z: over {skew} ahead of its arrival"

    def _why_old(self, time: np.int64, route: np.int32) -> str:
        return f"time {np.datetime64(int(time), 'ns')}Z: before {self._router.routes[route].settings.earliest}"


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
    return True


def _unresolved(
    codec: int, messages: NDArray[np.intp], decoded: Decoded, chunk: MessageChunk, topics: NDArray[np.int32]
) -> Unresolved:
    message = messages[decoded.message]
    return Unresolved(codec, topics[message], decoded.metric, decoded.device, chunk.arrival[message])


class _Rejecter:
    """Names the first rejected readings of each message, and counts the others by reason."""

    def __init__(self, message: NDArray[np.int32], rejections: list[Rejection]) -> None:
        self._message = message
        self._rejections = rejections

    def refused(self, refused: Mapping[int, Refusal]) -> None:
        """Reject rows that routing refused."""
        rows = np.fromiter(refused, np.intp, len(refused))
        reasons = [refusal.reason for refusal in refused.values()]
        for reason in dict.fromkeys(reasons):
            of_reason = np.fromiter((each is reason for each in reasons), np.bool_, len(reasons))
            self._name(rows[of_reason], reason, lambda row: refused[row].detail)

    def all(self, rows: NDArray[np.bool_], keep: NDArray[np.bool_], reason: Reason, why: Callable[[int], str]) -> None:
        """Reject every row of a mask, and take them out of `keep`."""
        self._name(np.flatnonzero(rows), reason, why)
        keep &= ~rows

    def _name(self, rows: NDArray[np.intp], reason: Reason, why: Callable[[int], str]) -> None:
        """`rows` are in order, and so are their messages."""
        if not len(rows):
            return
        messages, first, counts = np.unique(self._message[rows], return_index=True, return_counts=True)
        for message, at, count in zip(messages.tolist(), first.tolist(), counts.tolist(), strict=True):
            for row in rows[at : at + min(count, MOST_NAMED)].tolist():
                self._rejections.append(Rejection(message, reason, why(row), whole=False))
            if count > MOST_NAMED:
                more = count - MOST_NAMED
                self._rejections.append(Rejection(message, reason, f"{more:,} readings more", whole=False, count=more))


def _join(parts: list[Readings], rejections: list[Rejection], ignored: int) -> Readings:
    ignored += sum(p.ignored for p in parts)
    if len(parts) == 1:
        only = parts[0]
        return Readings(only.series, only.time, only.value, only.message, rejections, ignored)
    if not parts:
        return Readings(
            np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int32), rejections, ignored
        )
    message = np.concatenate([p.message for p in parts])
    order = np.argsort(message, kind="stable")
    return Readings(
        np.concatenate([p.series for p in parts])[order],
        np.concatenate([p.time for p in parts])[order],
        np.concatenate([p.value for p in parts])[order],
        message[order],
        rejections,
        ignored,
    )
