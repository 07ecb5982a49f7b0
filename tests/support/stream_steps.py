"""Steps of an engine with streams: messages in pieces, and the time alone."""

from __future__ import annotations

from collections.abc import Sequence

from devices.messages import MessageChunk
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
Message = tuple[bytes, bytes, int, int]


def run(engine: Engine, pieces: Sequence[Sequence[Message]], offset: int = 0) -> list[StepOutput]:
    """Let the engine take each piece as one journal entry; `offset` is the first message's."""
    outputs = []
    for piece in pieces:
        outputs.append(engine.step(JournalEntry(engine.position, offset, MessageChunk.of(list(piece)))))
        offset += len(piece)
    return outputs


def tick(engine: Engine, seconds: float, offset: int = 0) -> StepOutput:
    """Let the engine see that it is so many seconds after START, without a message."""
    at = START + round(seconds * SECOND)
    return engine.step(JournalEntry(engine.position, offset, MessageChunk.of([], ticked_at=at)))
