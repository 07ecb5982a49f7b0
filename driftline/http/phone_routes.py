"""A phone as a sensor: an address with a token of its own, as a QR code that the phone opens."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import segno
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from common.addresses import is_loopback
from common.time_units import DAY
from driftline.access.accounts import AccountError
from driftline.access.gate import Gate
from driftline.access.identity import Role
from driftline.http.access_guard import Operator
from driftline.http.errors import ApiError
from driftline.http.http_settings import HttpSettings
from driftline.http.reply import json_response

PHONE_PAGE = "phone.html"
_LIFETIME = DAY


class PhoneReply(BaseModel):
    """What a phone opens to become a sensor."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "device": "phone-3f2a9c",
                    "url": "https://driftline.example/phone.html#phone-3f2a9c:dl_...",
                    "image": "data:image/svg+xml;...",
                    "hint": "",
                }
            ]
        }
    )
    device: str = Field(description="The anonymous identity that it sends under.")
    url: str = Field(description="What it opens. Whoever has it may send readings for a day, and nothing else.")
    image: str = Field(description="The same as a QR code: an SVG as a data URL.")
    hint: str = Field(description="Why phones cannot use it, and what to set; empty where they can.")


def phone_router(gate: Gate, settings: HttpSettings) -> APIRouter:
    """The endpoint, without a prefix."""
    router = APIRouter(tags=["sending"])

    @router.post("/phones", response_model=PhoneReply)
    def phone(who: Operator, request: Request) -> Response:
        """Make an address that lets one phone send readings for a day, with its QR code."""
        device = f"phone-{secrets.token_hex(3)}"
        try:
            token = gate.accounts.add_token(device, Role.SENDER, _LIFETIME)
        except AccountError as error:
            raise ApiError(409, "refused", f"{error}; try again") from None
        gate.accounts.log(who.name, who.address, "phone: add", device)
        base = (settings.page_url or str(request.base_url)).rstrip("/")
        url = f"{base}/{PHONE_PAGE}#{device}:{token}"
        image = segno.make(url, error="m").svg_data_uri(scale=6, border=3, dark="#000", light="#fff")
        return json_response({"device": device, "url": url, "image": image, "hint": hint_of(base)})

    return router


def hint_of(base: str) -> str:
    """Why phones cannot use the page at an address; empty where they can."""
    parts = urlsplit(base)
    if is_loopback(parts.hostname or ""):
        return (
            "This address leads to this machine alone. Let the page be reached from the network (http.host, with "
            "HTTPS: http.tls_certificate and http.tls_key), open it under that address, or set http.page_url."
        )
    if parts.scheme != "https":
        return (
            "Browsers give motion and sound to pages over HTTPS alone: set http.tls_certificate and http.tls_key, or "
            "put a proxy that speaks HTTPS before the page."
        )
    return ""
