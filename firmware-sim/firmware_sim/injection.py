"""A fault that a person asks for while the simulator runs: the request, and its way over MQTT."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass

import orjson
import paho.mqtt.client as mqtt

from firmware_sim.conversation import conversation, new_client
from firmware_sim.fleet_description import DESCRIBE, DESCRIBED, FleetDescription
from firmware_sim.publisher import BrokerAddress

REQUESTS, ANSWERS = "driftline/simulator/inject", "driftline/simulator/injected"
ANSWER_SECONDS = 3.0
DEFAULT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault wanted now: of `metric` ("" for the first that suits), some seconds long, `size` usual scatters large.

    Without `seconds` it lasts 120, and a fault of the plant as long as its kind does at least.
    """

    device: str
    kind: str
    metric: str = ""
    seconds: float | None = None
    size: float = 10.0

    @property
    def sensor_seconds(self) -> float:
        """How long a fault of a sensor lasts."""
        return DEFAULT_SECONDS if self.seconds is None else self.seconds

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
        seconds = fields.get("seconds")
        return Injection(
            str(fields["device"]),
            str(fields["kind"]),
            str(fields.get("metric", "")),
            None if seconds is None else float(seconds),
            float(fields.get("size", 10.0)),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'injection: expected {{"device": ..., "kind": ...}}: {error}') from None


class InjectionListener:
    """Hears requests in a thread of its own; `take` hands them over, `answer` says what came of one.

    Who asks which devices there are is answered with what `description` gives.
    """

    def __init__(self, address: BrokerAddress, description: Callable[[], FleetDescription]) -> None:
        self._requests: queue.SimpleQueue[Injection] = queue.SimpleQueue()
        self._address = address
        self._description = description
        self._client = new_client(address)
        self._client.on_connect = lambda client, *_: client.subscribe([(REQUESTS, 1), (DESCRIBE, 1)])
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
        if message.topic == DESCRIBE:
            self._client.publish(DESCRIBED, self._description().payload(), 1)
            return
        try:
            self._requests.put(read_injection(bytes(message.payload)))
        except ValueError as error:
            self.answer(str(error))


def ask(address: BrokerAddress, wanted: Injection, *, seconds: float = ANSWER_SECONDS) -> str | None:
    """Ask the simulators on a broker for a fault; what the one that has the device answers, None where none does.

    Raises BrokerUnreachableError.
    """
    with conversation(address, REQUESTS, wanted.payload(), ANSWERS, seconds=seconds) as answers:
        try:
            return answers.get(timeout=seconds).decode("utf-8", "replace")
        except queue.Empty:
            return None
