"""Tracing: what a message costs the engine while nothing is traced, and while 1 % is and a collector takes it."""

from __future__ import annotations

import gc
import multiprocessing
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection

import numpy as np

from benchmarks.load import METRICS
from benchmarks.setting import Setting, configuration
from devices.messages import MessageChunk
from driftline.config import parse_config
from driftline.runtime.recovery import new_engine
from driftline.tracing.trace_export import NoExporter, TraceExporter
from driftline.tracing.tracer import Tracer
from driftline.tracing.tracing_settings import TracingSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry

GROUP = "Tracing: 1,000 devices, JSON, 3 metrics, 50,000 messages a second, cheap tier"

MESSAGES_A_SECOND = 50_000
_SHARE = 0.01
_CHUNK = 1_000
_SECONDS = 6
_WAYS = 3
_WARM_CHUNKS = 60
_SENT = 500
_START = 1_750_000_000_000_000_000


def chunks() -> list[MessageChunk]:
    """Messages of the devices in turn, evenly spread."""
    random = np.random.default_rng(7)
    total = _WAYS * MESSAGES_A_SECOND  # so many for each way
    gap = 1_000_000_000 // total
    made = []
    for start in range(0, _SECONDS * total, _CHUNK):
        rows = []
        values = np.round(60 + random.standard_normal((_CHUNK, len(METRICS))), 2).tolist()
        for number, row in enumerate(values, start):
            arrival = _START + number * gap
            fields = ",".join(f'"{name}":{value}' for name, value in zip(METRICS, row, strict=True))
            body = f'{{"timestamp":{arrival // 1_000_000},{fields}}}'.encode()
            rows.append((b"bench/d%06d" % (number % 1_000), body, arrival, 0))
        made.append(MessageChunk.of(rows))
    return made


def take(engine: Engine, chunk: MessageChunk, tracer: Tracer | None) -> float:
    """Let the engine take a chunk; the CPU seconds of this thread that it took."""
    entry = JournalEntry(engine.position, engine.position * _CHUNK, chunk)
    began = time.thread_time()
    if tracer is None:
        engine.step(entry)
    else:
        tracer.journaled(entry.position, tracer.now(), tracer.now())
        tracer.stored(tracer.step(engine, entry), tracer.now())
    return time.thread_time() - began


def engine_costs(load: list[MessageChunk]) -> list[float]:
    """CPU seconds a message of the engine: without tracing, at 1 %, and at 1 % with none left out.

    One engine takes the chunks each way by turns: where its memory lies, and what else the machine does, is the same.
    """
    tracers: list[Tracer | None] = [None]
    for most in (TracingSettings().per_second, 1_000):
        settings = TracingSettings(sample=_SHARE, per_second=most)
        tracers.append(Tracer(settings, NoExporter(), clock=time.time_ns))
    engine = new_engine(parse_config(configuration(1883)), [])
    seconds = [0.0] * _WAYS
    for number, chunk in enumerate(load):
        if number == _WARM_CHUNKS:
            gc.collect()
            gc.freeze()  # as the service does
        used = take(engine, chunk, tracers[number % _WAYS])
        if number >= _WARM_CHUNKS:
            seconds[number % _WAYS] += used
    gc.unfreeze()
    return [each / ((len(load) - _WARM_CHUNKS) // _WAYS * _CHUNK) for each in seconds]


def sending_cost(chunk: MessageChunk) -> float:
    """CPU seconds that this process takes to send one trace to a collector, in another one."""
    ours, theirs = multiprocessing.Pipe()
    collector = multiprocessing.get_context("spawn").Process(target=_collect, args=(theirs,), daemon=True)
    collector.start()
    exporter = TraceExporter(f"http://127.0.0.1:{ours.recv()}/v1/traces")
    tracer = Tracer(TracingSettings(sample=1, per_second=_SENT), NoExporter(), clock=time.time_ns)
    take(new_engine(parse_config(configuration(1883)), []), chunk, tracer)
    traces = tracer.newest(_SENT)
    spans = sum(len(trace.spans()) for trace in traces)
    used = time.process_time()
    exporter.put(traces)
    while exporter.exported + exporter.lost < spans:
        time.sleep(0.01)
    used = time.process_time() - used
    if exporter.lost:
        raise RuntimeError(f"the collector has not taken {exporter.lost} of {spans} spans")
    exporter.close()
    collector.terminate()
    collector.join()
    return used / len(traces)


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def _collect(port: Connection) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Taking)
    port.send(server.server_port)
    server.serve_forever()


def run(setting: Setting) -> None:
    """Add the figures."""
    load, add = chunks(), setting.figures.add
    for _ in range(setting.runs):
        setting.say("tracing")
        off, bounded, all_of_them = engine_costs(load)
        sent = sending_cost(load[0])
        sending = TracingSettings().per_second * sent / MESSAGES_A_SECOND
        add(GROUP, "engine, nothing traced, CPU a message", off * 1e6, "µs")
        add(GROUP, "engine, 1 % traced, CPU a message", bounded * 1e6, "µs", note="5 traces a second, the default")
        add(GROUP, "sending one trace to a collector", sent * 1e6, "µs", note="in a thread of its own")
        share = 100 * (bounded + sending - off) / off
        add(GROUP, "1 % traced and sent, more than the engine took", share, "%", at_most=2.0)
        more = 100 * (all_of_them - off) / off
        add(
            GROUP,
            "1 % traced and none left out, more than the engine took",
            more,
            "%",
            note="500 traces a second, not sent",
        )
