"""Asks a VictoriaMetrics or Prometheus as Grafana's data source does.

API: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.http_client import HttpClient, HttpRefusedError
from dashboards.interpolation import Choice, TimeRange, fill
from dashboards.model import Query

_TIMEOUT = 30.0


class QueryError(Exception):
    """The database could not answer; the message gives its words and the query."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: `times` seconds since the epoch and `values`, both float64 (n,)."""

    labels: Mapping[str, str]
    times: NDArray[np.float64]
    values: NDArray[np.float64]

    def named(self, legend: str) -> str:
        """The legend with this series' labels in place of the names in double braces."""
        for name, value in self.labels.items():
            legend = legend.replace("{{" + name + "}}", value)
        return legend


class PrometheusSource:
    """A database that answers PromQL at `url`. Close it, or use it as a context."""

    def __init__(self, url: str) -> None:
        self._client = HttpClient(url, seconds=_TIMEOUT, trust_environment=True)

    def __enter__(self) -> PrometheusSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, query: Query, choice: Choice, span: TimeRange) -> list[Series]:
        """What a panel's query gives over `span`. Raises QueryError, or OSError where the database is away."""
        expression = fill(query.promql, choice, span)
        if query.instant:
            return self._get("/api/v1/query", {"query": expression, "time": str(span.end)})
        return self._get(
            "/api/v1/query_range",
            {"query": expression, "start": str(span.start), "end": str(span.end), "step": f"{span.step}s"},
        )

    def first_device(self, span: TimeRange) -> str:
        """The device with most anomalies in the time range. Raises QueryError where there is no device."""
        asked = f"topk(1, sum by (device) (sum_over_time(driftline_anomaly[{span.end - span.start}s])))"
        found = self._get("/api/v1/query", {"query": asked, "time": str(span.end)})
        if not found:
            raise QueryError(f"{self._client.url}: no device reported between {span.start} and {span.end}")
        return found[0].labels["device"]

    def _get(self, path: str, parameters: dict[str, str]) -> list[Series]:
        try:
            reply = json.loads(self._client.ask("POST", path, form=parameters))
        except HttpRefusedError as error:
            raise QueryError(f"{error.status}: {error.body}: in the query {parameters['query']}") from error
        found = []
        for one in reply["data"]["result"]:
            samples = one["values"] if "values" in one else [one["value"]]
            found.append(
                Series(
                    one["metric"],
                    np.array([time for time, _ in samples], np.float64),
                    np.array([float(value) for _, value in samples]),
                )
            )
        return found
