"""What the API tells of the service itself: health, counts, configuration, and what it could not read."""

from __future__ import annotations

import base64
import codecs
import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from alerts.notices.notice_settings import ADDRESS_IS_SECRET
from common.time_units import DAY
from common.visible import host_alone, without_secrets
from devices.message_properties import parse_properties
from devices.records import DeadLetter
from driftline.http import schemas
from driftline.http.access_guard import identity_of
from driftline.http.alarm_schemas import ReportReply
from driftline.http.bounds import QuickAnswers
from driftline.http.reply import json_response
from driftline.http.view import ServiceView, Status
from driftline.report.report_making import kept_for, make_report
from driftline.report.report_text import report_json, report_text
from storage.storage_settings import ArchiveSettings, StoreSettings


def service_router(view: ServiceView) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["service"])
    quick = QuickAnswers()

    @router.get("/health", response_model=schemas.HealthReply)
    async def health(request: Request) -> Response:
        """State of the service, stage by stage. The HTTP status is 503 where a stage is red, else 200.

        Who has not signed in sees the status alone.
        """
        found = await quick.get(view.health)
        stages = [dataclasses.asdict(stage) for stage in found.stages] if identity_of(request) else []
        status = 503 if found.status is Status.RED else 200
        return json_response({"status": found.status, "stages": stages}, status=status)

    @router.get("/counts", response_model=schemas.CountsReply)
    async def counts() -> Response:
        """Where every reading went since the database was begun."""
        return json_response(await quick.get(view.counts))

    @router.get("/about", response_model=schemas.AboutReply)
    def about() -> Response:
        """What runs here: version, the broker and the topic filters that it listens to."""
        return json_response(view.about())

    @router.get("/config", response_model=dict[str, Any])
    def config() -> Response:
        """The effective configuration. Secrets are masked."""
        return json_response(mask_secrets(view.configuration()))

    @router.get("/report", response_model=ReportReply)
    def report(days: Annotated[float, Query(gt=0, le=366, description="How many days back.")] = 7) -> Response:
        """The last days in numbers and in words: alarms, false ones allowed and seen, what is silent, storage."""
        end = view.counts().time
        begin, folder = end - int(days * DAY), view.store.path.parent
        made = make_report(view.store, view.alarm_settings(), folder, begin, end, kept=_kept(view))
        return json_response(report_json(made) | {"text": report_text(made, _time_zone(view))})

    @router.get("/dead-letters", response_model=schemas.DeadLetterListReply)
    def dead_letters(limit: Annotated[int, Query(ge=1, le=10_000, description="Most dead letters.")] = 100) -> Response:
        """Messages and readings that did not become points, newest first, with the reason."""
        found = [_dead_letter(letter) for letter in view.store.dead_letters(limit)]
        return json_response({"dead_letters": found, "reasons": view.store.dead_letter_reasons()})

    return router


def _time_zone(view: ServiceView) -> str:
    settings = view.configuration().get("report")
    return str(settings.get("time_zone", "UTC")) if isinstance(settings, Mapping) else "UTC"


def _kept(view: ServiceView) -> int | None:
    settings = view.configuration()
    store, archive = settings.get("store", {}), settings.get("archive", {})
    return kept_for(StoreSettings.model_validate(store), ArchiveSettings.model_validate(archive))


def _dead_letter(letter: DeadLetter) -> dict[str, Any]:
    # What was cut off may have split the last character.
    cut = len(letter.payload) < letter.payload_bytes
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(letter.payload, final=not cut)
    except UnicodeDecodeError:
        text = None
    encoded = base64.b64encode(letter.payload).decode()
    shown = dataclasses.asdict(letter) | {"payload": text, "payload_base64": encoded}
    properties = parse_properties(shown.pop("properties"), has_packet_id=False)
    return shown | {"content_type": properties.content_type, "user_properties": dict(properties.user)}


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
