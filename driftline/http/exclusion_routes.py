"""Bad values taken out over HTTP, and put back: an entry of the journal, so that replays and restarts keep it."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from devices.device_actions import ExcludePoints, IncludePoints
from driftline.http.access_guard import Operator
from driftline.http.acting import WAITS, carried_out, status_of
from driftline.http.action_routes import DoneReply
from driftline.http.errors import ApiError
from driftline.http.notice_routes import Audit
from driftline.http.reply import Instant, json_response
from driftline.http.view import ServiceView


class ExclusionRequest(BaseModel):
    """A stretch of a metric's points."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "action": "exclude",
                    "device": "plant/pump-01",
                    "metric": "temperature",
                    "from": "2026-03-01T12:00:00Z",
                    "to": "2026-03-01T12:05:00Z",
                }
            ]
        },
    )
    action: Literal["exclude", "include"]
    device: str
    metric: str
    start: Instant = Field(alias="from")
    end: Instant = Field(alias="to", description="First time left out.")
    note: str = Field(default="", max_length=2_000, description="What is to be said about it.")


class ExclusionReply(BaseModel):
    """What was done, and how many points of the database the stretch has now that are excluded, and that are not."""

    done: DoneReply
    changed: int = Field(description="Points of the database that it excluded, or included again.")
    excluded: int
    included: int


def exclusion_router(view: ServiceView, audit: Audit) -> APIRouter:
    """The endpoint, without a prefix."""
    router = APIRouter(tags=["points"])

    @router.post("/points/exclusions", response_model=ExclusionReply, responses=WAITS)
    def act(who: Operator, given: ExclusionRequest) -> Response:
        """Exclude a stretch of points, or include it again.

        Points that are excluded are in no chart, aggregate or history to learn from; SQL has them in the view
        `excluded`. What comes later for the stretch is stored there too: it is neither scored nor learned, raises no
        alarm, and goes to no external database. What was learned from points as they came, and what external
        databases have of them, stays as it is.
        """
        kind = ExcludePoints if given.action == "exclude" else IncludePoints
        stretch = (given.device, given.metric, given.start, given.end)
        before, _ = view.store.exclusion_counts(*stretch)
        (done,) = carried_out(
            view,
            lambda: [kind(by=who.name, at=view.counts().time, **given.model_dump(exclude={"action"}))],
        )
        audit(who.name, who.address, f"points: {given.action}", done.text)
        if done.refused:
            raise ApiError(404, "not_found", f"body: {done.refused}")
        excluded, included = view.store.exclusion_counts(*stretch)
        told = {
            "done": dataclasses.asdict(done),
            "changed": abs(excluded - before),
            "excluded": excluded,
            "included": included,
        }
        return json_response(told, status=status_of([done]))

    return router
