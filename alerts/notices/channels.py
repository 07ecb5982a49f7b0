"""How a message leaves: by mail, as a signed webhook, over MQTT, or by any service that Apprise knows."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import logging
import smtplib
import socket
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from urllib.parse import urlsplit

from alerts.notices.notice_settings import MAIL_SCHEMES, NoticeSettings
from alerts.notices.wording import Message
from common.visible import host_alone

TIMEOUT_SECONDS = 15.0
Publish = Callable[[str, bytes], None]
"""Publishes a payload to a topic of the broker; returns once the broker has it, raises OSError."""


class ChannelError(Exception):
    """A channel did not take a message; the sentence says why."""


def deliver(settings: NoticeSettings, secret: str, message: Message, *, now: int, publish: Publish) -> None:
    """Hand the message over; returns once the other side has taken it. Raises ChannelError. `now` in ns."""
    try:
        if settings.kind == "mail":
            _mail(settings, secret, message)
        elif settings.kind == "webhook":
            _post(settings, secret, message, now)
        elif settings.kind == "mqtt":
            publish(settings.topic, _json(message))
        else:
            _apprise(secret, message)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise ChannelError(f"{type(error).__name__}: {error}") from error


def _mail(settings: NoticeSettings, secret: str, message: Message) -> None:
    mail = EmailMessage()
    mail["Subject"] = message.subject
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.to)
    mail["Message-ID"] = f"<{message.key}.{settings.name}@{settings.sender.rpartition('@')[2] or 'driftline'}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.body)
    parts = urlsplit(settings.url)
    host, port = parts.hostname or "", parts.port or MAIL_SCHEMES[parts.scheme]
    encrypted = ssl.create_default_context()
    server: smtplib.SMTP
    if parts.scheme == "smtps":
        server = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=encrypted)
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
    with server:
        if parts.scheme == "smtp+starttls":
            server.starttls(context=encrypted)
        if settings.username:
            server.login(settings.username, secret)
        server.send_message(mail)


def _post(settings: NoticeSettings, secret: str, message: Message, now: int) -> None:
    import httpx  # noqa: PLC0415  only webhooks pay for it

    refuse_metadata_services(urlsplit(settings.url).hostname or "")
    body = _json(message)
    headers = {"Content-Type": "application/json", "Driftline-Notice": message.key}
    if secret:
        headers["Driftline-Signature"] = signature(secret, body, now)
    try:
        # A redirect could lead anywhere: it counts as a refusal. The reply's body is not read, whatever its size.
        with (
            httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client,
            client.stream("POST", settings.url, content=body, headers=headers) as reply,
        ):
            status = reply.status_code
    except httpx.HTTPError as error:
        raise ChannelError(f"{host_alone(settings.url)} does not answer: {error}") from error
    if not 200 <= status < 300:
        raise ChannelError(f"{host_alone(settings.url)} answered {status}")


def signature(secret: str, body: bytes, now: int) -> str:
    """The value of the header `Driftline-Signature` for a body that is sent at `now` (ns)."""
    seconds = now // 1_000_000_000
    signed = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={signed}"


def refuse_metadata_services(host: str) -> None:
    """Link-local addresses are where clouds hand out a machine's credentials; no webhook of a plant lives there.

    Raises ChannelError, and OSError where the host has no address.
    """
    for *_, address in socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP):
        found = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        if found.is_link_local or found.is_multicast or found.is_unspecified:
            raise ChannelError(f"url: {host} is {found}, an address that no webhook is sent to")


def _apprise(secret: str, message: Message) -> None:
    try:
        import apprise  # noqa: PLC0415  an extra
    except ImportError:
        raise ChannelError('Apprise is not installed; `pip install "driftline[notices]"`') from None
    target = apprise.Apprise()
    if not secret or not target.add(secret):
        raise ChannelError("the secret is no address that Apprise knows, such as slack://... or tgram://...")
    with apprise.LogCapture(level=logging.WARNING) as said:
        taken = target.notify(title=message.subject, body=message.body)
    if not taken:
        lines = said.getvalue().strip().splitlines()
        raise ChannelError(lines[-1] if lines else "Apprise could not deliver it")


def _json(message: Message) -> bytes:
    content = {"key": message.key, "subject": message.subject, "text": message.body, **message.payload}
    return json.dumps(content, ensure_ascii=False).encode()
