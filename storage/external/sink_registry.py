"""Store: the kinds of external databases. One class a kind, one line in `SINKS`; nothing else names them.

What belongs to a kind is imported when it is used, since clients of databases are extras that may not be installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from common.suggestions import unknown
from devices.records import SeriesRecord
from storage.storage_settings import SinkSettings
from storage.store import StepOutput

if TYPE_CHECKING:
    from storage.external.influx import RejectedLine
    from storage.external.reader_parts import ExternalReader
    from storage.retention import Step

PanelLanguage = Literal["flux", "promql"]
"""What the dashboards ask a database in."""


class SinkWriter(Protocol):
    """Where outputs go. `write` confirms all of it, or raises OSError, and then may be tried again."""

    def open(self) -> object:
        """Set up without connecting."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...

    def write(self, output: StepOutput) -> list[RejectedLine]:
        """Write all of it, and return what was refused for good; OSError where it may be tried again."""
        ...


class SinkKind(Protocol):
    """A kind of external database. `name` is its `type` in the configuration."""

    name: ClassVar[str]
    title: ClassVar[str]
    """What people call it."""
    default_url: ClassVar[str]
    """Where it listens, on this machine, as its makers set it up."""
    Settings: ClassVar[type[SinkSettings]]
    panel_language: ClassVar[PanelLanguage]
    """What Grafana's panels ask it in (`dashboards/sources.py`)."""
    libraries: ClassVar[tuple[tuple[str, str], ...]]
    """What it needs beyond running: extra and module."""

    @staticmethod
    def writer(settings: SinkSettings, *, token: str, series: Sequence[SeriesRecord]) -> SinkWriter:
        """What writes to it; `series` are those known already."""
        ...

    @staticmethod
    def reader(settings: SinkSettings, *, token: str, known: Iterable[SeriesRecord]) -> ExternalReader:
        """What reads from it. Connects at the first read."""
        ...

    @staticmethod
    def plan(settings: SinkSettings, token: str) -> list[Step]:
        """What is set in it about how long data stay, and what has to be done. Raises OSError."""
        ...


class InfluxKind:
    """InfluxDB 1.8, 2 and 3, and what else takes its line protocol."""

    name: ClassVar[str] = "influxdb"
    title: ClassVar[str] = "InfluxDB"
    default_url: ClassVar[str] = "http://127.0.0.1:8086"
    Settings: ClassVar[type[SinkSettings]] = SinkSettings
    panel_language: ClassVar[PanelLanguage] = "flux"
    libraries: ClassVar[tuple[tuple[str, str], ...]] = (("influx", "influxdb_client"), ("influx", "pyarrow"))

    @staticmethod
    def writer(settings: SinkSettings, *, token: str, series: Sequence[SeriesRecord]) -> SinkWriter:
        """Line protocol over /api/v2/write."""
        from storage.external.influx import InfluxSink  # noqa: PLC0415  an extra

        return InfluxSink(settings, token=token, series=series)

    @staticmethod
    def reader(settings: SinkSettings, *, token: str, known: Iterable[SeriesRecord]) -> ExternalReader:
        """Flux or InfluxQL, as the settings say."""
        from storage.external.influx_reader import FluxReader, InfluxQlReader  # noqa: PLC0415  an extra

        kind = FluxReader if settings.language == "flux" else InfluxQlReader
        return kind(settings, known=known, token=token)

    @staticmethod
    def plan(settings: SinkSettings, token: str) -> list[Step]:
        """Buckets and tasks."""
        from storage.retention import InfluxPlan  # noqa: PLC0415  an extra

        return InfluxPlan(settings, token).steps()


class VictoriaKind(InfluxKind):
    """VictoriaMetrics, which takes the same line protocol and is read by MetricsQL."""

    name: ClassVar[str] = "victoriametrics"
    title: ClassVar[str] = "VictoriaMetrics"
    default_url: ClassVar[str] = "http://127.0.0.1:8428"
    panel_language: ClassVar[PanelLanguage] = "promql"

    @staticmethod
    def writer(settings: SinkSettings, *, token: str, series: Sequence[SeriesRecord]) -> SinkWriter:
        """Line protocol over /api/v2/write."""
        from storage.external.victoria_sink import VictoriaSink  # noqa: PLC0415  an extra

        return VictoriaSink(settings, token=token, series=series)

    @staticmethod
    def reader(settings: SinkSettings, *, token: str, known: Iterable[SeriesRecord]) -> ExternalReader:
        """MetricsQL and the export."""
        from storage.external.victoria import VictoriaReader  # noqa: PLC0415  an extra

        return VictoriaReader(settings, known=known, token=token)

    @staticmethod
    def plan(settings: SinkSettings, token: str) -> list[Step]:  # noqa: ARG004  flags are read without one
        """Flags of the server."""
        from storage.retention import plan_victoria  # noqa: PLC0415  an extra

        return plan_victoria(settings)


SINKS: tuple[type[SinkKind], ...] = (InfluxKind, VictoriaKind)
"""Every kind of external database."""


def sink_kind(name: str) -> type[SinkKind]:
    """The kind of that name. Raises ValueError with the nearest known name."""
    for kind in SINKS:
        if kind.name == name:
            return kind
    raise ValueError(unknown(name, [kind.name for kind in SINKS], "kind of sink"))


def libraries_of(name: object) -> tuple[tuple[str, str], ...]:
    """Extra and module of what a kind needs; nothing for a name that no kind has."""
    return next((kind.libraries for kind in SINKS if kind.name == name), ())


def external_reader(settings: SinkSettings, *, token: str = "", known: Iterable[SeriesRecord] = ()) -> ExternalReader:
    """The reader of the database that a sink writes to. Connects at the first read."""
    return sink_kind(settings.type).reader(settings, token=token, known=known)


def of_their_kind(tables: object) -> object:
    """Tables of `[[sinks]]`, those of kinds that have a settings model of their own as that model.

    The others are left to `SinkSettings`, and so is what is wrong in them. Raises ValueError.
    """
    return [_of_its_kind(table) for table in tables] if isinstance(tables, list) else tables


def _of_its_kind(table: Any) -> Any:
    name = table.get("type") if isinstance(table, dict) else None
    kind = next((kind for kind in SINKS if kind.name == name), None)
    return table if kind is None or kind.Settings is SinkSettings else kind.Settings.model_validate(table)
