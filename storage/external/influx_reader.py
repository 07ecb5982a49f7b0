"""Store: reads of InfluxDB: in Flux (2, and 1.8 where it is switched on), and in InfluxQL (1.8, 2, 3).

Flux: https://docs.influxdata.com/flux/v0/; InfluxQL over `/query`: https://docs.influxdata.com/influxdb/v1/tools/api/.
"""

from __future__ import annotations

import csv
import io
import json
import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from common.durations import parse_duration
from common.http_client import HttpClient
from devices.records import SeriesRecord
from storage.external.lines import ALARMS, CONTRIBUTORS, POINTS
from storage.external.reader_parts import FIELDS, AlarmEvent, Columns, ExternalReader
from storage.storage_settings import SinkSettings

_ALARM_NUMBERS = ("alarm", "state", "opened", "peak_score", "value", "expected")
_LONG_AGO = -(2**63) + 10**9

Row = Mapping[str, Any]
"""One point as it was read: tags as text, fields as numbers or text, `time` in ns."""


class InfluxReader(ExternalReader):
    """Reads what `storage.external.influx.InfluxSink` wrote to InfluxDB. Raises OSError where it does not answer."""

    def __init__(self, settings: SinkSettings, *, known: Iterable[SeriesRecord] = (), token: str = "") -> None:
        super().__init__(known)
        self._settings = settings
        self._client = HttpClient(
            settings.url,
            seconds=parse_duration(settings.timeout) / 1e9,
            headers={"Authorization": f"Token {token}"} if token else None,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @abstractmethod
    def _rows(
        self,
        measurement: str,
        tags: Mapping[str, str],
        start: int | None = None,
        end: int | None = None,
        last: int | None = None,
    ) -> Iterable[Row]:
        """Points of a measurement with these tags, in any order: all, or the `last` so many."""

    @abstractmethod
    def _last_rows(self, measurement: str) -> Iterable[Row]:
        """The newest point of every series of a measurement."""

    def _names(self) -> Iterable[tuple[str, str]]:
        return [(row["device"], row["metric"]) for row in self._last_rows(POINTS)]

    def _read(self, device: str, metric: str, start: int | None, end: int | None) -> tuple[NDArray[np.int64], Columns]:
        return _columns(self._rows(POINTS, {"device": device, "metric": metric}, start, end))

    def _read_last(self, device: str, metric: str, n: int, end: int | None) -> tuple[NDArray[np.int64], Columns]:
        return _columns(self._rows(POINTS, {"device": device, "metric": metric}, end=end, last=n))

    def _newest(self) -> Iterable[tuple[str, str, int, Mapping[str, float]]]:
        return [
            (row["device"], row["metric"], row["time"], {name: _number(row, name) for name in FIELDS})
            for row in self._last_rows(POINTS)
        ]

    def _alarm_events(self) -> Iterable[AlarmEvent]:
        parts: dict[tuple[str, str, int], dict[str, float]] = {}
        for row in self._rows(CONTRIBUTORS, {}):
            parts.setdefault((row["device"], row["metric"], row["time"]), {})[row["detector"]] = float(row["decades"])
        for row in self._rows(ALARMS, {}):
            device, metric, time = row["device"], row["metric"], row["time"]
            numbers = {name: float(row[name]) for name in _ALARM_NUMBERS if row.get(name) is not None}
            if row.get("opened") is not None:
                numbers["opened"] = int(row["opened"])
            found = parts.get((device, metric, time), {})
            yield AlarmEvent(device, metric, row["severity"], time, numbers, str(row.get("reason") or ""), found)


class FluxReader(InfluxReader):
    """Asks in Flux; replies are annotated CSV, whose times keep their nanoseconds."""

    def _rows(
        self,
        measurement: str,
        tags: Mapping[str, str],
        start: int | None = None,
        end: int | None = None,
        last: int | None = None,
    ) -> Iterable[Row]:
        stop = "" if end is None else f", stop: time(v: {end})"
        first = 0 if start is None else start
        conditions = "".join(f" and r.{name} == {_quoted(value)}" for name, value in tags.items())
        tail = "" if last is None else f' |> group() |> sort(columns: ["_time"]) |> tail(n: {last})'
        return self._flux(
            f"from(bucket: {_quoted(self._settings.bucket)}) |> range(start: time(v: {first}){stop}) "
            f"|> filter(fn: (r) => r._measurement == {_quoted(measurement)}{conditions}) {_PIVOT}{tail}"
        )

    def _last_rows(self, measurement: str) -> Iterable[Row]:
        # The newest time of a series is that of its value: other fields may be older, and then belong to another point.
        return self._flux(
            f"from(bucket: {_quoted(self._settings.bucket)}) |> range(start: time(v: 0)) "
            f"|> filter(fn: (r) => r._measurement == {_quoted(measurement)}) {_PIVOT} "
            '|> group(columns: ["device", "metric"]) |> sort(columns: ["_time"]) |> tail(n: 1)'
        )

    def _flux(self, query: str) -> Iterator[Row]:
        reply = self._client.ask(
            "POST",
            "/api/v2/query",
            query={"org": self._settings.org},
            json={"query": query, "dialect": {"annotations": ["datatype"], "header": True}},
            headers={"Accept": "application/csv"},
        )
        return _flux_rows(reply.decode())


class InfluxQlReader(InfluxReader):
    """Asks in InfluxQL over the 1.x API, which InfluxDB 2 and 3 answer too; times come as integers."""

    def _rows(
        self,
        measurement: str,
        tags: Mapping[str, str],
        start: int | None = None,
        end: int | None = None,
        last: int | None = None,
    ) -> Iterable[Row]:
        conditions = [f'"{name}" = {_single_quoted(value)}' for name, value in tags.items()]
        conditions += [f"time >= {_LONG_AGO if start is None else start}"]
        conditions += [] if end is None else [f"time < {end}"]
        tail = "" if last is None else f" ORDER BY time DESC LIMIT {last}"
        return self._influxql(f'SELECT * FROM "{measurement}" WHERE {" AND ".join(conditions)}{tail}')

    def _last_rows(self, measurement: str) -> Iterable[Row]:
        return self._influxql(f'SELECT * FROM "{measurement}" GROUP BY "device", "metric" ORDER BY time DESC LIMIT 1')

    def _influxql(self, query: str) -> Iterator[Row]:
        # A bucket that is called "database/policy" is a retention policy of InfluxDB 1.
        database, _, policy = self._settings.bucket.partition("/")
        parameters = {"db": database, "epoch": "ns", "q": query} | ({"rp": policy} if policy else {})
        reply = orjson.loads(self._client.ask("GET", "/query", query=parameters))
        for result in reply["results"]:
            if "error" in result:
                raise OSError(f"{self._client.url}/query: {result['error']}")
            for series in result.get("series", ()):
                for values in series["values"]:
                    yield dict(zip(series["columns"], values, strict=True)) | series.get("tags", {})


_PIVOT = '|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'


def _flux_rows(text: str) -> Iterator[Row]:
    """Rows of annotated CSV (https://docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv/)."""
    header: list[str] = []
    kinds: list[str] = []
    fresh = True
    for cells in csv.reader(io.StringIO(text)):
        if not cells or cells == [""]:
            fresh = True
        elif cells[0] == "#datatype":
            kinds, fresh = cells, True
        elif fresh:
            header, fresh = cells, False
        else:
            row = {
                name: cell if kind == "string" else float(cell) if kind == "double" else _time_or_int(kind, cell)
                for name, kind, cell in zip(header, kinds, cells, strict=True)
                if cell != "" and name not in {"", "result", "table", "_start", "_stop", "_measurement"}
            }
            yield row | {"time": row["_time"]}


def _time_or_int(kind: str, cell: str) -> int | str:
    if kind.startswith("dateTime"):
        return int(np.datetime64(cell.removesuffix("Z"), "ns").astype(np.int64))
    return int(cell) if kind in {"long", "unsignedLong"} else cell


def _columns(found: Iterable[Row]) -> tuple[NDArray[np.int64], Columns]:
    rows = sorted(found, key=lambda row: int(row["time"]))
    columns = {name: np.array([_number(row, name) for row in rows], np.float64) for name in FIELDS}
    return np.array([row["time"] for row in rows], np.int64), columns


def _number(row: Row, name: str) -> float:
    value = row.get(name)
    return math.nan if value is None else float(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("${", "\\${")


def _single_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
