"""Beside route: refusals, and those that are remembered, so that they are not looked into again with each message."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from devices.rejection_reasons import Reason

Key = TypeVar("Key", bound=Hashable)

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reading or message that routing refused."""

    reason: Reason
    detail: str


class RefusalMemory(Generic[Key]):
    """The refusals at a limit that holds for good, of at most `most` keys: beyond them it begins anew."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._known: dict[Key, Refusal] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Key) -> Refusal | None:
        """Why the key was refused; None where it was not, or that is forgotten."""
        return self._known.get(key)

    def note(self, key: Key, refusal: Refusal) -> None:
        """Remember a refusal, where it is for a limit on the number of series or topics."""
        if refusal.reason is not Reason.TOO_MANY_SERIES:
            return
        if len(self._known) >= self._most:
            self._known.clear()
        self._known[key] = refusal

    def clear(self) -> None:
        """Forget all: there may be room again."""
        self._known.clear()
