"""What the API tells of stored points: by series, as small charts, and by SQL."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from devices.records import SeriesRecord
from driftline.http import schemas
from driftline.http.bounds import QueryPool
from driftline.http.device_routes import learning_of, series_reply
from driftline.http.errors import ApiError, unknown
from driftline.http.http_settings import HttpSettings
from driftline.http.parameters import DeviceFilter, End, Start, series_of
from driftline.http.reply import SeriesNumber, json_response, plain_value
from driftline.http.view import ServiceView
from storage.embedded.database import EmbeddedStore
from storage.embedded.query_watch import QueryStop

_ANSWER_BYTES = 16 << 20
MAX_SERIES_A_REQUEST = 100
"""Most series whose points one request may ask for."""


def point_router(view: ServiceView, settings: HttpSettings, queries: QueryPool) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["points"])
    store = view.store

    @router.get("/points", response_model=schemas.PointsReply)
    def points(
        series: Annotated[
            list[SeriesNumber] | None,
            Query(description=f"Series numbers, at most {MAX_SERIES_A_REQUEST}.", examples=[[7]]),
        ] = None,
        device: DeviceFilter = None,
        metric: Annotated[str | None, Query(description="Only this metric of the device.")] = None,
        start: Start = None,
        end: End = None,
        max_points: Annotated[
            int | None, Query(ge=2, le=1_000_000, description="Most points a series; unset: http.max_points.")
        ] = None,
    ) -> Response:
        """Points of the series listed, or of a device, as columns. More than `max_points` are thinned on the server."""
        chosen = _choose(store, series, device, metric)
        replies = []
        learning = view.learning()
        for record in chosen:
            found = store.points(record.series, start, end, max_points or settings.max_points)
            columns = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
            excluded = [
                {"start": first, "end": beyond, "points": count}
                for first, beyond, count in store.exclusions(record.series, start, end)
            ]
            replies.append(
                series_reply(record) | learning_of(learning, record.series) | columns | {"excluded": excluded}
            )
        return json_response({"series": replies})

    @router.get("/sparklines", response_model=schemas.SparklinesReply)
    def sparklines(
        points: Annotated[int, Query(ge=2, le=200, description="Newest points of each series.")] = 40,
        series: Annotated[list[SeriesNumber] | None, Query(description="Only these series.")] = None,
    ) -> Response:
        """The newest points of every series, for a small chart each."""
        return json_response(
            {
                "sparklines": [
                    {"series": number, "time": found.time, "value": found.value, "anomaly": found.anomaly}
                    for number, found in store.sparklines(points, series).items()
                ]
            }
        )

    @router.post("/query", response_model=schemas.QueryReply)
    async def query(request: schemas.QueryRequest, asked: Request) -> Response:
        """Rows of one read-only SQL query over the views that `show tables` lists, as far as 16 MiB hold them."""
        limit = min(request.limit or settings.max_query_rows, settings.max_query_rows)

        def answer(stop: QueryStop) -> Response:
            found = store.query(request.sql, limit, max_bytes=_ANSWER_BYTES, stop=stop)
            rows = [plain_value(row) for row in found.rows]
            return json_response({"columns": found.columns, "rows": rows, "truncated": found.truncated})

        return await queries.run(asked, answer)

    return router


def _choose(
    store: EmbeddedStore, series: list[int] | None, device: str | None, metric: str | None
) -> list[SeriesRecord]:
    """The series that a request for points is about."""
    if series and device is not None:
        raise ApiError(400, "invalid_request", "query: series and device are both given; expected one of them")
    if series:
        known = store.series_numbered(series)
        for number in series:
            if number not in known:
                raise unknown("query.series", str(number), (str(record.series) for record in store.series()))
        chosen = [known[number] for number in dict.fromkeys(series)]
    elif device is not None:
        chosen = series_of(store, device)
        if metric is not None:
            metrics = {record.metric: record for record in chosen}
            if metric not in metrics:
                raise unknown("query.metric", metric, metrics)
            chosen = [metrics[metric]]
    else:
        raise ApiError(400, "invalid_request", "query: neither series nor device is given; expected one of them")
    if len(chosen) > MAX_SERIES_A_REQUEST:
        raise ApiError(
            400, "too_many_series", f"query: {len(chosen)} series; expected at most {MAX_SERIES_A_REQUEST} a request"
        )
    return chosen
