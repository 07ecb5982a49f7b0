"""The live feed over HTTP: engine steps as server-sent events (HTML Living Standard, section 9.2).

Events carry the step's number as their id. A client that reconnects sends the last it saw, and is told of the gap
instead of being left to think that nothing happened; it then asks `/api/v1/points` for what lies between.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from devices.batch import ScoredBatch
from devices.records import AlarmRecord, SeriesRecord
from driftline.http.alarm_routes import alarm_reply
from driftline.http.events import LiveSteps
from driftline.http.reply import to_json
from driftline.http.view import ServiceView

HEARTBEAT_SECONDS = 10.0
"""Longest silence of a stream; proxies and clients tell a dead connection by it."""


class LivePoints(StrEnum):
    """Which points a stream carries."""

    ALL = "all"
    """Every point, at most five events a second."""
    LATEST = "latest"
    """Once a second the newest point of each series, and every anomalous one."""
    NONE = "none"
    """Alarms alone."""


_PAUSE_SECONDS = {LivePoints.ALL: 0.2, LivePoints.LATEST: 1.0, LivePoints.NONE: 0.01}


class SeriesFilter:
    """Which series a stream is about: those listed, and all of the devices listed. With neither, every series.

    Series that a device gains while the stream runs are included.
    """

    def __init__(self, view: ServiceView, series: frozenset[int], devices: frozenset[str]) -> None:
        self._view = view
        self._series = series
        self._devices = devices
        self._wanted: NDArray[np.bool_] = np.empty(0, np.bool_)

    def of_points(self, points: ScoredBatch) -> ScoredBatch:
        """The points of the series wanted."""
        return points.take(self._mask(points.series)) if self._series or self._devices else points

    def of_alarms(self, alarms: list[AlarmRecord]) -> list[AlarmRecord]:
        """The alarms of the series wanted."""
        if not alarms or not (self._series or self._devices):
            return alarms
        mask = self._mask(np.array([alarm.series for alarm in alarms], np.int32))
        return [alarm for alarm, wanted in zip(alarms, mask.tolist(), strict=True) if wanted]

    def _mask(self, series: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which rows are wanted; the series are looked up again where one is seen that was not there before."""
        if int(series.max(initial=-1)) >= len(self._wanted):
            records = self._view.store.series()
            self._wanted = np.zeros(max((record.series for record in records), default=-1) + 1, np.bool_)
            for record in records:
                self._wanted[record.series] = record.series in self._series or record.device in self._devices
        known = series < len(self._wanted)
        mask = np.zeros(len(series), np.bool_)
        mask[known] = self._wanted[series[known]]
        return mask


class TooManyStreamsError(Exception):
    """As many streams are open as may be."""


class LiveStreams:
    """All open streams of one server: bounded in number, and closed together from any thread."""

    def __init__(self, view: ServiceView, limit: int, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._view = view
        self._limit = limit
        self._heartbeat = heartbeat
        self._lock = threading.Lock()
        self._open: dict[object, Callable[[], None]] = {}
        self._closed = False
        self._records: dict[int, SeriesRecord] = {}

    def close(self) -> None:
        """End every stream, and open none any more."""
        with self._lock:
            self._closed = True
            endings = list(self._open.values())
        for end in endings:
            end()

    async def follow(self, wanted: SeriesFilter, points: LivePoints, last_id: str | None) -> AsyncIterator[bytes]:
        """The events of one stream, as bytes of the wire format, until it is closed.

        Raises TooManyStreamsError, before the first event, where there are as many already as may be.
        """
        loop = asyncio.get_running_loop()
        woken, ended = asyncio.Event(), asyncio.Event()
        key = object()

        def end() -> None:
            ended.set()
            woken.set()

        with self._lock:
            if self._closed or len(self._open) >= self._limit:
                raise TooManyStreamsError(
                    f"events: {len(self._open)} live clients are there already; raise http.max_live_clients"
                )
            self._open[key] = lambda: _call(loop, end)
        try:
            with self._view.subscribe(lambda: _call(loop, woken.set)) as listener:
                listener.alarms_only = points is LivePoints.NONE
                yield b"retry: 1000\n\n"
                if last_id is not None and last_id != str(listener.number):
                    missed = _missed(last_id, listener.first, listener.number)
                    yield _event("gap", {"reason": "reconnected", "missed": missed}, listener.number)
                while not ended.is_set():
                    if not await _happens(woken, self._heartbeat):
                        yield _event("heartbeat", {}, None)
                    woken.clear()
                    # The filter may ask the store, which can wait: not on the loop that serves everyone.
                    for event in await asyncio.to_thread(self._events, listener.take(), wanted, points):
                        yield event
                    await _happens(ended, _PAUSE_SECONDS[points])
        finally:
            with self._lock:
                del self._open[key]

    def _events(self, taken: LiveSteps, wanted: SeriesFilter, points: LivePoints) -> list[bytes]:
        """What was taken, as few events: a gap, the points of all steps, the alarms; none where nothing is wanted."""
        events: list[bytes] = []
        if taken.missed:
            events.append(_event("gap", {"reason": "slow", "missed": taken.missed}, taken.number))
        steps = [step.points for step in taken.steps if len(step.points)]
        if steps and points is not LivePoints.NONE:
            chosen = wanted.of_points(ScoredBatch.concatenate(steps))
            if points is LivePoints.LATEST:
                chosen = _latest(chosen)
            if len(chosen):
                events.append(_event("points", point_columns(chosen), taken.number))
        alarms = wanted.of_alarms([alarm for step in taken.steps for alarm in step.alarms])
        if alarms:
            records = self._known(alarms)
            named = [alarm_reply(alarm, records[alarm.series]) for alarm in alarms if alarm.series in records]
            events.append(_event("alarms", {"alarms": named}, taken.number))
        return events

    def _known(self, alarms: list[AlarmRecord]) -> dict[int, SeriesRecord]:
        """Series by number. A series keeps its names, and asking the store waits for its transaction: so rarely."""
        if any(alarm.series not in self._records for alarm in alarms):
            self._records = {record.series: record for record in self._view.store.series()}
        return self._records


def _call(loop: asyncio.AbstractEventLoop, action: Callable[[], object]) -> None:
    """Run `action` on the loop, from any thread; nothing where the loop has ended: no concern of the caller's."""
    try:
        loop.call_soon_threadsafe(action)
    except RuntimeError:
        return


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _missed(last_id: str, first: int, number: int) -> int | None:
    """Steps between the last that the client saw and now; None where it saw those of another run."""
    if last_id.isdigit() and first <= int(last_id) <= number:
        return number - int(last_id)
    return None


def _event(name: str, data: object, number: int | None) -> bytes:
    ident = b"" if number is None else b"id: %d\n" % number
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), ident, to_json(data))


def _latest(points: ScoredBatch) -> ScoredBatch:
    """The newest point of each series and every anomalous one, in order."""
    in_order = points.take(~points.late)
    _, from_end = np.unique(in_order.series[::-1], return_index=True)
    keep = in_order.anomaly.copy()
    keep[len(in_order) - 1 - from_end] = True
    return in_order.take(keep)


def point_columns(points: ScoredBatch) -> dict[str, NDArray[np.generic]]:
    """Points as the columns of an event."""
    names = ("series", "time", "value", "score", "expected", "lower", "upper", "anomaly", "late")
    return {name: np.ascontiguousarray(getattr(points, name)) for name in names}
