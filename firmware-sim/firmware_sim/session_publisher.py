"""A publisher with a connection of its own for each device."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable, Sequence
from math import inf
from random import Random
from threading import Event
from typing import Protocol

from firmware_sim.firmware.mqtt_sessions import Session, Sessions, allow_files
from firmware_sim.publisher import (
    FIRST_RETRY_SECONDS,
    LAST_RETRY_SECONDS,
    BrokerAddress,
    BrokerUnreachableError,
    Message,
    Patience,
    StoppedError,
    without_end,
)

CONNECTING_AT_ONCE = 200
"""Connections that are being made at the same time: a broker's queue of new ones is short."""


class FleetPublisher(Protocol):
    """What a simulator publishes through."""

    address: BrokerAddress

    @property
    def acknowledged(self) -> int:
        """Messages that the broker has confirmed."""
        ...

    def open(self, *, retry: bool = False) -> None:
        """Connect; with `retry` keep trying."""
        ...

    def send(self, messages: Sequence[Message], *, retained: bool = False) -> None:
        """Publish all messages in order."""
        ...

    def pump(self, seconds: float) -> None:
        """Wait up to `seconds` while acknowledgements come in."""
        ...

    def drain(self, seconds: float) -> bool:
        """Wait until everything sent is acknowledged; False where that took longer than `seconds` of silence."""
        ...

    def close(self) -> None:
        """Say goodbye."""
        ...

    @property
    def unacknowledged(self) -> int:
        """How many messages are on their way."""
        ...


class _Line:
    """The session of one topic, which connects again when it is lost."""

    def __init__(self, publisher: SessionPublisher, number: int) -> None:
        self._publisher = publisher
        self._pause = FIRST_RETRY_SECONDS
        self.session: Session = publisher.pool.session(f"driftline-sim-{os.getpid()}-{number}", self)

    def connected(self) -> None:
        self._pause = FIRST_RETRY_SECONDS
        self._publisher.found()

    def connection_lost(self, cause: str) -> None:
        self._publisher.lost(self, cause, self._pause)
        self._pause = min(2 * self._pause, LAST_RETRY_SECONDS)

    def received(self, topic: str, payload: bytes) -> None:
        del topic, payload


class SessionPublisher:
    """Publishes each topic on a connection of its own; single-threaded. Other topics go over the first one.

    What is lost on the way is sent again, as `Publisher` does, with the same `patience`. Raises OSError where
    the system allows too few sockets.
    """

    def __init__(
        self,
        address: BrokerAddress,
        topics: Sequence[bytes],
        *,
        qos: int = 1,
        in_flight: int = 1000,
        say: Callable[[str], None] = print,
        stop: Event | None = None,
        random: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        patience: Patience = without_end,
    ) -> None:
        self.address = address
        self._patience = patience
        self.connecting = 0
        self._topics = list(topics)
        self._qos = qos
        self._in_flight = max(in_flight, 2 * len(self._topics))
        self._say = say
        self._stop = stop or Event()
        self._random = random or Random()
        self._clock = clock
        self._lines: dict[bytes, _Line] = {}
        self._again: list[tuple[float, int, _Line]] = []
        self._said = ""
        self._give_up_at = inf

    @property
    def acknowledged(self) -> int:
        """Messages that the broker has confirmed."""
        return self.pool.acknowledged

    @property
    def unacknowledged(self) -> int:
        """How many messages are on their way."""
        return self.pool.in_flight

    def open(self, *, retry: bool = False) -> None:
        """Make all connections, some at a time; returns when the broker has taken every one.

        Raises StoppedError, BrokerUnreachableError.
        """
        allow_files(len(self._topics))
        self.pool = Sessions(self.address, clock=self._clock)
        for number, topic in enumerate(self._topics):
            self._lines[topic] = _Line(self, number)
        waiting = list(self._lines.values())
        while waiting or self.connecting or (retry and self._again):
            self._check()
            while waiting and self.connecting < CONNECTING_AT_ONCE:
                self._connect(waiting.pop())
            self._poll(0.2)

    def send(self, messages: Sequence[Message], *, retained: bool = False) -> None:
        """Publish all messages in order. Raises StoppedError, BrokerUnreachableError."""
        first = next(iter(self._lines.values()))
        for topic, payload in messages:
            while self.pool.in_flight >= self._in_flight:
                self._check()
                self._poll(0.2)
            self._lines.get(topic, first).session.publish_bytes(topic, payload, self._qos, retained)
        self._poll(0)

    def pump(self, seconds: float) -> None:
        """Wait up to `seconds` while acknowledgements come in. Raises BrokerUnreachableError."""
        deadline = self._clock() + seconds
        while (left := deadline - self._clock()) > 0 and not self._stop.is_set():
            self._check()
            self._poll(min(left, 0.2))

    def drain(self, seconds: float) -> bool:
        """Wait until everything sent is acknowledged; False where that took longer than `seconds` of silence."""
        mark, deadline = self.acknowledged, self._clock() + seconds
        while self.pool.in_flight:
            if self.acknowledged != mark:
                mark, deadline = self.acknowledged, self._clock() + seconds
            if self._clock() >= deadline:
                return False
            self._poll(0.1)
        return True

    def close(self) -> None:
        """Say goodbye on every connection."""
        self.pool.close()

    def found(self) -> None:
        """A line is connected."""
        self.connecting -= 1
        self._give_up_at = inf

    def lost(self, line: _Line, cause: str, pause: float) -> None:
        """Connect a line again after a pause; the first time that a cause comes it is said."""
        self.connecting = max(self.connecting - 1, 0)
        if cause != self._said:
            self._say(f"broker {self.address}: a connection is lost ({cause}); trying again until it is back")
            self._said = cause
        if self._give_up_at == inf:
            self._give_up_at = self._clock() + self._patience()
        at = self._clock() + pause * self._random.uniform(0.5, 1.0)
        heapq.heappush(self._again, (at, id(line), line))

    def _check(self) -> None:
        if self._stop.is_set():
            raise StoppedError
        if self._clock() >= self._give_up_at:
            raise BrokerUnreachableError(f"broker {self.address} did not come back in time")

    def _connect(self, line: _Line) -> None:
        self.connecting += 1
        line.session.connect()

    def _poll(self, seconds: float) -> None:
        while self._again and self._again[0][0] <= self._clock() and self.connecting < CONNECTING_AT_ONCE:
            self._connect(heapq.heappop(self._again)[2])
        self.pool.poll(seconds)
