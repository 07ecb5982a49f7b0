"""Functions: an HTTP request as a ready-made action, signed where there is a secret."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from alerts.notices.channels import TIMEOUT_SECONDS, refuse_metadata_services, signature
from common.visible import host_alone
from functions.action_settings import CallHttp

EVENT_HEADER = "Driftline-Event"
"""The event's key: the same each time that it is tried again."""

_MOST_TEXT = 10_000


def call_http(wanted: CallHttp, event: Any, *, key: str, now: int) -> dict[str, Any]:
    """Send the request; its status and text. Raises ValueError or OSError, whose text says why it was not taken."""
    host = host_alone(wanted.url)
    refuse_metadata_services(urlsplit(wanted.url).hostname or "")
    content = event if wanted.body is None else wanted.body
    body = content.encode() if isinstance(content, str) else orjson.dumps(content)
    headers = {"Content-Type": "application/json", **wanted.headers, EVENT_HEADER: key}
    if wanted.secret:
        if (secret := os.environ.get(wanted.secret)) is None:
            raise ValueError(f"secret: the service's environment has no {wanted.secret}")
        headers["Driftline-Signature"] = signature(secret, body, now)
    sent = None if wanted.method in ("GET", "DELETE") else body
    try:
        # A redirect could lead anywhere: it counts as a refusal.
        with (
            httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client,
            client.stream(wanted.method, wanted.url, content=sent, headers=headers) as reply,
        ):
            status = reply.status_code
            text = _beginning(reply)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(f"{host} does not answer: {error}") from error
    if not 200 <= status < 300:
        raise OSError(f"{host} answered {status}")
    return {"status": status, "text": text}


def _beginning(reply: httpx.Response) -> str:
    taken = bytearray()
    for part in reply.iter_bytes():
        taken += part
        if len(taken) >= _MOST_TEXT:
            break
    return taken[:_MOST_TEXT].decode("utf-8", "replace")
