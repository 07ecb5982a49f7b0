"""What became of a recording, row by row, put together from what the engine made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.policy_kernels import OPENED
from common.growth import grown
from devices.records import AlarmRecord, SeriesRecord
from ingest.followed import Followed
from ingest.pipeline import Engine
from tuning.recordings import RecordingChunk

_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Track:
    """What became of n rows of c channels, row by row.

    `score`, `expected`, `lower`, `upper` are (n, c) float64, NaN where there is none: while warming, for late rows,
    where the cell holds no number. `anomaly` bool and `event` int8 (n, c) are the alarm policy's. `late` (n,) marks
    rows whose readings all came behind the newest of their channels: neither scored nor learned. `reasons` says why, by
    (row, channel), where `anomaly`. `device_score`, `device_anomaly`, `device_event` (n,) are those of all channels
    together: the event is OPENED where the service opens an alarm. `device_reasons` says why, by row, where a
    multivariate detector found an anomaly. `replaces_channels`: from some row on, what that
    one finds takes the place of the channels' own anomalies. `alarms` are the alarms as they stand at the end, of the
    engine's `series`.
    """

    channels: tuple[str, ...]
    time: NDArray[np.int64]
    time_written: list[str | int | float]
    value: NDArray[np.float64]
    score: NDArray[np.float64]
    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    novelty: NDArray[np.float64]
    anomaly: NDArray[np.bool_]
    event: NDArray[np.int8]
    late: NDArray[np.bool_]
    reasons: Mapping[tuple[int, int], str]
    device_score: NDArray[np.float64]
    device_anomaly: NDArray[np.bool_]
    device_event: NDArray[np.int8]
    device_reasons: Mapping[int, str] = field(default_factory=dict)
    replaces_channels: bool = False
    alarms: Sequence[AlarmRecord] = ()
    series: Sequence[SeriesRecord] = ()

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
        if not self.device_anomaly[row]:
            return ""
        found = [
            (-self.score[row, channel], f"{self.channels[channel]}: {text}" if named else text)
            for channel in range(len(self.channels))
            if (text := self.reasons.get((row, channel)))
        ]
        return "; ".join(text for _, text in sorted(found))


@dataclass(frozen=True, slots=True)
class _Cells:
    """Readings of one step by their place: `row` and `channel` (n,), and columns of what became of them."""

    row: NDArray[np.intp]
    channel: NDArray[np.intp]
    columns: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _DeviceRows:
    """The device's rows of one step: the row of the recording that completed each, its score and the verdict on it."""

    row: NDArray[np.intp]
    score: NDArray[np.float64]
    anomaly: NDArray[np.bool_]


class TrackBuilder:
    """Gathers what the engine makes of a recording, step by step; a reading may come out steps after it went in.

    `channel_of` (series,) is the channel of each of the engine's series, -1 for none.
    """

    def __init__(self, channels: tuple[str, ...], channel_of: NDArray[np.intp], engine: Engine) -> None:
        self._channels = channels
        self._channel_of = channel_of
        self._engine = engine
        self._chunks: list[RecordingChunk] = []
        self._arrival = np.empty(0, np.int64)
        self._rows = 0
        self._cells: list[_Cells] = []
        self._late_rows: list[NDArray[np.intp]] = []
        self._device_rows: list[_DeviceRows] = []
        self._reasons: dict[tuple[int, int], str] = {}
        self._device_reasons: dict[int, str] = {}
        self._opened_rows: list[int] = []
        self._alarms: dict[int, AlarmRecord] = {}
        self._replaced = False

    def add_rows(self, chunk: RecordingChunk) -> NDArray[np.int64]:
        """The next rows of the recording; returns their arrival times in ns, each later than the one before.

        Rows arrive at their own times; one that goes back in time right after the one before.
        """
        count = len(chunk.time)
        place = np.arange(1, count + 1, dtype=np.int64)
        last = int(self._arrival[self._rows - 1]) if self._rows else -_LAST
        arrival = np.maximum.accumulate(np.maximum(chunk.time - place, last)) + place
        self._arrival = grown(self._arrival, self._rows + count, _LAST)
        self._arrival[self._rows : self._rows + count] = arrival
        self._rows += count
        self._chunks.append(chunk)
        return arrival

    def note(self, followed: Followed) -> None:
        """Take what became of some readings. Reasons are told now, since they are of this step alone."""
        batch, scores, band = followed.on_time.batch, followed.scores.readings, followed.band()
        row, channel = self._row_of(followed.on_time.arrival), self._channel_of[batch.series]
        replaced = self._engine.host.replaced(batch.series)
        columns = {
            "score": scores.score,
            "expected": band.expected,
            "lower": band.lower,
            "upper": band.upper,
            "novelty": scores.novelty,
            "anomaly": followed.own.anomaly,
            "event": followed.own.event,
            "replaced": replaced,
        }
        self._cells.append(_Cells(row, channel, columns))
        self._replaced |= bool(replaced.any())
        self._late_rows.append(self._row_of(followed.ordered.arrival[followed.ordered.late]))
        devices = followed.scores.devices
        device_row = row[devices.at]
        self._device_rows.append(_DeviceRows(device_row, devices.batch.value, followed.together.anomaly))
        records = self._engine.registry.records
        for at in np.flatnonzero(followed.own.anomaly).tolist():
            self._reasons[int(row[at]), int(channel[at])] = scores.opening(batch, at, records[batch.series[at]]).reason
        for at in np.flatnonzero(followed.together.anomaly).tolist():
            text, before = (
                devices.opening(at, records.__getitem__).reason,
                self._device_reasons.get(int(device_row[at])),
            )
            self._device_reasons[int(device_row[at])] = f"{before}; {text}" if before else text
        self._opened_rows += row[followed.alarms.opened_at].tolist() if followed.alarms.opened else []
        self._alarms |= {record.alarm: record for record in followed.alarms.records}

    def build(self) -> Track:
        """The whole track."""
        shape = (self._rows, len(self._channels))
        floats = {name: np.full(shape, np.nan) for name in ("score", "expected", "lower", "upper", "novelty")}
        marks = {name: np.zeros(shape, np.bool_) for name in ("anomaly", "replaced")}
        cells: dict[str, NDArray[Any]] = {**floats, **marks, "event": np.zeros(shape, np.int8)}
        for part in self._cells:
            for name, column in part.columns.items():
                cells[name][part.row, part.channel] = column
        counts = ~cells.pop("replaced")
        device_score = np.fmax.reduce(np.where(counts, cells["score"], np.nan), axis=1, initial=np.nan)
        device_anomaly = np.logical_or.reduce(cells["anomaly"] & counts, axis=1)
        for made in self._device_rows:
            np.fmax.at(device_score, made.row, made.score)
            np.logical_or.at(device_anomaly, made.row, made.anomaly)
        device_event = np.zeros(self._rows, np.int8)
        device_event[self._opened_rows] = OPENED
        time, value = (np.concatenate([getattr(chunk, name) for chunk in self._chunks]) for name in ("time", "values"))
        return Track(
            channels=self._channels,
            time=time,
            time_written=[written for chunk in self._chunks for written in chunk.time_written],
            value=value,
            late=self._late(shape[0]),
            reasons=self._reasons,
            device_score=device_score,
            device_anomaly=device_anomaly,
            device_event=device_event,
            device_reasons=self._device_reasons,
            replaces_channels=self._replaced,
            alarms=list(self._alarms.values()),
            series=self._engine.registry.records,
            **cells,
        )

    def _late(self, rows: int) -> NDArray[np.bool_]:
        """Rows all of whose readings came late."""
        late = np.zeros(rows, np.bool_)
        for part in self._late_rows:
            late[part] = True
        for cells in self._cells:
            late[cells.row] = False
        return late

    def _row_of(self, arrival: NDArray[np.int64]) -> NDArray[np.intp]:
        return np.searchsorted(self._arrival[: self._rows], arrival)
