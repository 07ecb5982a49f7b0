"""Traces: which messages, by which times, and what a collector is sent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from demo_service import DemoService
from fastapi.testclient import TestClient
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_collector import Collector
from traced_plant import START, TracedPlant

from common import extras
from devices.message_properties import encode_properties
from devices.messages import MessageChunk
from driftline.config import parse_config
from driftline.config_errors import ConfigError
from driftline.http.app import create_app
from driftline.tracing.sampling import Sampling
from driftline.tracing.trace_export import TraceExporter
from driftline.tracing.trace_parent import TraceParent, parse_trace_parent, trace_parent_of
from driftline.tracing.traces import Why
from driftline.tracing.tracing_settings import TracingSettings
from functions.call_records import CallRecord
from storage.store import FunctionEvent, JournalEntry, StepOutput

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"

WaitUntil = Callable[..., None]


def test_the_spans_of_a_message_are_the_stages_of_its_chunk_with_their_times() -> None:
    plant = TracedPlant(sample=1)
    plant.take({"t": 1.0})
    output = plant.take({"t": 1.0}, {"t": 2.0})
    plant.tracer.sunk("influx", output, plant.tracer.now())
    second, first, _ = plant.traces()
    assert (first.offset, second.offset) == (1, 2)
    root, *stages = first.spans()
    began = stages[1].start
    assert [(each.name, (each.start - began) / 1e6, (each.end - began) / 1e6) for each in stages[1:]] == [
        ("journal", 0, 1),
        ("route", 2, 3),
        ("decode", 3, 4),
        ("score", 4, 5),
        ("alarm", 5, 6),
        ("store", 7, 8),
        ("sink", 9, 10),
    ]
    assert (stages[0].name, stages[0].start, stages[0].end) == ("receive", START + 1, began)
    assert (root.name, root.parent_id, root.start, root.end) == ("message", "", START + 1, began + 10_000_000)
    assert {each.parent_id for each in stages} == {root.span_id}
    assert len({each.span_id for each in first.spans() + second.spans()}) == 18
    assert root.attributes["messaging.destination.name"] == "plant/p7"
    assert [each.attributes["driftline.messages"] for each in stages[:-1]] == [2] * 7
    assert stages[-1].attributes == {"driftline.sink": "influx"}


def test_dead_letters_and_alarms_are_traced_though_nothing_is_sampled() -> None:
    plant = TracedPlant(sample=0)
    plant.take({"t": 1.0}, b"{", {"t": 2.0})
    (letter,) = plant.traces()
    assert (letter.why, letter.offset) == (Why.DEAD_LETTER, 1)
    assert letter.error.startswith("malformed: ")
    assert [(each.name, each.error == letter.error) for each in letter.spans() if each.error] == [
        ("message", True),
        ("decode", True),
    ]
    outputs = [plant.take({"t": 90.0}) for _ in range(5)]
    opened = next(at for at, output in enumerate(outputs) if output.alarms)
    (alarm,) = plant.traces(Why.ALARM)
    assert (alarm.offset, alarm.error) == (3 + opened, "")


def sampled(offset: int, messages: int, share: float) -> list[int]:
    sampling = Sampling(share)
    return [sampling.offset(number) for number in sampling.numbers(offset, messages)]


def test_the_same_messages_are_sampled_however_the_journal_is_cut() -> None:
    whole = sampled(0, 100_000, 0.01)
    assert len(whole) == 1_000
    cuts = [0, 1, 17, 4_000, 4_001, 99_999, 100_000]
    pieces = [sampled(a, b - a, 0.01) for a, b in pairwise(cuts)]
    assert [offset for piece in pieces for offset in piece] == whole
    assert np.std(np.array(whole) % 100) > 20
    assert sampled(7, 5, 1.0) == [7, 8, 9, 10, 11]
    assert len(sampled(0, 10_000, 0.3)) == 3_000
    assert len(sampled(10**12, 100_000, 0.01)) == 1_000


def test_no_more_than_so_many_a_second_are_traced_and_alarms_come_first() -> None:
    plant = TracedPlant(sample=1, per_second=3, keep=2)
    plant.take(*[{"t": 1.0}] * 10, *[b"{"] * 5)
    assert [(each.why, each.offset) for each in plant.traces()] == [
        (Why.DEAD_LETTER, 12),
        (Why.DEAD_LETTER, 11),
        (Why.SAMPLED, 2),
        (Why.SAMPLED, 1),
    ]
    assert plant.tracer.counts["left out"] == 12 + 2


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "expected"),
        (PARENT.upper(), "expected"),
        (PARENT[:-1], "expected"),
        (f"ff{PARENT[2:]}", "version 00"),
        (f"{PARENT}-more", "version 00"),
        (f"00-{'0' * 32}-{SPAN}-01", "not all zeros"),
        (f"00-{TRACE}-{'0' * 16}-01", "not all zeros"),
    ],
)
def test_a_malformed_traceparent_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_trace_parent(text)


def test_a_trace_goes_on_from_properties_and_payload() -> None:
    assert parse_trace_parent(f"01{PARENT[2:]}-more") == TraceParent(TRACE, SPAN)
    plant = TracedPlant(sample=1)
    plant.take({"t": 1.0}, properties=encode_properties("", [("traceparent", PARENT)]))
    plant.take({"t": 1.0, "traceparent": PARENT})
    plant.take({"t": 1.0, "traceparent": "nonsense"})
    plant.take({"t": 1.0, "note": '"traceparent"'})
    found = plant.tracer.of(TRACE)
    assert [each.offset for each in found] == [0, 1]
    assert {each.spans()[0].parent_id for each in found} == {SPAN}
    assert [each.parent for each in plant.traces()[:2]] == [None, None]
    assert plant.tracer.counts["malformed traceparent"] == 1
    wrong = MessageChunk.of([(b"a", b'{"traceparent": 7}', START, 0)])
    with pytest.raises(ValueError, match='traceparent "7"'):
        trace_parent_of(wrong, 0)


def test_a_function_that_fails_lets_its_message_be_traced() -> None:
    plant = TracedPlant(sample=0)
    engine, step = plant.engine, plant.engine.step

    def with_event(entry: JournalEntry, watch: object) -> StepOutput:
        output = step(entry, watch)  # type: ignore[arg-type]
        output.function_events.append(FunctionEvent("order", "k1", 0, entry.position, START + 1, {}, b"{}"))
        return output

    engine.step = with_event  # type: ignore[method-assign, assignment]
    plant.take({"t": 1.0}, {"t": 2.0})
    assert plant.traces() == []
    failed = CallRecord("r1", "order", "alarm", "k1", 1, 1, START + 5, 7, 0, False, "error", "no such part")
    plant.tracer.called(["k1"], failed)
    plant.tracer.called(["k1"], CallRecord("r2", "order", "alarm", "k1", 2, 1, START + 90, 7, 0, False, "ok"))
    (trace,) = plant.traces(Why.FUNCTION)
    assert trace.offset == 1
    calls = [each for each in trace.spans() if each.name == "function"]
    assert [(each.start - START, each.end - START, each.error) for each in calls] == [
        (5, 12, "no such part"),
        (90, 97, ""),
    ]
    assert calls[0].attributes["driftline.function"] == "order"


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def exporter_to(url: str) -> TraceExporter:
    address = TracingSettings(endpoint=url).traces_url
    assert address is not None
    return TraceExporter(address, timeout=1.0)


def test_a_collector_is_sent_each_span_once(collector: Collector, wait_until: WaitUntil) -> None:
    exporter = exporter_to(collector.url)
    plant = TracedPlant(exporter, sample=0)
    plant.take({"t": 1.0}, b"{", properties=encode_properties("", [("traceparent", PARENT)]))
    wait_until(lambda: len(collector.spans) >= 8)
    output = StepOutput(0, 1, plant.engine.step(JournalEntry(1, 2, MessageChunk.of([]))).points)
    plant.tracer.sunk("influx", output, START)
    wait_until(lambda: exporter.exported == 9)
    spans = {span.name: span for span in collector.spans}
    assert len(collector.spans) == len(spans) == 9
    root = spans["message"]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, SPAN)
    assert (root.kind, root.status.code) == (Span.SPAN_KIND_CONSUMER, 2)
    assert root.status.message.startswith("malformed: ")
    assert {spans[name].parent_span_id for name in spans if name != "message"} == {root.span_id}
    assert (spans["score"].end_time_unix_nano - spans["score"].start_time_unix_nano) == 1_000_000
    assert {each.key: each.value.string_value for each in spans["sink"].attributes} == {"driftline.sink": "influx"}
    resource = {
        each.key: each.value.string_value for each in collector.requests[0].resource_spans[0].resource.attributes
    }
    assert resource["service.name"] == "driftline"
    exporter.close()


def test_a_collector_that_is_away_costs_spans_alone_and_is_said_once(
    collector: Collector, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    collector.close()
    caplog.set_level(logging.INFO)
    exporter = exporter_to(collector.url)
    plant = TracedPlant(exporter, sample=1, per_second=1_000)
    for _ in range(2):
        before = exporter.lost
        plant.take({"t": 1.0})
        wait_until(lambda before=before: exporter.lost > before)
    assert (exporter.exported, exporter.lost) == (0, 16)
    assert [each.message for each in caplog.records if each.levelno >= logging.WARNING] == [
        f"the collector {collector.url}/v1/traces takes no traces; those that it misses are lost to it"
    ]
    assert len(plant.traces()) == 2
    exporter.close()


def test_more_than_can_wait_for_a_collector_is_counted_as_lost(collector: Collector) -> None:
    exporter = exporter_to(collector.url)
    exporter.close()
    plant = TracedPlant(sample=1)
    plant.take({"t": 1.0})
    exporter.put(plant.traces() * 3_000)
    assert exporter.lost == 1_000


def test_the_api_tells_of_traces(tmp_path: Path) -> None:
    service = DemoService(tmp_path / "store.duckdb")
    client = TestClient(create_app(service), base_url="http://127.0.0.1:8000")
    assert client.get("/api/v1/traces").json() == {"enabled": False, "left_out": 0, "traces": []}
    assert client.get(f"/api/v1/traces/{TRACE}").json()["error"]["message"] == (
        "no message is traced: the configuration has no [tracing]"
    )
    plant = TracedPlant(sample=1)
    plant.take({"t": 1.0}, b"{", properties=encode_properties("", [("traceparent", PARENT)]))
    service.traces = plant.tracer
    listed = client.get("/api/v1/traces").json()
    assert [(each["offset"], each["why"], each["continues"]) for each in listed["traces"]] == [
        (1, "dead letter", True),
        (0, "sampled", True),
    ]
    assert len(client.get("/api/v1/traces", params={"why": "dead letter"}).json()["traces"]) == 1
    assert client.get("/api/v1/traces", params={"why": "bad"}).status_code == 400
    one = client.get(f"/api/v1/traces/{TRACE}").json()
    assert [each["offset"] for each in one["messages"]] == [0, 1]
    assert [each["name"] for each in one["messages"][0]["spans"]] == [
        "message", "receive", "journal", "route", "decode", "score", "alarm", "store",
    ]  # fmt: skip
    assert client.get("/api/v1/traces/0123").json()["error"]["message"] == (
        'trace "0123": not among those that are kept'
    )
    metrics = client.get("/metrics").text
    assert 'driftline_traces_total{why="dead_letter"} 1.0' in metrics
    assert 'driftline_trace_spans_total{outcome="lost"} 0.0' in metrics
    service.close()


def test_what_is_wrong_with_the_section_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_config("").tracing is None
    assert parse_config("[tracing]").tracing == TracingSettings(sample=0)
    with pytest.raises(ConfigError, match=r'tracing\.endpoint: expected a URL such as "http://localhost:4318", got'):
        parse_config('[tracing]\nendpoint = "localhost:4318"')
    assert TracingSettings(endpoint="http://c:4318/").traces_url == "http://c:4318/v1/traces"
    assert TracingSettings(endpoint="https://c/otlp/x").traces_url == "https://c/otlp/x"
    monkeypatch.setattr("driftline.config_checks.is_installed", lambda module: not module.startswith("opentelemetry"))
    with pytest.raises(ConfigError, match=r"tracing: needs the library .*pip install 'driftline\[tracing\]'"):
        parse_config("[tracing]\nsample = 0.1")


def test_a_library_within_a_missing_package_is_not_installed() -> None:
    assert extras.is_installed("opentelemetry.exporter.otlp")
    assert not extras.is_installed("no_such_package.part.module")
