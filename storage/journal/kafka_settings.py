"""Journal and receivers: where Kafka is, which topic holds the messages, and who this client is to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PASSWORD_VARIABLE = "DRIFTLINE_KAFKA_PASSWORD"
"""Environment variable that holds Kafka's password where no password file is set."""

LIBRARY, EXTRA, PURPOSE = "confluent_kafka", "cluster", "Kafka"
"""What Kafka's client is imported as, the extra that it belongs to, and what it is for."""

_SERVER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s,:/\[\]]+):(\d{1,5})")


class KafkaSettings(BaseModel):
    """The Kafka topic that receivers write, and that an engine may read in place of a broker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    servers: list[str] = Field(
        default=["127.0.0.1:9092"],
        min_length=1,
        description="Servers that tell where the others are (bootstrap servers): host:port of each.",
    )
    topic: str = Field(
        default="driftline",
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="The topic that holds the messages; made where it is not there.",
    )
    partitions: int = Field(
        default=12, ge=1, le=10_000, description="Partitions of a topic that is made; more cannot share the work."
    )
    replicas: int = Field(
        default=0, ge=0, le=100, description="Copies of a topic that is made; 0: as many as Kafka's servers are set to."
    )
    group: str = Field(
        default="driftline",
        pattern=r"^[^\s+#/\x00-\x1f\x7f]{1,128}$",
        description="Receivers of one group share the messages of the MQTT broker ($share/GROUP/...).",
    )
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        default="plaintext", description="How connections are secured, in Kafka's words (security.protocol)."
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How a user signs in (sasl.mechanism), with sasl_plaintext and sasl_ssl."
    )
    username: str = Field(default="", description="User name at Kafka; none where empty.")
    password_file: Path | None = Field(
        default=None, description=f"File that holds the password; without one, the environment's {PASSWORD_VARIABLE}."
    )
    tls_ca: Path | None = Field(
        default=None, description="Certificates (PEM) that servers are checked against; the system's if not set."
    )
    tls_certificate: Path | None = Field(
        default=None, description="Certificate (PEM) that this client shows to servers which ask for one."
    )
    tls_key: Path | None = Field(default=None, description="The certificate's key (PEM).")

    @field_validator("servers")
    @classmethod
    def _are_servers(cls, servers: list[str]) -> list[str]:
        for server in servers:
            found = _SERVER.fullmatch(server)
            if found is None or not 0 < int(found[1]) <= 65_535:
                raise ValueError(f'"{server}": expected host:port')
        return servers

    @model_validator(mode="after")
    def _check(self) -> Self:
        signs_in = self.security.startswith("sasl")
        if signs_in != bool(self.username):
            raise ValueError(
                f'username: security = "{self.security}" needs a username'
                if signs_in
                else 'username: a user signs in with security = "sasl_ssl" or "sasl_plaintext"'
            )
        if self.password_file is not None and not self.username:
            raise ValueError("password_file: a password needs a username")
        if (self.tls_key is None) != (self.tls_certificate is None):
            raise ValueError("tls_key: expected tls_certificate and tls_key together")
        if (self.tls_ca or self.tls_certificate) and not self.security.endswith("ssl"):
            raise ValueError('security: certificates need "ssl" or "sasl_ssl"')
        return self

    @property
    def place(self) -> str:
        """The topic and where it is, for messages to people."""
        return f'Kafka at {", ".join(self.servers)}, topic "{self.topic}"'


def read_kafka_password(settings: KafkaSettings, environment: Mapping[str, str]) -> str | None:
    """The password from its file, else from the environment, else None. A file's last line end does not count.

    Raises OSError where the file cannot be read.
    """
    if settings.password_file is not None:
        return settings.password_file.read_text().removesuffix("\n").removesuffix("\r")
    return environment.get(PASSWORD_VARIABLE)


def client_options(settings: KafkaSettings, password: str | None) -> dict[str, Any]:
    """What a client of librdkafka is made with, producer or consumer."""
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.servers),
        "security.protocol": settings.security,
        "client.id": "driftline",
        "topic.metadata.refresh.fast.interval.ms": 100,
        "reconnect.backoff.max.ms": 2000,
        "log.connection.close": False,
    }
    if settings.username:
        options |= {"sasl.mechanism": settings.mechanism, "sasl.username": settings.username}
        options["sasl.password"] = password or ""
    for name, file in (
        ("ssl.ca.location", settings.tls_ca),
        ("ssl.certificate.location", settings.tls_certificate),
        ("ssl.key.location", settings.tls_key),
    ):
        if file is not None:
            options[name] = str(file)
    return options
