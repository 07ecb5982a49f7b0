"""Streams: their declarations as a snapshot keeps them, with the rows of the tables that they were read with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from streams.definitions import Tables
from streams.reference_tables import ReferenceTable
from streams.stream_settings import StreamSettings

_CONTENTS = "contents"


def saved_declaration(settings: StreamSettings, tables: Mapping[str, ReferenceTable]) -> dict[str, Any]:
    """A stream's settings as JSON, with the contents of its own tables."""
    # A stream that joins nothing is the same as one of a version before it could.
    saved = {
        name: value
        for name, value in settings.model_dump(mode="json").items()
        if name not in ("tables", "history") or name in settings.model_fields_set
    }
    return saved | ({_CONTENTS: {name: table.to_json() for name, table in tables.items()}} if tables else {})


def saved_streams(saved: Iterable[Mapping[str, Any]]) -> tuple[list[StreamSettings], Tables]:
    """Streams and the contents of their tables, of which each is what `saved_declaration` gave.

    Raises ValidationError, KeyError or TypeError where they are of a version that cannot be read.
    """
    streams, tables = [], {}
    for each in saved:
        stream = StreamSettings.model_validate({name: value for name, value in each.items() if name != _CONTENTS})
        streams.append(stream)
        contents = each.get(_CONTENTS, {})
        tables[stream.name] = {name: ReferenceTable.of_json(table) for name, table in contents.items()}
    return streams, tables


def is_declared_so(settings: StreamSettings, saved: Mapping[str, Any]) -> bool:
    """Whether a stream was declared as it is now; a saved declaration may be older than some of the settings."""
    try:
        [before], _ = saved_streams([saved])
    except (ValidationError, KeyError, TypeError):
        return False
    return before == settings
