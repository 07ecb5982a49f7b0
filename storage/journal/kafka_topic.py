"""Journal and receivers: the Kafka topic itself: whether it can be reached, its partitions, and its making."""

from __future__ import annotations

import logging
import time
from typing import Any

from common.extras import optional, require
from storage.journal.kafka_settings import EXTRA, LIBRARY, PURPOSE, KafkaSettings, client_options

log = logging.getLogger(__name__)

_LOOK_AGAIN = 0.05

confluent_kafka: Any = optional(LIBRARY, extra=EXTRA, purpose=PURPOSE)
kafka_admin: Any = optional(f"{LIBRARY}.admin", extra=EXTRA, purpose=PURPOSE)


class KafkaAwayError(OSError):
    """Kafka does not answer, or refuses; the message says where, and its word. Trying again may help."""


def require_client() -> None:
    """Raise MissingExtraError where Kafka's client is not installed."""
    require(LIBRARY, extra=EXTRA, purpose=PURPOSE)


class LastError:
    """What a client said last of its connections: reasons for people, which come another way than results."""

    def __init__(self) -> None:
        self.words = ""

    def note(self, error: Any) -> None:
        """Kafka's client calls this."""
        self.words = str(error.str())
        log.debug("Kafka: %s", self.words)

    def because(self) -> str:
        """The reason as the end of a sentence; empty where none is known."""
        return f": {self.words}" if self.words else ""


def partitions_of(settings: KafkaSettings, password: str | None, *, timeout: float, make: bool = True) -> int:
    """How many partitions the topic has; where it is not there it is made, or 0 returned.

    Raises KafkaAwayError where Kafka does not answer within `timeout` seconds, or refuses.
    """
    last = LastError()
    quiet = logging.getLogger(f"{__name__}.client")
    quiet.setLevel(logging.CRITICAL)
    admin: Any = None
    try:
        options = {**client_options(settings, password), "error_cb": last.note}
        admin = kafka_admin.AdminClient(options, logger=quiet)
        found = _partitions(admin, settings, timeout)
        if not found and not make:
            return 0
        if not found:
            _make(admin, settings, timeout)
            found = _awaited(admin, settings, timeout)
    except confluent_kafka.KafkaException as error:
        if admin is not None:
            admin.poll(0)  # It hands over what it noted of its connections.
        raise KafkaAwayError(f"{settings.place}: {_word(error)}{last.because()}") from None
    if not found:
        raise KafkaAwayError(f"{settings.place}: the topic is being made")
    return found


def _partitions(admin: Any, settings: KafkaSettings, timeout: float) -> int:
    told = admin.list_topics(settings.topic, timeout=timeout).topics[settings.topic]
    if told.error is not None:
        if told.error.code() == confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART:
            return 0
        raise confluent_kafka.KafkaException(told.error)
    return len(told.partitions)


def _awaited(admin: Any, settings: KafkaSettings, timeout: float) -> int:
    """The partitions of a topic that was just made, which servers come to know one after another."""
    until = time.monotonic() + timeout
    while not (found := _partitions(admin, settings, timeout)) and time.monotonic() < until:
        time.sleep(_LOOK_AGAIN)
    return found


def _make(admin: Any, settings: KafkaSettings, timeout: float) -> None:
    copies = settings.replicas or -1
    wanted = kafka_admin.NewTopic(settings.topic, num_partitions=settings.partitions, replication_factor=copies)
    try:
        admin.create_topics([wanted], operation_timeout=timeout, request_timeout=timeout)[settings.topic].result()
    except confluent_kafka.KafkaException as error:
        if error.args[0].code() != confluent_kafka.KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    else:
        log.info("%s made, with %d partitions", settings.place, settings.partitions)


def _word(error: Any) -> str:
    told, kinds = error.args[0], confluent_kafka.KafkaError
    if told.code() in (kinds._TRANSPORT, kinds._TIMED_OUT, kinds._ALL_BROKERS_DOWN):
        return "no server answers"
    return str(told.str())
