"""Sparkplug B at run time: the service as a host application: its state for edge nodes, and births asked for.

What is asked for follows from what the decoder knows, which it has from the journal and the snapshot: after a restart
no node is asked whose births are known. Source: Sparkplug 3.0.0, sections 5.7, 5.8, 5.10 and 6.4.24 (STATE).
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic as monotonic_seconds

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from devices.codecs.sparkplug import SparkplugCodec
from devices.codecs.sparkplug_wire import rebirth
from driftline.runtime.engine_worker import EngineWorker
from ingest.broker_settings import BrokerSettings
from ingest.connecting import host_and_port, seconds, side_client
from ingest.sparkplug_settings import SparkplugSettings

log = logging.getLogger(__name__)

_LOOK_SECONDS, _IDLE_SECONDS = 0.25, 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 600.0
"""A node that does not answer is asked again after this long, and after twice as long each time."""
_MOST_A_LOOK = 5
_GOODBYE_SECONDS = 2.0

NeededBirths = Callable[[], Mapping[str, str] | None]
"""The edge nodes, `GROUP/NODE`, that a birth is needed of, and why; None while that is not known."""


@dataclass(slots=True)
class _Asking:
    """When a node is to be asked (seconds, monotonic), and how long to wait after that."""

    at: float
    pause: float = _FIRST_PAUSE


def births_needed_by(worker: EngineWorker) -> NeededBirths:
    """What the engine's decoders need; None while the engine is behind, since the births may be in the journal."""

    def needed() -> dict[str, str] | None:
        if worker.backlog:
            return None
        decoders = (each for each in worker.engine.router.codecs if isinstance(each, SparkplugCodec))
        return {name: why for each in decoders for name, why in each.needed_births().items()}

    return needed


class SparkplugHost:
    """Publishes the state, and asks for births, over a connection of its own, whose session ends with it.

    `is_ready` says whether messages are received: the state is published only then.
    """

    def __init__(
        self,
        settings: SparkplugSettings,
        broker: BrokerSettings,
        password: str | None,
        needed: NeededBirths,
        is_ready: Callable[[], bool],
        *,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = monotonic_seconds,
    ) -> None:
        self._settings = settings
        self._needed = needed
        self._is_ready = is_ready
        self._clock = clock
        self._monotonic = monotonic
        self._host, self._port = host_and_port(broker)
        self._client = side_client(broker, password)
        self._client.on_pre_connect = self._on_pre_connect
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._timestamp = 0
        self._is_connecting = False
        self._asking: dict[str, _Asking] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sparkplug host", daemon=True)

    @property
    def topic(self) -> str:
        """Where the state is; empty where none is published."""
        return f"spBv1.0/STATE/{self._settings.host_id}" if self._settings.host_id else ""

    def start(self) -> None:
        """Begin. A broker that is away is tried again."""
        self._thread.start()

    def stop(self) -> None:
        """Say that the service is not there any more, and end the connection."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if not self._is_connecting:
            return
        if self.topic and self._client.is_connected():
            said = self._client.publish(self.topic, self._state(online=False, at=self._now()), qos=1, retain=True)
            said.wait_for_publish(_GOODBYE_SECONDS)
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS if self._asking else _IDLE_SECONDS):
            try:
                self._look()
            except Exception:
                log.exception("the edge nodes could not be looked after; it is tried again")

    def _look(self) -> None:
        needed = self._needed() if self._settings.request_births else {}
        due = [] if needed is None else self._due(needed)
        if not self._is_connecting and self._is_ready() and (self.topic or due):
            self._client.connect_async(self._host, self._port)
            self._client.loop_start()
            self._is_connecting = True
        if needed is None or not self._client.is_connected():
            return
        for name in due[:_MOST_A_LOOK]:
            self._ask(name, needed[name])

    def _due(self, needed: Mapping[str, str]) -> list[str]:
        """The nodes that are to be asked now, those first that have waited longest."""
        now = self._monotonic()
        for name in self._asking.keys() - needed.keys():
            del self._asking[name]
        for name in needed.keys() - self._asking.keys():
            self._asking[name] = _Asking(now + seconds(self._settings.reorder_timeout))
        return sorted((name for name, each in self._asking.items() if each.at <= now), key=lambda n: self._asking[n].at)

    def _ask(self, name: str, why: str) -> None:
        asking = self._asking[name]
        asking.at = self._monotonic() + asking.pause
        asking.pause = min(2 * asking.pause, _LONGEST_PAUSE)
        group, _, node = name.partition("/")
        log.info("asking the edge node %s for its births: %s", name, why)
        self._client.publish(f"spBv1.0/{group}/NCMD/{node}", rebirth(self._now()), qos=0, retain=False)

    def _on_pre_connect(self, client: Client, _data: object) -> None:
        """The will has the timestamp of the birth that follows it."""
        self._timestamp = self._now()
        if self.topic:
            client.will_set(self.topic, self._state(online=False, at=self._timestamp), qos=1, retain=True)

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            log.warning("the broker refuses the connection of the host application: %s", reason)
        elif self.topic:
            client.subscribe(self.topic, qos=1)
            self._say_online()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        """An old will of ours may come after the birth: then it is said again that we are there."""
        try:
            is_online = json.loads(message.payload)["online"]
        except (ValueError, KeyError, TypeError):
            is_online = False
        if is_online is not True and not self._stopping.is_set():
            self._say_online()

    def _say_online(self) -> None:
        self._client.publish(self.topic, self._state(online=True, at=self._timestamp), qos=1, retain=True)

    def _state(self, *, online: bool, at: int) -> bytes:
        return json.dumps({"online": online, "timestamp": at}).encode()

    def _now(self) -> int:
        """Milliseconds since the epoch."""
        return self._clock() // 1_000_000
