"""Stage 6 of 7: external databases that take InfluxDB line protocol: InfluxDB 2 (and 1.8, 3), VictoriaMetrics.

Points become lines of the measurement `driftline`, tagged with device and metric, with the fields value, score,
expected, lower, upper and anomaly (0 or 1); alarms become lines of `driftline_alarm`. The same point written twice is
the same point. Syntax: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from influxdb_client import InfluxDBClient, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from urllib3.exceptions import HTTPError

from devices.batch import ScoredBatch
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from devices.units import Duration, parse_duration
from storage.base import StepOutput

_REFUSED = {400, 413, 422}
_LINES_AT_ONCE = 20_000


class InfluxSettings(BaseModel):
    """An external database that takes InfluxDB line protocol at `/api/v2/write`. Its token is no setting."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="Address of the server, such as http://localhost:8086.", pattern=r"^https?://.+")
    org: str = Field(default="driftline", description="Organisation, which VictoriaMetrics does not heed.")
    bucket: str = Field(default="driftline", description="Bucket, which VictoriaMetrics does not heed.")
    timeout: Duration = Field(default="10s", description="A write that takes longer has failed, and is tried again.")
    gzip: bool = Field(default=True, description="Compress what is sent.")


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line that the server would not take, with its reason."""

    line: str
    reason: str


class LineProtocol:
    """Outputs as lines. Remembers the name of every series that it was told of."""

    def __init__(self, series: Iterable[SeriesRecord] = ()) -> None:
        self._prefixes: list[str | None] = []
        self._names: dict[int, str] = {}
        self.learn(series)

    def learn(self, series: Iterable[SeriesRecord]) -> None:
        """Take note of the devices and metrics of `series`."""
        for record in series:
            if record.series >= len(self._prefixes):
                self._prefixes += [None] * (record.series + 1 - len(self._prefixes))
            tags = f"device={_tag(record.device)},metric={_tag(record.metric)}"
            self._names[record.series] = tags
            self._prefixes[record.series] = f"driftline,{tags} value="

    def lines(self, output: StepOutput) -> list[str]:
        """A line for each point and each alarm of `output`. Raises ValueError for a series without a name."""
        self.learn(output.series)
        return [*self._point_lines(output.points), *(self._alarm_line(record) for record in output.alarms)]

    def _point_lines(self, points: ScoredBatch) -> list[str]:
        if not len(points):
            return []
        known = pa.array(self._prefixes, pa.string())
        if int(points.series.max()) >= len(known) or int(points.series.min()) < 0:
            raise ValueError(f"series {int(points.series.max())} has no name: expected it among the {len(known)} known")
        prefix = known.take(pa.array(points.series))
        if prefix.null_count:
            nameless = int(points.series[np.flatnonzero(prefix.is_null())[0]])
            raise ValueError(f"series {nameless} has no name: expected a record of it before its points")
        lines = pc.binary_join_element_wise(
            prefix,
            pa.array(points.value).cast(pa.string()),
            _field("score", np.round(points.score, 2)),
            _field("expected", points.expected),
            _field("lower", points.lower),
            _field("upper", points.upper),
            pc.if_else(pa.array(points.anomaly), ",anomaly=1i ", ",anomaly=0i "),
            pa.array(points.time).cast(pa.string()),
            "",
        )
        return lines.to_pylist()  # type: ignore[no-any-return]

    def _alarm_line(self, record: AlarmRecord) -> str:
        if record.series not in self._names:
            raise ValueError(
                f"series {record.series} of alarm {record.alarm} has no name: expected a record of it before"
            )
        time = record.opened if record.cleared is None else record.cleared
        fields = {
            "alarm": f"{record.alarm}i",
            "open": f"{int(record.state is not AlarmState.CLEARED)}i",
            "state": _text(record.state.value),
            "severity": _text(record.severity),
            "reason": _text(record.reason),
            "peak_score": _float(record.peak_score),
            "value": _float(record.value),
            "expected": _float(record.expected),
        }
        written = ",".join(f"{name}={value}" for name, value in fields.items() if value is not None)
        return f"driftline_alarm,{self._names[record.series]} {written} {time}"


class InfluxSink:
    """Writes outputs to one server; every write is confirmed by it before `write` returns."""

    def __init__(self, settings: InfluxSettings, *, token: str = "", series: Iterable[SeriesRecord] = ()) -> None:
        self.settings = settings
        self._token = token
        self._protocol = LineProtocol(series)
        self._client: InfluxDBClient | None = None
        self._api: Any = None

    def open(self) -> Self:
        """Set up the client; connecting happens at the first write. Returns self."""
        self._client = InfluxDBClient(
            self.settings.url,
            token=self._token or None,
            org=self.settings.org,
            timeout=parse_duration(self.settings.timeout) // 1_000_000,
            enable_gzip=self.settings.gzip,
        )
        self._api = self._client.write_api(write_options=SYNCHRONOUS)
        return self

    def close(self) -> None:
        """Close the connections; closing twice does nothing."""
        if self._client is not None:
            self._api.close()
            self._client.close()
            self._client = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, output: StepOutput) -> list[RejectedLine]:
        """Write all of `output`, and return the lines that the server refused.

        A refused write is split until the lines at fault stand alone. Raises OSError where the server is away,
        overloaded or not set up (401, 403, 404): then the same write may be tried again, since writing twice changes
        nothing.
        """
        lines = self._protocol.lines(output)
        rejected: list[RejectedLine] = []
        for start in range(0, len(lines), _LINES_AT_ONCE):
            self._write(lines[start : start + _LINES_AT_ONCE], rejected)
        return rejected

    def _write(self, lines: list[str], rejected: list[RejectedLine]) -> None:
        if self._client is None:
            raise ValueError(f"{self.settings.url}: the sink is not open")
        try:
            self._api.write(self.settings.bucket, record="\n".join(lines).encode(), write_precision=WritePrecision.NS)
        except ApiException as error:
            if error.status not in _REFUSED:
                raise OSError(f"{self.settings.url}: writing {len(lines)} lines: {_reason(error)}") from error
            if len(lines) == 1:
                rejected.append(RejectedLine(lines[0], _reason(error)))
                return
            for half in (lines[: len(lines) // 2], lines[len(lines) // 2 :]):
                self._write(half, rejected)
        except HTTPError as error:
            raise OSError(f"{self.settings.url}: writing {len(lines)} lines: {error}") from error


def _field(name: str, column: NDArray[np.float64]) -> Any:
    short = pa.array(np.where(np.isfinite(column), column, np.nan).astype(np.float32), from_pandas=True)
    return pc.binary_join_element_wise(f",{name}=", short.cast(pa.string()), "").fill_null("")


def _float(value: float) -> str | None:
    return repr(float(value)) if math.isfinite(value) else None


def _tag(text: str) -> str:
    for character in ",= ":
        text = text.replace(character, "\\" + character)
    text = text.replace("\n", "\\n")
    return text + "\\" if text.endswith("\\") else text


def _text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _reason(error: ApiException) -> str:
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
    return f"{error.status} {error.reason}: {' '.join(body.split())[:300]}"
