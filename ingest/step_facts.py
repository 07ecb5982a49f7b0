"""Beside the pipeline: what one step made, as those see it who ask standing questions of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from alerts.stream_alarms import ConditionChange
from detectors.detector import State
from devices.device_book import DeviceBook
from devices.messages import MessageChunk
from devices.records import AlarmRecord, DeadLetter
from devices.series_registry import SeriesRegistry
from ingest.decoded import Readings
from ingest.followed import Followed
from ingest.route import Router
from storage.store import FunctionEvent, JournalEntry, StreamProgress, StreamResult


@dataclass(frozen=True, slots=True)
class StepFacts:
    """One journal entry, or a part of one, and all that followed from it.

    `chunk` are its messages without those that were delivered again, which `readings` count in, `topics` int32 (n,) the
    numbers of their topics and `routes` int32 (n,) of their routes. `acted` are the alarms that people changed,
    `known_devices` how many devices there were before, `raised` the alarms of streams' conditions that changed before
    the entry, `book` what is known of devices.
    """

    entry: JournalEntry
    chunk: MessageChunk
    topics: NDArray[np.int32]
    readings: Readings
    followed: Followed
    acted: list[AlarmRecord]
    dead_letters: list[DeadLetter]
    known_devices: int
    registry: SeriesRegistry
    router: Router
    routes: NDArray[np.int32]
    book: DeviceBook
    raised: Sequence[AlarmRecord] = ()


class StreamStage(Protocol):
    """The standing questions: a function of the steps, like everything behind the journal."""

    @property
    def settings(self) -> list[dict[str, Any]]:
        """What was declared, as JSON."""
        ...

    def step(self, facts: StepFacts) -> tuple[list[StreamResult], list[StreamProgress]]:
        """What follows for every stream from one step."""
        ...

    def until_condition(self, moments: NDArray[np.int64]) -> int:
        """How many of the arrivals `moments` (m,) are to be one step, so that conditions change between steps alone."""
        ...

    def changed_conditions(self, moment: int) -> list[ConditionChange]:
        """What has changed of the conditions of alarms, and is due before a message that arrives at `moment`; once."""
        ...

    def followed_conditions(self) -> Iterable[tuple[str, str]]:
        """Streams and devices whose alarms are open, or are to change."""
        ...

    @property
    def due(self) -> int | None:
        """The arrival at which something is due where no message comes before; None where nothing waits."""
        ...

    def state(self) -> tuple[State, dict[str, Any]]:
        """A copy of the state: arrays, and the rest as JSON."""
        ...

    def load(self, arrays: State, rest: Mapping[str, Any]) -> None:
        """Take over a saved state, as far as it is of the same questions."""
        ...


class FunctionStage(Protocol):
    """Whom the journal calls: a function of the steps, like everything behind the journal."""

    @property
    def settings(self) -> list[dict[str, Any]]:
        """What was declared, as JSON."""
        ...

    def step(self, facts: StepFacts, results: Sequence[StreamResult]) -> list[FunctionEvent]:
        """The events of one step and of what streams gave in it, in order."""
        ...

    def state(self) -> dict[str, Any]:
        """The state, as JSON."""
        ...

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over a saved state."""
        ...
