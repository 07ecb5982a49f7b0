"""Beside the pipeline: readings on their way from the route to the alarms, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_step import AlarmStep
from alerts.policy import Verdicts
from alerts.policy_kernels import Band
from devices.batch import Batch, ScoredBatch
from devices.messages import FLAG_RETAIN
from ingest.decoded import Readings
from ingest.detector_host import HostScores
from ingest.order import Ordered
from ingest.routed import RoutedChunk
from storage.store import JournalEntry


@dataclass(frozen=True, slots=True)
class Incoming:
    """Routed readings, all (n,): the arrival of the message of each and its reorder window in ns, and whether the
    message is a sign of life. `moments` are the arrivals of all messages, those without a reading too, or
    the one of a tick; `after_gap` says that nothing was received before it.
    """

    batch: Batch
    arrival: NDArray[np.int64]
    window: NDArray[np.int64]
    live: NDArray[np.bool_]
    moments: NDArray[np.int64]
    after_gap: bool = False

    @classmethod
    def of(cls, readings: Readings, routed: RoutedChunk, entry: JournalEntry, windows: NDArray[np.int64]) -> Incoming:
        """Decoded readings; `windows` (routes,) are the reorder windows of all routes, ns.

        `entry` is the whole one, in which redelivered messages pass time too.
        """
        chunk = routed.chunk
        window = np.zeros(len(readings.series), np.int64)
        if windows.any() and len(window):
            window = windows[routed.routes[readings.message]]
        return cls(
            Batch(readings.series, readings.time, readings.value),
            arrival=chunk.arrival[readings.message],
            window=window,
            live=((chunk.flags & FLAG_RETAIN) == 0)[readings.message],
            moments=entry.chunk.arrival if len(entry.chunk) else np.array([entry.chunk.ticked_at], np.int64),
            after_gap=entry.chunk.after_reception_gap,
        )

    @classmethod
    def nothing(cls, moment: int) -> Incoming:
        """No reading, and arrival time at `moment`."""
        times = np.empty(0, np.int64)
        return cls(Batch.empty(), times, times, np.empty(0, np.bool_), np.array([moment], np.int64))


@dataclass(frozen=True, slots=True)
class RecordedRows:
    """n rows of a recording, each in the place of a message on `topic` with a reading of each of c `metrics`.

    `time` and `arrival` int64 ns (n,), arrivals strictly increasing from call to call; `values` float64 (n, c), not
    finite where a row has no reading of a metric.
    """

    topic: str
    metrics: Sequence[str]
    time: NDArray[np.int64]
    arrival: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time)

    def incoming(self, series: NDArray[np.int32], window: int) -> Incoming:
        """Their readings, row by row; metrics whose `series` (c,) is negative are left out."""
        width = self.values.shape[1]
        there = np.isfinite(self.values) & (series >= 0)
        cell = np.flatnonzero(there.ravel())
        row = cell // width if width else cell
        return Incoming(
            Batch(series[cell % width], self.time[row], np.ascontiguousarray(self.values.ravel()[cell])),
            arrival=self.arrival[row],
            window=np.full(len(cell), window, np.int64),
            live=np.ones(len(cell), np.bool_),
            moments=self.arrival,
        )


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of readings: all in order, those on time, their scores and verdicts, and the alarms' changes.

    `own` are the verdicts on the readings on time, `together` those on devices' rows. `ahead` are the forecasts that
    were made for warnings, `ahead_at` the places of the readings that brought them about. `excluded` are readings in
    stretches that people left out, and nowhere else here.
    """

    ordered: Ordered
    on_time: Ordered
    scores: HostScores
    own: Verdicts
    together: Verdicts
    alarms: AlarmStep
    ahead: ScoredBatch
    ahead_at: NDArray[np.intp]
    excluded: Batch

    def band(self) -> Band:
        """What is told as usual of the readings on time."""
        scores = self.scores.readings
        return self.own.band(Band(self.on_time.batch.value, scores.expected, scores.lower, scores.upper))

    def points(self) -> ScoredBatch:
        """All points: readings with their scores, devices' scores, forecasts, then late readings without a score."""
        batch, scores = self.on_time.batch, self.scores.readings
        band = self.band()
        parts = [
            ScoredBatch(
                batch.series,
                batch.time,
                batch.value,
                scores.score,
                band.expected,
                band.lower,
                band.upper,
                self.own.anomaly,
                self.on_time.late,
                scores.novelty,
            )
        ]
        device = self.scores.devices.batch
        if len(device):
            none, late = np.full(len(device), np.nan), np.zeros(len(device), np.bool_)
            anomaly = self.together.anomaly
            parts.append(
                ScoredBatch(device.series, device.time, device.value, device.value, none, none, none, anomaly, late)
            )
        if len(self.ahead):
            parts.append(self.ahead)
        if len(batch) < len(self.ordered.batch):
            parts.append(ScoredBatch.unscored(self.ordered.batch.take(self.ordered.late), late=True))
        return ScoredBatch.concatenate(parts)

    def moments(self) -> NDArray[np.int64]:
        """The arrival, ns, of what brought each of `points`."""
        on_time = self.on_time.released
        late = self.ordered.released[self.ordered.late]
        return np.concatenate([on_time, on_time[self.scores.devices.at], on_time[self.ahead_at], late])
