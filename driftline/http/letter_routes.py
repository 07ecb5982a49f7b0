"""Dead letters over HTTP: read again, once the route or the device that was at fault has been mended."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from alerts.actions import ActionError
from driftline.http.access_guard import Operator
from driftline.http.acting import WAITS
from driftline.http.errors import ApiError
from driftline.http.notice_routes import Audit
from driftline.http.reply import json_response
from driftline.http.view import ServiceView
from driftline.runtime.letter_desk import MOST

_WAITS = "they are in the journal; the engine is behind, and reads them in their turn"

Offset = Annotated[int, Field(ge=0, le=2**63 - 1)]


class RetryRequest(BaseModel):
    """Which rejected messages: by offset, or all of a reason."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "malformed"}]})
    offsets: list[Offset] = Field(default=[], max_length=MOST)
    reason: str = Field(default="", max_length=100, description=f"Up to {MOST:,} of it, the newest.")


class RetryReply(BaseModel):
    """What came of reading them again."""

    tried: int
    taken: int = Field(description="Messages of which every reading was taken.")
    refused: dict[str, int] = Field(description="Messages that are dead letters again, by reason.")
    detail: str = Field(description="What is wrong with the first of these.")
    cut: int = Field(description="Messages left alone, since only a part of their payload is kept.")
    sentence: str = Field(description="The same for people.")


def letter_router(view: ServiceView, audit: Audit) -> APIRouter:
    """The endpoints, without a prefix."""
    router = APIRouter(tags=["service"])

    @router.post("/dead-letters/retry", response_model=RetryReply, responses=WAITS)
    def retry(who: Operator, given: RetryRequest) -> Response:
        """Read rejected messages again under the configuration in force; readings keep the times that they had."""
        if bool(given.offsets) == bool(given.reason):
            raise ApiError(400, "invalid_request", "body: expected either offsets or a reason")
        try:
            done = view.retry(given.offsets, given.reason)
        except ActionError as error:
            raise ApiError(503, "not_done", str(error)) from None
        sentence = _WAITS if done.waits else _sentence(done.tried, done.taken, dict(done.refused), done.cut)
        audit(who.name, who.address, "dead letters tried again", sentence)
        told = {"tried": done.tried, "taken": done.taken, "refused": done.refused, "detail": done.detail}
        return json_response(told | {"cut": done.cut, "sentence": sentence}, status=202 if done.waits else 200)

    return router


def _sentence(tried: int, taken: int, refused: dict[str, int], cut: int) -> str:
    if not tried and not cut:
        return "there is no such dead letter any more"
    text = f"{taken:,} of {tried:,} message{'s' if tried != 1 else ''} taken now"
    if refused:
        text += "; refused again: " + ", ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in refused.items())
    if cut:
        text += f"; {cut:,} left alone, of whose payload only a part is kept"
    return text
