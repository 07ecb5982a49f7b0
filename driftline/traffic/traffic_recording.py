"""Records what passes a broker, to a file, until the time is over or someone stops it."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import paho.mqtt.client as mqtt
from firmware_sim.conversation import connect, new_client
from firmware_sim.publisher import BrokerAddress, BrokerUnreachableError
from paho.mqtt.reasoncodes import ReasonCode

from driftline.traffic.anonymising import Anonymiser
from driftline.traffic.traffic_file import TrafficMessage, TrafficWriter

CONNECT_SECONDS = 10.0
TELL_SECONDS = 10.0
MOST_WAITING = 100_000


@dataclass(slots=True)
class RecordingCounts:
    """What came, what of it is in the file, and what was left out: payloads that are no text, of an anonymous one."""

    received: int = 0
    written: int = 0
    left_out: int = 0


def record(
    path: Path,
    address: BrokerAddress,
    filters: Sequence[str],
    *,
    seconds: float | None = None,
    most: int | None = None,
    anonymiser: Anonymiser | None = None,
    stop: Event | None = None,
    say: Callable[[str], None] = print,
    clock: Callable[[], int] = time.time_ns,
) -> RecordingCounts:
    """Write all messages of the topic filters to a new file, for so long, so many, or until `stop` is set; says how
    it goes.

    Raises BrokerUnreachableError where the broker cannot be reached or takes no subscription, OSError for the file.
    """
    stop = stop or Event()
    counts = RecordingCounts()
    arrived: queue.Queue[TrafficMessage] = queue.Queue(MOST_WAITING)

    def keep(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        # Where the disk is slower than the broker, the socket waits, and the broker keeps the rest.
        content_type, user = _properties(message)
        arrived.put(TrafficMessage(clock(), message.topic, bytes(message.payload), message.retain, content_type, user))

    if path.exists():
        raise FileExistsError(f"{path}: there is such a file already")
    # A broker that does not speak MQTT 5 refuses, or hangs up: its messages have no properties.
    client = _subscribed(address, filters, keep, version_5=True) or _subscribed(address, filters, keep, version_5=False)
    if client is None:
        raise BrokerUnreachableError(f"the broker at {address} takes no subscription")
    try:
        with TrafficWriter(path) as writer:
            say(f"recording {', '.join(filters)} of {address}")
            _write(writer, arrived, counts, anonymiser, (seconds, most), stop, say)
    finally:
        client.disconnect()
        client.loop_stop()
    return counts


def _subscribed(
    address: BrokerAddress,
    filters: Sequence[str],
    keep: Callable[[object, object, mqtt.MQTTMessage], None],
    *,
    version_5: bool,
) -> mqtt.Client | None:
    """A client whose messages are kept; None where the broker takes no subscription.

    Raises BrokerUnreachableError where nothing answers.
    """
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def on_connect(connected: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _told: object) -> None:
        if reason.is_failure:
            answers.put(False)
        else:
            connected.subscribe([(one, 1) for one in filters])

    client = new_client(address, version_5=version_5)
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: answers.put(True)
    client.on_disconnect = lambda *_: answers.put(False)
    client.on_message = keep
    connect(client, address)
    client.loop_start()
    try:
        if answers.get(timeout=CONNECT_SECONDS):
            return client
    except queue.Empty:
        pass
    client.disconnect()
    client.loop_stop()
    return None


def _properties(message: mqtt.MQTTMessage) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Content type and user properties of a message, which it has by MQTT 5 alone."""
    told = message.properties
    user = tuple((str(name), str(value)) for name, value in getattr(told, "UserProperty", ()))
    return str(getattr(told, "ContentType", "")), user


def _write(
    writer: TrafficWriter,
    arrived: queue.Queue[TrafficMessage],
    counts: RecordingCounts,
    anonymiser: Anonymiser | None,
    until: tuple[float | None, int | None],
    stop: Event,
    say: Callable[[str], None],
) -> None:
    begun = told = time.monotonic()
    seconds, most = until
    while not stop.is_set() and (seconds is None or time.monotonic() - begun < seconds) and counts.received != most:
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            writer.flush()
            say(f"{counts.written:,} messages recorded")
        try:
            message = arrived.get(timeout=0.2)
        except queue.Empty:
            continue
        counts.received += 1
        kept = message if anonymiser is None else _without_names(message, anonymiser)
        if kept is None:
            counts.left_out += 1
            continue
        writer.write(kept)
        counts.written += 1


def _without_names(message: TrafficMessage, anonymiser: Anonymiser) -> TrafficMessage | None:
    topic = anonymiser.topic(message.topic)
    payload = anonymiser.payload(message.payload)
    if payload is None:
        return None
    user = tuple((name, (anonymiser.payload(value.encode()) or b"").decode()) for name, value in message.user)
    return TrafficMessage(message.time, topic, payload, message.retained, message.content_type, user)
