"""Whether a broker that is spoken to over WebSocket takes the connection and the subscriptions."""

from __future__ import annotations

import time
from collections.abc import Sequence

from paho.mqtt.client import Client, ConnectFlags, WebsocketConnectionError
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.broker_settings import BrokerSettings, websocket_path
from ingest.connecting import host_and_port, side_client
from ingest.connection_words import connection_words

_ANSWER_SECONDS = 5.0


def websocket_problem(settings: BrokerSettings, password: str | None, filters: Sequence[str] = ()) -> str:
    """Why the broker does not take the connection, or the subscriptions to these filters; empty where it does both."""
    host, port = host_and_port(settings)
    asked = _Asked()
    try:
        client = side_client(settings, password)
        client.on_connect, client.on_subscribe = asked.on_connect, asked.on_subscribe
        client.connect(host, port)
    except WebsocketConnectionError:
        path = websocket_path(settings.url)
        return (
            f"{host} answers at port {port}, and not as a broker over WebSocket at {path}: take the path and port that "
            "the broker has for WebSocket, or mqtt:// or mqtts:// for its port for MQTT"
        )
    except OSError as error:
        return connection_words(error, settings)
    until = time.monotonic() + _ANSWER_SECONDS
    try:
        while asked.answer is None and time.monotonic() < until:
            client.loop(0.1)
        if asked.answer is None:
            return f"{host} took the connection at port {port}, but did not answer within {_ANSWER_SECONDS:g} s"
        if asked.answer:
            return f"refuses the connection: {asked.answer}"
        for each in filters:
            client.subscribe(each)
        while len(asked.granted) < len(filters) and time.monotonic() < until:
            client.loop(0.1)
    finally:
        client.disconnect()
    refused = [each for each, granted in zip(filters, asked.granted, strict=False) if not granted]
    if refused:
        who = f'user "{settings.username}"' if settings.username else "clients without a user name"
        return (
            f'takes the connection, and refuses the subscription to "{refused[0]}": its access list does not let {who}'
        )
    return ""


class _Asked:
    """What the broker has said: None before it answers the connection, empty where it takes it."""

    def __init__(self) -> None:
        self.answer: str | None = None
        self.granted: list[bool] = []

    def on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self.answer = str(reason) if reason.is_failure else ""

    def on_subscribe(
        self, _client: Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        self.granted += [not each.is_failure for each in reasons]
