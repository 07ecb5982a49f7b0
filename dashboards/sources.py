"""The data sources that dashboards can be built for, as Grafana knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from dashboards.model import Query, Variable
from storage.external.sink_registry import SINKS, PanelLanguage, SinkKind, sink_kind

_PLUGINS: Mapping[PanelLanguage, str] = {"promql": "prometheus", "flux": "influxdb"}

DEFAULT_SOURCE = "victoriametrics"
"""The kind that is built for where no external database is configured."""


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

    name: str
    title: str
    uid: str
    default_url: str
    language: PanelLanguage

    @property
    def plugin(self) -> str:
        """Grafana's plugin that asks in the source's language."""
        return _PLUGINS[self.language]

    @property
    def reference(self) -> DataSourceRef:
        """What panels refer to it by."""
        return DataSourceRef(type_val=self.plugin, uid=self.uid)

    def text(self, query: Query | Variable) -> str:
        """The query in this source's language; "" where another query of the panel covers it."""
        return query.promql if self.language == "promql" else query.flux

    def target(self, query: Query, ref_id: str, *, table: bool) -> builder.Builder[Any]:
        """The query as the SDK builds it into a panel."""
        if self.language == "flux":
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
        if self.language == "promql":
            settings["jsonData"] = {"httpMethod": "POST", "timeInterval": "1s", "prometheusType": "Prometheus"}
        else:
            settings["jsonData"] = {"version": "Flux", "organization": org, "defaultBucket": bucket}
        return settings


def source_of(kind: type[SinkKind]) -> Source:
    """The data source of a kind of sink."""
    return Source(
        kind.name, f"Driftline ({kind.title})", f"driftline-{kind.name}", kind.default_url, kind.panel_language
    )


SOURCES: tuple[Source, ...] = tuple(map(source_of, SINKS))
"""The data source of every kind of sink."""


def source_named(name: str) -> Source:
    """The data source of the kind of sink of this name. Raises ValueError with the nearest known name."""
    return source_of(sink_kind(name))
