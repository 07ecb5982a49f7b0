"""The reading part of the API: service state, devices, points, alarms, dead letters, queries."""

from __future__ import annotations

import base64
import codecs
import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath

from alerts.incidents import incident_of, incidents
from alerts.notices.notice_settings import ADDRESS_IS_SECRET
from common.visible import host_alone, without_secrets
from devices.records import AlarmRecord, AlarmState, DeadLetter, SeriesRecord
from driftline.http import schemas
from driftline.http.access_guard import identity_of
from driftline.http.bounds import QueryPool, QuickAnswers
from driftline.http.errors import ApiError, unknown
from driftline.http.http_settings import HttpSettings
from driftline.http.reply import Instant, SeriesNumber, json_response, plain_value
from driftline.http.view import DeviceState, Learning, ServiceView, Status
from storage.embedded.database import EmbeddedStore
from storage.embedded.query_watch import QueryStop

_MOST_ACTED = 10_000
_ANSWER_BYTES = 16 << 20
MAX_SERIES_A_REQUEST = 100
"""Most series whose points one request may ask for."""

DeviceName = Annotated[str, InPath(description="The device's name, slashes as they are.", examples=["plant/pump-01"])]
DeviceFilter = Annotated[str | None, Query(description="Only this device's.", examples=["plant/pump-01"])]
Start = Annotated[
    Instant | None, Query(alias="from", description="Earliest time, ISO 8601 or a number since 1970; unset: the first.")
]
End = Annotated[Instant | None, Query(alias="to", description="First time left out; unset: none.")]


def reading_router(view: ServiceView, settings: HttpSettings, queries: QueryPool) -> APIRouter:
    """The endpoints that read from `view`, without a prefix."""
    router = APIRouter()
    store = view.store
    quick = QuickAnswers()

    @router.get("/health", response_model=schemas.HealthReply, tags=["service"])
    async def health(request: Request) -> Response:
        """State of the service, stage by stage. The HTTP status is 503 where a stage is red, else 200.

        Who has not signed in sees the status alone.
        """
        found = await quick.get(view.health)
        stages = [dataclasses.asdict(stage) for stage in found.stages] if identity_of(request) else []
        status = 503 if found.status is Status.RED else 200
        return json_response({"status": found.status, "stages": stages}, status=status)

    @router.get("/counts", response_model=schemas.CountsReply, tags=["service"])
    async def counts() -> Response:
        """Where every reading went since the database was begun."""
        return json_response(await quick.get(view.counts))

    @router.get("/about", response_model=schemas.AboutReply, tags=["service"])
    def about() -> Response:
        """What runs here: version, the broker and the topic filters that it listens to."""
        return json_response(view.about())

    @router.get("/config", response_model=dict[str, Any], tags=["service"])
    def config() -> Response:
        """The effective configuration. Secrets are masked."""
        return json_response(mask_secrets(view.configuration()))

    @router.get("/devices", response_model=schemas.DeviceListReply, tags=["devices"])
    def devices() -> Response:
        """Every device with its state and metrics."""
        metrics = defaultdict(list)
        for record in store.series():
            metrics[record.device].append(record)
        learning = view.learning()
        found = [_device(learning, state, metrics[state.device]) for state in view.device_states()]
        return json_response({"time": view.counts().time, "devices": found})

    @router.get("/devices/{device:path}", response_model=schemas.DeviceReply, tags=["devices"])
    def device(device: DeviceName) -> Response:
        """One device with its state and metrics."""
        states = {state.device: state for state in view.device_states()}
        if device not in states:
            raise unknown("device", device, states)
        records = [record for record in store.series() if record.device == device]
        return json_response(_device(view.learning(), states[device], records))

    @router.get("/series", response_model=schemas.SeriesListReply, tags=["devices"])
    def series(device: DeviceFilter = None) -> Response:
        """Every series, or those of one device."""
        return json_response({"series": _of_device(store.series(), device)})

    @router.get("/points", response_model=schemas.PointsReply, tags=["points"])
    def points(
        series: Annotated[
            list[SeriesNumber] | None,
            Query(description=f"Series numbers, at most {MAX_SERIES_A_REQUEST}.", examples=[[7]]),
        ] = None,
        device: DeviceFilter = None,
        metric: Annotated[str | None, Query(description="Only this metric of the device.")] = None,
        start: Start = None,
        end: End = None,
        max_points: Annotated[
            int | None, Query(ge=2, le=1_000_000, description="Most points a series; unset: http.max_points.")
        ] = None,
    ) -> Response:
        """Points of the series listed, or of a device, as columns. More than `max_points` are thinned on the server."""
        chosen = _choose(store.series(), series, device, metric)
        replies = []
        learning = view.learning()
        for record in chosen:
            found = store.points(record.series, start, end, max_points or settings.max_points)
            columns = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
            replies.append(dataclasses.asdict(record) | _learning(learning, record.series) | columns)
        return json_response({"series": replies})

    @router.get("/sparklines", response_model=schemas.SparklinesReply, tags=["points"])
    def sparklines(
        points: Annotated[int, Query(ge=2, le=200, description="Newest points of each series.")] = 40,
        series: Annotated[list[SeriesNumber] | None, Query(description="Only these series.")] = None,
    ) -> Response:
        """The newest points of every series, for a small chart each."""
        return json_response(
            {
                "sparklines": [
                    {"series": number, "time": found.time, "value": found.value, "anomaly": found.anomaly}
                    for number, found in store.sparklines(points, series).items()
                ]
            }
        )

    @router.get("/alarms", response_model=schemas.AlarmListReply, tags=["alarms"])
    def alarms(
        state: Annotated[AlarmState | None, Query(description="Only alarms in this state.")] = None,
        series: Annotated[SeriesNumber | None, Query(description="Only alarms of this series.")] = None,
        device: DeviceFilter = None,
        limit: Annotated[int, Query(ge=1, le=10_000, description="Most alarms.")] = 200,
    ) -> Response:
        """Alarms, those not cleared first, then newest first."""
        records = {record.series: record for record in store.series()}
        if series is not None and series not in records:
            raise unknown("query.series", str(series), map(str, records))
        wanted: list[int | None] = [series]
        if device is not None:
            of_device = [record.series for record in _of_device(list(records.values()), device)]
            wanted = [each for each in of_device if series in (None, each)]
        found = [alarm for each in wanted for alarm in _alarms(store, state, each, limit)]
        found.sort(key=lambda alarm: (alarm.state is AlarmState.CLEARED, -alarm.opened))
        number = incident_of(incidents(found, lambda series: records[series].device))
        replies = [
            alarm_reply(alarm, records[alarm.series])
            | {
                "incident": number[alarm.alarm],
                "maintenance": view.maintenance(records[alarm.series].device, alarm.opened),
            }
            for alarm in found[:limit]
        ]
        return json_response({"alarms": replies})

    @router.get("/dead-letters", response_model=schemas.DeadLetterListReply, tags=["service"])
    def dead_letters(limit: Annotated[int, Query(ge=1, le=10_000, description="Most dead letters.")] = 100) -> Response:
        """Messages and readings that did not become points, newest first, with the reason."""
        return json_response({"dead_letters": [_dead_letter(letter) for letter in store.dead_letters(limit)]})

    @router.post("/query", response_model=schemas.QueryReply, tags=["points"])
    async def query(request: schemas.QueryRequest, asked: Request) -> Response:
        """Rows of one read-only SQL query over the views that `show tables` lists, as far as 16 MiB hold them."""
        limit = min(request.limit or settings.max_query_rows, settings.max_query_rows)

        def answer(stop: QueryStop) -> Response:
            found = store.query(request.sql, limit, max_bytes=_ANSWER_BYTES, stop=stop)
            rows = [plain_value(row) for row in found.rows]
            return json_response({"columns": found.columns, "rows": rows, "truncated": found.truncated})

        return await queries.run(asked, answer)

    return router


def _choose(
    records: list[SeriesRecord], series: list[int] | None, device: str | None, metric: str | None
) -> list[SeriesRecord]:
    """The series that a request for points is about."""
    if series and device is not None:
        raise ApiError(400, "invalid_request", "query: series and device are both given; expected one of them")
    if series:
        known = {record.series: record for record in records}
        for number in series:
            if number not in known:
                raise unknown("query.series", str(number), map(str, known))
        chosen = [known[number] for number in dict.fromkeys(series)]
    elif device is not None:
        chosen = _of_device(records, device)
        if metric is not None:
            metrics = {record.metric: record for record in chosen}
            if metric not in metrics:
                raise unknown("query.metric", metric, metrics)
            chosen = [metrics[metric]]
    else:
        raise ApiError(400, "invalid_request", "query: neither series nor device is given; expected one of them")
    if len(chosen) > MAX_SERIES_A_REQUEST:
        raise ApiError(
            400, "too_many_series", f"query: {len(chosen)} series; expected at most {MAX_SERIES_A_REQUEST} a request"
        )
    return chosen


def _of_device(records: list[SeriesRecord], device: str | None) -> list[SeriesRecord]:
    if device is None:
        return records
    chosen = [record for record in records if record.device == device]
    if not chosen:
        raise unknown("query.device", device, {record.device for record in records})
    return chosen


def _learning(learning: Learning, series: int) -> dict[str, Any]:
    if series >= len(learning.seen):
        return {"warming": None, "threshold": None}
    seen, needed = int(learning.seen[series]), int(learning.needed[series])
    threshold = float(learning.threshold[series])
    return {
        "warming": {"seen": seen, "needed": needed} if seen < needed else None,
        "threshold": None if math.isnan(threshold) else threshold,
    }


def _alarms(store: EmbeddedStore, state: AlarmState | None, series: int | None, limit: int) -> list[AlarmRecord]:
    """The newest alarms; where no state is asked for, those not cleared come whole, however old they are."""
    if state is not None:
        return store.alarms(state, series, limit)
    not_cleared = store.alarms(series=series, limit=limit, open_only=True)
    return not_cleared + store.alarms(AlarmState.CLEARED, series, limit)


def _device(learning: Learning, state: DeviceState, records: Iterable[SeriesRecord]) -> dict[str, Any]:
    metrics = [
        {"series": record.series, "metric": record.metric, "unit": record.unit} | _learning(learning, record.series)
        for record in records
    ]
    return dataclasses.asdict(state) | {"metrics": metrics}


def alarm_replies(view: ServiceView, numbers: list[int]) -> list[dict[str, Any]]:
    """Alarms by number, of those that are open and those cleared last."""
    store = view.store
    wanted = set(numbers)
    stored = store.alarms(limit=_MOST_ACTED, open_only=True) + store.alarms(AlarmState.CLEARED, limit=_MOST_ACTED)
    records = {record.series: record for record in store.series()}
    return [alarm_reply(alarm, records[alarm.series]) for alarm in stored if alarm.alarm in wanted]


def alarm_reply(alarm: AlarmRecord, record: SeriesRecord) -> dict[str, Any]:
    """An alarm with the names of what it is about."""
    names = {"device": record.device, "metric": record.metric, "unit": record.unit}
    return dataclasses.asdict(alarm) | names


def _dead_letter(letter: DeadLetter) -> dict[str, Any]:
    # What was cut off may have split the last character.
    cut = len(letter.payload) < letter.payload_bytes
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(letter.payload, final=not cut)
    except UnicodeDecodeError:
        text = None
    encoded = base64.b64encode(letter.payload).decode()
    return dataclasses.asdict(letter) | {"payload": text, "payload_base64": encoded}


_SECRET_WORDS = ("password", "secret", "token", "credential", "private_key", "api_key")


def mask_secrets(value: Any, name: str = "") -> Any:
    """The value with everything that may be a secret masked: settings so named, and passwords in addresses.

    The address of a webhook is a secret as a whole: whoever has it may post there. Its host stays.
    """
    if isinstance(value, Mapping):
        masked = {str(key): mask_secrets(each, str(key)) for key, each in value.items()}
        if value.get("kind") in ADDRESS_IS_SECRET and value.get("url"):
            masked["url"] = host_alone(str(value["url"]))
        return masked
    if isinstance(value, list | tuple):
        return [mask_secrets(each, name) for each in value]
    if isinstance(value, str) and value:
        if any(word in name.lower() for word in _SECRET_WORDS) and not name.endswith(("_file", "_env")):
            return "********"
        return without_secrets(value)
    return value
