"""Store: which reader speaks an external database's language."""

from __future__ import annotations

from collections.abc import Iterable

from devices.records import SeriesRecord
from storage.external.influx_reader import FluxReader, InfluxQlReader
from storage.external.reader_parts import ExternalReader
from storage.external.victoria import VictoriaReader
from storage.storage_settings import SinkSettings


def external_reader(settings: SinkSettings, *, token: str = "", known: Iterable[SeriesRecord] = ()) -> ExternalReader:
    """The reader of the database that a sink writes to. Connects at the first read."""
    if settings.type == "victoriametrics":
        return VictoriaReader(settings, known=known, token=token)
    kind = FluxReader if settings.language == "flux" else InfluxQlReader
    return kind(settings, known=known, token=token)
