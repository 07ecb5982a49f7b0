"""`driftline receive`: one of any number of receivers that share a broker's messages and write them to Kafka."""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event

from driftline.cluster.device_keys import DeviceKeys
from driftline.config import Config
from ingest.broker_settings import read_password
from ingest.receive import Receiver
from ingest.receiver_state import ReceiverState
from ingest.session import MqttSession
from storage.journal.kafka_settings import read_kafka_password
from storage.journal.kafka_topic import KafkaAwayError, require_client
from storage.journal.kafka_writer import KafkaWriter

log = logging.getLogger(__name__)

TELL_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_HEALTHY = (ReceiverState.STARTING, ReceiverState.RUNNING, ReceiverState.PAUSED, ReceiverState.STOPPED)


@dataclass(frozen=True, slots=True)
class ReceiverCounts:
    """Messages since the start: received from the broker, written to Kafka (and acknowledged), waiting for Kafka, and
    refused by it for their size. Of those written, some may have been refused."""

    received: int
    written: int
    waiting: int
    refused: int

    def __str__(self) -> str:
        refused = f"; {self.refused:,} refused for their size" if self.refused else ""
        return f"received {self.received:,}, written {self.written:,}, waiting {self.waiting:,}{refused}"


class KafkaReceiver:
    """Takes the messages of the routes by shared subscription, writes them to the Kafka topic, and acknowledges them to
    the broker when Kafka has them.

    `name` tells receivers apart: the broker keeps the messages of one that is away under it, so it stays the same over
    restarts, and no two that run may share it. Raises ValueError where the configuration has no broker that can be
    shared, MissingExtraError where Kafka's client is not installed.
    """

    def __init__(
        self,
        config: Config,
        name: str = "",
        *,
        environment: Mapping[str, str],
        clock: Callable[[], int] = time.time_ns,
        say: Callable[[str], None] = print,
    ) -> None:
        require_client()
        broker, kafka = config.broker, config.kafka
        if broker.url == "auto":
            raise ValueError('broker.url: "auto": receivers share one broker: set its address, mqtt://host:port')
        if broker.clean_session:
            raise ValueError("broker.clean_session: what a receiver has not acknowledged would be lost with it")
        given = _NOT_A_NAME.sub("-", name or socket.gethostname())
        self.name = f"{broker.client_id or 'driftline'}-receive-{given}"
        keys = DeviceKeys(config)
        self._filters = {_shared(one, kafka.group): quality for one, quality in keys.filters.items()}
        self._say = say
        self._writer = KafkaWriter(
            kafka,
            keys,
            receiver=self.name,
            max_payload=config.limits.max_payload,
            receive_maximum=broker.receive_maximum,
            password=read_kafka_password(kafka, environment),
        )
        session = MqttSession(
            broker.model_copy(update={"client_id": self.name}),
            self._filters,
            group_bytes=config.journal.group_bytes,
            max_payload=config.limits.max_payload,
            password=read_password(broker, environment),
        )
        self._receiver = Receiver(session, self._writer, clock, config.journal)
        self._url = broker.url
        self._shown = ""

    def run(self, stop: Event) -> ReceiverCounts:
        """Receive until `stop` is set; says how it goes. Returns the last counts."""
        self._writer.open()
        try:
            partitions = self._writer.check()
            self._say(f"writing to {self._writer.settings.place}, {partitions} partitions")
        except KafkaAwayError as error:
            self._say(f"Kafka away: {error}; messages stay at the broker until it is back")
        shown = ", ".join(sorted(self._filters))
        self._receiver.start()
        self._say(f'receiving {shown} from {self._url} as "{self.name}"')
        told, before = time.monotonic(), self.counts()
        while not stop.wait(_LOOK_SECONDS):
            self._tell_state()
            if time.monotonic() - told >= TELL_SECONDS and self.counts() != before:
                told, before = time.monotonic(), self.counts()
                self._say(str(before))
        if not self._receiver.stop():
            log.warning("the last messages are not written: the broker will deliver them again")
        self._writer.close()
        return self.counts()

    @property
    def state(self) -> ReceiverState:
        """How receiving stands."""
        return self._receiver.statistics().state

    def counts(self) -> ReceiverCounts:
        """The counts now."""
        written, waiting = self._receiver.statistics().messages, self._receiver.waiting
        return ReceiverCounts(written + waiting, written, waiting, self._writer.refused)

    def _tell_state(self) -> None:
        """Say once what keeps messages from flowing, and once that they flow again."""
        statistics = self._receiver.statistics()
        state = "Kafka away" if statistics.state == ReceiverState.JOURNAL_FULL else str(statistics.state)
        problem = "" if statistics.state in _HEALTHY else state
        if problem == self._shown:
            return
        self._say(f"{problem}: {statistics.reason}" if problem else "receiving and writing again")
        self._shown = problem


def _shared(topic_filter: str, group: str) -> str:
    """The filter as one that receivers share; one that is shared already stays as it is."""
    return topic_filter if topic_filter.startswith("$share/") else f"$share/{group}/{topic_filter}"
