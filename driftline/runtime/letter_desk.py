"""Store at run time: rejected messages are read again, after the route or the codec that refused them was mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep

from alerts.actions import ActionError
from ingest.receiver_state import Reception
from storage.embedded.database import EmbeddedStore

MOST = 1_000
"""Messages read again at once."""
_WAIT_SECONDS = 10.0
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Retried:
    """What came of it: messages read again, those that were taken now, and those refused again, by reason.

    `detail` is what is wrong with the first of these. `cut` were left alone: of their payload only a part is kept.
    While it `waits` they are in the journal, and the engine, which is behind, reads them in their turn.
    """

    tried: int = 0
    taken: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    detail: str = ""
    cut: int = 0
    waits: bool = False


class LetterDesk:
    """Gives rejected messages to the journal once more. `receiver` is None before it runs."""

    def __init__(self, receiver: Reception | None, store: EmbeddedStore) -> None:
        self._receiver = receiver
        self._store = store

    def retry(self, offsets: Sequence[int], reason: str) -> Retried:
        """Read those with these offsets again, or up to MOST of a reason, and tell what came of it.

        They leave the dead letters; what is refused again comes back as a new one. Raises ActionError where they could
        not be journaled.
        """
        found = self._store.find_dead_letters(offsets, reason=reason, limit=MOST)
        letters = [letter for letter in found if len(letter.payload) == letter.payload_bytes]
        cut = len(found) - len(letters)
        if not letters:
            return Retried(cut=cut)
        receiver = self._receiver
        if receiver is None:
            raise ActionError("the service is starting: try again in a moment")
        try:
            messages = [(letter.topic.encode(), letter.payload, letter.arrival) for letter in letters]
            position, first = receiver.given.append_again(messages, [letter.properties for letter in letters])
        except (OSError, TimeoutError) as error:
            raise ActionError(f"nothing can be journaled now: {error}") from error
        self._store.remove_dead_letters([letter.offset for letter in letters])
        until = monotonic() + _WAIT_SECONDS
        while self._store.position <= position:
            if monotonic() >= until:
                return Retried(len(letters), cut=cut, waits=True)
            sleep(_LOOK_SECONDS)
        again = self._store.find_dead_letters(range(first, first + len(letters)))
        refused = dict(Counter(letter.reason for letter in again).most_common())
        detail = f"{again[0].topic}: {again[0].detail.splitlines()[0]}" if again and again[0].detail else ""
        return Retried(len(letters), len(letters) - len(again), refused, detail, cut)
