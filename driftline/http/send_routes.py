"""Readings that come over HTTP in place of MQTT: they enter the same journal, and are on disk before the answer."""

from __future__ import annotations

import zlib
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.concurrency import run_in_threadpool

from alerts.actions import ActionError
from devices.codecs.influx_line import checked_lines
from driftline.access.identity import Identity
from driftline.http.access_guard import identity_of
from driftline.http.errors import ApiError
from driftline.http.reply import json_response
from driftline.http.view import ServiceView

MOST_MESSAGES = 10_000
MOST_PAYLOAD = 256 << 10
"""Bytes of one message; the journal's own bound is `limits.max_payload`."""
MOST_UNPACKED = 16 << 20
"""Bytes that a compressed body may hold."""
_MOST_NAMED = 20
_RETRY_SECONDS = "5"
_NANOSECONDS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


def _sender(request: Request) -> Identity:
    identity = identity_of(request)
    if identity is None:
        raise ApiError(401, "sign_in", "sign in first")
    if not identity.role.may_send:
        raise ApiError(403, "forbidden", f'{identity.name} is {identity.role}; this needs "sender" or "operator"')
    return identity


Sender = Annotated[Identity, Depends(_sender)]


class MessageRequest(BaseModel):
    """One message, as a device would publish it."""

    model_config = ConfigDict(extra="forbid")

    topic: str = Field(min_length=1, max_length=1_024)
    payload: Any = Field(description="Text as it is; anything else as JSON.")

    @field_validator("topic")
    @classmethod
    def _is_no_filter(cls, topic: str) -> str:
        if any(ord(c) < 0x20 or c in "+#\x7f" for c in topic):
            raise ValueError("expected a topic without control characters, + and #")
        return topic

    def parts(self) -> tuple[bytes, bytes]:
        """Topic and payload."""
        payload = self.payload.encode() if isinstance(self.payload, str) else orjson.dumps(self.payload)
        return self.topic.encode(), payload


class TakenReply(BaseModel):
    """How many messages are in the journal now."""

    taken: int


def message_router(view: ServiceView) -> APIRouter:
    """Messages as JSON, without a prefix."""
    router = APIRouter(tags=["sending"])

    @router.post("/messages", response_model=TakenReply)
    def messages(
        who: Sender,
        given: Annotated[list[MessageRequest], Field(min_length=1, max_length=MOST_MESSAGES)],
    ) -> Response:
        """Take messages as if they had been published: all of them, or none where one is wrong.

        They are on disk when the answer comes. A token of the role sender may do this and nothing else.
        """
        del who
        parts = [_parts(number, each) for number, each in enumerate(given)]
        for number, (_, payload) in enumerate(parts):
            if len(payload) > MOST_PAYLOAD:
                word = f"body.{number}.payload: {len(payload)} bytes, expected at most {MOST_PAYLOAD}"
                raise ApiError(413, "too_large", word)
        _take(view, parts)
        return json_response({"taken": len(parts)})

    return router


def _parts(number: int, message: MessageRequest) -> tuple[bytes, bytes]:
    try:
        return message.parts()
    except (TypeError, UnicodeEncodeError) as error:
        # An integer beyond 64 bits, or half of a pair of UTF-16.
        raise ApiError(400, "invalid_request", f"body.{number}: cannot be sent as a message: {error}") from None


def influx_router(view: ServiceView) -> APIRouter:
    """The writing part of InfluxDB's API, version 2, at its own address."""
    router = APIRouter(tags=["sending"])

    @router.post(
        "/api/v2/write",
        status_code=204,
        response_class=Response,
        openapi_extra={"requestBody": {"content": {"text/plain": {"schema": {"type": "string"}}}, "required": True}},
    )
    async def write(
        who: Sender,
        request: Request,
        bucket: Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[^+#/\x00-\x1f\x7f]+$")] = "influx",
        precision: Annotated[Literal["ns", "us", "ms", "s"], Query(description="Unit of the timestamps.")] = "ns",
        org: Annotated[str, Query(description="Taken for the sake of clients; it changes nothing.")] = "",
        org_id: Annotated[str, Query(alias="orgID", description="As org.")] = "",
    ) -> Response:
        """Take lines of InfluxDB's line protocol, gzip or not, as messages on the topic `influx/BUCKET`.

        Lines that cannot be read are named, with what was expected, in an answer of status 400; the other lines of the
        body are taken.
        """
        del who, org, org_id
        text = _text(await request.body(), request.headers.get("content-encoding", ""))
        good, wrong = checked_lines(text, _NANOSECONDS[precision])
        if good:
            topic = f"influx/{bucket}".encode()
            await run_in_threadpool(_take, view, [(topic, line.encode()) for line in good])
        if wrong:
            named = "; ".join(wrong[:_MOST_NAMED]) + (
                f"; and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
            )
            message = f"{len(wrong)} of {len(good) + len(wrong)} lines refused, the others taken: {named}"
            error = {"code": "invalid", "message": message}
            # Clients of InfluxDB look for code and message at the top.
            return json_response({**error, "error": error}, status=400)
        return Response(status_code=204)

    return router


def _text(body: bytes, encoding: str) -> str:
    if encoding not in ("", "identity", "gzip"):
        raise ApiError(415, "unsupported_media_type", f'header Content-Encoding: got "{encoding}", expected gzip')
    if encoding == "gzip":
        unpacker = zlib.decompressobj(wbits=31)
        try:
            body = unpacker.decompress(body, MOST_UNPACKED)
        except zlib.error as error:
            raise ApiError(400, "invalid_request", f"body: expected gzip, as the header says: {error}") from None
        if unpacker.unconsumed_tail:
            raise ApiError(413, "too_large", f"body: it unpacks to more than {MOST_UNPACKED} bytes")
        if not unpacker.eof:
            raise ApiError(400, "invalid_request", "body: the gzip data end too early")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ApiError(400, "invalid_request", f"body: byte {error.start} is not UTF-8") from None


def _take(view: ServiceView, messages: list[tuple[bytes, bytes]]) -> None:
    try:
        view.take(messages)
    except ActionError as error:
        refusal = ApiError(503, "not_taken", f"{error}; send it again")
        refusal.headers["Retry-After"] = _RETRY_SECONDS
        raise refusal from None
