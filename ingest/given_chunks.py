"""Beside receive: what comes into the journal another way than from the broker, between its messages."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from devices.messages import MessageChunk

Made = Callable[[int], MessageChunk]
"""Makes a chunk; it is given the arrival time, ns."""


class GivenChunks:
    """Chunks that any thread gives, and the receiving thread journals. `wake` calls that one."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._waiting: deque[tuple[Made, Future[tuple[int, int]]]] = deque()

    def __bool__(self) -> bool:
        """Whether any waits."""
        return bool(self._waiting)

    def write(self, append: Callable[[Made], tuple[int, int]]) -> None:
        """Let `append` journal all that wait, and tell who gave them the position and offset, or what it raised."""
        while self._waiting:
            make, written = self._waiting.popleft()
            if not written.set_running_or_notify_cancel():
                continue
            try:
                place = append(make)
            except Exception as error:
                written.set_exception(error)
            else:
                written.set_result(place)

    def append_actions(self, body: bytes, *, timeout: float = 5.0) -> int:
        """Journal what people did (`alerts.actions.encode`), and return its position once it is on disk.

        Raises StorageFullError where the journal is full, TimeoutError where it is not being written within `timeout`
        seconds: then it is not journaled later either.
        """
        return self._journaled(lambda now: MessageChunk.of_actions(body, ticked_at=now), timeout)[0]

    def append_messages(self, messages: Sequence[tuple[bytes, bytes]], *, timeout: float = 5.0) -> int:
        """Journal messages, each topic and payload, that came another way than from the broker.

        Returns their position once they are on disk. Raises as `append_actions` does.
        """

        def chunk(arrival: int) -> MessageChunk:
            return MessageChunk.of([(topic, payload, arrival + i, 0) for i, (topic, payload) in enumerate(messages)])

        return self._journaled(chunk, timeout)[0]

    def append_again(
        self, messages: Sequence[tuple[bytes, bytes, int]], properties: Sequence[bytes] = (), *, timeout: float = 5.0
    ) -> tuple[int, int]:
        """Journal messages that came before once more: topic, payload and first arrival (ns) of each, at least one, and
        the encoded properties of each.

        Their readings count at the times that they had. Returns the position, and the offset of the first message.
        Raises as `append_actions`.
        """
        first = itertools.accumulate((arrival for *_, arrival in messages), lambda last, own: max(last + 1, own))
        rows = [(topic, payload, arrival, 0) for (topic, payload, _), arrival in zip(messages, first, strict=True)]
        return self._journaled(lambda _now: MessageChunk.of(rows, properties=properties), timeout)

    def _journaled(self, make: Callable[[int], MessageChunk], timeout: float) -> tuple[int, int]:
        """Position and offset of a chunk that the receiving thread makes and journals; `make` is given the time."""
        written: Future[tuple[int, int]] = Future()
        self._waiting.append((make, written))
        self._wake()
        try:
            return written.result(timeout)
        except TimeoutError:
            if written.cancel():
                raise
            return written.result()  # it is being written just now
