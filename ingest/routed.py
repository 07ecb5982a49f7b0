"""Between route and decode: messages of which the topics have been looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.messages import MessageChunk
from ingest.refusals import Refusal


@dataclass(frozen=True, slots=True)
class RoutedChunk:
    """Messages with the numbers of their topics and routes, int32 (n,) each; negative where a message is refused or
    ignored. `refused` says why, by message.
    """

    chunk: MessageChunk
    topics: NDArray[np.int32]
    routes: NDArray[np.int32]
    refused: Mapping[int, Refusal]

    def __len__(self) -> int:
        return len(self.topics)

    def part(self, start: int, end: int) -> RoutedChunk:
        """The messages from `start` to `end`, exclusive and at least one."""
        refused = {at - start: refusal for at, refusal in self.refused.items() if start <= at < end}
        return RoutedChunk(self.chunk.part(start, end), self.topics[start:end], self.routes[start:end], refused)
