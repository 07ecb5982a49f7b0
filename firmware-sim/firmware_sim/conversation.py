"""A question over MQTT and the answers to it, on a connection of its own."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from firmware_sim.publisher import BrokerAddress, BrokerUnreachableError


def new_client(address: BrokerAddress, *, version_5: bool = False) -> mqtt.Client:
    """A client with the address's credentials, not connected yet."""
    if version_5:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    else:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, clean_session=True)
    if address.username is not None:
        client.username_pw_set(address.username, address.password)
    if address.tls:
        client.tls_set()
    return client


def connect(client: mqtt.Client, address: BrokerAddress) -> None:
    """Begin to connect. Raises BrokerUnreachableError where nothing answers there."""
    try:
        client.connect(address.host, address.port)
    except OSError as error:
        raise BrokerUnreachableError(f"no broker answers at {address}: {error}") from error


@contextmanager
def conversation(
    address: BrokerAddress, topic: str, question: bytes, answer_topic: str, *, seconds: float
) -> Iterator[queue.SimpleQueue[bytes]]:
    """Publish the question once the answers are subscribed to; gives the answers as they come.

    Where the broker does not take the subscription within `seconds`, no question is asked. Raises
    BrokerUnreachableError.
    """
    answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    subscribed: queue.SimpleQueue[bool] = queue.SimpleQueue()
    client = new_client(address)
    client.on_connect = lambda connected, *_: connected.subscribe(answer_topic, 1)
    client.on_subscribe = lambda *_: subscribed.put(True)
    client.on_message = lambda _client, _data, message: answers.put(bytes(message.payload))
    connect(client, address)
    client.loop_start()
    try:
        subscribed.get(timeout=seconds)
        client.publish(topic, question, 1)
        yield answers
    except queue.Empty:
        raise BrokerUnreachableError(f"the broker at {address} takes no subscription within {seconds:g} s") from None
    finally:
        client.disconnect()
        client.loop_stop()
