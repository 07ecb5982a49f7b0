"""The HTTP application: API under `/api/v1/`, Prometheus metrics, and the page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, cast

import orjson
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from dashboards.web_files import WebFile, load_web_files
from driftline.access.gate import Gate
from driftline.http.access_guard import AccessGuard
from driftline.http.access_routes import access_router
from driftline.http.action_routes import action_router
from driftline.http.alarm_routes import alarm_replies, alarm_router
from driftline.http.bounds import Bounds, QueryPool
from driftline.http.config_routes import config_router
from driftline.http.device_action_routes import device_action_router
from driftline.http.device_routes import device_router
from driftline.http.download_routes import download_router
from driftline.http.errors import ApiError, install_error_handlers, unknown_parameter
from driftline.http.exclusion_routes import exclusion_router
from driftline.http.forecast_routes import forecast_router
from driftline.http.function_routes import function_router, invocation_router
from driftline.http.guard import Guard
from driftline.http.http_settings import HttpSettings
from driftline.http.letter_routes import letter_router
from driftline.http.live import LivePoints, LiveStreams, SeriesFilter, TooManyStreamsError
from driftline.http.metrics import metrics_router
from driftline.http.notice_routes import Audit, notice_router
from driftline.http.phone_routes import phone_router
from driftline.http.point_routes import point_router
from driftline.http.reply import SeriesNumber
from driftline.http.schemas import ErrorReply
from driftline.http.send_routes import influx_router, message_router
from driftline.http.service_routes import service_router
from driftline.http.simulator_routes import simulator_router
from driftline.http.stream_routes import stream_router
from driftline.http.trace_routes import trace_router
from driftline.http.tune_routes import tune_router
from driftline.http.view import ServiceView
from driftline.http.workflow_routes import run_router, workflow_router

PREFIX = "/api/v1"
_DESCRIPTION = """What a running Driftline has stored and what it is doing, and what people decide about it.

Where the service asks people to sign in, programs send an API token: `Authorization: Bearer dl_...`.

Times in replies are integers, nanoseconds since the Unix epoch, event time unless said otherwise. Times in requests are
ISO 8601, or numbers of seconds, milliseconds, microseconds or nanoseconds since 1970. Numbers that do not exist
are null. Device names are used as they are: a slash in one needs no escape.

Every error has the shape `{"error": {"code", "message"}}`."""


def create_app(view: ServiceView, settings: HttpSettings | None = None, gate: Gate | None = None) -> FastAPI:
    """The application over a running service. `app.state.streams` is its `LiveStreams`: close it before the server.

    `gate` decides who may ask; without one everyone may do everything.
    """
    settings = settings or HttpSettings()
    app = FastAPI(
        title="Driftline",
        version="1",
        summary="MQTT telemetry in, anomalies out.",
        description=_DESCRIPTION,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    streams = app.state.streams = LiveStreams(view, settings.max_live_clients)
    queries = app.state.queries = QueryPool()
    app.state.has_gate = gate is not None
    refusals, changing = _refusals(400, 401, 403, 404), _refusals(400, 401, 403, 404, 409, 413, 429, 503)
    checks = [Depends(_refuse_unknown_parameters)]
    for reading in (
        service_router(view),
        device_router(view),
        point_router(view, settings, queries),
        forecast_router(view, queries),
        alarm_router(view),
        stream_router(view),
        function_router(lambda: view.functions),
        workflow_router(lambda: view.workflows),
        trace_router(lambda: view.traces),
        download_router(view),
        _live_router(view, streams),
    ):
        app.include_router(reading, prefix=PREFIX, responses=refusals, dependencies=checks)
    if gate is not None:
        app.include_router(access_router(gate), prefix=PREFIX, responses=changing, dependencies=checks)
        for acting in (
            action_router(view, lambda numbers: alarm_replies(view, numbers), _audit(gate)),
            device_action_router(view, _audit(gate)),
            exclusion_router(view, _audit(gate)),
            notice_router(lambda: view.notifier, _audit(gate)),
            tune_router(view, _audit(gate)),
            config_router(view, _audit(gate)),
            letter_router(view, _audit(gate)),
            invocation_router(lambda: view.functions, _audit(gate)),
            run_router(lambda: view.workflows, _audit(gate)),
            simulator_router(view, queries, _audit(gate)),
            phone_router(gate, settings),
            message_router(view),
        ):
            app.include_router(acting, prefix=PREFIX, responses=changing, dependencies=checks)
        app.include_router(influx_router(view), responses=changing, dependencies=checks)
    app.include_router(metrics_router(view))
    app.include_router(_page_router(load_web_files()))
    install_error_handlers(app)
    if gate is not None:
        app.add_middleware(AccessGuard, gate=gate, open_metrics=settings.metrics_without_sign_in)
    app.add_middleware(Bounds)
    app.add_middleware(Guard, settings=settings)
    return app


def openapi_document() -> bytes:
    """The API's OpenAPI description as indented JSON."""
    # No handler runs, so no service is needed.
    app = create_app(cast(ServiceView, _NoService()), gate=cast(Gate, _NoGate()))
    return orjson.dumps(app.openapi(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What an endpoint may answer with in place of its reply: the one shape of errors."""
    return {status: {"model": ErrorReply} for status in statuses}


def _audit(gate: Gate) -> Audit:
    def write(who: str, address: str, action: str, detail: str, *, before: str = "", after: str = "") -> None:
        gate.accounts.log(who, address, action, detail, before=before, after=after)

    return write


class _NoService:
    store = None


class _NoGate:
    accounts = None


def _refuse_unknown_parameters(request: Request) -> None:
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            raise unknown_parameter(name, known)


def _live_router(view: ServiceView, streams: LiveStreams) -> APIRouter:
    router = APIRouter()

    @router.get(
        "/events",
        tags=["points"],
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}, 503: {"model": ErrorReply}},
    )
    async def events(
        series: Annotated[list[SeriesNumber] | None, Query(description="Only these series.")] = None,
        device: Annotated[list[str] | None, Query(description="Only the series of these devices.")] = None,
        points: Annotated[
            LivePoints,
            Query(
                description="all: every point, at most five events a second; latest: once a second the newest "
                "point of each series and every anomalous one; none: alarms alone."
            ),
        ] = LivePoints.ALL,
        last_event_id: Annotated[
            str | None, Header(description="Id of the last event seen; a reconnecting client is told of the gap.")
        ] = None,
    ) -> StreamingResponse:
        """The live feed, as server-sent events.

        `points`: columns `series`, `time`, `value`, `score`, `expected`, `lower`, `upper`, `anomaly`, `late`.
        `alarms`: alarms that changed, as `/alarms` gives them. `gap`: steps were missed; `reason` is `slow` or
        `reconnected`, `missed` their number, null after a restart. `heartbeat`: nothing happened for 10 s.
        """
        wanted = SeriesFilter(view, frozenset(series or ()), frozenset(device or ()))
        stream = streams.follow(wanted, points, last_event_id)
        try:
            # The stream takes its place among the clients before anything is answered.
            first = await anext(stream)
        except TooManyStreamsError as error:
            raise ApiError(503, "too_many_clients", str(error)) from None
        return StreamingResponse(
            _chained(first, stream),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for event in rest:
        yield event


def _page_router(files: Mapping[str, WebFile]) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    def api_reference() -> Response:
        """The page's own reference of the API, which needs no other host."""
        return RedirectResponse("/#/api")

    @router.get("/{path:path}")
    def page(request: Request, path: str) -> Response:
        """A file of the page."""
        file = files.get(path or "index.html")
        if file is None:
            raise ApiError(404, "not_found", f'path: no "/{path}"; the page is at /, the API under {PREFIX}/')
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)

    return router
