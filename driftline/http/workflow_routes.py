"""Workflows over HTTP: definitions, runs and where each stands; begun, decided on, taken up again and ended by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import APIRouter, Body, Header, Query, Response
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field

from driftline.http.access_guard import Operator
from driftline.http.errors import ApiError, unknown
from driftline.http.notice_routes import Audit
from driftline.http.part_views import WorkflowView
from driftline.http.reply import json_response
from driftline.http.schemas import ErrorReply
from workflows.run_records import RunError, RunRecord, UnknownRunError

Workflows = Callable[[], WorkflowView | None]
"""The workflows of the service; None before they have started."""

Answer = TypeVar("Answer")
Name = Annotated[str, InPath(description="The workflow's name.", examples=["repair"])]
RunName = Annotated[str, InPath(description="The run's name.", examples=["repair-0f3c9a12b4d5"])]


class StandingReply(BaseModel):
    """Where a run, or a branch of it, is now."""

    place: str
    doing: str = Field(description="at work, waiting, waiting for approval.")
    asked: Any = Field(description="What is to be decided on, where it waits for approval.")


class RunSummary(BaseModel):
    """A run, and how it stands."""

    run: str
    workflow: str
    state: str = Field(description="running, succeeded, failed, cancelled, or resumed: another took its place.")
    started: int
    ended: int | None
    stands: list[StandingReply] = Field(description="Where it is now; empty once it has ended.")
    error: str
    cause: str
    failed_at: str


class StepReply(BaseModel):
    """A try of a task, or a decision, that is done and will not be done again."""

    place: str
    attempt: int
    key: str = Field(description="The idempotency key of what it does, the same for every try.")
    started: int
    ended: int
    result: Any
    error: str
    cause: str


class RunReply(RunSummary):
    """A run with its definition, its input, its steps and its output."""

    definition: dict[str, Any]
    input: Any
    output: Any
    steps: list[StepReply]


class RunListReply(BaseModel):
    """Runs, the newest first."""

    runs: list[RunSummary]


class WorkflowSummary(BaseModel):
    """A workflow, and its newest run."""

    name: str
    file: str
    trigger: dict[str, Any]
    problem: str = Field(description="What is wrong with its definition; empty where nothing is.")
    newest: RunSummary | None


class WorkflowListReply(BaseModel):
    """All workflows."""

    workflows: list[WorkflowSummary]


class WorkflowReply(WorkflowSummary):
    """A workflow with its definition and its newest runs."""

    definition: dict[str, Any]
    runs: list[RunSummary]


class BegunReply(BaseModel):
    """A run that was begun."""

    run: str
    begun: bool = Field(description="False where the key has a run already: this one.")


class ResumedReply(BaseModel):
    """A run that was taken up again."""

    run: str = Field(description="The run that takes its place.")


class EndedReply(BaseModel):
    """A run that was ended."""

    run: str


class Decision(BaseModel):
    """What a person decides."""

    model_config = ConfigDict(extra="forbid")

    approve: bool
    state: str | None = Field(default=None, description="The place that waits, where several do.", examples=["Approve"])
    comment: str = Field(default="", max_length=1_000)


class DecidedReply(BaseModel):
    """The place that was decided on."""

    run: str
    place: str


def workflow_router(workflows: Workflows) -> APIRouter:
    """The endpoints that read, without a prefix."""
    router = APIRouter(tags=["workflows"])

    @router.get("/workflows", response_model=WorkflowListReply)
    def listed() -> Response:
        """Every workflow with its newest run."""
        view = workflows()
        found = [] if view is None else [_summary(view, each.name) for each in view.declared]
        return json_response({"workflows": found})

    @router.get("/workflows/runs", response_model=RunListReply)
    def all_runs(limit: Annotated[int, Query(ge=1, le=1_000, description="Most runs.")] = 100) -> Response:
        """The newest runs of all workflows."""
        view = workflows()
        return json_response({"runs": [] if view is None else [_run(each) for each in view.runs(None, limit)]})

    @router.get("/workflows/runs/{run}", response_model=RunReply, responses={409: {"model": ErrorReply}})
    def one_run(run: RunName) -> Response:
        """One run: its steps, what went in and came out, and where it stands."""
        found = _asked(workflows, run, lambda view: view.run(run))
        rest = {"definition": found.definition, "input": found.input, "output": found.output}
        return json_response(
            {**_run(found.record), **rest, "steps": [dataclasses.asdict(each) for each in found.steps]}
        )

    @router.get("/workflows/{name}", response_model=WorkflowReply)
    def one(name: Name, limit: Annotated[int, Query(ge=1, le=1_000, description="Most runs.")] = 100) -> Response:
        """One workflow with its definition and its newest runs."""
        view = _view(workflows, name)
        runs = [_run(each) for each in view.runs(name, limit)]
        return json_response({**_summary(view, name), "definition": view.definition(name)[0], "runs": runs})

    return router


def run_router(workflows: Workflows, audit: Audit) -> APIRouter:
    """The endpoints that begin, decide, take up again and end, without a prefix."""
    router = APIRouter(tags=["workflows"])

    @router.post("/workflows/{name}/runs", response_model=BegunReply)
    def begin(
        who: Operator,
        name: Name,
        value: Annotated[Any, Body(description="The input: any JSON.", examples=[{"device": "pump-1"}])] = None,
        idempotency_key: Annotated[
            str | None,
            Header(max_length=200, description="Of one key there is one run, however often it is asked for."),
        ] = None,
    ) -> Response:
        """Begin a run with an input."""
        run, begun = _begun(_view(workflows, name), name, value, idempotency_key)
        audit(who.name, who.address, "workflow begun", run)
        return json_response({"run": run, "begun": begun})

    @router.post("/workflows/runs/{run}/decision", response_model=DecidedReply)
    def decide(who: Operator, run: RunName, decision: Decision) -> Response:
        """Approve or refuse what the run waits for."""
        _require_json(decision.comment)
        place = _asked(
            workflows,
            run,
            lambda view: view.decide(
                run, decision.state, approved=decision.approve, by=who.name, comment=decision.comment
            ),
        )
        audit(who.name, who.address, "workflow approved" if decision.approve else "workflow refused", f"{run}: {place}")
        return json_response({"run": run, "place": place})

    @router.post("/workflows/runs/{run}/resume", response_model=ResumedReply)
    def resume(who: Operator, run: RunName) -> Response:
        """Take up a run that failed, at the state where it failed; steps that are done are not done again."""
        again = _asked(workflows, run, lambda view: view.resume(run))
        audit(who.name, who.address, "workflow resumed", f"{run}: {again}")
        return json_response({"run": again})

    @router.post("/workflows/runs/{run}/cancel", response_model=EndedReply)
    def cancel(who: Operator, run: RunName) -> Response:
        """End a run before its next step."""
        _asked(workflows, run, lambda view: view.cancel(run))
        audit(who.name, who.address, "workflow cancelled", run)
        return json_response({"run": run})

    return router


def _begun(view: WorkflowView, name: str, value: Any, key: str | None) -> tuple[str, bool]:
    _require_json(value)
    try:
        return view.begin(name, value, None if key is None else f"http/{key}")
    except RunError as error:
        raise ApiError(409, "cannot_begin", f"{name}: {error}") from None


def _require_json(value: Any) -> None:
    """Numbers beyond 64 bits, and texts that are no Unicode, cannot be kept."""
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise ApiError(400, "invalid_request", f"body: {error}") from None


def _view(workflows: Workflows, name: str) -> WorkflowView:
    view = workflows()
    known = [] if view is None else [each.name for each in view.declared]
    if view is None or name not in known:
        raise unknown("workflow", name, known)
    return view


def _asked(workflows: Workflows, run: str, ask: Callable[[WorkflowView], Answer]) -> Answer:
    view = workflows()
    try:
        if view is None:
            raise UnknownRunError(run)
        return ask(view)
    except UnknownRunError:
        raise unknown("run", run, [] if view is None else [each.run for each in view.runs(None, 100)]) from None
    except RunError as error:
        raise ApiError(409, "not_now", str(error)) from None


def _summary(view: WorkflowView, name: str) -> dict[str, Any]:
    settings = next(each for each in view.declared if each.name == name)
    newest = view.runs(name, 1)
    trigger = settings.trigger.model_dump(mode="json", exclude_defaults=True)
    return {
        "name": name,
        "file": str(settings.file),
        "trigger": {"type": settings.trigger.type, **trigger},
        "problem": "; ".join(view.definition(name)[1]),
        "newest": _run(newest[0]) if newest else None,
    }


def _run(record: RunRecord) -> dict[str, Any]:
    return dataclasses.asdict(record)
