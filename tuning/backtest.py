"""Stages 5 and 7 of 7 over recordings: each row scored and judged as the service would have done when it arrived.

The parts are those of production: `ingest.order` for late rows, `ingest.score` for detectors, `alerts.policy` for
verdicts. A row is scored against the rows before it alone, then learned; nothing is known of the file's length, range
or labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.policy import OPENED, AlarmPolicy, Verdicts
from alerts.reasons import sentence
from alerts.settings import AlarmSettings
from devices.batch import Batch
from devices.records import SeriesRecord
from devices.topics import matches
from ingest.order import Orderer
from ingest.score import Fleet, FleetScores
from ingest.settings import DEFAULT_DETECTORS, DEFAULT_ROUTES, ComponentSettings, RouteSettings
from tuning.device import DeviceScorer
from tuning.recordings import Recording, RecordingChunk

REPLAY_PREFIX = "replay"
"""Topic before a recording's name, as `driftline replay` publishes it: routes are looked up by it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What scores a recording: the configuration's detectors, routes and alarm settings.

    `detector` scores every channel in place of what the routes say. `multivariate` scores the channels as one device.
    """

    detectors: Mapping[str, ComponentSettings] = field(default_factory=lambda: dict(DEFAULT_DETECTORS))
    routes: Sequence[RouteSettings] = tuple(DEFAULT_ROUTES)
    alarm: AlarmSettings = field(default_factory=AlarmSettings)
    detector: str | None = None
    multivariate: bool = False

    def detectors_of(self, stem: str, channel: str, topic: str = "") -> list[str]:
        """Detectors of a channel: those of the route that takes `topic`, else the default.

        Without a topic it is the one that a replay of the recording publishes on.
        """
        if self.detector is not None:
            return [self.detector]
        topic = topic or f"{REPLAY_PREFIX}/{stem}"
        taken = next((route for route in self.routes if matches(route.filter, topic)), None)
        if taken is None:
            return ["default"]
        override = next((metric for metric in taken.metrics if fnmatchcase(channel, metric.match)), None)
        return override.detectors if override and override.detectors is not None else taken.detectors


@dataclass(frozen=True, slots=True)
class Track:
    """What became of n rows of c channels, row by row.

    `score`, `expected`, `lower`, `upper` are (n, c) float64, NaN where there is none: while warming, for late rows,
    where the cell holds no number. `anomaly` bool and `event` int8 (n, c) are the alarm policy's. `late` (n,) marks
    rows at or behind the newest time of all their channels: neither scored nor learned. `reasons` says why, by (row,
    channel), where `anomaly`. `device_score`, `device_anomaly`, `device_event` (n,) are those of all channels together.
    """

    channels: tuple[str, ...]
    time: NDArray[np.int64]
    time_written: list[str | int | float]
    value: NDArray[np.float64]
    score: NDArray[np.float64]
    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    anomaly: NDArray[np.bool_]
    event: NDArray[np.int8]
    late: NDArray[np.bool_]
    reasons: Mapping[tuple[int, int], str]
    device_score: NDArray[np.float64]
    device_anomaly: NDArray[np.bool_]
    device_event: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.time)

    @property
    def anomaly_score(self) -> NDArray[np.float64]:
        """One finite score a row: the device's; 0 where there is none."""
        return np.nan_to_num(self.device_score, nan=0.0)

    @property
    def openings(self) -> NDArray[np.intp]:
        """Rows at which an alarm opens, of any channel."""
        return np.flatnonzero(self.device_event == OPENED)

    def reason(self, row: int) -> str:
        """Why a row is an anomaly, all channels together; empty where it is none."""
        named = len(self.channels) > 1
        said = [
            (-self.score[row, channel], f"{self.channels[channel]}: {text}" if named else text)
            for channel in range(len(self.channels))
            if (text := self.reasons.get((row, channel)))
        ]
        return "; ".join(text for _, text in sorted(said))


class Backtest:
    """Scores one recording, chunk by chunk. Cutting it into other chunks gives the same scores."""

    def __init__(self, plan: Plan, stem: str, channels: Sequence[str], topic: str = "") -> None:
        self.channels = tuple(channels)
        self._fleet = Fleet(plan.detectors)
        self._policy = AlarmPolicy(plan.alarm)
        self._policy.grow(len(channels))
        self._order = Orderer()
        self._order.grow(len(channels), 1)
        self._records = [SeriesRecord(number, stem, channel) for number, channel in enumerate(channels)]
        for number, channel in enumerate(channels):
            self._fleet.assign(number, plan.detectors_of(stem, channel, topic))
        self._device = DeviceScorer(len(channels), plan.alarm) if plan.multivariate else None

    def step(self, chunk: RecordingChunk) -> Track:
        """What becomes of the next rows."""
        rows, width = chunk.values.shape
        cell = np.flatnonzero(np.isfinite(chunk.values).ravel())
        batch = Batch(
            (cell % width).astype(np.int32), chunk.time[cell // width], np.ascontiguousarray(chunk.values.ravel()[cell])
        )
        _, behind = self._order.step(batch, np.zeros(len(batch), np.int32), None, None, 0)
        taken = batch.take(~behind)
        cell = cell[~behind]
        scores = self._fleet.step(taken, np.ones(len(taken), np.bool_))
        verdicts = self._policy.step(taken.series, taken.time, scores.score)
        late: NDArray[np.bool_] = np.logical_or.reduce(np.isfinite(chunk.values), axis=1)
        late[cell // width] = False
        score, expected, lower, upper = (
            _spread(column, cell, rows, width, np.nan)
            for column in (scores.score, scores.expected, scores.lower, scores.upper)
        )
        anomaly = _spread(verdicts.anomaly, cell, rows, width, False)
        event = _spread(verdicts.event, cell, rows, width, 0)
        reasons = self._reasons(taken, cell, width, scores, verdicts)
        if self._device is not None:
            together = self._device.step(chunk.time, np.where(late[:, None], np.nan, chunk.values), score)
            device = (together.score, together.anomaly, together.event)
            for row in np.flatnonzero(together.anomaly).tolist():
                far = f"for a while {together.distance[row]:.3g} times as far as usual from its mean"
                reasons.setdefault((row, int(together.leading[row])), far)
        else:
            highest = np.fmax.reduce(score, axis=1)
            opened = np.logical_or.reduce(event == OPENED, axis=1)
            device = (highest, np.logical_or.reduce(anomaly, axis=1), np.where(opened, OPENED, 0).astype(np.int8))
        return Track(
            self.channels, chunk.time, chunk.time_written, chunk.values, score, expected, lower, upper, anomaly, event,
            late, reasons, *device,
        )  # fmt: skip

    def _reasons(
        self, taken: Batch, cell: NDArray[np.intp], width: int, scores: FleetScores, verdicts: Verdicts
    ) -> dict[tuple[int, int], str]:
        found = {}
        for i in np.flatnonzero(verdicts.anomaly).tolist():
            band = (float(scores.expected[i]), float(scores.lower[i]), float(scores.upper[i]))
            text = sentence(
                self._records[taken.series[i]], float(taken.value[i]), float(scores.score[i]), band, scores.parts(i)
            )
            found[int(cell[i]) // width, int(cell[i]) % width] = text
        return found


def score_columns(
    plan: Plan, stem: str, channels: Sequence[str], time: NDArray[np.int64], values: NDArray[np.float64]
) -> Track:
    """Score columns that are at hand: `time` int64 ns (n,), `values` float64 (n, channels)."""
    written: list[str | int | float] = [int(t) for t in time]
    return Backtest(plan, stem, channels).step(RecordingChunk(1, time, written, np.ascontiguousarray(values)))


def score_recording(plan: Plan, recording: Recording) -> Track:
    """Score a whole recording. Raises RecordingError, OSError."""
    backtest = Backtest(plan, recording.stem, recording.value_columns, recording.topic)
    tracks, start = [], 0
    reasons: dict[tuple[int, int], str] = {}
    for chunk in recording.chunks():
        track = backtest.step(chunk)
        reasons.update({(row + start, channel): text for (row, channel), text in track.reasons.items()})
        tracks.append(track)
        start += len(track)
    columns: dict[str, Any] = {
        column.name: np.concatenate([getattr(track, column.name) for track in tracks])
        for column in fields(Track)
        if column.name not in ("channels", "time_written", "reasons")
    }
    written = [cell for track in tracks for cell in track.time_written]
    return Track(channels=backtest.channels, time_written=written, reasons=reasons, **columns)


def _spread(column: NDArray[Any], cell: NDArray[np.intp], rows: int, width: int, fill: object) -> NDArray[Any]:
    whole = np.full(rows * width, fill, column.dtype)
    whole[cell] = column
    return whole.reshape(rows, width)
