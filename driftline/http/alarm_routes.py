"""What the API tells of alarms beyond the list of them: how well the list serves people."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from alerts.figures import ACCEPTABLE_PER_HOUR, DAY, MANAGEABLE_PER_HOUR, alarm_figures
from devices.records import SeriesRecord
from driftline.http.reply import Instant, json_response
from driftline.http.view import ServiceView

_MOST_ALARMS = 100_000


class TopReply(BaseModel):
    """A series with many alarms."""

    series: int
    device: str
    metric: str
    alarms: int


class NamedSeries(BaseModel):
    """A series by its names."""

    series: int
    device: str
    metric: str


class FiguresReply(BaseModel):
    """The figures of ISA-18.2 over a time, for one person who watches the list."""

    start: int
    end: int
    alarms: int = Field(description="Alarms opened in the time.")
    per_hour: float = Field(description="Their mean number an hour.")
    acceptable: float = Field(description="What one person can deal with, an hour.")
    manageable: float = Field(description="The most that one person can deal with, an hour.")
    verdict: str = Field(description="acceptable, manageable or too many.")
    busiest: int = Field(description="Most alarms within ten minutes.")
    floods: int = Field(description="How often more than ten alarms opened within ten minutes.")
    flood_share: float = Field(description="Part of the time that floods took.")
    top: list[TopReply] = Field(description="The ten series with the most alarms.")
    top_share: float = Field(description="Part of all alarms that these had.")
    chattering: list[NamedSeries] = Field(description="Series with three alarms or more within a minute.")
    stale: list[int] = Field(description="Alarms that have been open for more than a day.")
    severities: dict[str, int] = Field(description="Alarms by severity.")
    open: int
    unacknowledged: int
    hours: list[int] = Field(description="Alarms by hour, the oldest hour first.")


def alarm_router(view: ServiceView) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["alarms"])

    @router.get("/alarms/figures", response_model=FiguresReply)
    def figures(
        days: Annotated[float, Query(gt=0, le=366, description="How far back.")] = 7,
        end: Annotated[
            Instant | None, Query(alias="to", description="Until when, by the devices' time; unset: now.")
        ] = None,
    ) -> Response:
        """How many alarms there are for a person, floods, the worst series, chattering and stale ones (ISA-18.2)."""
        until = view.counts().time if end is None else end
        stored = view.store.alarms(limit=_MOST_ALARMS)
        found = alarm_figures(stored, until - int(days * DAY), until)
        records = {record.series: record for record in view.store.series()}
        named = dataclasses.asdict(found) | {
            "acceptable": ACCEPTABLE_PER_HOUR,
            "manageable": MANAGEABLE_PER_HOUR,
            "verdict": found.verdict,
            "top": [_names(records, series) | {"alarms": count} for series, count in found.top],
            "chattering": [_names(records, series) for series in found.chattering],
        }
        return json_response(named)

    return router


def _names(records: dict[int, SeriesRecord], series: int) -> dict[str, object]:
    record = records.get(series, SeriesRecord(series, "", ""))
    return {"series": series, "device": record.device, "metric": record.metric}
