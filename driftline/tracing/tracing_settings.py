"""Traces, their settings: which messages are traced, how many traces are kept, and where they are sent."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from common.addresses import is_web_address

_PATH = "/v1/traces"
"""Where a collector takes traces, as OTLP has it."""


def _collector(url: str) -> str:
    if not is_web_address(url):
        raise ValueError(f'expected a URL such as "http://localhost:4318", got "{url}"')
    return url


class TracingSettings(BaseModel):
    """The way of single messages, stage by stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of messages that are traced, as 0.01; dead letters, alarms and failed functions always are.",
    )
    endpoint: Annotated[str, AfterValidator(_collector)] | None = Field(
        default=None,
        description="Collector that takes OTLP over HTTP, as http://localhost:4318; without it traces are kept alone.",
    )
    keep: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="How many of the newest traces stay in memory, and as many again of dead letters and alarms.",
    )
    per_second: int = Field(
        default=5,
        ge=1,
        le=1_000,
        description="Most traces a second, and as many again of dead letters and alarms; more are counted, not kept.",
    )

    @property
    def traces_url(self) -> str | None:
        """Where traces are sent, the path of OTLP added where the endpoint has none; None where nowhere."""
        if self.endpoint is None or urlsplit(self.endpoint).path.strip("/"):
            return self.endpoint
        return self.endpoint.rstrip("/") + _PATH
