"""Tuning over HTTP: what the last days would have alarmed under other settings, and putting those in place."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import ValidationError

from alerts.actions import MarkStretch
from driftline.config_edit import Edit, candidate_edit
from driftline.config_errors import ConfigError
from driftline.http.access_guard import Admin, Operator
from driftline.http.acting import WAITS, carried_out, status_of
from driftline.http.errors import ApiError
from driftline.http.notice_routes import Audit
from driftline.http.reply import json_response
from driftline.http.tune_preview import Pasts, mark_replies
from driftline.http.tune_schemas import (
    MarkRequest,
    MarksReply,
    PreviewReply,
    PreviewRequest,
    SettingsChange,
    SettingsChangeReply,
    WorkReply,
)
from driftline.http.view import ServiceView
from ingest.knowledge_settings import KnowledgeSettings
from tuning.candidate import Candidate
from tuning.rescoring import Rescorings, Work


def tune_router(view: ServiceView, audit: Audit) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["tuning"])
    _add_previews(router, view)
    _add_changes(router, view, audit)
    return router


def _add_previews(router: APIRouter, view: ServiceView) -> None:
    rescorings, pasts = Rescorings(), Pasts(view)

    @router.get("/tune", response_model=PreviewReply)
    def tune(
        device: Annotated[str, Query(description="The device.")],
        budget: Annotated[str | None, Query(description='Such as "1 per sensor per month"; unset: in force.')] = None,
        metric: Annotated[str | None, Query(description="One metric of it that the budget is for; unset: all.")] = None,
        days: Annotated[float, Query(gt=0, le=92, description="How far back from the newest reading.")] = 30,
    ) -> Response:
        """What a device's last days would have alarmed under another budget, from the scores that are stored."""
        try:
            candidate = Candidate(metric=metric, budget=budget)
        except ValidationError as error:
            raise ApiError(400, "invalid_request", f"query.budget: {error.errors()[0]['msg']}") from None
        return json_response(pasts.of(device, days).judged(candidate))

    @router.post("/tune/previews", response_model=WorkReply)
    def begin(given: PreviewRequest) -> Response:
        """What a device's last days would have alarmed under other settings.

        Where only the budget differs, stored scores are judged again and the result is there at once. Else readings
        are scored again: ask for the work by its number until `result` or `error` is there.
        """
        past = pasts.of(given.device, given.days)
        candidate = Candidate(**given.model_dump(exclude={"device", "days"}))
        if candidate.detector is not None and candidate.detector not in view.detectors():
            known = ", ".join(view.detectors())
            raise ApiError(400, "invalid_request", f'body.detector: unknown "{candidate.detector}" (known: {known})')
        if not candidate.rescores:
            return json_response(_work_reply(Work(0, given.device, result=past.judged(candidate))))
        return json_response(_work_reply(rescorings.start(given.device, lambda work: past.rescored(candidate, work))))

    @router.get("/tune/previews/{work}", response_model=WorkReply)
    def progress(work: Annotated[int, Path(ge=0, le=2**31)]) -> Response:
        """How far a look at other settings is."""
        found = rescorings.get(work)
        if found is None:
            raise ApiError(404, "not_found", f"path: there is no work {work}, or newer ones have taken its place")
        return json_response(_work_reply(found))


def _add_changes(router: APIRouter, view: ServiceView, audit: Audit) -> None:
    @router.post("/tune", response_model=SettingsChangeReply)
    def apply(who: Admin, given: SettingsChange) -> Response:
        """Change settings in the configuration file, or show the change. It takes effect within a second."""
        path = view.editable_config()
        candidate = Candidate(**given.model_dump(exclude={"device", "write"}))
        if candidate.budget is None and not candidate.rescores:
            raise ApiError(400, "invalid_request", "body: expected a budget, a detector or a fact to change")
        try:
            edit: Edit = candidate_edit(path, candidate, given.device)
            if given.write:
                edit.write()
        except ConfigError as error:
            raise ApiError(400, "invalid_request", "; ".join(error.errors)) from None
        except (OSError, ValueError) as error:
            raise ApiError(409, "not_written", f"{path}: cannot be changed: {error}") from None
        if given.write:
            audit(who.name, who.address, "settings changed", _told(given))
        return json_response({"file": str(path), "difference": edit.difference, "written": given.write})

    @router.post("/tune/marks", response_model=MarksReply, responses=WAITS)
    def mark(who: Operator, given: MarkRequest) -> Response:
        """Mark a stretch of a metric as a fault or as normal: what settings are compared against."""
        if not any(each.device == given.device and each.metric == given.metric for each in view.store.series()):
            raise ApiError(404, "not_found", f'body: there is no metric "{given.metric}" of "{given.device}"')
        (done,) = carried_out(view, lambda: [MarkStretch(by=who.name, at=view.counts().time, **given.model_dump())])
        if done.refused:
            raise ApiError(409, "refused", done.refused)
        audit(who.name, who.address, "stretch marked", f"{given.mark}: {given.device} {given.metric}")
        marked = mark_replies(view.marked_stretches(given.device), given.metric)
        return json_response({"marked": marked}, status=status_of([done]))


def _work_reply(work: Work) -> dict[str, object]:
    return {
        "work": work.number,
        "done": work.done,
        "rows": work.rows,
        "seconds": round(work.seconds, 3),
        "error": work.error,
        "result": work.result,
    }


def _told(given: SettingsChange) -> str:
    """What was changed, for the audit log."""
    said = given.model_dump(include={*KnowledgeSettings.model_fields, "detector"}, exclude_none=True)
    where = f"{given.device or 'all devices'}{' ' + given.metric if given.metric else ''}"
    return f"{where}: " + ", ".join(
        [*filter(None, [given.budget]), *(f"{name} {value}" for name, value in said.items())]
    )
