"""Stages 5 and 7 of 7 over recordings: each row scored and judged as the service would have done when it arrived.

The parts are those of production: `ingest.order` for late rows, `ingest.score` and `ingest.rows` for detectors,
`alerts.policy` for verdicts. A row is scored against the rows before it alone, then learned; nothing is known of the
file's length, range or labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_settings import AlarmSettings
from alerts.policy import OPENED, AlarmPolicy, Verdicts
from alerts.reasons import device_sentence, sentence
from detectors.detector_registry import scores_rows
from devices.batch import Batch
from devices.series_registry import SeriesRegistry
from devices.topics import matches
from ingest.ingest_settings import DEFAULT_DETECTORS, DEFAULT_ROUTES, ComponentSettings, RouteSettings
from ingest.order import Orderer
from ingest.rows import PREFIX, DeviceScores, RowFleet
from ingest.score import Fleet, FleetScores
from tuning.recordings import Recording, RecordingChunk, RecordingError

TOGETHER = "joint"
"""The detector that scores a recording's channels together where none is named."""

REPLAY_PREFIX = "replay"
"""Topic before a recording's name, as `driftline replay` publishes it: routes are looked up by it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What scores a recording: the configuration's detectors, routes and alarm settings.

    `detector` scores every channel in place of what the routes say. `multivariate` scores the channels together too,
    by `TOGETHER` where the route names no detector of rows.
    """

    detectors: Mapping[str, ComponentSettings] = field(default_factory=lambda: dict(DEFAULT_DETECTORS))
    routes: Sequence[RouteSettings] = tuple(DEFAULT_ROUTES)
    alarm: AlarmSettings = field(default_factory=AlarmSettings)
    detector: str | None = None
    multivariate: bool = False

    @property
    def settings(self) -> Mapping[str, ComponentSettings]:
        """All detectors that can be named."""
        return {TOGETHER: DEFAULT_DETECTORS[TOGETHER], **self.detectors}

    def scores_rows(self, name: str) -> bool:
        """Whether the named detector scores channels together."""
        return name in self.settings and scores_rows(self.settings[name].type)

    def names(self, stem: str, channels: Sequence[str], topic: str = "") -> list[list[str]]:
        """Detectors of each channel of a recording."""
        named = [self.detectors_of(stem, channel, topic) for channel in channels]
        if self.multivariate and not any(self.scores_rows(name) for names in named for name in names):
            named = [[*names, TOGETHER] for names in named]
        return named

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
    channel), where `anomaly`. `device_score`, `device_anomaly`, `device_event` (n,) are those of all channels together,
    `device_reasons` why, by row, where a detector of rows found an anomaly. `stands_for_channels`: what that one says
    stands for the channels' own anomalies.
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
    device_reasons: Mapping[int, str] = field(default_factory=dict)
    stands_for_channels: bool = False

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
        if together := self.device_reasons.get(row):
            return together
        if self.stands_for_channels:
            return ""
        said = [
            (-self.score[row, channel], f"{self.channels[channel]}: {text}" if named else text)
            for channel in range(len(self.channels))
            if (text := self.reasons.get((row, channel)))
        ]
        return "; ".join(text for _, text in sorted(said))


class Backtest:
    """Scores one recording, chunk by chunk. Cutting it into other chunks gives the same scores.

    Raises RecordingError where it has more channels than a detector of rows takes.
    """

    def __init__(self, plan: Plan, stem: str, channels: Sequence[str], topic: str = "") -> None:
        self.channels = tuple(channels)
        self._registry = SeriesRegistry(max_series=2 * len(channels) + 64, max_series_per_device=2 * len(channels) + 64)
        self._fleet = Fleet(plan.settings)
        self._rows = RowFleet(plan.settings, self._registry, [])
        for channel in channels:
            self._registry.find_or_add(stem, channel)
        for number, names in enumerate(plan.names(stem, channels, topic)):
            self._fleet.assign(number, names)
            if left_out := self._rows.assign(number, names):
                wanted = f"channels = {len(channels)} under [detectors.{left_out[0]}]"
                raise RecordingError(f"{stem}: column {channels[number]!r} finds no place in the rows: set {wanted}")
        self._policy = AlarmPolicy(plan.alarm)
        self._policy.grow(len(self._registry))
        self._order = Orderer()
        self._order.grow(len(channels), 1)
        self.stands_for_channels = any(self._rows.stands_for(number) for number in range(len(channels)))

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
        highest = np.full(rows, np.nan) if self.stands_for_channels else np.fmax.reduce(score, axis=1)
        flagged = np.logical_or.reduce(anomaly, axis=1) & (not self.stands_for_channels)
        opened = np.logical_or.reduce(event == OPENED, axis=1) & (not self.stands_for_channels)
        said = self._together(self._rows.step(taken, scores.score), cell // width, highest, flagged, opened)
        device = (highest, flagged, np.where(opened, OPENED, 0).astype(np.int8), said, self.stands_for_channels)
        return Track(
            self.channels, chunk.time, chunk.time_written, chunk.values, score, expected, lower, upper, anomaly, event,
            late, reasons, *device,
        )  # fmt: skip

    def _together(
        self,
        scores: DeviceScores,
        row_of: NDArray[np.intp],
        highest: NDArray[np.float64],
        flagged: NDArray[np.bool_],
        opened: NDArray[np.bool_],
    ) -> dict[int, str]:
        """Add to the rows what detectors of rows say of them, and give the reasons of those found odd.

        `row_of` (readings,) is the row of each reading taken.
        """
        batch = scores.batch
        verdicts = self._policy.step(batch.series, batch.time, batch.value)
        row = row_of[scores.at]
        np.fmax.at(highest, row, batch.value)
        np.logical_or.at(flagged, row, verdicts.anomaly)
        np.logical_or.at(opened, row, verdicts.event == OPENED)
        said: dict[int, str] = {}
        for i in np.flatnonzero(verdicts.anomaly).tolist():
            detector = self._registry.records[batch.series[i]].metric.removeprefix(PREFIX)
            text = device_sentence(detector, float(batch.value[i]), scores.channels(i, self._registry))
            before = said.get(int(row[i]))
            said[int(row[i])] = f"{before}; {text}" if before else text
        return said

    def _reasons(
        self, taken: Batch, cell: NDArray[np.intp], width: int, scores: FleetScores, verdicts: Verdicts
    ) -> dict[tuple[int, int], str]:
        found = {}
        for i in np.flatnonzero(verdicts.anomaly).tolist():
            band = (float(scores.expected[i]), float(scores.lower[i]), float(scores.upper[i]))
            record = self._registry.records[taken.series[i]]
            text = sentence(record, float(taken.value[i]), float(scores.score[i]), band, scores.parts(i))
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
    said: dict[int, str] = {}
    for chunk in recording.chunks():
        track = backtest.step(chunk)
        reasons.update({(row + start, channel): text for (row, channel), text in track.reasons.items()})
        said.update({row + start: text for row, text in track.device_reasons.items()})
        tracks.append(track)
        start += len(track)
    columns: dict[str, Any] = {
        column.name: np.concatenate([getattr(track, column.name) for track in tracks])
        for column in fields(Track)
        if column.name not in ("channels", "time_written", "reasons", "device_reasons", "stands_for_channels")
    }
    written = [cell for track in tracks for cell in track.time_written]
    return Track(
        channels=backtest.channels,
        time_written=written,
        reasons=reasons,
        device_reasons=said,
        stands_for_channels=backtest.stands_for_channels,
        **columns,
    )


def _spread(column: NDArray[Any], cell: NDArray[np.intp], rows: int, width: int, fill: object) -> NDArray[Any]:
    whole = np.full(rows * width, fill, column.dtype)
    whole[cell] = column
    return whole.reshape(rows, width)
