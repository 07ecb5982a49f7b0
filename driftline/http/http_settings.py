"""Settings of the HTTP server: where the API, the page and the Prometheus metrics are served.

Declared once: the configuration file's validation, its JSON Schema, the commented sample and the reference page are all
derived from this model.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.addresses import is_loopback
from common.durations import Duration

DEFAULT_PORT = 8000
"""The port tried first where none is configured."""


class HttpSettings(BaseModel):
    """The API, the page and the metrics."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="Serve the API, the page and /metrics.")
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on. Beyond loopback everyone has to sign in (docs/sign-in.md).",
    )
    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description=f"Port to listen on; must be free. Unset: {DEFAULT_PORT}, or the next free one. 0: any free one.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Host names, beside loopback, under which browsers may reach the server, such as a reverse "
        "proxy's. On a loopback address other names are refused; on any other address an empty list allows all.",
    )
    max_points: int = Field(
        default=2_000, ge=10, le=1_000_000, description="Points a series given for a chart, where not asked otherwise."
    )
    max_query_rows: int = Field(default=10_000, ge=1, description="Most rows that one SQL query over HTTP returns.")
    max_live_clients: int = Field(
        default=64, ge=1, le=10_000, description="Most clients that may follow the live feed at a time."
    )

    page_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s]+)?$",
        description="Address under which people reach the page, for links in notices; where empty, the page's own.",
    )
    session_idle: Duration = Field(
        default="7d", description="Someone who has signed in stays so until they have not come back for this long."
    )
    admin_password_file: Path | None = Field(
        default=None,
        description='File with the password of the user "admin", who is made at the start where there are no users.',
    )
    tls_certificate: Path | None = Field(
        default=None, description="Certificate chain (PEM) to serve HTTPS with; needs tls_key."
    )
    tls_key: Path | None = Field(default=None, description="Private key (PEM) of the certificate.")
    proxies: tuple[str, ...] = Field(
        default=(),
        description="Addresses or networks of reverse proxies whose X-Forwarded headers are believed.",
    )
    proxy_user_header: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9-]*$",
        description="Header in which those proxies, and nobody else, name the person whom they have signed in.",
    )
    proxy_role: Literal["viewer", "operator", "admin"] = Field(
        default="viewer", description="Role of people whom a proxy names and who are no users here."
    )
    metrics_without_sign_in: bool = Field(
        default=False, description="Let /metrics be read by everyone who reaches the server."
    )

    @field_validator("proxies")
    @classmethod
    def _networks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for each in given:
            try:
                ipaddress.ip_network(each, strict=False)
            except ValueError:
                raise ValueError(
                    f'got "{each}", expected an address or network such as 10.0.0.2 or 10.0.0.0/24'
                ) from None
        return given

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_key: a certificate and its key go together; one of the two is missing")
        if self.proxy_user_header and not self.proxies:
            raise ValueError("proxy_user_header: needs proxies: from everyone else the header could be made up")
        return self

    @property
    def on_loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        return is_loopback(self.host)
