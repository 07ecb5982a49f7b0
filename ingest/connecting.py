"""Receive: the paho client of one connection, made from the settings."""

from __future__ import annotations

import select
import socket
import ssl

from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from common.durations import parse_duration
from ingest.broker_settings import BrokerSettings, is_secure, is_websocket, split_url, websocket_path
from ingest.paho_client import FrameClient

_LARGEST_PACKET = 16 << 20
_PROBE_MILLISECONDS = 20


def new_client(settings: BrokerSettings, password: str | None, *, version_5: bool, stock: bool) -> Client:
    """A client that has not connected yet; with `stock` paho's own, which hands messages out through callbacks."""
    client = (Client if stock else FrameClient)(
        CallbackAPIVersion.VERSION2,
        settings.client_id,
        clean_session=None if version_5 else settings.clean_session,
        protocol=MQTTProtocolVersion.MQTTv5 if version_5 else MQTTProtocolVersion.MQTTv311,
        transport="websockets" if is_websocket(settings.url) else "tcp",
        reconnect_on_failure=False,
        manual_ack=stock,
    )
    client.connect_timeout = seconds(settings.connect_timeout)
    if settings.username:
        client.username_pw_set(settings.username, password)
    return client


def connect(client: Client, settings: BrokerSettings, *, version_5: bool, most_bytes: int | None) -> None:
    """Connect, and ask for the session that the settings describe. Raises OSError.

    `most_bytes` of one packet is the most that the client can take; None where it takes any.
    """
    properties = None
    if version_5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0 if settings.clean_session else round(seconds(settings.session_expiry))
        properties.ReceiveMaximum = settings.receive_maximum
        if most_bytes is not None:
            # A broker drops what is longer, and counts it nowhere. Our own reader takes any length, and cuts it.
            properties.MaximumPacketSize = max(_LARGEST_PACKET, most_bytes)
    _, host, port = split_url(settings.url)
    _prepare(client, settings)
    client.connect(
        host,
        port,
        keepalive=round(seconds(settings.keep_alive)),
        clean_start=settings.clean_session if properties else MQTT_CLEAN_START_FIRST_ONLY,
        properties=properties,
    )


def side_client(
    settings: BrokerSettings,
    password: str | None,
    client_id: str = "",
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311,
) -> Client:
    """A client of paho's own beside the session, as the settings say, that has not connected yet: `host_and_port` of
    the settings is where. Its session ends with its connection. Raises OSError where a file cannot be read.
    """
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id,
        clean_session=None if protocol == MQTTProtocolVersion.MQTTv5 else True,
        protocol=protocol,
        transport="websockets" if is_websocket(settings.url) else "tcp",
    )
    client.connect_timeout = seconds(settings.connect_timeout)
    if settings.username:
        client.username_pw_set(settings.username, password)
    _prepare(client, settings)
    return client


def host_and_port(settings: BrokerSettings) -> tuple[str, int]:
    """Where the broker is."""
    _, host, port = split_url(settings.url)
    return host, port


def _prepare(client: Client, settings: BrokerSettings) -> None:
    if is_secure(settings.url):
        client.tls_set_context(tls_context(settings))
    if is_websocket(settings.url):
        client.ws_set_options(path=websocket_path(settings.url))


def tls_context(settings: BrokerSettings) -> ssl.SSLContext:
    """How an mqtts broker is checked, and what is shown to it. Raises OSError where a file cannot be read."""
    context = ssl.create_default_context(cafile=settings.tls_ca)
    if settings.tls_certificate is not None:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context


def broker_serves(host: str, port: int) -> bool:
    """Whether the broker takes a connection and keeps it, which one that is just ending does not."""
    try:
        with socket.create_connection((host, port), timeout=1.0) as probe:
            ended = select.poll()
            ended.register(probe, select.POLLIN)
            return not ended.poll(_PROBE_MILLISECONDS)
    except OSError:
        return False


def seconds(duration: str) -> float:
    """A duration of the settings in seconds."""
    return parse_duration(duration) / 1e9
