"""Points on their way to an external database: our columns to line protocol, against influxdb-client's batching API.

Both write the same points to one server that discards what it gets, in a process of its own, so that only the writer's
CPU counts. `python -m benchmarks.line_protocol` prints the result alone.
"""

from __future__ import annotations

import http.server
import json
import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision

from devices.batch import ScoredBatch
from devices.records import SeriesRecord
from storage.external.influx import InfluxSink
from storage.external.lines import LineProtocol
from storage.storage_settings import SinkSettings
from storage.store import StepOutput

SERIES = 1_000
START = 1_700_000_000_000_000_000


def run(points: int = 500_000, client_points: int = 20_000) -> dict[str, float]:
    """Points a second of one core: bytes of lines, lines written, influxdb-client's batching; and the ratios."""
    output = _output(100_000)
    repeats = max(1, points // len(output.points))
    protocol = LineProtocol(_names())
    protocol.block(output)
    built = _cpu(lambda: [protocol.block(output) for _ in range(repeats)])
    parent, child = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_discard, args=(child,), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{parent.recv()}"
        with InfluxSink(SinkSettings(name="bench", url=url, gzip=False), series=_names()) as sink:
            sink.write(output)
            written = _cpu(lambda: [sink.write(output) for _ in range(repeats)])
        theirs = _cpu(lambda: _write_with_client(url, output, client_points))
    finally:
        server.terminate()
        server.join()
    rates = {
        "built_per_second": repeats * len(output.points) / built,
        "written_per_second": repeats * len(output.points) / written,
        "client_per_second": client_points / theirs,
    }
    return rates | {"written_to_client": rates["written_per_second"] / rates["client_per_second"]}


def _cpu(work: Any) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _names() -> list[SeriesRecord]:
    return [SeriesRecord(i, f"site-1/pump-{i // 4:03d}", f"metric_{i % 4}") for i in range(SERIES)]


def _output(n: int) -> StepOutput:
    chance = np.random.default_rng(1)
    value = np.round(chance.normal(20, 5, n), 2)
    points = ScoredBatch(
        (np.arange(n) % SERIES).astype(np.int32),
        START + np.arange(n) // SERIES * 10**9,
        value,
        np.abs(chance.normal(0.5, 0.5, n)),
        value + chance.normal(0, 1, n),
        value - 3,
        value + 3,
        chance.random(n) < 0.001,
        np.zeros(n, np.bool_),
    )
    return StepOutput(0, 1, points)


def _write_with_client(url: str, output: StepOutput, n: int) -> None:
    """What the client's documents show: a Point object each, batched by the write API."""
    names, points = _names(), output.points
    options = WriteOptions(batch_size=5_000, flush_interval=60_000)
    with InfluxDBClient(url, token="t", org="o") as client, client.write_api(write_options=options) as api:
        for row in range(n):
            name = names[int(points.series[row])]
            point = (
                Point("driftline")
                .tag("device", name.device)
                .tag("metric", name.metric)
                .field("value", float(points.value[row]))
                .field("score", round(float(points.score[row]), 2))
                .field("expected", float(points.expected[row]))
                .field("lower", float(points.lower[row]))
                .field("upper", float(points.upper[row]))
                .field("anomaly", int(points.anomaly[row]))
                .field("quality", 0)
                .time(int(points.time[row]), WritePrecision.NS)
            )
            api.write("b", record=point)


class _Discard(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def _discard(port: Connection) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Discard)
    port.send(server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    print(json.dumps({name: round(value, 2) for name, value in run().items()}, indent=2))
