"""What people do about alarms over HTTP: each becomes an entry of the journal, so that replays and restarts keep it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alerts.actions import (
    Acknowledge,
    Action,
    ActionError,
    Clear,
    Comment,
    DoNotLearn,
    Feedback,
    Shelve,
    Unacknowledge,
    Unshelve,
    Verdict,
)
from driftline.http.access_guard import Operator
from driftline.http.errors import ApiError
from driftline.http.notice_routes import Audit
from driftline.http.reply import json_response
from driftline.http.schemas import AlarmReply
from driftline.http.view import ServiceView

Kind = Literal["acknowledge", "unacknowledge", "shelve", "unshelve", "clear", "comment", "feedback", "do_not_learn"]
MOST_ALARMS = 1_000
_SECOND = 1_000_000_000
_LONGEST_SHELF = 366 * 86_400
_SIMPLE: dict[str, type[Acknowledge | Unacknowledge | Unshelve | Clear | Comment]] = {
    "acknowledge": Acknowledge,
    "unacknowledge": Unacknowledge,
    "unshelve": Unshelve,
    "clear": Clear,
    "comment": Comment,
}


class ActionRequest(BaseModel):
    """Something to do with alarms."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"action": "shelve", "alarms": [3], "seconds": 28_800}]}
    )
    action: Kind
    alarms: list[int] = Field(min_length=1, max_length=MOST_ALARMS)
    note: str = Field(default="", max_length=2_000, description="What is to be said about it.")
    seconds: float | None = Field(default=None, gt=0, le=_LONGEST_SHELF, description="shelve: for how long from now.")
    verdict: Verdict | None = Field(default=None, description="feedback: what the alarm was.")


class DoneReply(BaseModel):
    """What came of one action."""

    position: int = Field(description="Its place in the journal.")
    number: int
    alarm: int | None
    kind: str
    by: str
    at: int
    text: str
    refused: str = Field(description="Why nothing came of it; empty where it was done.")


class ActionReply(BaseModel):
    """What was done, and the alarms as they stand now."""

    done: list[DoneReply]
    alarms: list[AlarmReply]


class HistoryReply(BaseModel):
    """What people did about an alarm, the oldest first."""

    actions: list[DoneReply]


AlarmReplies = Callable[[list[int]], list[dict[str, Any]]]
"""Alarms by number, as `/alarms` gives them."""


def action_router(view: ServiceView, replies: AlarmReplies, audit: Audit) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["alarms"])

    @router.post("/alarms/actions", response_model=ActionReply)
    def act(who: Operator, given: ActionRequest) -> Response:
        """Acknowledge, shelve, clear, comment on or judge alarms; `do_not_learn` excludes their stretch of time."""
        numbers = list(dict.fromkeys(given.alarms))
        found = {alarm["alarm"]: alarm for alarm in replies(numbers)}
        unknown = [number for number in numbers if number not in found]
        if unknown:
            raise ApiError(404, "not_found", f"body.alarms: there is no alarm {unknown[0]}")
        try:
            actions = [_action(given, found[number], who.name, view.counts().time) for number in numbers]
        except (ActionError, ValidationError) as error:
            raise ApiError(400, "invalid_request", f"body: {_sentence(error)}") from None
        try:
            done = view.act(actions)
        except ActionError as error:
            raise ApiError(503, "not_done", str(error)) from None
        audit(who.name, who.address, f"alarm: {given.action}", _told(given, numbers))
        refused = [each.refused for each in done if each.refused]
        if len(refused) == len(done):
            raise ApiError(409, "refused", refused[0])
        return json_response({"done": [dataclasses.asdict(each) for each in done], "alarms": replies(numbers)})

    @router.get("/alarms/history", response_model=HistoryReply)
    def history(alarm: Annotated[int, Query(ge=0, le=2**63 - 1, description="The alarm's number.")]) -> Response:
        """What people did about an alarm."""
        return json_response({"actions": [dataclasses.asdict(each) for each in view.store.actions(alarm=alarm)]})

    return router


def _action(given: ActionRequest, alarm: dict[str, Any], by: str, now: int) -> Action:
    number = int(alarm["alarm"])
    if given.action in _SIMPLE:
        return _SIMPLE[given.action](by=by, at=now, alarm=number, note=given.note)
    if given.action == "shelve":
        if given.seconds is None:
            raise ActionError("seconds: missing: for how long is the alarm to be shelved?")
        until = now + int(given.seconds * _SECOND)
        return Shelve(by=by, at=now, alarm=number, note=given.note, until=until)
    if given.action == "feedback":
        if given.verdict is None:
            raise ActionError("verdict: missing: right, wrong or expected")
        return Feedback(by=by, at=now, alarm=number, note=given.note, verdict=given.verdict)
    end = alarm["cleared"] or max(now, int(alarm["opened"]) + 1)
    device, metric = alarm["device"], alarm["metric"]
    return DoNotLearn(by=by, at=now, device=device, metric=metric, start=alarm["opened"], end=end, note=given.note)


def _sentence(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)


def _told(given: ActionRequest, numbers: list[int]) -> str:
    listed = ", ".join(map(str, numbers[:20])) + (" ..." if len(numbers) > 20 else "")
    return ": ".join(part for part in (f"alarm {listed}", given.verdict or "", given.note) if part)
