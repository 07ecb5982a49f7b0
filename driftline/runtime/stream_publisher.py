"""Streams at run time: rows that a stream publishes go to the broker, in order, as they are stored."""

from __future__ import annotations

import logging
import threading
from collections import Counter

from ingest.broker_settings import BrokerSettings
from ingest.confirmed_publishing import ConfirmedPublisher, Message
from storage.embedded.database import EmbeddedStore
from storage.embedded.stream_tables import MOST_WAITING, PUBLISHED, REFUSED, UNPUBLISHED, StreamMessage

log = logging.getLogger(__name__)

_LOOK_SECONDS = 30.0
"""Rows that are stored wake the thread: it looks by itself only in case."""
_RETRY_SECONDS = 2.0


class StreamPublisher:
    """Publishes at QoS 1 what waits in the database, and forgets it once the broker has said what becomes of it.

    A row is stored and put among those that wait in one transaction. A kill between the broker's word and the
    forgetting publishes a row again, with the same `id`. What the broker refuses is counted, and said.
    """

    def __init__(self, store: EmbeddedStore, broker: BrokerSettings, password: str | None) -> None:
        self._store = store
        self._publisher = ConfirmedPublisher(broker, password)
        self._published = 0
        self._trouble = ""
        self._refused: dict[str, str] = {}
        self._left_out_before: int | None = None
        self._left_out = 0
        self._stopping = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream publisher", daemon=True)

    def start(self) -> None:
        """Begin with what waits."""
        self._thread.start()

    def wake(self) -> None:
        """Look for rows now. Any thread may call it."""
        self._wake.set()

    def stop(self) -> None:
        """End after the rows that are under way; what waits is published after the next start."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def problem(self) -> str:
        """What keeps rows from being published; empty where all is well."""
        left_out = (
            f"{self._left_out:,} rows were not published since the start, since more than {MOST_WAITING:,} waited"
            if self._left_out
            else ""
        )
        return "; ".join(word for word in (self._trouble, *self._refused.values(), left_out) if word)

    def _run(self) -> None:
        while not self._stopping:
            try:
                if self._trouble or self._left_out_before is None:
                    self._note_left_out()
                while not self._stopping and self._publish_some():
                    pass
                self._trouble = ""
            except (OSError, RuntimeError, ValueError) as error:
                if not self._trouble:
                    log.warning("rows of streams cannot be published now: %s; trying again", error)
                self._trouble = str(error)
                self._wake.wait(_RETRY_SECONDS)
            self._wake.wait(_RETRY_SECONDS if self._trouble else _LOOK_SECONDS)
            self._wake.clear()
        self._publisher.close()

    def _publish_some(self) -> bool:
        """Publish some of the rows that wait; returns whether there were any."""
        waiting = self._store.waiting_messages(self._published)
        if not waiting:
            return False
        answers = self._publisher.publish([Message(each.topic, each.payload) for each in waiting])
        outcomes = Counter(
            (each.stream, REFUSED if refusal else PUBLISHED) for each, refusal in zip(waiting, answers, strict=True)
        )
        self._published = waiting[-1].number
        self._store.forget_messages(self._published, outcomes)
        for each, refusal in zip(waiting, answers, strict=True):
            self._note(each, refusal)
        return True

    def _note(self, message: StreamMessage, refusal: str) -> None:
        if not refusal:
            self._refused.pop(message.topic, None)
        elif message.topic not in self._refused:
            word = f'the broker refuses the rows of stream "{message.stream}" on "{message.topic}": {refusal}'
            self._refused[message.topic] = word
            log.warning("%s; they are kept in its table where it has one", word)

    def _note_left_out(self) -> None:
        total = sum(stream.counts.get(UNPUBLISHED, 0) for stream in self._store.streams().values())
        if self._left_out_before is None:
            self._left_out_before = total
        self._left_out = total - self._left_out_before
