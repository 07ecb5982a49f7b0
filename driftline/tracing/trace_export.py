"""Traces, to a collector: OTLP over HTTP, in a thread of its own, that nothing waits for."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from common.extras import optional
from driftline.tracing.traces import ROOT, Span, Trace
from ingest.stage_watch import Stage

if TYPE_CHECKING:
    from opentelemetry import trace as api
    from opentelemetry.exporter.otlp.proto.http import trace_exporter as otlp
    from opentelemetry.sdk import resources
    from opentelemetry.sdk import trace as sdk
    from opentelemetry.sdk.trace import export as sdk_export
else:
    _PURPOSE = "Sending traces"
    api = optional("opentelemetry.trace", extra="tracing", purpose=_PURPOSE)
    otlp = optional("opentelemetry.exporter.otlp.proto.http.trace_exporter", extra="tracing", purpose=_PURPOSE)
    resources = optional("opentelemetry.sdk.resources", extra="tracing", purpose=_PURPOSE)
    sdk = optional("opentelemetry.sdk.trace", extra="tracing", purpose=_PURPOSE)
    sdk_export = optional("opentelemetry.sdk.trace.export", extra="tracing", purpose=_PURPOSE)

log = logging.getLogger(__name__)

_MOST_WAITING = 2_000
_MOST_TOGETHER = 200
_TIMEOUT_SECONDS = 5.0
_STOP_SECONDS = 2.0
_KINDS = {ROOT: "CONSUMER", Stage.SINK.value: "CLIENT"}


class NoExporter:
    """Where no collector is set: traces stay in memory."""

    exported = 0
    lost = 0

    def put(self, traces: Sequence[Trace]) -> None:
        """Nothing is sent."""

    def close(self) -> None:
        """Nothing waits."""


class TraceExporter:
    """Sends the spans of traces to `url`, each once. A collector that is away costs spans, which are counted, and no
    time: what waits is bounded. That it is away, and that it takes spans again, is each logged once."""

    def __init__(self, url: str, *, timeout: float = _TIMEOUT_SECONDS) -> None:
        self.exported = 0
        self.lost = 0
        self._url = url
        self._exporter = otlp.OTLPSpanExporter(endpoint=url, timeout=timeout)
        self._resource = resources.Resource.create(
            {"service.name": "driftline", "service.version": version("driftline")}
        )
        self._waiting: queue.Queue[Trace | None] = queue.Queue(_MOST_WAITING)
        self._trouble = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        # What the library would say of every attempt is said once, by us.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        self._thread.start()

    def put(self, traces: Sequence[Trace]) -> None:
        """Send what of these traces has not been sent; never blocks."""
        for trace in traces:
            try:
                self._waiting.put_nowait(trace)
            except queue.Full:
                self.lost += 1

    def close(self) -> None:
        """Send what waits for a moment more, and end; to a collector that is away nothing more is sent."""
        self._closing = True
        if self._trouble:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(_STOP_SECONDS)
        if not self._trouble:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        while True:
            traces = [self._waiting.get()]
            while len(traces) < _MOST_TOGETHER and not self._waiting.empty():
                traces.append(self._waiting.get())
            found = [each for each in traces if each is not None]
            if found:
                self._send(found)
            if None in traces or (self._closing and self._trouble):
                return

    def _send(self, traces: Sequence[Trace]) -> None:
        spans = [self._converted(trace, span) for trace in dict.fromkeys(traces) for span in _unsent(trace)]
        if not spans:
            return
        try:
            taken = self._exporter.export(spans) is sdk_export.SpanExportResult.SUCCESS
        except Exception:
            log.exception("traces could not be sent to %s", self._url)
            taken = False
        if taken:
            self.exported += len(spans)
        else:
            self.lost += len(spans)
        if taken == self._trouble:
            self._trouble = not taken
            if taken:
                log.info("the collector %s takes traces again; %d spans were lost", self._url, self.lost)
            else:
                log.warning("the collector %s takes no traces; those that it misses are lost to it", self._url)

    def _converted(self, trace: Trace, span: Span) -> sdk.ReadableSpan:
        trace_id = trace.trace_id
        return sdk.ReadableSpan(
            span.name,
            context=_context(trace_id, span.span_id, remote=False),
            parent=_context(trace_id, span.parent_id, remote=span.name == ROOT) if span.parent_id else None,
            resource=self._resource,
            attributes=dict(span.attributes),
            kind=api.SpanKind[_KINDS.get(span.name, "INTERNAL")],
            status=api.Status(api.StatusCode.ERROR, span.error) if span.error else api.Status(api.StatusCode.UNSET),
            start_time=span.start,
            end_time=max(span.start, span.end),
        )


def _unsent(trace: Trace) -> list[Span]:
    """The spans of a trace that have not been sent, which now count as sent."""
    spans = [span for span in trace.spans() if span.span_id not in trace.sent]
    trace.sent.update(span.span_id for span in spans)
    return spans


def _context(trace_id: str, span_id: str, *, remote: bool) -> api.SpanContext:
    sampled = api.TraceFlags(api.TraceFlags.SAMPLED)
    return api.SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=remote, trace_flags=sampled)
