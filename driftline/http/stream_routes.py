"""What the API tells of streams: what was asked, how far each has come, and its newest rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from driftline.http.errors import unknown
from driftline.http.reply import json_response, plain_value
from driftline.http.view import ServiceView
from storage.embedded.database import EmbeddedStore
from storage.embedded.stream_tables import PUBLISHED, REFUSED, UNPUBLISHED, WRITTEN, StoredStream
from streams.stream_settings import StreamSettings

COUNTS = (
    "received", "taken", "corrected", "late", "over_limit", "windows", "rows", "failed",
    PUBLISHED, REFUSED, UNPUBLISHED,
)  # fmt: skip
"""Counts of a stream, in the order in which people read them."""

LEFT_OUT = {"late": "late", "over_limit": "over the limit"}
"""Counts of rows that came and are in no window, in words. Their readings are stored all the same."""
UNDELIVERED = {REFUSED: "refused by the broker", UNPUBLISHED: "dropped from the backlog"}
"""Counts of answers that did not reach MQTT, in words."""


class StreamSummary(BaseModel):
    """A stream: what was asked, and how far it has come."""

    name: str
    declared: bool = Field(description="Whether the configuration has it; false for one that left its table behind.")
    definition: dict[str, Any] | None = Field(description="Its settings that differ from the defaults.")
    columns: dict[str, str] = Field(description="Columns that its SQL gives, with their types.")
    counts: dict[str, int] = Field(
        description="received = taken + late + over_limit; windows, rows, failed. Of rows that go to MQTT: published, "
        "refused by the broker, unpublished since too many waited."
    )
    left_out: int = Field(description="Rows that came and are in no window: late and over_limit.")
    undelivered: int = Field(description="Answers that did not reach MQTT: refused and unpublished.")
    watermark: int | None = Field(description="Event time up to which it has answered; null before the first row.")
    lag_seconds: float | None = Field(description="How far the watermark is behind the clock.")
    problem: str = Field(description="What failed last, in one sentence; empty where nothing did.")


class StreamListReply(BaseModel):
    """All streams."""

    streams: list[StreamSummary]


class StreamReply(StreamSummary):
    """A stream with its newest rows."""

    row_columns: list[str]
    newest: list[list[Any]] = Field(description="Rows of `row_columns`, the newest first.")


def stream_router(view: ServiceView) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["streams"])

    @router.get("/streams", response_model=StreamListReply)
    def streams() -> Response:
        """Every stream that is declared, and those that once were and still have a table."""
        declared = _declared(view)
        found = listed_streams(declared, view.store.streams(), view.counts().time)
        return json_response({"streams": found})

    @router.get("/streams/{name}", response_model=StreamReply)
    def stream(
        name: Annotated[str, InPath(description="The stream's name.", examples=["distinct_users"])],
        limit: Annotated[int, Query(ge=1, le=10_000, description="Most rows.")] = 100,
    ) -> Response:
        """One stream with its newest rows."""
        found = {
            each["name"]: each for each in listed_streams(_declared(view), view.store.streams(), view.counts().time)
        }
        if name not in found:
            raise unknown("stream", name, found)
        columns, rows = newest_rows(view.store, name, limit)
        return json_response({**found[name], "row_columns": columns, "newest": rows})

    return router


def _declared(view: ServiceView) -> list[StreamSettings]:
    configuration: Any = view.configuration()
    return [StreamSettings.model_validate(each) for each in configuration["streams"]]


def listed_streams(
    declared: Sequence[StreamSettings], stored: Mapping[str, StoredStream], now: int
) -> list[dict[str, Any]]:
    """Streams as the API tells of them; `now` is the service's clock in ns."""
    settings = {each.name: each for each in declared}
    left = (name for name, each in stored.items() if name not in settings and WRITTEN not in each.counts)
    names = [*settings, *left]
    return [_stream(name, settings.get(name), stored.get(name), now) for name in names]


def _stream(name: str, settings: StreamSettings | None, stored: StoredStream | None, now: int) -> dict[str, Any]:
    watermark = None if stored is None else stored.watermark
    counts = {} if stored is None else stored.counts
    return {
        "name": name,
        "declared": settings is not None,
        "definition": None if settings is None else _definition(settings),
        "columns": {} if stored is None else {key: kind.strip('"') for key, kind in stored.columns.items()},
        "counts": {count: counts.get(count, 0) for count in COUNTS},
        "left_out": sum(counts.get(count, 0) for count in LEFT_OUT),
        "undelivered": sum(counts.get(count, 0) for count in UNDELIVERED),
        "watermark": watermark,
        "lag_seconds": None if watermark is None else max(0.0, (now - watermark) / 1e9),
        "problem": "" if stored is None else stored.problem,
    }


def _definition(settings: StreamSettings) -> dict[str, Any]:
    """What was declared, without what stands at its default."""
    window = settings.window.model_dump(mode="json", exclude_none=True)
    return settings.model_dump(mode="json", exclude_defaults=True) | {"window": window}


def newest_rows(store: EmbeddedStore, name: str, limit: int) -> tuple[list[str], list[list[Any]]]:
    """Columns of a stream's table, and its newest rows, the newest first."""
    if name not in store.streams():
        return [], []
    found = store.query(f'SELECT * FROM "{name}" ORDER BY window_end DESC, window_start DESC, id', limit)
    return found.columns, [plain_value(list(row)) for row in found.rows]
