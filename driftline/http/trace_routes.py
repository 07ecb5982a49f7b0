"""What the API tells of traces: the ways of single messages through the stages, as long as they are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi import Path as InPath

from driftline.http.errors import ApiError
from driftline.http.part_views import TraceView
from driftline.http.reply import json_response
from driftline.http.trace_schemas import TRACE_ID, TraceListReply, TraceReply
from driftline.tracing.traces import Trace, Why


def trace_router(traces: Callable[[], TraceView | None]) -> APIRouter:
    """The endpoints, without a prefix; `traces` gives None where no message is traced."""
    router = APIRouter(tags=["traces"])

    @router.get("/traces", response_model=TraceListReply)
    def newest(
        why: Annotated[Why | None, Query(description="Only those that are kept for this.")] = None,
        limit: Annotated[int, Query(ge=1, le=1_000, description="Most traces.")] = 100,
    ) -> Response:
        """The newest traces, the newest first; none where the configuration has no [tracing]."""
        view = traces()
        found = [] if view is None else view.newest(limit, why)
        counts = {} if view is None else dict(view.counts)
        return json_response(
            {"enabled": view is not None, "left_out": counts.get("left out", 0), "traces": [_summary(t) for t in found]}
        )

    @router.get("/traces/{trace_id}", response_model=TraceReply)
    def one(
        trace_id: Annotated[str, InPath(description="32 hexadecimal digits.", examples=[TRACE_ID])],
    ) -> Response:
        """One trace: its messages, and the spans of each, the whole way first."""
        view = traces()
        if view is None:
            raise ApiError(404, "not_found", "no message is traced: the configuration has no [tracing]")
        found = view.of(trace_id.lower())
        if not found:
            raise ApiError(404, "not_found", f'trace "{trace_id[:80]}": not among those that are kept')
        return json_response({"trace_id": found[0].trace_id, "messages": _messages(found)})

    return router


def _messages(found: Sequence[Trace]) -> list[dict[str, Any]]:
    return [{**_summary(trace), "spans": trace.spans()} for trace in found]


def _summary(trace: Trace) -> dict[str, Any]:
    return {
        "trace_id": trace.trace_id,
        "offset": trace.offset,
        "topic": trace.topic,
        "why": trace.why.value,
        "continues": trace.parent is not None,
        "start": trace.arrival,
        "end": trace.end,
        "error": trace.error or next((call.error for call in trace.calls if call.error), ""),
    }
