"""The ledger for Prometheus: read from the service at each scrape, with a bounded set of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from driftline.http.part_views import FunctionView, TraceView, WorkflowView
from driftline.http.stream_routes import COUNTS
from driftline.http.view import Counts, DeviceLife, ServiceView, Status
from driftline.tracing.traces import Why

MAX_REASONS = 32
"""Most values of the label `reason`; what is beyond is summed under "other"."""


class LedgerCollector(Collector):
    """The service's counts, health and devices as Prometheus metrics."""

    def __init__(self, view: ServiceView) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """Every metric as of now."""
        counts = self._view.counts()
        yield CounterMetricFamily("driftline_messages", "MQTT messages received.", counts.messages)
        yield CounterMetricFamily(
            "driftline_readings",
            "Readings received, and one for each message rejected whole or redelivered.",
            counts.received,
        )
        stored = CounterMetricFamily("driftline_points", "Points given to the store, by outcome.", labels=["outcome"])
        for outcome in ("stored", "late", "duplicates"):
            stored.add_metric([outcome], getattr(counts, outcome))
        yield stored
        yield _by_reason("driftline_rejected", "Messages and readings rejected, by reason.", counts.rejected)
        yield _by_reason("driftline_dropped", "Readings dropped, by reason.", counts.dropped)
        yield CounterMetricFamily(
            "driftline_redelivered", "Messages sent again by the broker; duplicates.", counts.redelivered
        )
        yield CounterMetricFamily(
            "driftline_upstream_dropped", "Messages that the broker says it dropped.", counts.upstream_dropped
        )
        yield GaugeMetricFamily("driftline_in_flight", "Readings received and not yet stored.", counts.in_flight)
        yield CounterMetricFamily("driftline_anomalies", "Points found anomalous.", counts.anomalies)
        yield CounterMetricFamily("driftline_alarms", "Alarms opened.", counts.alarms)
        yield GaugeMetricFamily("driftline_open_alarms", "Alarms not cleared, nor set aside.", counts.open_alarms)
        yield GaugeMetricFamily("driftline_shelved_alarms", "Alarms not cleared, but set aside.", counts.shelved_alarms)
        yield GaugeMetricFamily("driftline_lag_messages", "Messages that the stores are behind.", counts.lag_messages)
        yield GaugeMetricFamily("driftline_lag_seconds", "Time that the stores are behind.", counts.lag_seconds)
        health = GaugeMetricFamily(
            "driftline_stage_status", "State of each stage: 0 green, 1 yellow, 2 red.", labels=["stage"]
        )
        for stage in self._view.health().stages:
            health.add_metric([stage.stage], list(Status).index(stage.status))
        yield health
        yield from _sinks(counts)
        yield from _functions(self._view.functions)
        yield from _workflows(self._view.workflows)
        yield _streams(self._view)
        yield from _traces(self._view.traces)
        lives = Counter(state.life for state in self._view.device_states())
        devices = GaugeMetricFamily("driftline_devices", "Devices, by whether they are heard from.", labels=["life"])
        for life in DeviceLife:
            devices.add_metric([life], lives[life])
        yield devices


def _sinks(counts: Counts) -> Iterator[Metric]:
    points = CounterMetricFamily(
        "driftline_sink_points", "Points given to external databases, by outcome.", labels=["sink", "outcome"]
    )
    refused = CounterMetricFamily("driftline_sink_refused_lines", "Lines that a database refused.", labels=["sink"])
    waiting = GaugeMetricFamily("driftline_sink_lag_points", "Points that wait for a database.", labels=["sink"])
    for name, sink in counts.sinks.items():
        points.add_metric([name, "written"], sink.written)
        points.add_metric([name, "dropped"], sink.dropped)
        refused.add_metric([name], sink.refused)
        waiting.add_metric([name], sink.waiting)
    yield from (points, refused, waiting)


def _streams(view: ServiceView) -> Metric:
    found = CounterMetricFamily(
        "driftline_streams", "Rows and windows of streams, by what became of them.", labels=["stream", "count"]
    )
    for name, stream in view.store.streams().items():
        for count in COUNTS:
            if count in stream.counts:
                found.add_metric([name, count], stream.counts[count])
    return found


def _functions(view: FunctionView | None) -> Iterator[Metric]:
    events = CounterMetricFamily(
        "driftline_function_events", "Events of functions, by what became of them.", labels=["function", "outcome"]
    )
    waiting = GaugeMetricFamily("driftline_function_waiting", "Events that wait for a function.", labels=["function"])
    failed = GaugeMetricFamily("driftline_function_failed", "Events that were set aside.", labels=["function"])
    calls = CounterMetricFamily("driftline_function_calls", "Calls of functions.", labels=["function"])
    errors = CounterMetricFamily(
        "driftline_function_errors", "Calls that failed, by how.", labels=["function", "reason"]
    )
    cold = CounterMetricFamily("driftline_function_cold_starts", "Calls that started a process.", labels=["function"])
    seconds = CounterMetricFamily("driftline_function_seconds", "Time that calls took.", labels=["function"])
    for settings in () if view is None else view.declared:
        name, counts = settings.name, view.counts(settings.name) if view is not None else {}
        for outcome in ("done", "dropped"):
            events.add_metric([name, outcome], counts[outcome])
        waiting.add_metric([name], counts["waiting"])
        failed.add_metric([name], counts["failed"])
        calls.add_metric([name], counts["calls"])
        for reason in ("errors", "timeouts", "crashes"):
            errors.add_metric([name, reason], counts[reason])
        cold.add_metric([name], counts["cold_starts"])
        seconds.add_metric([name], counts["milliseconds"] / 1000)
    yield from (events, waiting, failed, calls, errors, cold, seconds)


def _workflows(view: WorkflowView | None) -> Iterator[Metric]:
    begun = CounterMetricFamily("driftline_workflow_begun", "Runs begun, and taken up again.", labels=["workflow"])
    runs = CounterMetricFamily(
        "driftline_workflow_runs", "Runs that ended, by what became of them.", labels=["workflow", "outcome"]
    )
    running = GaugeMetricFamily("driftline_workflow_running", "Runs under way.", labels=["workflow"])
    waiting = GaugeMetricFamily("driftline_workflow_waiting", "Runs that wait for an approval.", labels=["workflow"])
    calls = CounterMetricFamily("driftline_workflow_calls", "Tries of tasks.", labels=["workflow"])
    errors = CounterMetricFamily("driftline_workflow_errors", "Tries of tasks that failed.", labels=["workflow"])
    for settings in () if view is None else view.declared:
        name, counts = settings.name, Counter(view.counts(settings.name) if view is not None else {})
        begun.add_metric([name], counts["begun"])
        for outcome in ("succeeded", "failed", "cancelled"):
            runs.add_metric([name, outcome], counts[outcome])
        running.add_metric([name], counts["running"])
        waiting.add_metric([name], counts["waiting"])
        calls.add_metric([name], counts["calls"])
        errors.add_metric([name], counts["errors"])
    yield from (begun, runs, running, waiting, calls, errors)


def _traces(view: TraceView | None) -> Iterator[Metric]:
    kept = CounterMetricFamily("driftline_traces", "Messages traced, by why, and left out.", labels=["why"])
    spans = CounterMetricFamily(
        "driftline_trace_spans", "Spans for a collector, by what became of them.", labels=["outcome"]
    )
    malformed = CounterMetricFamily("driftline_traceparents_malformed", "Traced messages whose traceparent is ignored.")
    if view is not None:
        for why in (*(each.value for each in Why), "left out"):
            kept.add_metric([why.replace(" ", "_")], view.counts[why])
        spans.add_metric(["exported"], view.exporter.exported)
        spans.add_metric(["lost"], view.exporter.lost)
        malformed.add_metric([], view.counts["malformed traceparent"])
    yield from (kept, spans, malformed)


def _by_reason(name: str, help_text: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, help_text, labels=["reason"])
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for reason, count in sorted(largest[:MAX_REASONS]):
        family.add_metric([reason], count)
    if rest := largest[MAX_REASONS:]:
        family.add_metric(["other"], sum(count for _, count in rest))
    return family


def metrics_router(view: ServiceView) -> APIRouter:
    """`/metrics` in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(LedgerCollector(view))
    ProcessCollector(registry=registry)
    router = APIRouter()

    @router.get("/metrics", tags=["service"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        """The ledger, health and the process in Prometheus' text format."""
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
