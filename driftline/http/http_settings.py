"""Settings of the HTTP server: where the API, the page and the Prometheus metrics are served.

Declared once: the configuration file's validation, its JSON Schema, the commented sample and the reference page are all
derived from this model.
"""

from __future__ import annotations

import ipaddress

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_PORT = 8000
"""The port tried first where none is configured."""


class HttpSettings(BaseModel):
    """The API, the page and the metrics."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="Serve the API, the page and /metrics.")
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on. There is no login: leave it on loopback unless the network is trusted.",
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

    @property
    def on_loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
