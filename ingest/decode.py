"""Stage 3 of 7: raw messages become columns of readings; routes that share a codec are decoded together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from devices.batch import NO_TIME
from devices.messages import FLAG_RETAIN, MessageChunk
from devices.rejection_reasons import Reason
from ingest.route import IGNORED, Router

WHOLE = 0
"""Part number of a dead letter that stands for its whole message; readings of it are numbered from 1."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message of the chunk, or one reading of it (`part` > 0), that goes to the dead letters."""

    message: int
    part: int
    reason: Reason
    detail: str


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
        rejections = [Rejection(m, WHOLE, r.reason, r.detail) for m, r in refused.items()]
        routes = self._router.route_of(topics)
        lengths = chunk.spans[:, 3] - chunk.spans[:, 2]
        if len(lengths) and lengths.max() > self._max_payload:
            for message in np.flatnonzero((lengths > self._max_payload) & (routes >= 0)).tolist():
                detail = (
                    f"payload of {lengths[message]} bytes: expected at most limits.max_payload = {self._max_payload}"
                )
                rejections.append(Rejection(message, WHOLE, Reason.TOO_LARGE, detail))
                routes[message] = -1
        codecs = self._codec_of_route[routes]
        parts = []
        for codec in range(len(self._router.codecs)):  # np.unique takes longer than the decoding
            messages = np.flatnonzero(codecs == codec)
            if len(messages):
                parts.append(self._decode_codec(codec, messages, chunk, topics, routes, rejections))
        return _join(parts, rejections, ignored=int(np.count_nonzero(routes == IGNORED)))

    def _decode_codec(
        self,
        codec: int,
        messages: NDArray[np.intp],
        chunk: MessageChunk,
        topics: NDArray[np.int32],
        routes: NDArray[np.int32],
        rejections: list[Rejection],
    ) -> Readings:
        everything = len(messages) == len(chunk)
        payloads = chunk.payloads()
        decoded = self._router.codecs[codec].decode(payloads if everything else payloads.take(messages))
        message = decoded.message if everything else messages[decoded.message].astype(np.int32)
        taken: dict[int, int] = {}
        for rejected in decoded.rejected:
            at = int(messages[rejected.message])
            part = WHOLE if rejected.whole else taken.get(at, 0) + 1
            taken[at] = part
            rejections.append(Rejection(at, part, rejected.reason, rejected.detail))

        series, refused = self._router.series(codec, topics[message], decoded.metric, decoded.device)
        if _all_plain(series, decoded.time, message, chunk.arrival, routes, self._future_skew, self._earliest):
            return Readings(series, decoded.time, decoded.value, message, [], 0)
        reject = _Rejecter(message, taken, rejections)
        keep = series >= 0
        for row, refusal in refused.items():
            reject(row, refusal.reason, refusal.detail)

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


class _Rejecter:
    """Numbers the rejected readings of each message and collects them."""

    def __init__(self, message: NDArray[np.int32], taken: dict[int, int], rejections: list[Rejection]) -> None:
        self._message = message
        self._taken = taken
        self._rejections = rejections

    def __call__(self, row: int, reason: Reason, detail: str) -> None:
        message = int(self._message[row])
        part = self._taken.get(message, 0) + 1
        self._taken[message] = part
        self._rejections.append(Rejection(message, part, reason, detail))

    def all(self, rows: NDArray[np.bool_], keep: NDArray[np.bool_], reason: Reason, why: Callable[[int], str]) -> None:
        """Reject every row of a mask, and take them out of `keep`."""
        for row in np.flatnonzero(rows).tolist():
            self(row, reason, why(row))
        keep &= ~rows


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
