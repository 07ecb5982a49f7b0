"""Store: external databases that take InfluxDB line protocol: InfluxDB 2 (and 1.8, 3), VictoriaMetrics.

The same point written twice is the same point, so a write that may have failed is simply done again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from common.durations import parse_duration
from common.extras import optional
from common.http_client import HttpRefusedError
from devices.records import SeriesRecord
from storage.external.lines import LineBlock, LineProtocol
from storage.storage_settings import SinkSettings
from storage.store import StepOutput

if TYPE_CHECKING:
    import influxdb_client as influx
    import urllib3.exceptions as urllib3
    from influxdb_client import rest
    from influxdb_client.client import write_api
else:
    influx = optional("influxdb_client", extra="influx", purpose="Speaking to InfluxDB")
    write_api = optional("influxdb_client.client.write_api", extra="influx", purpose="Speaking to InfluxDB")
    rest = optional("influxdb_client.rest", extra="influx", purpose="Speaking to InfluxDB")
    urllib3 = optional("urllib3.exceptions", extra="influx", purpose="Speaking to InfluxDB")

log = logging.getLogger(__name__)

_REFUSED = {400, 413, 422}
_LATER = {0, 401, 408, 429}
"""Answers after which a deletion is tried again."""
_FIRST, _LAST = "1677-09-21T00:12:44Z", "2262-04-11T23:47:16Z"
_QUOTED = str.maketrans({'"': '\\"', "\\": "\\\\"})


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line that did not go to the server, with the reason."""

    line: str
    reason: str


class InfluxSink:
    """Writes outputs to one server; every write is confirmed by it before `write` returns."""

    def __init__(self, settings: SinkSettings, *, token: str = "", series: Iterable[SeriesRecord] = ()) -> None:
        self.settings = settings
        self._token = token
        self._protocol = LineProtocol(series)
        self._client: influx.InfluxDBClient | None = None
        self._api: Any = None

    def open(self) -> Self:
        """Set up the client; connecting happens at the first write. Returns self."""
        self._client = influx.InfluxDBClient(
            self.settings.url,
            token=self._token or None,
            org=self.settings.org,
            timeout=parse_duration(self.settings.timeout) // 1_000_000,
            enable_gzip=self.settings.gzip,
        )
        self._api = self._client.write_api(write_options=write_api.SYNCHRONOUS)
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
        """Write all of `output`, and return the lines that were refused.

        A write that the server refuses is split until the lines at fault stand alone. Points of series beyond
        `max_series` are refused without asking the server. Raises OSError where the server is away, overloaded or not
        set up (401, 403, 404): then the same write may be tried again, since writing twice changes nothing.
        """
        if output.deleted:
            # Before all lines: what the output holds of a device that came again after it was deleted stays.
            for device in sorted({each.device for each in output.series if each.series in output.deleted}):
                self._delete(device)
            output = _without_deleted(output)
        block = self._protocol.block(output, self.settings.name)
        rejected: list[RejectedLine] = []
        beyond = output.points.series >= self.settings.max_series
        if beyond.any():
            block = self._without(block, np.flatnonzero(beyond), rejected)
        for start in range(0, len(block), self.settings.batch_lines):
            self._write(block[start : start + self.settings.batch_lines], rejected)
        return rejected

    def _delete(self, device: str) -> None:
        """Delete all that is there of a device; where the server cannot, that is said, and the rest goes on."""
        try:
            self._ask_to_delete(device)
        except HttpRefusedError as error:
            if error.status in _LATER or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            log.warning('sink %s: device "%s" is to be deleted there by hand: %s', self.settings.name, device, error)

    def _ask_to_delete(self, device: str) -> None:
        """Raises HttpRefusedError where the server does not do it, OSError where it is away."""
        predicate = f'device="{device.translate(_QUOTED)}"'
        if self._client is None:
            raise ValueError(f"{self.settings.url}: the sink is not open")
        try:
            self._client.delete_api().delete(_FIRST, _LAST, predicate, self.settings.bucket, self.settings.org)
        except rest.ApiException as error:
            body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
            raise HttpRefusedError(self.settings.url, int(error.status or 0), str(error.reason), body) from error
        except urllib3.HTTPError as error:
            raise OSError(f"{self.settings.url}: deleting a device: {error}") from error

    def _without(self, block: LineBlock, rows: Any, rejected: list[RejectedLine]) -> LineBlock:
        reason = f"beyond the limit of series: max_series = {self.settings.max_series}"
        lines = block.text
        refused = set(rows.tolist())
        rejected += [RejectedLine(lines[row], reason) for row in rows]
        kept = [line.encode() + b"\n" for row, line in enumerate(lines) if row not in refused]
        return LineBlock(memoryview(b"".join(kept)), np.cumsum([len(line) for line in kept], dtype=np.int64))

    def _write(self, block: LineBlock, rejected: list[RejectedLine]) -> None:
        if self._client is None:
            raise ValueError(f"{self.settings.url}: the sink is not open")
        try:
            self._api.write(self.settings.bucket, record=bytes(block.data), write_precision=influx.WritePrecision.NS)
        except rest.ApiException as error:
            if error.status not in _REFUSED:
                raise OSError(f"{self.settings.url}: writing {len(block)} lines: {_reason(error)}") from error
            if len(block) == 1:
                rejected.append(RejectedLine(block.text[0], _reason(error)))
                return
            for half in (block[: len(block) // 2], block[len(block) // 2 :]):
                self._write(half, rejected)
        except urllib3.HTTPError as error:
            raise OSError(f"{self.settings.url}: writing {len(block)} lines: {error}") from error


def _without_deleted(output: StepOutput) -> StepOutput:
    points = output.points.take(~np.isin(output.points.series, output.deleted))
    alarms = [record for record in output.alarms if record.series not in output.deleted]
    rises = [rise for rise in output.rises if rise.series not in output.deleted]
    return replace(output, points=points, alarms=alarms, rises=rises)


def _reason(error: rest.ApiException) -> str:
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
    return f"{error.status} {error.reason}: {' '.join(body.split())[:300]}"
