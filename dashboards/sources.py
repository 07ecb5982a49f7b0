"""The data sources that dashboards can be built for, as Grafana knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from dashboards.model import Query

SourceName = Literal["victoriametrics", "influxdb"]


class FluxQuery(variants.Dataquery):
    """A Flux query, which the SDK has no class of its own for. Also its own builder."""

    def __init__(self, text: str, ref_id: str) -> None:
        self.text = text
        self.ref_id = ref_id
        self.source: DataSourceRef | None = None

    def to_json(self) -> dict[str, object]:
        """As Grafana's InfluxDB plugin stores it."""
        payload: dict[str, object] = {"refId": self.ref_id, "query": self.text}
        if self.source is not None:
            payload["datasource"] = self.source
        return payload


class _Built(builder.Builder[FluxQuery]):
    def __init__(self, query: FluxQuery) -> None:
        self._query = query

    def build(self) -> FluxQuery:
        return self._query


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of data source: how its queries and variables are written, and what Grafana needs to reach it."""

    name: SourceName
    title: str
    plugin: str
    uid: str
    default_url: str

    @property
    def reference(self) -> DataSourceRef:
        """What panels refer to it by."""
        return DataSourceRef(type_val=self.plugin, uid=self.uid)

    def text(self, query: Query) -> str:
        """The query in this source's language; "" where another query of the panel covers it."""
        return query.promql if self.plugin == "prometheus" else query.flux

    def target(self, query: Query, ref_id: str, *, table: bool) -> builder.Builder[Any]:
        """The query as the SDK builds it into a panel."""
        if self.plugin != "prometheus":
            flux = FluxQuery(query.flux, ref_id)
            flux.source = self.reference
            return _Built(flux)
        target = prometheus.Dataquery().ref_id(ref_id).expr(query.promql).datasource(self.reference)
        if query.legend:
            target = target.legend_format(query.legend)
        if table:
            target = target.format("table")  # type: ignore[arg-type]
        return target.instant() if query.instant else target.range()

    def settings(self, url: str, *, org: str, bucket: str) -> Mapping[str, Any]:
        """The data source's own settings, without its secret; the same in provisioning files and in Grafana's API."""
        settings: dict[str, Any] = {
            "name": self.title,
            "uid": self.uid,
            "type": self.plugin,
            "access": "proxy",
            "url": url,
            "isDefault": False,
        }
        if self.plugin == "prometheus":
            settings["jsonData"] = {"httpMethod": "POST", "timeInterval": "1s", "prometheusType": "Prometheus"}
        else:
            settings["jsonData"] = {"version": "Flux", "organization": org, "defaultBucket": bucket}
        return settings


SOURCES: tuple[Source, ...] = (
    Source(
        "victoriametrics",
        "Driftline (VictoriaMetrics)",
        "prometheus",
        "driftline-victoriametrics",
        "http://127.0.0.1:8428",
    ),
    Source("influxdb", "Driftline (InfluxDB)", "influxdb", "driftline-influxdb", "http://127.0.0.1:8086"),
)
"""All kinds of data source, the one that is built for by default first."""


def source_named(name: str) -> Source:
    """The source of this name. Raises ValueError naming those known."""
    for source in SOURCES:
        if source.name == name:
            return source
    raise ValueError(f"unknown data source {name!r} (known: {', '.join(source.name for source in SOURCES)})")
