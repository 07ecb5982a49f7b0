"""Receive, its settings: where the broker is, and who this client is to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.durations import Duration, parse_duration

PASSWORD_VARIABLE = "DRIFTLINE_MQTT_PASSWORD"
"""Environment variable that holds the broker's password where no password file is set."""

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
"""Schemes of a broker's URL, and the port that each stands for."""

MAX_SECONDS = 0xFFFF_FFFF


class BrokerSettings(BaseModel):
    """The connection to the broker. Its session is persistent: what arrives while nobody listens is kept there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        default="auto",
        description='"auto", or the broker\'s address: mqtt://host:port, mqtts://host:port with TLS, or over WebSocket '
        'ws://host:port/path and wss://host:port/path (path "/mqtt" where none is given). "auto" runs a broker of its '
        "own on this machine: mosquitto where it is installed, else the embedded one.",
    )
    client_id: str = Field(
        default="",
        max_length=128,
        pattern=r"^[A-Za-z0-9_.:/-]*$",
        description="Fixed name of this client. The broker keeps unread messages under it, so it must stay the same "
        "over restarts, and no two live clients may share it. Empty: one of its own, kept in the data folder.",
    )
    protocol: Literal["5", "3.1.1"] = Field(default="5", description="Version of MQTT that is spoken.")
    keep_alive: Duration = Field(
        default="30s", description="A connection that is silent for this long is probed, and given up if that fails."
    )
    connect_timeout: Duration = Field(
        default="5s", description="How long the broker may take to accept a connection, and again to answer on it."
    )
    session_expiry: Duration = Field(
        default="7d",
        description="How long the broker keeps unread messages while this client is away (MQTT 5; a 3.1.1 broker has "
        "its own setting).",
    )
    receive_maximum: int = Field(
        default=2000,
        ge=1,
        le=65_535,
        description="Most messages of QoS 1 and 2 that may wait for their acknowledgement at once (MQTT 5).",
    )
    clean_session: bool = Field(
        default=False,
        description="Let the broker forget this client when it leaves. Refused together with QoS 1 or 2, which promise "
        "the opposite.",
    )
    username: str = Field(default="", description="User name at the broker; none where empty.")
    password_file: Path | None = Field(
        default=None, description=f"File that holds the password; without one, the environment's {PASSWORD_VARIABLE}."
    )
    tls_ca: Path | None = Field(
        default=None,
        description="Certificates (PEM) that an mqtts or wss broker is checked against; the system's if not set.",
    )
    tls_certificate: Path | None = Field(
        default=None, description="Certificate (PEM) that this client shows to a broker which asks for one."
    )
    tls_key: Path | None = Field(
        default=None, description="The certificate's key (PEM); unset: it is in the same file."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.url != "auto":
            split_url(self.url)
        for name, low, high in (
            ("keep_alive", 1, 65_535),
            ("connect_timeout", 0, 600),
            ("session_expiry", 1, MAX_SECONDS),
        ):
            seconds = parse_duration(getattr(self, name)) / 1e9
            if not low <= seconds <= high or seconds == 0:
                raise ValueError(f'{name}: "{getattr(self, name)}" is outside {max(low, 1)} to {high} seconds')
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key: a key needs a certificate: set tls_certificate too")
        if self.password_file is not None and not self.username:
            raise ValueError("password_file: a password needs a username")
        return self


def split_url(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a broker's URL.

    Raises ValueError naming the URL and what was expected.
    """
    expected = 'expected "auto", mqtt://host:port, mqtts://host:port, ws://host:port/path or wss://host:port/path'
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f'url: "{url}": {error}; {expected}') from None
    has_path = parts.path not in ("", "/") or bool(parts.query)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or (has_path and not is_websocket(url)):
        raise ValueError(f'url: "{url}" is no broker\'s address: {expected}')
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            f"url: credentials do not belong in it: set username, and password_file or {PASSWORD_VARIABLE}"
        )
    return parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme]


def is_websocket(url: str) -> bool:
    """Whether the broker of a URL is spoken to over WebSocket."""
    return url.startswith(("ws://", "wss://"))


def is_secure(url: str) -> bool:
    """Whether the broker of a URL is spoken to in TLS."""
    return url.startswith(("mqtts://", "wss://"))


def websocket_path(url: str) -> str:
    """The path of a WebSocket broker's URL, with its query; the usual one where none is given."""
    parts = urlsplit(url)
    path = parts.path if parts.path not in ("", "/") else "/mqtt"
    return f"{path}?{parts.query}" if parts.query else path


def read_password(settings: BrokerSettings, environment: Mapping[str, str]) -> str | None:
    """The password from its file, else from the environment, else None. A file's last line end does not count.

    Raises OSError where the file cannot be read.
    """
    if settings.password_file is not None:
        return settings.password_file.read_text().removesuffix("\n").removesuffix("\r")
    return environment.get(PASSWORD_VARIABLE)
