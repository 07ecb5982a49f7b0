"""Beside the pipeline: when a step was at which stage, in plain times. Who wants them hands a `StageWatch` in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from storage.store import JournalEntry


class Stage(StrEnum):
    """The stages of a message's way, by the names that people read, in their order."""

    RECEIVE = "receive"
    JOURNAL = "journal"
    ROUTE = "route"
    DECODE = "decode"
    SCORE = "score"
    ALARM = "alarm"
    STORE = "store"
    FUNCTION = "function"
    SINK = "sink"


@dataclass(slots=True)
class PartTimes:
    """The stages of one part of a journal entry: `messages` messages from the journal's `offset` on.

    `begun` is when the first stage began, `ends` when each ended, and so the next began; ns.
    """

    offset: int
    messages: int
    begun: int
    ends: list[tuple[Stage, int]] = field(default_factory=list)


class StageWatch:
    """Takes the times of one step. `clock` is the service's, ns since the epoch.

    `alarmed` are the arrivals (ns) of the messages by which an alarm opened.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.parts: list[PartTimes] = []
        self.alarmed: list[int] = []
        self._clock = clock
        self._last = clock()

    def begin(self, part: JournalEntry) -> None:
        """A part of the entry has been routed, and the other stages follow."""
        self.parts.append(PartTimes(part.offset, len(part.chunk), self._last))
        self.passed(Stage.ROUTE)

    def passed(self, stage: Stage) -> None:
        """The part has passed a stage just now."""
        self._last = self._clock()
        self.parts[-1].ends.append((stage, self._last))

    def alarms_opened(self, arrivals: NDArray[np.int64]) -> None:
        """Alarms opened by messages that arrived at `arrivals` (n,), ns."""
        self.alarmed += arrivals.tolist()
