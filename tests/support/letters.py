"""Dead letters as tests make them: one message, rejected whole."""

from __future__ import annotations

from devices.records import DeadLetter


def letter(offset: int, arrival: int, topic: str, payload: bytes, reason: str, detail: str) -> DeadLetter:
    """A message that was rejected whole, with all of its payload."""
    return DeadLetter(offset, arrival, topic, payload, len(payload), reason, detail, {reason: 1})
