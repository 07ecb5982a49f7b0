"""Half an hour of the simulated fleet, through the real engine, written by the real sink, in a real VictoriaMetrics."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from firmware_sim.faults import Fault, FaultKind
from firmware_sim.payloads import array_messages, single_messages, truth_message
from firmware_sim.plans import Random, Scheduled
from firmware_sim.simulated_fleet import Fleet
from firmware_sim.simulation_settings import SimulatorSettings
from firmware_sim.simulator import TRUTH
from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from common.durations import parse_duration
from devices.messages import MessageChunk
from driftline.config import parse_config
from driftline.http.metrics import LedgerCollector
from driftline.http.view import Counts, DeviceLife, DeviceState, Health, StageHealth, Status
from ingest.pipeline import Engine
from storage.embedded.stream_tables import StoredStream
from storage.external.influx import InfluxSink
from storage.storage_settings import SinkSettings
from storage.store import DevicePresence, JournalEntry, StepOutput

SECOND = 1_000_000_000
END = int(datetime(2026, 3, 2, 9, 0, tzinfo=UTC).timestamp())
"""End of the simulated time, seconds since the epoch: a Monday morning."""

BACKLOG = "60m"
LIVE_SECONDS = 1500
LIVE_STEP = 10
SCRAPE_EVERY = 10


_ROUTES = """\
[[routes]]
name = "truth"
filter = "driftline/truth/#"
device = "{topic[2:]}"
metric = "fault.{metric}"
detectors = []

[[routes]]
name = "everything"
filter = "#"

[[routes.metrics]]
match = "temperature"
detectors = ["default", "hot"]

[[routes.metrics]]
match = "co2"
detectors = ["default", "stale-air"]

[detectors.hot]
type = "threshold"
upper = 80.0

[detectors.stale-air]
type = "threshold"
upper = 2500.0
"""


@dataclass(frozen=True)
class VictoriaMetrics:
    url: str
    pid: int

    def post(self, path: str, body: bytes) -> None:
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body), timeout=240) as response:
            response.read()

    def flush(self) -> None:
        """Make what was written visible to queries."""
        self.post("/internal/force_flush", b"")


def free_port_of_loopback() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_victoria_metrics(folder: Path, port: int) -> Iterator[VictoriaMetrics]:
    """A VictoriaMetrics of its own on loopback, ended by its process id."""
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "victoria-metrics",
                f"-storageDataPath={folder / 'data'}",
                f"-httpListenAddr=127.0.0.1:{port}",
                "-dedup.minScrapeInterval=1ms",
                "-retentionPeriod=100y",
                "-memory.allowedBytes=256MB",
                "-search.latencyOffset=0s",
                "-search.disableCache",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 120
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"VictoriaMetrics did not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)
        yield VictoriaMetrics(url, process.pid)
    finally:
        process.terminate()
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


class PlantStore:
    """As much of a store as the metrics ask of it: the plant has no streams."""

    def streams(self) -> dict[str, StoredStream]:
        return {}


class ReplayView:
    """As much of `ServiceView` as the metrics ask of it, over an engine that is stepped by hand."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.counted: Counter[str] = Counter()
        self.stored = self.late = 0
        self.now = 0
        self.functions = None
        self.workflows = None
        self.traces = None
        self.store = PlantStore()

    def take(self, output: StepOutput) -> None:
        self.counted.update(output.counts)
        late = int(output.points.late.sum())
        self.late += late
        self.stored += len(output.points) - late

    def counts(self) -> Counts:
        def named(prefix: str) -> dict[str, int]:
            return {n.removeprefix(prefix): c for n, c in self.counted.items() if n.startswith(prefix)}

        return Counts(
            time=self.now,
            messages=self.counted["messages"],
            received=self.counted["received"],
            stored=self.stored,
            late=self.late,
            rejected=named("rejected."),
            dropped=named("dropped."),
            in_flight=self.counted["waiting"],
            anomalies=self.counted["anomalies"],
            alarms=self.counted["alarms_opened"],
            open_alarms=len(self.engine.open_alarms),
        )

    def health(self) -> Health:
        return Health(tuple(StageHealth(s, Status.GREEN, "well") for s in ("broker", "journal", "engine", "store")))

    def device_states(self) -> list[DeviceState]:
        names = self.engine.registry.device_names
        silent = self.engine.liveness.silent(self.now)
        open_series = {alarm.series for alarm in self.engine.open_alarms}
        alarms = Counter(r.device for r in self.engine.registry.records if r.series in open_series)
        return [
            DeviceState(name, None, None, DeviceLife.SILENT if silent[i] else DeviceLife.ONLINE, alarms[name])
            for i, name in enumerate(names)
        ]


class _Plans:
    """Random faults, and some that last when the simulated time ends.

    A device that has dropped out for good gets no random fault: the label of one would be a sign of life.
    """

    def __init__(self, random: Random, last: list[Fault]) -> None:
        self._random = random
        self._last = Scheduled(last)
        self._gone = {fault.device: fault.start for fault in last if fault.kind is FaultKind.DROPOUT}

    def begin_live(self, time: int) -> None:
        self._random.begin_live(time)

    def until(self, time: int) -> list[Fault]:
        random = [f for f in self._random.until(time) if f.start < self._gone.get(f.device, f.start + 1)]
        return [*random, *self._last.until(time)]


LAST_FAULTS: tuple[tuple[str, str, FaultKind, int, float], ...] = (
    ("press-01", "temperature", FaultKind.LEVEL_SHIFT, 15, 40.0),
    ("room-01", "co2", FaultKind.LEVEL_SHIFT, 40, 100.0),
    ("tank-02", "*", FaultKind.DROPOUT, 700, 1.0),
    ("counter-02", "*", FaultKind.DROPOUT, 400, 1.0),
)


def write_plant(database: VictoriaMetrics) -> None:
    """Write the plant's outputs and the service's own figures."""
    with InfluxSink(SinkSettings(name="victoria", type="victoriametrics", url=database.url, gzip=False)) as sink:
        scrapes = simulate_plant(sink.write)
    database.post("/api/v1/import/prometheus?extra_label=job=driftline", b"".join(scrapes))
    database.flush()


def write_plant_to_influxdb(settings: SinkSettings) -> None:
    """The same into an InfluxDB, its service's figures as Flux's `prometheus.scrape` writes them."""
    with InfluxSink(settings) as sink:
        scrapes = simulate_plant(sink.write)
    lines = [_scraped_line(line.decode()) for scrape in scrapes for line in scrape.splitlines()]
    with InfluxDBClient(settings.url, token="-", org=settings.org) as client:
        client.write_api(write_options=SYNCHRONOUS).write(settings.bucket, record=lines, write_precision="ms")


def _scraped_line(sample: str) -> str:
    name, labels, value, time_ms = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+) (\d+)", sample).groups()  # type: ignore[union-attr]
    tags = "".join(f",{key}={text}" for key, text in re.findall(r'(\w+)="([^"]*)"', labels or ""))
    return f"prometheus{tags} {name}={float(value)} {time_ms}"


class _Pipeline:
    """The engine over the fleet's messages, and what a service around it would show."""

    def __init__(self, write: Callable[[StepOutput], object]) -> None:
        config = parse_config(
            '[[routes]]\nname="status"\nfilter="plant/+/+/status"\nignore=["plant/+/+/status"]\n' + _ROUTES
        )
        self._write = write
        self._engine = Engine(config.routes, config.detectors, config.alarm, config.limits)
        self._view = ReplayView(self._engine)
        self._registry = CollectorRegistry()
        self._registry.register(LedgerCollector(self._view))  # type: ignore[arg-type]
        ProcessCollector(registry=self._registry)
        self._offset = self._arrival = 0
        self._known: dict[str, tuple[bool, int]] = {}

    def step(self, messages: list[tuple[bytes, bytes]], at: int) -> None:
        """Let the messages arrive at a time (ns), and write what the engine makes of them."""
        self._arrival = max(self._arrival, at)
        rows = [(topic, payload, self._arrival + i, 0) for i, (topic, payload) in enumerate(messages)]
        self._arrival += len(rows)
        chunk = MessageChunk.of(rows, ticked_at=self._arrival)
        output = self._engine.step(JournalEntry(self._engine.position, self._offset, chunk))
        self._offset += len(rows)
        self._view.take(output)
        self._view.now = at
        for state in self._view.device_states():
            seen = (state.life is DeviceLife.ONLINE, state.open_alarms)
            if self._known.get(state.device) != seen:
                self._known[state.device] = seen
                output.devices.append(DevicePresence(state.device, at, *seen))
        self._write(output)

    def scrape(self, tick: int) -> bytes:
        """The service's figures at a tick."""
        return _scrape(self._registry, tick)


def simulate_plant(write: Callable[[StepOutput], object], *, devices: int = 20) -> list[bytes]:
    """Simulate the fleet up to END: a backlog first, then live, with random faults all along, a few broken messages.

    Returns what a scrape of the service's figures gives every ten seconds, in Prometheus' text format with times.
    """
    settings = SimulatorSettings(devices=devices, history=BACKLOG, fault_every="25s")
    end = END * SECOND
    live = end - LIVE_SECONDS * SECOND
    first = live - parse_duration(BACKLOG)
    tick = first // settings.interval_ns + 1
    fleet = Fleet(settings, start_tick=tick)
    random = Random(
        fleet.targets,
        np.random.default_rng(7),
        first=first,
        now=live,
        interval=settings.interval_ns,
        every=parse_duration(settings.fault_every),
    )
    last = [Fault(d, m, k, end - s * SECOND, end + 60 * SECOND, strength) for d, m, k, s, strength in LAST_FAULTS]
    plan = _Plans(random, last)
    fleet.follow(plan)
    pipeline = _Pipeline(write)
    scrapes: list[bytes] = []
    while tick * SECOND < live:
        ticks = min(300, live // SECOND - tick)
        messages = [m for block in fleet.block(tick, ticks) for _, m in array_messages(block, readings=60)]
        tick += ticks
        # At once, as the simulator tells it: no device is slow by its backlog.
        pipeline.step([*_labels(fleet), *messages], live)
    plan.begin_live(live)
    while tick < END:
        waiting = [m for block in fleet.block(tick, LIVE_STEP) for m in single_messages(block)]
        tick += LIVE_STEP
        broken = [(b"plant/hall-1/press-01", b'{"ts":"now","temperature":')] * (tick % 60 < LIVE_STEP)
        broken += [(b"plant/yard/weather-01/status", b"up")]
        pipeline.step([*_labels(fleet), *broken, *(m for _, m in sorted(waiting))], tick * SECOND)
        if tick % SCRAPE_EVERY == 0:
            scrapes.append(pipeline.scrape(tick))
    return scrapes


def _labels(fleet: Fleet) -> list[tuple[bytes, bytes]]:
    return [(TRUTH + b"/" + fleet.topic(fault.device), truth_message(fault)) for fault in fleet.begun_faults()]


def _scrape(registry: CollectorRegistry, at: int) -> bytes:
    """What a scrape at that time gives, each sample with its time in ms."""
    lines = [line for line in generate_latest(registry).splitlines() if line and not line.startswith(b"#")]
    return b"".join(line + b" %d\n" % (at * 1000) for line in lines)


def main() -> None:
    """Serve the simulated plant until interrupted: `python tests/support/simulated_plant.py FOLDER PORT`."""
    import sys  # noqa: PLC0415

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with running_victoria_metrics(folder, int(sys.argv[2])) as database:
        begun = time.monotonic()
        write_plant(database)
        print(f"{os.getpid()}: {database.url}, written in {time.monotonic() - begun:.1f} s", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
