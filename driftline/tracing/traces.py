"""Traces: what is kept of one message's way, and the spans that it is told in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

from driftline.tracing.trace_parent import TraceParent
from ingest.stage_watch import PartTimes, Stage

ROOT = "message"
"""The span of a message's whole way."""

Attributes = Mapping[str, str | int]


class Why(StrEnum):
    """Why a message is traced."""

    SAMPLED = "sampled"
    DEAD_LETTER = "dead letter"
    ALARM = "alarm"
    FUNCTION = "failed function"


@dataclass(frozen=True, slots=True)
class Span:
    """One stage of a message's way, from `start` to `end` (ns). `name` is a stage's, or `ROOT`.

    `parent_id` is the span that it belongs to, empty where there is none; `error` what went wrong, empty where nothing
    did.
    """

    name: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: Attributes
    error: str = ""


@dataclass(slots=True)
class ChunkTimes:
    """The times that messages of one journal entry share: of the stages of each part, the journal, store and sinks.

    Pairs are begin and end, ns; None while a stage has not been passed in this run of the service. `sinks` are by name.
    """

    position: int
    messages: int
    parts: list[PartTimes]
    journal: tuple[int, int] | None = None
    store: tuple[int, int] | None = None
    stored_together: int = 0
    sinks: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a function that a message brought about; `events` went in the same call."""

    function: str
    start: int
    end: int
    attempt: int
    events: int
    error: str = ""


@dataclass(slots=True, eq=False)
class Trace:
    """One message's way. `offset` is its place in the journal, `arrival` when it came (ns); `size` its payload's bytes.

    `parent` is the trace that it continues, `error` what went wrong with the message itself. `kept` says whether it is
    among those that people see, `sent` which spans a collector has been sent.
    """

    offset: int
    arrival: int
    topic: str
    size: int
    why: Why
    times: ChunkTimes
    parent: TraceParent | None = None
    error: str = ""
    calls: list[FunctionCall] = field(default_factory=list)
    kept: bool = False
    sent: set[str] = field(default_factory=set)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits: those of the trace that it continues, else of this message, the same in a replay."""
        if self.parent is not None:
            return self.parent.trace_id
        return blake2b(f"{self.offset} {self.arrival}".encode(), digest_size=16).hexdigest()

    @property
    def end(self) -> int:
        """When the last stage that is known so far ended, ns."""
        return max((end for _, _, end, _, _ in self._stages()), default=self.arrival)

    def spans(self) -> list[Span]:
        """The whole way, then its stages in their order."""
        root = self._identity(ROOT)
        whole: Attributes = {
            "messaging.system": "mqtt",
            "messaging.destination.name": self.topic,
            "messaging.message.body.size": self.size,
            "driftline.journal.position": self.times.position,
            "driftline.journal.offset": self.offset,
            "driftline.why": self.why.value,
        }
        parent = "" if self.parent is None else self.parent.span_id
        spans = [Span(ROOT, root, parent, self.arrival, self.end, whole, self.error)]
        for stage, start, end, attributes, error in self._stages():
            several = stage in (Stage.FUNCTION, Stage.SINK)
            identity = self._identity(f"{stage} {start} {attributes}" if several else stage)
            spans.append(Span(stage.value, identity, root, start, end, attributes, error))
        return spans

    def _stages(self) -> Iterator[tuple[Stage, int, int, Attributes, str]]:
        times, shared = self.times, {"driftline.messages": self.times.messages}
        if times.journal is not None:
            begun, ended = times.journal
            yield Stage.RECEIVE, min(self.arrival, begun), begun, shared, ""
            yield Stage.JOURNAL, begun, ended, shared, ""
        for part in times.parts:
            if part.offset <= self.offset < part.offset + part.messages:
                begun = part.begun
                for stage, ended in part.ends:
                    failed = self.error if stage is Stage.DECODE else ""
                    yield stage, begun, ended, {"driftline.messages": part.messages}, failed
                    begun = ended
        if times.store is not None:
            yield Stage.STORE, *times.store, {"driftline.messages": times.stored_together}, ""
        for call in list(self.calls):
            attributes: Attributes = {
                "driftline.function": call.function,
                "driftline.attempt": call.attempt,
                "driftline.events": call.events,
            }
            yield Stage.FUNCTION, call.start, call.end, attributes, call.error
        for sink, (begun, ended) in list(times.sinks.items()):
            yield Stage.SINK, begun, ended, {"driftline.sink": sink}, ""

    def _identity(self, place: str) -> str:
        """16 hexadecimal digits for a span of this message, the same each time."""
        return blake2b(f"{self.offset} {self.arrival} {place}".encode(), digest_size=8).hexdigest()
