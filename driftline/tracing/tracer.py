"""Traces: the times that the stages hand over, put together by message, and kept in memory, the newest of them."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from common.time_units import SECOND
from driftline.tracing.sampling import Budget, Sampling
from driftline.tracing.trace_export import NoExporter, TraceExporter
from driftline.tracing.trace_parent import TraceParent, trace_parent_of
from driftline.tracing.traces import ChunkTimes, FunctionCall, Trace, Why
from driftline.tracing.tracing_settings import TracingSettings
from functions.call_records import CallRecord
from ingest.pipeline import Engine
from ingest.stage_watch import StageWatch
from storage.store import JournalEntry, StepOutput

_KEPT_CHUNKS = 2_000
"""Entries whose later stages are waited for; of those beyond, the oldest are taken as they are."""
_KEPT_EVENTS = 2_000
"""Events of functions whose calls are waited for."""

_Event = tuple[str, str]
"""A function, and the key of an event for it."""


class Tracer:
    """Traces messages. Every method may be called from any thread, and none of them waits for anything.

    `step` is called by the engine's thread, `journaled` by the receiver's, `stored` by the store's, `sunk` by those of
    the external databases, `called` by those of functions. A trace is kept from the step on and gains stages after it;
    it is exported once its message is stored, and later stages of it as they come.
    """

    def __init__(
        self, settings: TracingSettings, exporter: TraceExporter | NoExporter, *, clock: Callable[[], int]
    ) -> None:
        self.now = clock
        self.exporter = exporter
        self.counts: Counter[str] = Counter()
        self._sampling = Sampling(settings.sample) if settings.sample else None
        self._sampled: deque[Trace] = deque(maxlen=settings.keep)
        self._always: deque[Trace] = deque(maxlen=settings.keep)
        budgets = (Budget(settings.per_second) for _ in range(3))
        self._sampled_budget, self._always_budget, self._failed_budget = budgets
        self._most = settings.per_second
        self._journaled: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._chunks: OrderedDict[int, tuple[ChunkTimes, list[Trace]]] = OrderedDict()
        self._events: OrderedDict[_Event, Trace] = OrderedDict()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Send what waits, for a moment, and end."""
        self.exporter.close()

    def journaled(self, position: int, begun: int, ended: int) -> None:
        """An entry has been journaled between these times, ns."""
        with self._lock:
            self._journaled[position] = (begun, ended)
            _bound(self._journaled, _KEPT_CHUNKS)

    def step(self, engine: Engine, entry: JournalEntry) -> StepOutput:
        """Let the engine step through an entry, and trace the messages in it that are to be traced."""
        watch = StageWatch(self.now)
        output = engine.step(entry, watch)
        with self._lock:
            journal = self._journaled.pop(entry.position, None)
            if len(entry.chunk):
                self._take(ChunkTimes(entry.position, len(entry.chunk), watch.parts, journal), entry, watch, output)
        return output

    def _take(self, times: ChunkTimes, entry: JournalEntry, watch: StageWatch, output: StepOutput) -> None:
        chosen: dict[int, Trace] = {}
        for row, why, error in self._wanted(entry, watch, output):
            if row not in chosen:
                chosen[row] = self._trace(times, entry, row, why, error)
                self._keep(chosen[row])
        for event in output.function_events:
            row = int(np.searchsorted(entry.chunk.arrival, event.time))
            if row < len(entry.chunk) and entry.chunk.arrival[row] == event.time:
                # Should its call fail, the message is kept for that.
                trace = chosen.get(row) or self._trace(times, entry, row, Why.FUNCTION)
                self._events[event.function, event.key] = trace
        _bound(self._events, _KEPT_EVENTS)
        if chosen or output.function_events:
            self._chunks[entry.position] = (times, list(chosen.values()))
            _bound(self._chunks, _KEPT_CHUNKS)

    def _keep(self, trace: Trace) -> None:
        (self._sampled if trace.why is Why.SAMPLED else self._always).append(trace)
        trace.kept = True
        self.counts[trace.why.value] += 1

    def _wanted(self, entry: JournalEntry, watch: StageWatch, output: StepOutput) -> Iterator[tuple[int, Why, str]]:
        """Rows of the messages to be traced, why, and what went wrong; the more important reason of a row first."""
        arrival = entry.chunk.arrival
        always: list[tuple[int, Why, str]] = []
        if output.dead_letters:
            for each in islice(output.dead_letters, self._most):
                always.append((each.offset - entry.offset, Why.DEAD_LETTER, f"{each.reason}: {each.detail}"[:500]))
            self.counts["left out"] += max(0, len(output.dead_letters) - self._most)
        if watch.alarmed:
            rows = np.searchsorted(arrival, watch.alarmed).tolist()
            always += [(row, Why.ALARM, "") for row in dict.fromkeys(rows) if row < len(arrival)]
        for row, why, error in always:
            if self._always_budget.take(int(arrival[row])):
                yield row, why, error
            else:
                self.counts["left out"] += 1
        for row in self._sampled_rows(entry):
            yield row, Why.SAMPLED, ""

    def _sampled_rows(self, entry: JournalEntry) -> Iterator[int]:
        if self._sampling is None:
            return
        arrival = entry.chunk.arrival
        numbers = self._sampling.numbers(entry.offset, len(arrival))
        for number in numbers:
            row = self._sampling.offset(number) - entry.offset
            came = int(arrival[row])
            if self._sampled_budget.take(came):
                yield row
            elif int(arrival[-1]) // SECOND == came // SECOND:
                self.counts["left out"] += numbers.stop - number
                return
            else:
                self.counts["left out"] += 1

    def _trace(self, times: ChunkTimes, entry: JournalEntry, row: int, why: Why, error: str = "") -> Trace:
        chunk = entry.chunk
        return Trace(
            entry.offset + row,
            int(chunk.arrival[row]),
            chunk.topic(row).decode("utf-8", "replace"),
            int(chunk.spans[row, 3] - chunk.spans[row, 2]),
            why,
            times,
            self._parent(entry, row),
            error,
        )

    def _parent(self, entry: JournalEntry, row: int) -> TraceParent | None:
        try:
            return trace_parent_of(entry.chunk, row)
        except ValueError:
            self.counts["malformed traceparent"] += 1
            return None

    def stored(self, output: StepOutput, begun: int) -> None:
        """An output has been stored, since `begun` (ns): several entries, most often."""
        ended = self.now()
        with self._lock:
            for times, traces in self._between(output.position, output.next_position):
                times.store, times.stored_together = (begun, ended), output.counts.get("messages", 0)
                self.exporter.put(traces)

    def sunk(self, sink: str, output: StepOutput, begun: int) -> None:
        """The same of what an external database has taken."""
        ended = self.now()
        with self._lock:
            for times, traces in self._between(output.position, output.next_position):
                times.sinks[sink] = (begun, ended)
                self.exporter.put(traces)

    def _between(self, position: int, next_position: int) -> Iterator[tuple[ChunkTimes, list[Trace]]]:
        """The entries in this run of the journal; what is asked for is among the newest, most often."""
        for at in reversed(self._chunks):
            if at < position:
                return
            if at < next_position:
                yield self._chunks[at]

    def called(self, keys: Iterable[str], record: CallRecord) -> None:
        """A function has been called for the events of these keys."""
        ended = record.started + record.duration
        call = FunctionCall(record.function, record.started, ended, record.attempt, record.events, record.error)
        with self._lock:
            for key in keys:
                trace = self._events.get((record.function, key))
                if trace is None:
                    continue
                trace.calls.append(call)
                if record.error and not trace.kept:
                    self._keep_failed(trace, record.started)
                if not record.error:
                    del self._events[record.function, key]
                if trace.kept:
                    self.exporter.put([trace])

    def _keep_failed(self, trace: Trace, called: int) -> None:
        """Keep a trace that would not have been, but for the call that failed."""
        if not self._failed_budget.take(called):
            self.counts["left out"] += 1
            return
        self._keep(trace)
        if trace.times.position in self._chunks:
            self._chunks[trace.times.position][1].append(trace)

    def newest(self, limit: int, why: Why | None = None) -> list[Trace]:
        """The newest traces, the newest first; with `why` those alone that are kept for that."""
        with self._lock:
            kept = [*self._sampled, *self._always]
        found = [trace for trace in kept if why is None or trace.why is why]
        return sorted(found, key=lambda trace: trace.offset, reverse=True)[:limit]

    def of(self, trace_id: str) -> list[Trace]:
        """The messages of a trace in their order; none where it is not kept, or not any more."""
        with self._lock:
            kept = [*self._sampled, *self._always]
        return sorted((trace for trace in kept if trace.trace_id == trace_id), key=lambda trace: trace.offset)


def _bound(kept: OrderedDict[Any, Any], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
