"""A fault that a person asks for while the simulator runs: the request, and its way over MQTT."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass

import orjson
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from firmware_sim.publisher import BrokerAddress, BrokerUnreachableError

REQUESTS, ANSWERS = "driftline/simulator/inject", "driftline/simulator/injected"
ANSWER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault wanted now: of `metric` ("" for the first that suits), some seconds long, `size` usual scatters large."""

    device: str
    kind: str
    metric: str = ""
    seconds: float = 120.0
    size: float = 10.0

    def payload(self) -> bytes:
        """As it goes over MQTT."""
        return orjson.dumps(
            {
                "device": self.device,
                "kind": self.kind,
                "metric": self.metric,
                "seconds": self.seconds,
                "size": self.size,
            }
        )


def read_injection(payload: bytes) -> Injection:
    """The request in a payload. Raises ValueError naming what was expected."""
    try:
        fields = orjson.loads(payload)
        return Injection(
            str(fields["device"]),
            str(fields["kind"]),
            str(fields.get("metric", "")),
            float(fields.get("seconds", 120.0)),
            float(fields.get("size", 10.0)),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'injection: expected {{"device": ..., "kind": ...}}: {error}') from None


class InjectionListener:
    """Hears requests in a thread of its own; `take` hands them over, `answer` says what came of one."""

    def __init__(self, address: BrokerAddress) -> None:
        self._requests: queue.SimpleQueue[Injection] = queue.SimpleQueue()
        self._address = address
        self._client = _client(address)
        self._client.on_connect = lambda client, *_: client.subscribe(REQUESTS, 1)
        self._client.on_message = self._keep

    def start(self) -> None:
        """Begin to listen, as soon as the broker is there."""
        self._client.connect_async(self._address.host, self._address.port)
        self._client.loop_start()

    def take(self) -> list[Injection]:
        """The requests since the last call."""
        taken = []
        while not self._requests.empty():
            taken.append(self._requests.get_nowait())
        return taken

    def answer(self, sentence: str) -> None:
        """Say what came of a request."""
        self._client.publish(ANSWERS, sentence.encode(), 1)

    def stop(self) -> None:
        """Listen no more."""
        self._client.disconnect()
        self._client.loop_stop()

    def _keep(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            self._requests.put(read_injection(bytes(message.payload)))
        except ValueError as error:
            self.answer(str(error))


def ask(
    address: BrokerAddress, wanted: Injection, *, seconds: float = ANSWER_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> str | None:  # fmt: skip
    """Ask the simulators on a broker for a fault; what the one that has the device answers, None where none does.

    Raises BrokerUnreachableError.
    """
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    subscribed: queue.SimpleQueue[bool] = queue.SimpleQueue()
    client = _client(address)
    client.on_connect = lambda connected, *_: connected.subscribe(ANSWERS, 1)
    client.on_subscribe = lambda *_: subscribed.put(True)
    client.on_message = lambda _client, _data, message: answers.put(message.payload.decode("utf-8", "replace"))
    try:
        client.connect(address.host, address.port)
    except OSError as error:
        raise BrokerUnreachableError(f"no broker answers at {address}: {error}") from error
    client.loop_start()
    deadline = clock() + seconds
    try:
        subscribed.get(timeout=seconds)
        client.publish(REQUESTS, wanted.payload(), 1)
        return answers.get(timeout=max(deadline - clock(), 0.01))
    except queue.Empty:
        return None
    finally:
        client.disconnect()
        client.loop_stop()


def _client(address: BrokerAddress) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, clean_session=True)
    if address.username is not None:
        client.username_pw_set(address.username, address.password)
    if address.tls:
        client.tls_set()
    return client
