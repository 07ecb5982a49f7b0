"""Functions over HTTP: how each does, its calls and what was set aside; calls by hand, and trying again."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Header, Query, Response
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from driftline.http.access_guard import Operator
from driftline.http.errors import ApiError, unknown
from driftline.http.notice_routes import Audit
from driftline.http.part_views import FunctionView
from driftline.http.reply import json_response
from driftline.http.schemas import ErrorReply
from functions.function_queue import WaitingEvent
from functions.function_settings import FunctionSettings
from functions.runner import BusyError

Functions = Callable[[], FunctionView | None]
"""The functions of the service; None before they have started."""

_STATUS = {"timeout": (504, "timed_out"), "memory": (502, "out_of_memory"), "broken": (502, "does_not_load")}
Name = Annotated[str, InPath(description="The function's name.", examples=["on_alarm"])]


class CallReply(BaseModel):
    """One call and what came of it."""

    request_id: str
    function: str
    trigger: str = Field(description="http, alarm, stream, readings, device or schedule.")
    key: str = Field(description="The event, or the first of its batch: the same each time it is tried again.")
    attempt: int
    events: int = Field(description="Events of the batch.")
    started: int
    duration: int = Field(description="ns.")
    memory: int = Field(description="The most that its process has used, in bytes; 0 for a ready-made action.")
    cold: bool = Field(description="Whether its process was started for it.")
    outcome: str = Field(description="ok, error, timeout, crash, memory, broken.")
    error: str
    logs: list[str] = Field(description="What it logged and printed, at most 64 KiB.")


class FunctionSummary(BaseModel):
    """A function, and how it does."""

    name: str
    definition: dict[str, Any] = Field(description="Its settings that differ from the defaults, and its trigger.")
    mode: str = Field(description="asynchronous: each event alone. stream: in batches, in order.")
    counts: dict[str, int] = Field(
        description="events = done + failed + dropped + waiting; calls, errors, timeouts, crashes, cold_starts, and "
        "milliseconds of all calls."
    )
    oldest_waiting: int | None = Field(description="When the oldest event that waits came.")
    next_firing: int | None = Field(description="Of a schedule: when it fires next.")
    processes: int = Field(description="Processes of it that run now.")
    last_call: CallReply | None
    problem: str = Field(description="What is wrong with it, in one sentence; empty where nothing is.")


class FunctionListReply(BaseModel):
    """All functions."""

    functions: list[FunctionSummary]


class FailedEvent(BaseModel):
    """An event that was set aside."""

    key: str
    created: int
    tries: int
    error: str
    trigger: dict[str, Any]
    event: Any


class FunctionReply(FunctionSummary):
    """A function with its newest calls and what was set aside."""

    calls: list[CallReply]
    failed: list[FailedEvent]


class CallListReply(BaseModel):
    """Calls of all functions, the newest first."""

    calls: list[CallReply]


class InvokedReply(BaseModel):
    """What a call gave."""

    request_id: str
    result: Any = Field(description="What the handler returned.")
    duration: int = Field(description="ns.")
    logs: list[str]


class QueuedReply(BaseModel):
    """An event that is queued."""

    key: str
    queued: bool = Field(description="False where an event of this key waits already.")


class RetriedReply(BaseModel):
    """Events that are tried again."""

    retried: int


def function_router(functions: Functions) -> APIRouter:
    """The endpoints that read, without a prefix."""
    router = APIRouter(tags=["functions"])

    @router.get("/functions", response_model=FunctionListReply)
    def listed() -> Response:
        """Every function, and how it does."""
        view = functions()
        found = [] if view is None else [view.state(settings) for settings in view.declared]
        return json_response({"functions": found})

    @router.get("/functions/calls", response_model=CallListReply)
    def calls(limit: Annotated[int, Query(ge=1, le=10_000, description="Most calls.")] = 100) -> Response:
        """The newest calls of all functions, with their logs."""
        view = functions()
        found = [] if view is None else view.calls(None, limit)
        return json_response({"calls": [dataclasses.asdict(each) for each in found]})

    @router.get("/functions/{name}", response_model=FunctionReply)
    def one(
        name: Name,
        limit: Annotated[int, Query(ge=1, le=1_000, description="Most calls, and most events set aside.")] = 100,
    ) -> Response:
        """One function with its newest calls, their logs, and the events that were set aside."""
        view, settings = _found(functions, name)
        newest = [dataclasses.asdict(each) for each in view.calls(name, limit)]
        failed = [_failed(each) for each in view.failed(name, limit)]
        return json_response({**view.state(settings), "calls": newest, "failed": failed})

    return router


def invocation_router(functions: Functions, audit: Audit) -> APIRouter:
    """The endpoints that call, without a prefix."""
    router = APIRouter(tags=["functions"])
    failures: dict[int | str, dict[str, Any]] = {status: {"model": ErrorReply} for status in (502, 504)}

    @router.post(
        "/functions/{name}",
        response_model=InvokedReply,
        responses={202: {"model": QueuedReply, "description": "Queued."}, **failures},
    )
    def invoke(
        who: Operator,
        name: Name,
        event: Annotated[Any, Body(description="The event: any JSON.", examples=[{"device": "pump-1"}])] = None,
        wait: Annotated[bool, Query(description="false: queue it and answer at once.")] = True,
        idempotency_key: Annotated[
            str | None, Header(max_length=200, description="The event's key; one of its own where none is given.")
        ] = None,
    ) -> Response:
        """Call a function and wait for what it gives; or queue the event, to be tried until it is taken."""
        view, _ = _found(functions, name)
        _require_json(event)
        key = idempotency_key or f"http-{secrets.token_hex(8)}"
        audit(who.name, who.address, "function called", name if wait else f"{name}: queued {key}")
        if not wait:
            return json_response({"key": key, "queued": view.submit(name, event, key)}, status=202)
        try:
            outcome, record = view.invoke(name, event, key)
        except BusyError as error:
            raise ApiError(429, "busy", str(error)) from None
        if outcome.error:
            status, code = _STATUS.get(outcome.kind, (502, "function_failed"))
            raise ApiError(status, code, f"{name}: {outcome.error} (request {record.request_id})")
        told = {"request_id": record.request_id, "result": outcome.result}
        return json_response({**told, "duration": record.duration, "logs": record.logs})

    @router.post("/functions/{name}/retry", response_model=RetriedReply)
    def retry(who: Operator, name: Name) -> Response:
        """Try every event again that was set aside."""
        view, _ = _found(functions, name)
        count = view.retry(name)
        audit(who.name, who.address, "function tried again", f"{name}: {count:,} events")
        return json_response({"retried": count})

    return router


def _found(functions: Functions, name: str) -> tuple[FunctionView, FunctionSettings]:
    view = functions()
    known = {} if view is None else {each.name: each for each in view.declared}
    if view is None or name not in known:
        raise unknown("function", name, known)
    return view, known[name]


def _require_json(event: Any) -> None:
    """Numbers beyond 64 bits have no place in the queue."""
    try:
        orjson.dumps(event)
    except TypeError as error:
        raise ApiError(400, "invalid_request", f"body: {error}") from None


def _failed(event: WaitingEvent) -> dict[str, Any]:
    kept = {name: getattr(event, name) for name in ("key", "created", "tries", "error", "trigger")}
    return {**kept, "event": event.content}
