"""Store: outputs as InfluxDB line protocol, built column by column into one buffer.

The measurements, tags and fields are those of docs/storage.md. Syntax:
https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.extras import optional
from devices.batch import ScoredBatch
from devices.records import AlarmRecord, AlarmState, SeriesRecord, SeverityRise
from storage.external.line_text import float_text, string_text, tag_text
from storage.external.stream_lines import stream_lines
from storage.store import DevicePresence, StepOutput

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = optional("pyarrow", extra="influx", purpose="Writing to InfluxDB or VictoriaMetrics")
    pc = optional("pyarrow.compute", extra="influx", purpose="Writing to InfluxDB or VictoriaMetrics")

POINTS, ALARMS, DEVICES = "driftline", "driftline_alarm", "driftline_device"
"""Measurements: scored points, alarms as events, and what is known of a device."""

CONTRIBUTORS = "driftline_alarm_detector"
"""Measurement of what raised an alarm: at its opening, one line a contributor, tagged with its name."""

QUALITY_SCORED, QUALITY_UNSCORED, QUALITY_LATE = 0, 1, 2
"""The field `quality`: scored; not scored, as while a detector warms up; late, thus neither scored nor learned."""

RISES_AFTER = 1_000_000
"""So long (ns) after its opening an alarm ends under a severity above which it has risen: VictoriaMetrics keeps whole
milliseconds, and of two values at one of them the higher."""

ALARM_STATES = {AlarmState.CLEARED: 0, AlarmState.OPEN: 1, AlarmState.ACKNOWLEDGED: 2}
"""The field `state`, a number, since VictoriaMetrics keeps nothing else."""


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Lines, each with its line end, one behind the other in `data`; line i ends before `ends[i]`, int64 (n,)."""

    data: memoryview
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, rows: slice) -> LineBlock:
        """Consecutive lines, without copying them."""
        first, last, _ = rows.indices(len(self))
        start = self._start(first)
        stop = int(self.ends[last - 1]) if last > first else start
        return LineBlock(self.data[start:stop], self.ends[first:last] - start)

    @property
    def text(self) -> list[str]:
        """The lines without their ends."""
        return str(self.data, "utf-8", "replace").split("\n")[: len(self)]

    def _start(self, row: int) -> int:
        return int(self.ends[row - 1]) if row else 0


class LineProtocol:
    """Outputs as lines. Remembers the name of every series that it was told of."""

    def __init__(self, series: Iterable[SeriesRecord] = ()) -> None:
        self._tags: list[str | None] = []
        self._prefixes: Any = pa.array([], pa.string())
        self.learn(series)

    def learn(self, series: Iterable[SeriesRecord]) -> None:
        """Take note of the devices and metrics of `series`."""
        known = len(self._tags)
        for record in series:
            if record.series >= len(self._tags):
                self._tags += [None] * (record.series + 1 - len(self._tags))
            known = min(known, record.series)
            self._tags[record.series] = f"device={tag_text(record.device)},metric={tag_text(record.metric)}"
        if known < len(self._tags):
            new = [None if tags is None else f"{POINTS},{tags} value=" for tags in self._tags[known:]]
            self._prefixes = pa.concat_arrays([self._prefixes[:known], pa.array(new, pa.string())])

    def block(self, output: StepOutput, sink: str = "") -> LineBlock:
        """A line for each point, alarm and device state of `output`, and each row of a stream that goes to `sink`.

        Raises ValueError for a series without a name.
        """
        self.learn(output.series)
        points = self._point_lines(output.points)
        others = [self._alarm_line(record) for record in output.alarms] + [self._rise_line(r) for r in output.rises]
        others += [_device_line(state) for state in output.devices]
        others += [line for record in output.alarms for line in self._contributor_lines(record)]
        others += [line for each in output.stream_results if sink in each.sinks for line in stream_lines(each)]
        if not others:
            return points
        encoded = [line.encode() + b"\n" for line in others]
        start = int(points.ends[-1]) if len(points) else 0
        ends = start + np.cumsum([len(line) for line in encoded])
        return LineBlock(memoryview(b"".join([points.data, *encoded])), np.concatenate([points.ends, ends]))

    def _point_lines(self, points: ScoredBatch) -> LineBlock:
        if not len(points):
            return LineBlock(memoryview(b""), np.empty(0, np.int64))
        prefix = self._prefixes_of(points.series)
        quality = np.where(points.late, QUALITY_LATE, np.where(np.isnan(points.score), QUALITY_UNSCORED, 0))
        lines = pc.binary_join_element_wise(
            prefix,
            pa.array(points.value).cast(pa.string()),
            _field("score", np.round(points.score, 2)),
            _field("expected", points.expected),
            _field("lower", points.lower),
            _field("upper", points.upper),
            _field("novelty", np.round(points.novelty, 2)),
            pa.array(_FLAGS).take(pa.array(quality * 2 + points.anomaly)),
            pa.array(points.time).cast(pa.string()),
            "\n",
            "",
        )
        _, offsets, data = lines.buffers()
        return LineBlock(memoryview(data), np.frombuffer(offsets, np.int32)[1 : len(lines) + 1].astype(np.int64))

    def _prefixes_of(self, series: NDArray[np.int32]) -> Any:
        if int(series.max()) >= len(self._prefixes) or int(series.min()) < 0:
            number = int(series.max()) if int(series.min()) >= 0 else int(series.min())
            raise ValueError(f"series {number} has no name: expected it among the {len(self._prefixes)} known")
        prefix = self._prefixes.take(pa.array(series))
        if prefix.null_count:
            nameless = int(series[np.flatnonzero(prefix.is_null())[0]])
            raise ValueError(f"series {nameless} has no name: expected a record of it before its points")
        return prefix

    def _alarm_line(self, record: AlarmRecord) -> str:
        tags = self._tags_of(record.series, f"alarm {record.alarm}")
        time = record.opened if record.cleared is None else record.cleared
        fields = {
            "alarm": f"{record.alarm}i",
            "state": f"{ALARM_STATES[record.state]}i",
            "open": f"{int(record.state is not AlarmState.CLEARED)}i",
            "opened": f"{record.opened}i",
            "peak_score": float_text(record.peak_score),
            "value": float_text(record.value),
            "expected": float_text(record.expected),
            "reason": string_text(record.reason),
        }
        written = ",".join(f"{name}={value}" for name, value in fields.items() if value is not None)
        return f"{ALARMS},{tags},severity={tag_text(record.severity)} {written} {time}"

    def _rise_line(self, rise: SeverityRise) -> str:
        tags = self._tags_of(rise.series, "an alarm")
        return f"{ALARMS},{tags},severity={tag_text(rise.severity)} state=0i,open=0i {rise.opened + RISES_AFTER}"

    def _tags_of(self, series: int, what: str) -> str:
        tags = self._tags[series] if 0 <= series < len(self._tags) else None
        if tags is None:
            raise ValueError(f"series {series} of {what} has no name: expected a record of it before")
        return tags

    def _contributor_lines(self, record: AlarmRecord) -> list[str]:
        if record.state is not AlarmState.OPEN:
            return []
        start = f"{CONTRIBUTORS},{self._tags[record.series]}"
        return [
            f"{start},detector={tag_text(name)} decades={float_text(decades)} {record.opened}"
            for name, decades in record.parts.items()
            if math.isfinite(decades)
        ]


_FLAGS = [f",anomaly={anomaly}i,quality={quality}i " for quality in range(3) for anomaly in range(2)]


def _device_line(state: DevicePresence) -> str:
    fields = f"online={int(state.online)}i,open_alarms={state.open_alarms}i"
    return f"{DEVICES},device={tag_text(state.device)} {fields} {state.time}"


def _field(name: str, column: NDArray[np.float64]) -> Any:
    short = pa.array(np.where(np.isfinite(column), column, np.nan).astype(np.float32), from_pandas=True)
    return pc.binary_join_element_wise(f",{name}=", short.cast(pa.string()), "").fill_null("")
