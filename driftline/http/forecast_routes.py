"""What the API tells of the time to come: the forecast of a series, and when it reaches its limits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from common.durations import parse_duration
from driftline.http.bounds import QueryPool
from driftline.http.errors import ApiError, unknown
from driftline.http.parameters import series_of
from driftline.http.reply import json_response
from driftline.http.view import ServiceView
from driftline.runtime.forecasting import DEFAULT_HORIZON, check_horizon, forecast_series
from storage.embedded.query_watch import QueryStop


class ReachedLimitReply(BaseModel):
    """A limit, and when it is reached; times in ns, null beyond the horizon."""

    limit: float
    above: bool = Field(description="Whether it is reached from below.")
    source: str = Field(description="highest_allowed, lowest_allowed, upper_limit, lower_limit, or unit.")
    median: int | None
    earliest: int | None = Field(description="Four times of five it is reached between this and `latest`.")
    latest: int | None
    share: float = Field(description="Share of the likely courses that reach it within the horizon.")
    sentence: str


class ForecastReply(BaseModel):
    """The forecast of a series: columns over the horizon, empty where `sentence` says why there is none."""

    device: str
    metric: str
    unit: str
    series: int
    made: int | None = Field(description="The newest reading, from which it begins, ns; null without one.")
    horizon: int = Field(description="How far it reaches, ns: as asked, or as far as the history allows.")
    history: int = Field(description="How much of the past it is from, ns.")
    model: str
    time: list[int]
    expected: list[float]
    lower: list[float] = Field(description="Four of five readings lie between this and `upper`.")
    upper: list[float]
    limits: list[ReachedLimitReply]
    sentence: str = Field(description="What comes, in words, or why nothing can be said.")


def forecast_router(view: ServiceView, queries: QueryPool) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["points"])

    @router.get("/forecast", response_model=ForecastReply)
    async def forecast(
        asked: Request,
        device: Annotated[str, Query(min_length=1, description="The device.", examples=["plant/pump-01"])],
        metric: Annotated[str, Query(min_length=1, description="One of its metrics.", examples=["temperature"])],
        horizon: Annotated[
            str, Query(max_length=40, description="How far, from 1m to 28d.", examples=["24h"])
        ] = DEFAULT_HORIZON,
    ) -> Response:
        """Where a series will be, with the band that holds four of five readings, and when it reaches its limits."""
        try:
            length = check_horizon(parse_duration(horizon))
        except ValueError as error:
            raise ApiError(400, "invalid_request", f"query.horizon: {error}") from None
        chosen = {record.metric: record for record in series_of(view.store, device)}
        if metric not in chosen:
            raise unknown("query.metric", metric, chosen)
        record = chosen[metric]

        def answer(stop: QueryStop) -> Response:
            made = forecast_series(view.store, record, view.series_settings(record.series), length, stop)
            return json_response(made.as_json())

        return await queries.run(asked, answer)

    return router
