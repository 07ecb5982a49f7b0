"""Alarm at run time: what people do goes into the journal, and comes back as what the engine made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic, sleep

from alerts.actions import Action, ActionError, encode
from common.storage_errors import StorageFullError
from devices.records import ActionRecord
from ingest.receiver_state import Reception
from storage.embedded.database import EmbeddedStore

_WAIT_SECONDS = 10.0
_LOOK_SECONDS = 0.02
_WAITS = "it is in the journal; the engine is behind, and does it in its turn"


class ActionDesk:
    """Takes actions from any thread. `receiver` is None before it runs."""

    def __init__(self, receiver: Reception | None, store: EmbeddedStore) -> None:
        self._receiver = receiver
        self._store = store

    def act(self, actions: Sequence[Action]) -> list[ActionRecord]:
        """Do them, and return the record of each once it is stored; `refused` says where nothing came of one.

        Where the engine is too far behind to tell now what came of them each `waits`, and is done in its turn. Raises
        ActionError where they could not be journaled: then they are not done.
        """
        position = self._journaled(lambda receiver: receiver.given.append_actions(encode(actions)))
        until = monotonic() + _WAIT_SECONDS
        while self._store.position <= position:
            if monotonic() >= until:
                return [
                    ActionRecord(
                        position, number, getattr(each, "alarm", None), each.kind, each.by, each.at, _WAITS, waits=True
                    )
                    for number, each in enumerate(actions)
                ]
            sleep(_LOOK_SECONDS)
        found = [record for record in self._store.actions(limit=1000) if record.position == position]
        return sorted(found, key=lambda record: record.number)

    def take(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        """Journal messages, each topic and payload; they are on disk when this returns. Raises ActionError."""
        self._journaled(lambda receiver: receiver.given.append_messages(messages))

    def _journaled(self, append: Callable[[Reception], int]) -> int:
        receiver = self._receiver
        if receiver is None:
            raise ActionError("the service is starting: try again in a moment")
        try:
            return append(receiver)
        except TimeoutError:
            raise ActionError("the journal does not answer, and has not taken it: try again in a moment") from None
        except (StorageFullError, OSError) as error:
            raise ActionError(f"nothing can be journaled now: {error}") from error
