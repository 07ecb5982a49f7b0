"""An engine whose steps are traced, one entry of messages after the other."""

from __future__ import annotations

import json
from itertools import count

from devices.messages import MessageChunk
from driftline.config import parse_config
from driftline.runtime.recovery import new_engine
from driftline.tracing.trace_export import NoExporter, TraceExporter
from driftline.tracing.tracer import Tracer
from driftline.tracing.traces import Trace, Why
from driftline.tracing.tracing_settings import TracingSettings
from storage.store import JournalEntry, StepOutput

START = 1_750_000_000_000_000_000
CONFIG = '[detectors.default]\ntype = "threshold"\nupper = 50.0\n[alarm]\nthreshold = 5.0\n'


class TracedPlant:
    """An engine whose steps are traced. Each look at the clock finds it a millisecond on."""

    def __init__(self, exporter: TraceExporter | NoExporter | None = None, **settings: float) -> None:
        ticks = count(START + 1_000_000, 1_000_000)
        self.tracer = Tracer(TracingSettings(**settings), exporter or NoExporter(), clock=lambda: next(ticks))
        self.engine = new_engine(parse_config(CONFIG), [])
        self.offset = 0

    def take(self, *payloads: object, topic: bytes = b"plant/p7", properties: bytes = b"") -> StepOutput:
        bodies = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in payloads]
        rows = [(topic, body, START + self.offset + n, 0) for n, body in enumerate(bodies)]
        chunk = MessageChunk.of(rows, properties=[properties] * len(rows))
        entry = JournalEntry(self.engine.position, self.offset, chunk)
        self.offset += len(rows)
        self.tracer.journaled(entry.position, self.tracer.now(), self.tracer.now())
        output = self.tracer.step(self.engine, entry)
        self.tracer.stored(output, self.tracer.now())
        return output

    def traces(self, why: Why | None = None) -> list[Trace]:
        return self.tracer.newest(100, why)
