"""Beside the pipeline: alarms that the conditions of streams open and end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_life import Alarms
from alerts.alarm_step import OF_STREAM
from alerts.stream_alarms import NOT_ASKED_ANY_MORE, alarm_of_condition, metric_of_stream
from devices.device_book import DeviceBook
from devices.messages import MessageChunk
from devices.records import AlarmRecord
from devices.series_registry import SeriesRegistry, TooManySeriesError
from ingest.step_facts import StreamStage

log = logging.getLogger(__name__)


class StreamAlarms:
    """What conditions of streams mean for alarms.

    What messages of one second of arrival bring about is an alarm before the first message of another second, so that
    alarms, and the series that they are of, are numbered the same however the journal was cut. `in_service` tells of
    series (n,) which may raise an alarm.
    """

    def __init__(
        self,
        streams: StreamStage | None,
        registry: SeriesRegistry,
        alarms: Alarms,
        book: DeviceBook,
        in_service: Callable[[NDArray[np.int32]], NDArray[np.bool_]],
    ) -> None:
        self._streams = streams
        self._registry = registry
        self._alarms = alarms
        self._book = book
        self._in_service = in_service
        self._orphans: list[int] = []

    def step(self, chunk: MessageChunk) -> list[AlarmRecord]:
        """Records of the alarms that change before a chunk, in order."""
        records = self._alarms.end(self._orphans, NOT_ASKED_ANY_MORE)
        self._orphans = []
        if self._streams is None:
            return records
        moment = int(chunk.arrival[0]) if len(chunk) else chunk.ticked_at
        for change in self._streams.changed_conditions(moment):
            found = replace(change, device=self._book.current(change.device))
            try:
                record = alarm_of_condition(found, self._registry, self._alarms, self._is_in_service)
            except TooManySeriesError as error:
                log.warning('stream "%s": no alarm of device "%s": %s', change.stream, change.device, error)
                continue
            if record is not None:
                records.append(record)
        return records

    def adopt(self) -> None:
        """End, at the next step, the alarms of conditions that no stream follows any more."""
        followed = () if self._streams is None else self._streams.followed_conditions()
        known = {(self._book.current(device), metric_of_stream(stream)) for stream, device in followed}
        self._orphans = [
            series
            for series in self._alarms.opened_for(OF_STREAM)
            if (self._registry.records[series].device, self._registry.records[series].metric) not in known
        ]

    def _is_in_service(self, series: int) -> bool:
        return bool(self._in_service(np.array([series], np.int32))[0])
