"""Settings of notices: where they go, and which alarms they are about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from alerts.notices.hours import Hours
from common.durations import Duration, parse_duration
from common.setting_texts import TimeZoneName
from common.visible import without_secrets

Severity = Literal["minor", "major", "critical"]
NoticeEvent = Literal["opened", "cleared"]

MAIL_SCHEMES = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
"""Schemes of a mail server's address, and the port that each stands for."""
FIELDS = ("device", "metric", "severity", "state", "reason", "value", "opened", "cleared", "link")
"""What a template may name."""
ADDRESS_IS_SECRET = frozenset({"webhook", "apprise"})
"""Kinds of channel whose address alone lets anybody post there."""
_FIELD = re.compile(r"\{(\w*)\}")


def _check_template(text: str) -> str:
    for name in _FIELD.findall(text):
        if name not in FIELDS:
            raise ValueError(f'unknown "{{{name}}}"; expected some of {", ".join("{" + each + "}" for each in FIELDS)}')
    return text


def _check_hours(text: str) -> str:
    Hours.parse(text)
    return text


TemplateText = Annotated[str, AfterValidator(_check_template)]
HoursText = Annotated[str, AfterValidator(_check_hours)]


class NoticeSettings(BaseModel):
    """One channel that is told of alarms: where it goes, and what it is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,40}$", description="Name of the channel.")
    kind: Literal["mail", "webhook", "mqtt", "apprise"] = Field(
        description="mail; webhook: a signed HTTP POST; mqtt: a message to the broker; apprise: any of the services "
        "that the Apprise library knows (Slack, Teams, Telegram, ntfy, ...)."
    )
    url: str = Field(
        default="",
        description="mail: the server, smtp://host:port, smtp+starttls://host or smtps://host. webhook: http or https "
        "address. apprise: leave empty, its address is the secret.",
    )
    to: list[str] = Field(default=[], description="mail: addresses that it goes to.")
    sender: str = Field(default="driftline@localhost", description="mail: address that it comes from.")
    username: str = Field(default="", description="mail: user name at the server; none where empty.")
    topic: str = Field(default="driftline/notices", min_length=1, description="mqtt: topic that it is published to.")
    secret_file: Path | None = Field(
        default=None,
        description="File with the mail server's password, the webhook's signing key, or Apprise's address; without "
        "one, the environment's DRIFTLINE_NOTICE_<NAME>_SECRET.",
    )
    min_severity: Severity = Field(default="minor", description="Only alarms at least this severe.")
    devices: list[str] = Field(
        default=["*"], min_length=1, description='Only alarms of devices that match; "*" stands for any characters.'
    )
    hours: list[HoursText] = Field(
        default=[], description='Only at these times, such as ["Mon-Fri 07:00-18:00"]; always where empty.'
    )
    time_zone: TimeZoneName = Field(default="UTC", description="Time zone of hours, and of times in the text.")
    events: list[NoticeEvent] = Field(
        default=["opened", "cleared"], min_length=1, description="cleared tells those who were told that it opened."
    )
    after: Duration = Field(
        default="0s", description="Tell only of alarms that nobody has acknowledged for this long: the next to call."
    )
    per_hour: int = Field(default=20, ge=1, le=10_000, description="Most messages an hour; what is more comes as one.")
    subject: TemplateText = Field(default="{severity}: {device} {metric}", description="Template of the first line.")
    body: TemplateText = Field(
        default="{reason}\n\n{device} {metric}, {state} since {opened}\n{link}", description="Template of the text."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        scheme, host = _split(self.url)
        shown = without_secrets(self.url)
        if self.kind == "mail":
            if scheme not in MAIL_SCHEMES or not host:
                where = f"; username, and secret_file or {secret_variable(self.name)}, say who signs in"
                raise ValueError(
                    f'url: got "{shown}", expected smtp://host, smtp+starttls://host or smtps://host'
                    f"{where if '@' in self.url else ''}"
                )
            if not self.to or any("@" not in each or re.search(r"[\s,;<>]", each) for each in self.to):
                raise ValueError(f"to: got {self.to}, expected mail addresses")
        if self.kind == "webhook" and (scheme not in {"http", "https"} or not host):
            raise ValueError(f'url: got "{shown}", expected an http or https address without a password')
        if self.kind == "mqtt" and re.search(r"[#+\0]", self.topic):
            raise ValueError(f'topic: got "{self.topic}", expected one topic without wildcards')
        if parse_duration(self.after) and "opened" not in self.events:
            raise ValueError(f'after: got "{self.after}", expected events with "opened", which it is about')
        return self


def _split(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", ""
    if parts.username is not None or parts.password is not None or port == 0:
        return "", ""
    return parts.scheme, parts.hostname or ""


def read_secret(settings: NoticeSettings, environment: Mapping[str, str]) -> str:
    """The channel's secret from its file, else from the environment, else "". Raises OSError."""
    if settings.secret_file is not None:
        return settings.secret_file.read_text().strip()
    return environment.get(secret_variable(settings.name), "")


def secret_variable(name: str) -> str:
    """The environment variable that holds the secret of the channel of this name, where no file is set."""
    return f"DRIFTLINE_NOTICE_{name.upper().replace('-', '_')}_SECRET"
