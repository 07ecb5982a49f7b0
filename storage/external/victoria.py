"""Store: reads of VictoriaMetrics, through its export and MetricsQL (https://docs.victoriametrics.com/).

It keeps numbers at times in whole milliseconds, and no texts: alarms come back without their sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from common.durations import parse_duration
from common.http_client import HttpClient
from common.time_units import SECOND
from devices.records import SeriesRecord
from storage.external.lines import ALARMS, CONTRIBUTORS, POINTS
from storage.external.reader_parts import FIELDS, AlarmEvent, Columns, ExternalReader
from storage.storage_settings import SinkSettings

_MS = 1_000_000
_FIRST_SPAN = 600 * SECOND


class VictoriaReader(ExternalReader):
    """Reads what `storage.external.influx.InfluxSink` wrote to VictoriaMetrics. Raises OSError where it does not
    answer.

    The newest points and the names of series are looked for in the last `lookback` (ns).
    """

    resolution = _MS

    def __init__(
        self,
        settings: SinkSettings,
        *,
        known: Iterable[SeriesRecord] = (),
        token: str = "",
        lookback: int = 400 * 24 * 3600 * SECOND,
    ) -> None:
        super().__init__(known)
        self._lookback = lookback
        self._client = HttpClient(
            settings.url,
            seconds=parse_duration(settings.timeout) / SECOND,
            headers={"Authorization": f"Token {token}"} if token else None,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def instant(self, query: str, time: int | None = None) -> list[dict[str, Any]]:
        """The result of one MetricsQL query at `time` (ns; now by default): series with `metric` and `value`."""
        at = {} if time is None else {"time": _seconds(time)}
        found: list[dict[str, Any]] = self._json("/api/v1/query", {"query": query} | at)["data"]["result"]
        return found

    def _names(self) -> Iterable[tuple[str, str]]:
        start = f"-{self._lookback // SECOND}s"
        found = self._json("/api/v1/series", {"match[]": f"{POINTS}_value", "start": start})
        return [(each["device"], each["metric"]) for each in found["data"]]

    def _read(self, device: str, metric: str, start: int | None, end: int | None) -> tuple[NDArray[np.int64], Columns]:
        selector = (
            f'{{__name__=~"{POINTS}_({"|".join(FIELDS)})",device={json.dumps(device)},metric={json.dumps(metric)}}}'
        )
        stored: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        for row in self._export(selector, start, end):
            name = str(row["metric"]["__name__"]).removeprefix(f"{POINTS}_")
            stored[name] = np.array(row["timestamps"], np.int64), np.array(row["values"], np.float64)
        time, value = stored.pop("value", (np.empty(0, np.int64), np.empty(0)))
        order = np.argsort(time, kind="stable")
        time, value = time[order], value[order]
        columns = {name: np.full(len(time), np.nan) for name in FIELDS} | {"value": value}
        for name, (at, values) in stored.items():
            place = np.searchsorted(time, at)
            fits = place < len(time)
            fits[fits] = time[place[fits]] == at[fits]
            columns[name][place[fits]] = values[fits]
        return time * _MS, columns

    def _read_last(self, device: str, metric: str, n: int, end: int | None) -> tuple[NDArray[np.int64], Columns]:
        selector = f"{POINTS}_value{{device={json.dumps(device)},metric={json.dumps(metric)}}}"
        found = self.instant(
            f"tlast_over_time({selector}[{self._lookback // SECOND}s])", None if end is None else end - 1
        )
        if not found:
            return np.empty(0, np.int64), {name: np.empty(0) for name in FIELDS}
        newest = round(float(found[0]["value"][1]) * 1000) * _MS
        span, earliest = _FIRST_SPAN, max(0, newest - self._lookback)
        # The export takes no number of points, so that a span is asked for, and a longer one where that held too few.
        while True:
            start = max(newest - span, earliest)
            time, columns = self._read(device, metric, start, newest + 1)
            if len(time) >= n or start == earliest:
                return time[-n:], {name: column[-n:] for name, column in columns.items()}
            span *= max(2, min(64, 2 * n // max(1, len(time))))

    def _newest(self) -> Iterable[tuple[str, str, int, Mapping[str, float]]]:
        selector = f'{{__name__=~"{POINTS}_({"|".join(FIELDS)})"}}[{self._lookback // SECOND}s]'
        times: dict[tuple[str, str, str], int] = {}
        for row in self.instant(f"tlast_over_time({selector}) keep_metric_names"):
            times[_key(row)] = round(float(row["value"][1]) * 1000)
        fields: dict[tuple[str, str], dict[str, float]] = {}
        for row in self.instant(f"last_over_time({selector}) keep_metric_names"):
            device, metric, name = key = _key(row)
            # A field that the newest point does not have is of an older one.
            if times.get(key) == times.get((device, metric, f"{POINTS}_value")):
                fields.setdefault((device, metric), {})[name.removeprefix(f"{POINTS}_")] = float(row["value"][1])
        return [
            (device, metric, times[device, metric, f"{POINTS}_value"] * _MS, found)
            for (device, metric), found in fields.items()
        ]

    def _alarm_events(self) -> Iterable[AlarmEvent]:
        events: dict[tuple[str, str, str, int], dict[str, float]] = {}
        for row in self._export(f'{{__name__=~"{ALARMS}_.*",severity!=""}}', 0, None):
            labels = row["metric"]
            name = str(labels["__name__"]).removeprefix(f"{ALARMS}_")
            for time, value in zip(row["timestamps"], row["values"], strict=True):
                key = labels["device"], labels["metric"], labels["severity"], time
                events.setdefault(key, {})[name] = value
        parts: dict[tuple[str, str, int], dict[str, float]] = {}
        for row in self._export(f"{CONTRIBUTORS}_decades", 0, None):
            labels = row["metric"]
            for time, value in zip(row["timestamps"], row["values"], strict=True):
                parts.setdefault((labels["device"], labels["metric"], time), {})[labels["detector"]] = value
        for (device, metric, severity, time), numbers in events.items():
            # Nanoseconds do not fit a float: what was stored is right to the millisecond.
            opened = {"opened": round(numbers["opened"] / _MS) * _MS} if "opened" in numbers else {}
            yield AlarmEvent(
                device,
                metric,
                severity,
                time * _MS,
                numbers | opened,
                parts=parts.get((device, metric, time), {}),
            )

    def _export(self, selector: str, start: int | None, end: int | None) -> Iterator[dict[str, Any]]:
        span = {"start": _seconds(start if start is not None else 0)}
        if end is not None:
            span["end"] = _seconds(end - 1)
        for line in self._ask("/api/v1/export", {"match[]": selector, **span}).splitlines():
            yield orjson.loads(line)

    def _json(self, path: str, parameters: Mapping[str, str]) -> Any:
        return orjson.loads(self._ask(path, parameters))

    def _ask(self, path: str, parameters: Mapping[str, str]) -> bytes:
        return self._client.ask("POST", path, form=parameters)


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    labels = row["metric"]
    return labels["device"], labels["metric"], labels["__name__"]


def _seconds(time: int) -> str:
    """A time in ns as seconds with whole milliseconds."""
    return f"{time // _MS / 1000:.3f}"
