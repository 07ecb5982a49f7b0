"""Beside receive: how receiving stands, and what has been received."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ingest.given_chunks import GivenChunks


class ReceiverState(StrEnum):
    """How receiving stands."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    NO_BROKER = "no broker"
    KAFKA_AWAY = "Kafka away"
    TAKEN_OVER = "taken over"
    NOT_SUBSCRIBED = "not subscribed"
    JOURNAL_FULL = "journal full"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReceiverStatistics:
    """What was received since the start, and how receiving stands. `connected_since` is ns since the epoch."""

    state: ReceiverState
    reason: str
    messages: int
    bytes: int
    chunks: int
    truncated: int
    reconnects: int
    connected_since: int | None
    pending_acknowledgements: int

    @property
    def healthy(self) -> bool:
        """Messages flow, or are held back on purpose."""
        return self.state in (ReceiverState.RUNNING, ReceiverState.PAUSED)


class Reception(Protocol):
    """What brings messages into the journal, from a broker or from elsewhere."""

    given: GivenChunks
    """What comes another way."""

    def statistics(self) -> ReceiverStatistics:
        """Counts and state now."""
        ...
