"""Tuning over HTTP: what the last month would have alarmed under another budget, and putting that in place."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alerts.alarm_settings import AlarmSettings
from alerts.figures import DAY
from devices.records import AlarmRecord
from driftline.config_edit import budget_edit
from driftline.config_errors import ConfigError
from driftline.http.access_guard import Admin
from driftline.http.errors import ApiError, unknown
from driftline.http.notice_routes import Audit
from driftline.http.reply import json_response
from driftline.http.view import ServiceView
from tuning.preview import preview

_MOST_ALARMS = 10_000


class PreviewAlarmReply(BaseModel):
    """An alarm that would have been."""

    opened: int
    cleared: int | None
    peak: float


class WasReply(BaseModel):
    """An alarm that was."""

    alarm: int
    opened: int
    cleared: int | None
    reason: str


class SeriesPreviewReply(BaseModel):
    """One metric: the alarms that were, and those that would have been."""

    series: int
    metric: str
    unit: str
    threshold: float
    threshold_now: float | None
    were: list[WasReply]
    would: list[PreviewAlarmReply]


class PreviewReply(BaseModel):
    """A device's last days under another budget."""

    start: int
    end: int
    budget: str
    budget_now: str
    series: list[SeriesPreviewReply]


class BudgetChange(BaseModel):
    """A budget to put in place: for one device, or where none is named, for all."""

    model_config = ConfigDict(extra="forbid")
    budget: str = Field(examples=["1 per sensor per month"])
    device: str | None = Field(default=None, max_length=1_000)
    metric: str | None = Field(default=None, max_length=1_000)
    write: bool = Field(default=False, description="Write the configuration file; else only show the change.")


class BudgetChangeReply(BaseModel):
    """The change of the configuration file."""

    file: str
    difference: str
    written: bool


def tune_router(view: ServiceView, audit: Audit) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["tuning"])

    @router.get("/tune", response_model=PreviewReply)
    def tune(
        device: Annotated[str, Query(description="The device.")],
        budget: Annotated[str, Query(description='Such as "1 per sensor per month".')],
        days: Annotated[float, Query(gt=0, le=92, description="How far back from the newest reading.")] = 30,
    ) -> Response:
        """What a device's last days would have alarmed under another budget, from the scores that are stored."""
        settings = _with_budget(view.alarm_settings(), budget)
        records = [record for record in view.store.series() if record.device == device]
        if not records:
            raise unknown("query.device", device, {record.device for record in view.store.series()})
        newest = view.store.latest([record.series for record in records])
        end = int(newest.time.max()) + 1 if len(newest) else view.counts().time
        start = end - int(days * DAY)
        replies = []
        first = end
        for record in records:
            points = view.store.points(record.series, start, end)
            if not len(points.time):
                continue
            first = min(first, int(points.time[0]))
            would = preview(points, settings)
            were = [alarm for alarm in view.store.alarms(series=record.series, limit=_MOST_ALARMS) if _in(alarm, start)]
            replies.append(
                {
                    "series": record.series,
                    "metric": record.metric,
                    "unit": record.unit,
                    "threshold": would.threshold,
                    "threshold_now": view.threshold(record.series),
                    "were": [_was(alarm) for alarm in reversed(were)],
                    "would": [dataclasses.asdict(alarm) for alarm in would.alarms],
                }
            )
        now = view.alarm_settings().budget_of(device, "*")
        return json_response(
            {"start": max(start, first), "end": end, "budget": budget, "budget_now": now, "series": replies}
        )

    @router.post("/tune", response_model=BudgetChangeReply)
    def apply(who: Admin, given: BudgetChange) -> Response:
        """Change the budget in the configuration file, or show the change. It takes effect within a second."""
        path = view.editable_config()
        try:
            edit = budget_edit(path, given.budget, given.device, given.metric)
            if given.write:
                edit.write()
        except ConfigError as error:
            raise ApiError(400, "invalid_request", "; ".join(error.errors)) from None
        except (OSError, ValueError) as error:
            raise ApiError(409, "not_written", f"{path}: cannot be changed: {error}") from None
        if given.write:
            audit(who.name, who.address, "budget changed", f"{given.device or 'all devices'}: {given.budget}")
        return json_response({"file": str(path), "difference": edit.difference, "written": given.write})

    return router


def _with_budget(settings: AlarmSettings, budget: str) -> AlarmSettings:
    try:
        return AlarmSettings.model_validate(settings.model_dump() | {"budget": budget, "threshold": None})
    except ValidationError as error:
        raise ApiError(400, "invalid_request", f"query.budget: {error.errors()[0]['msg']}") from None


def _in(alarm: AlarmRecord, start: int) -> bool:
    return alarm.opened >= start


def _was(alarm: AlarmRecord) -> dict[str, Any]:
    return {"alarm": alarm.alarm, "opened": alarm.opened, "cleared": alarm.cleared, "reason": alarm.reason}
