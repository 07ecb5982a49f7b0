"""What people do about alarms over HTTP: each becomes an entry of the journal, so that replays and restarts keep it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

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
    UndoFeedback,
    Unshelve,
    Verdict,
)
from common.time_units import DAY, SECOND
from devices.records import ActionRecord
from driftline.http.access_guard import Operator
from driftline.http.acting import WAITS, carried_out, status_of
from driftline.http.alarm_schemas import AlarmReply
from driftline.http.errors import ApiError
from driftline.http.notice_routes import Audit
from driftline.http.reply import json_response
from driftline.http.view import ServiceView
from tuning.feedback_effect import effect_of

Kind = Literal[
    "acknowledge", "unacknowledge", "shelve", "unshelve", "clear", "comment", "feedback", "undo_feedback",
    "do_not_learn",
]  # fmt: skip
MOST_ALARMS = 1_000
_LONGEST_SHELF = 366 * 86_400
_EFFECT_DAYS = 30
_MOST_EFFECTS = 20
"""Series of one request whose past is judged again; of the others only the outcome is told."""
_SIMPLE: dict[str, type[Acknowledge | Unacknowledge | Unshelve | Clear | Comment | UndoFeedback]] = {
    "acknowledge": Acknowledge,
    "unacknowledge": Unacknowledge,
    "unshelve": Unshelve,
    "clear": Clear,
    "comment": Comment,
    "undo_feedback": UndoFeedback,
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
    waits: bool = Field(
        default=False, description="It is in the journal; the engine is behind, and does it in its turn."
    )


class EffectReply(BaseModel):
    """What feedback changed for a series, shown on its last days."""

    alarm: int
    device: str
    metric: str
    threshold: float = Field(description="The score that raises an alarm of the series now.")
    days: float
    were: int = Field(description="Alarms of the series in these days.")
    kept: int = Field(description="How many of them would be raised now.")
    right: int = Field(description="How many of them are marked right.")
    right_kept: int = Field(description="How many of those would be raised now.")
    sentence: str = Field(description="The same for people.")


class ActionReply(BaseModel):
    """What was done, and the alarms as they stand now."""

    done: list[DoneReply]
    alarms: list[AlarmReply]
    effects: list[EffectReply] = Field(description="feedback, undo_feedback: what it changed, by series.")


class HistoryReply(BaseModel):
    """What people did about an alarm, the oldest first."""

    actions: list[DoneReply]


AlarmReplies = Callable[[list[int]], list[dict[str, Any]]]
"""Alarms by number, as `/alarms` gives them."""


def action_router(view: ServiceView, replies: AlarmReplies, audit: Audit) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["alarms"])

    @router.post("/alarms/actions", response_model=ActionReply, responses=WAITS)
    def act(who: Operator, given: ActionRequest) -> Response:
        """Acknowledge, shelve, clear, comment on or judge alarms; `do_not_learn` excludes their stretch of time."""
        numbers = list(dict.fromkeys(given.alarms))
        found = {alarm["alarm"]: alarm for alarm in replies(numbers)}
        unknown = [number for number in numbers if number not in found]
        if unknown:
            raise ApiError(404, "not_found", f"body.alarms: there is no alarm {unknown[0]}")
        now = view.counts().time
        done = carried_out(view, lambda: [_action(given, found[number], who.name, now) for number in numbers])
        audit(
            who.name,
            who.address,
            f"alarm: {given.action}",
            _told(given, numbers),
            before=_standing(list(found.values())),
            after=_standing(replies(numbers)),
        )
        refused = [each.refused for each in done if each.refused]
        if len(refused) == len(done):
            raise ApiError(409, "refused", refused[0])
        status = status_of(done)
        effects = _effects(view, done, found) if "feedback" in given.action and status == 200 else []
        told = {"done": [dataclasses.asdict(each) for each in done], "alarms": replies(numbers), "effects": effects}
        return json_response(told, status=status)

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
        until = now + int(given.seconds * SECOND)
        return Shelve(by=by, at=now, alarm=number, note=given.note, until=until)
    if given.action == "feedback":
        if given.verdict is None:
            raise ActionError("verdict: missing: right, wrong or expected")
        return Feedback(by=by, at=now, alarm=number, note=given.note, verdict=given.verdict)
    end = alarm["cleared"] or max(now, int(alarm["opened"]) + 1)
    device, metric = alarm["device"], alarm["metric"]
    return DoNotLearn(by=by, at=now, device=device, metric=metric, start=alarm["opened"], end=end, note=given.note)


def _effects(view: ServiceView, done: list[ActionRecord], alarms: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """What feedback changed, for each series once."""
    by_series = {int(alarms[each.alarm]["series"]): each.alarm for each in done if each.alarm and not each.refused}
    replies = []
    for series, number in list(by_series.items())[:_MOST_EFFECTS]:
        alarm = alarms[number]
        newest = view.store.latest([series])
        threshold = view.threshold(series)
        if threshold is None or not len(newest):
            continue
        end = int(newest.time[0]) + 1
        start = end - _EFFECT_DAYS * DAY
        settings = view.alarm_settings()
        effect = effect_of(
            view.store.points(series, start, end),
            [each for each in view.store.alarms(series=series, limit=MOST_ALARMS) if each.opened >= start],
            settings,
            budget=settings.override_of(alarm["device"], alarm["metric"]),
            threshold=threshold,
            days=_EFFECT_DAYS,
        )
        names = {"alarm": number, "device": alarm["device"], "metric": alarm["metric"]}
        replies.append(names | dataclasses.asdict(effect) | {"sentence": effect.sentence})
    return replies


def _standing(alarms: list[dict[str, Any]]) -> str:
    """How alarms stand, as the audit log tells it."""
    kept = ("alarm", "state", "shelved_until", "feedback")
    return json.dumps([{name: alarm.get(name) for name in kept if alarm.get(name)} for alarm in alarms[:20]])


def _told(given: ActionRequest, numbers: list[int]) -> str:
    listed = ", ".join(map(str, numbers[:20])) + (" ..." if len(numbers) > 20 else "")
    return ": ".join(part for part in (f"alarm {listed}", given.verdict or "", given.note) if part)
