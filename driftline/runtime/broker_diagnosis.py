"""Whether the broker takes a connection and the subscriptions, step by step, with a sentence about the step that fails.

The messages are those of MQTT 3.1.1 (OASIS, sections 3.1, 3.2, 3.8, 3.9), which every broker reads.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Sequence

from driftline.runtime.websocket_diagnosis import websocket_problem
from ingest.broker_settings import BrokerSettings, is_websocket, split_url
from ingest.connecting import tls_context
from ingest.connection_words import connection_words

CONNECT_SECONDS = 5.0
_CONNECT, _CONNACK, _SUBACK, _DISCONNECT = 0x10, 0x20, 0x90, b"\xe0\x00"
_TLS_ALERT, _SUBSCRIPTION_REFUSED = 0x15, 0x80
_KEEP_ALIVE = b"\x00\x1e"
_WITH_NAME, _WITH_PASSWORD, _CLEAN = 0x80, 0x40, 0x02
_LONGEST_ANSWER = 4096


def broker_problem(settings: BrokerSettings, password: str | None, filters: Sequence[str] = ()) -> str:
    """Why the broker does not take the connection, or the subscriptions to these filters; empty where it does both."""
    if is_websocket(settings.url):
        return websocket_problem(settings, password, filters)
    scheme, host, port = split_url(settings.url)
    try:
        with (
            socket.create_connection((host, port), timeout=CONNECT_SECONDS) as plain,
            _secured(plain, settings, host) if scheme == "mqtts" else plain as connection,
        ):
            if scheme == "mqtts":
                return _spoken_in_tls(connection, settings, password, filters)
            return _spoken_with(connection, settings, password, filters)
    except OSError as error:
        if scheme == "mqtt" and _speaks_tls(host, port):
            return f"{host} speaks TLS at port {port}: take mqtts://{host}:{port} as broker.url"
        return connection_words(error, settings)


def _secured(connection: socket.socket, settings: BrokerSettings, host: str) -> ssl.SSLSocket:
    return tls_context(settings).wrap_socket(connection, server_hostname=host)


def _spoken_in_tls(
    connection: socket.socket, settings: BrokerSettings, password: str | None, filters: Sequence[str]
) -> str:
    """As `_spoken_with`. Since TLS 1.3 a client that should have shown a certificate learns it after the handshake."""
    try:
        return _spoken_with(connection, settings, password, filters)
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
        if settings.tls_certificate is None:
            return (
                "the broker ended the connection right after the TLS handshake: it probably asks for a client "
                "certificate: set broker.tls_certificate and broker.tls_key"
            )
        return (
            "the broker ended the connection right after the TLS handshake: it probably does not know the authority "
            "that issued the client certificate (broker.tls_certificate)"
        )


def _spoken_with(
    connection: socket.socket, settings: BrokerSettings, password: str | None, filters: Sequence[str]
) -> str:
    connection.sendall(_connect_packet(settings.username, password))
    answer = _answer(connection)
    if not answer:
        raise ConnectionResetError("the connection was ended")
    if answer[0] == _TLS_ALERT:
        raise ConnectionResetError("the answer is one of TLS")
    if answer.startswith(b"HTTP/"):
        return "a web server answers there, no broker: take the broker's port for MQTT, usually 1883 or 8883"
    if answer[0] != _CONNACK or len(answer) < 4:
        return f"what answers there is no MQTT broker: it says {answer[:20]!r}"
    if answer[3]:
        return _refusal(answer[3], settings)
    refused = []
    for number, each in enumerate(filters, start=1):
        connection.sendall(_subscribe_packet(number, each))
        answer = _answer(connection)
        while answer and answer[0] & 0xF0 == 0x30:
            answer = _answer(connection)
        if not answer or (answer[0] == _SUBACK and answer[-1] == _SUBSCRIPTION_REFUSED):
            refused.append(each)
            if not answer:
                break
    with contextlib.suppress(OSError):
        connection.sendall(_DISCONNECT)
    if refused:
        who = f'user "{settings.username}"' if settings.username else "clients without a user name"
        return (
            f'takes the connection, and refuses the subscription to "{refused[0]}": its access list does not let {who}'
        )
    return ""


def _refusal(code: int, settings: BrokerSettings) -> str:
    """What the return code of a CONNACK means (section 3.2.2.3)."""
    who = f'user "{settings.username}"' if settings.username else "a client without a user name: set broker.username"
    return {
        1: "refuses the version of MQTT: it does not speak 3.1.1",
        2: "refuses the client's name (client id): it does not fit, or another client has it",
        3: "says that it is not available now: it may be starting, or have too many clients",
        4: f"refuses the user name or password: {who}",
        5: f"does not authorise {who}; wrong password, or its access list leaves the user out",
    }.get(code, f"refuses the connection with code {code}")


def _answer(connection: socket.socket) -> bytes:
    try:
        return connection.recv(_LONGEST_ANSWER)
    except TimeoutError:
        raise OSError(f"it took the connection, but did not answer within {CONNECT_SECONDS:g} s") from None


def _speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake gets anywhere there."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=CONNECT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except ssl.SSLError as error:
        # Such an alert is an answer in TLS.
        return "ALERT" in (error.reason or "").upper()
    except OSError:
        return False


def _connect_packet(username: str, password: str | None) -> bytes:
    flags, fields = _CLEAN, [f"driftline-doctor-{os.getpid()}".encode()]
    if username:
        flags |= _WITH_NAME
        fields.append(username.encode())
        if password is not None:
            flags |= _WITH_PASSWORD
            fields.append(password.encode())
    return _packet(_CONNECT, b"\x00\x04MQTT\x04" + bytes([flags]) + _KEEP_ALIVE + b"".join(map(_field, fields)))


def _subscribe_packet(number: int, topic_filter: str) -> bytes:
    return _packet(0x82, number.to_bytes(2) + _field(topic_filter.encode()) + b"\x00")


def _packet(kind: int, body: bytes) -> bytes:
    length, rest = bytearray(), len(body)
    while True:
        rest, digit = rest >> 7, rest & 0x7F
        length.append(digit | (0x80 if rest else 0))
        if not rest:
            return bytes([kind]) + bytes(length) + body


def _field(text: bytes) -> bytes:
    return len(text).to_bytes(2) + text
