"""`make chaos`: random faults of all kinds for some minutes, against what must be there in the end.

Every numbered message that has its PUBACK is stored once and waits once for an external database that is away all the
while, and every hostile message has its place. The seed is printed; `DRIFTLINE_FAULTS_SEED` repeats the order of
faults. A seed that fails becomes a test of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from fault_runs import KillableService, NumberedPublisher, assert_each_once
from firmware_sim.publisher import BrokerAddress, Publisher
from jumping_clock import set_offset

from storage.embedded.database import EmbeddedStore
from storage.external.spool import Spool

MINUTES = float(os.environ.get("DRIFTLINE_CHAOS_MINUTES", "0"))

pytestmark = [
    pytest.mark.faults,
    pytest.mark.service("mosquitto"),
    pytest.mark.timeout(60 * MINUTES + 900),
    pytest.mark.skipif(not MINUTES, reason="a run of its own: make chaos"),
]

HOSTILE = (
    b"," * 65_535,
    b"[" * 50_000,
    json.dumps([n + 0.5 for n in range(8_000)]).encode(),
    json.dumps({f"m{n}": None for n in range(2_000)}).encode(),
    bytes(range(256)) * 1_200,
    b'{"ts": 1e300, "v": 1}',
    b'{"v": NaN, "\\u0000": 1e999}',
    b"\x1b[2J=cmd|' /C calc'!A0",
    b"",
    bytes(2 << 20),
)

WRONG = ('[[routes]]\nfilter = "#"\ncodec = "[/x]"\n', "[alarm\n", "\x00", "[alarm]\nx = 1\n")
DAY = 86_400
CLIENT = "driftline-faults"
SETTINGS = """
[snapshot]
every = "5s"
[journal]
max_bytes = 134217728
[store]
compact_rows = 20000
[limits]
# Hostile payloads invent series for as long as they may, and four snapshots of these have to fit the small disk.
max_series = 4000
[[sinks]]
name = "away"
url = "http://127.0.0.1:9"
"""


class Chaos:
    """One service, its broker, and what is done to them."""

    def __init__(
        self,
        service: KillableService,
        mosquitto: Any,
        publisher: NumberedPublisher,
        random: Random,
        wait_until: Any,
        *,
        small_disk: bool,
    ) -> None:
        self.service, self.mosquitto, self.publisher, self.random = service, mosquitto, publisher, random
        self.wait_until = wait_until
        self.hostile = 0
        self._sockets: list[socket.socket] = []
        self.faults: tuple[Callable[[], None], ...] = (
            self.kill,
            self.kill,
            self.stop_and_start,
            self.restart_the_broker,
            self.publish_what_is_hostile,
            self.publish_what_is_hostile,
            self.reload,
            self.configure_wrongly,
            self.stand_still,
            self.swap_the_broker,
            self.jump_the_clock,
            self.damage_the_newest_snapshot,
            self.lose_the_snapshots,
            self.damage_the_dead_letters,
            self.damage_a_small_file,
            self.ask_for_much_and_take_nothing,
            *((self.fill_the_disk, self.kill_on_a_full_disk) if small_disk else ()),
        )

    def has(self, delivered: int) -> bool:
        """Whether the service has read and stored all that was delivered.

        Messages alone do not tell: one that its publisher sends again, since the broker went away before the PUBACK,
        arrives twice, so that as many may have come while others still wait at the broker.
        """
        if not self.service.settled(delivered + self.hostile):
            return False
        host, port = self.service.address
        question = {"sql": "SELECT count(*) FROM points WHERE metric = 'n'"}
        try:
            answer = httpx.post(f"http://{host}:{port}/api/v1/query", json=question, timeout=240, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.is_success and bool(answer.json()["rows"][0][0] >= delivered)

    def kill(self) -> None:
        self.service.kill()
        self.service.start()

    def stop_and_start(self) -> None:
        assert self.service.end() == 0, self.service.log
        self.service.start()

    def restart_the_broker(self) -> None:
        self.mosquitto.stop(signal.SIGTERM)
        time.sleep(self.random.uniform(0, 2))
        self.mosquitto.start()

    def publish_what_is_hostile(self) -> None:
        messages = [(b"hostile/%d/%d" % (self.random.randrange(5), n), self.random.choice(HOSTILE)) for n in range(20)]
        with Publisher(BrokerAddress.parse(self.mosquitto.url), client_id="hostile", say=lambda _: None) as publisher:
            publisher.open()
            publisher.send(messages)
            assert publisher.drain(60)
        self.hostile += len(messages)

    def reload(self) -> None:
        alarm = f"[alarm]\nclear_readings = {self.random.randrange(5, 50)}\n"
        self.service.configure(self.mosquitto.url, SETTINGS + alarm)

    def configure_wrongly(self) -> None:
        wrong = self.random.choice(
            ('[[routes]]\nfilter = "#"\ncodec = "[/x]"\n', "[alarm\n", "\x00", "[alarm]\nx = 1\n")
        )
        refused = self._refused_configurations()
        self.service.configure(self.mosquitto.url, SETTINGS + wrong)
        self.wait_until(
            lambda: not self.service.alive or self._refused_configurations() > refused,
            within=240,
            what="the refusal of a wrong configuration",
        )
        self.service.configure(self.mosquitto.url, SETTINGS)

    def _refused_configurations(self) -> int:
        return " ".join(self.service.log.split()).count("stays as it was")

    def stand_still(self) -> None:
        os.kill(self.service.pid, signal.SIGSTOP)
        time.sleep(self.random.uniform(0.1, 3))
        os.kill(self.service.pid, signal.SIGCONT)

    def swap_the_broker(self) -> None:
        """Another broker takes its place, which knows no session, and gives its identifiers out anew."""
        with self.publisher.paused() as delivered:
            self.wait_until(lambda: self.has(delivered), within=300, what="all messages")
            self.mosquitto.stop(signal.SIGTERM)
            (self.mosquitto.folder / "mosquitto.db").unlink()
            self.mosquitto.start()
            connected = f"as {CLIENT} "
            self.wait_until(lambda: connected in self.mosquitto.log, within=240, what="the session at the new broker")
            self.wait_until(lambda: self.service.listens, within=240, what="the subscriptions at the new broker")

    def jump_the_clock(self) -> None:
        """Ahead or back, for a while in which it may be killed too; then it is right again."""
        assert self.service.clock_file is not None
        jump = self.random.choice((-40 * DAY, -600, 600, 40 * DAY, 4000 * DAY))
        set_offset(self.service.clock_file, jump)
        time.sleep(self.random.uniform(0.5, 4))
        if self.random.random() < 0.5:
            self.kill()
        set_offset(self.service.clock_file, 0)

    def fill_the_disk(self) -> None:
        ballast = self._fill()
        time.sleep(self.random.uniform(0.5, 8))
        assert self.service.alive, self.service.log
        ballast.unlink()

    def kill_on_a_full_disk(self) -> None:
        ballast = self._fill()
        time.sleep(self.random.uniform(0.5, 8))
        self.service.kill()
        ballast.unlink()
        self.service.start()

    def _fill(self) -> Path:
        ballast = self.service.data / "ballast"
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 24, 1 << 16, 4096):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass
        return ballast

    def lose_the_snapshots(self) -> None:
        assert self.service.end() == 0, self.service.log
        (self.service.data / "snapshots.db").unlink()
        self.service.start()

    def damage_a_small_file(self) -> None:
        assert self.service.end() == 0, self.service.log
        name = self.random.choice(("clock.json", "upstream.json", "sinks.json", "losses.json"))
        (self.service.data / name).write_bytes(self.random.randbytes(self.random.randrange(200)))
        self.service.start()

    def damage_the_newest_snapshot(self) -> None:
        assert self.service.end() == 0, self.service.log
        with contextlib.closing(sqlite3.connect(self.service.data / "snapshots.db")) as database, database:
            kept = database.execute("SELECT count(*) FROM snapshot").fetchone()[0]
            if kept > 1:
                database.execute(
                    "UPDATE block SET data = zeroblob(length(data)) WHERE part IN "
                    "(SELECT id FROM part WHERE snapshot = (SELECT max(id) FROM snapshot))"
                )
        self.service.start()

    def damage_the_dead_letters(self) -> None:
        assert self.service.end() == 0, self.service.log
        (self.service.data / "points.dead-letters.db").write_bytes(b"damaged" * 1_000)
        self.service.start()

    def ask_for_much_and_take_nothing(self) -> None:
        address = self.service.address
        slow = b'{"sql": "SELECT count(*) FROM range(1000000000000) t(a) WHERE a % 7 = 3"}'
        head = b"POST /api/v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        for request in (
            b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
            head + b"Content-Length: %d\r\n\r\n" % len(slow) + slow,
            b"GET /api/v1/",
        ):
            with contextlib.suppress(OSError):
                asking = socket.create_connection(address, timeout=5)
                asking.sendall(request)
                self._sockets.append(asking)
        for old in self._sockets[:-12]:
            old.close()
        del self._sockets[:-12]


@pytest.fixture
def small_disk(service: KillableService) -> Iterator[bool]:
    """Whether the data folder lies on a file system of its own, which a test may fill: where one may be mounted."""
    service.data.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=768m", "tmpfs", str(service.data)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    yield mounted
    if service.alive:
        service.kill()
    if mounted:
        subprocess.run(["umount", "-l", str(service.data)], check=True)


def test_chaos(
    service: KillableService,
    mosquitto: Any,
    small_disk: bool,
    tmp_path: Path,
    wait_until: Any,
    extent: Any,
    report: Any,
) -> None:
    random = Random(extent.seed)
    print(f"\nchaos for {MINUTES:g} minutes, DRIFTLINE_FAULTS_SEED={extent.seed}", flush=True)
    if not small_disk:
        print("no file system may be mounted here: the disk is never full", flush=True)
    service.clock_file = tmp_path / "clock"
    set_offset(service.clock_file, 0)
    service.configure(mosquitto.url, SETTINGS)
    service.start()
    publisher = NumberedPublisher(mosquitto.url, messages=100_000_000, rate=200).start()
    chaos = Chaos(service, mosquitto, publisher, random, wait_until, small_disk=small_disk)
    until = time.monotonic() + 60 * MINUTES
    done: Counter[str] = Counter()
    while time.monotonic() < until:
        time.sleep(random.uniform(0.2, 6))
        fault = random.choice(chaos.faults)
        print(f"{time.strftime('%H:%M:%S')} {fault.__name__}, {publisher.delivered} delivered", flush=True)
        assert service.alive, service.log
        assert not publisher.done, publisher.error
        fault()
        done[fault.__name__] += 1
    delivered = publisher.end_early()
    wait_until(lambda: chaos.has(delivered), within=300, what="everything in its place")
    assert service.end() == 0, service.log
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    assert waiting_numbers(service.data) == delivered
    report("chaos", minutes=MINUTES, faults=sum(done.values()), delivered=delivered, lost=0, doubled=0, **done)


def waiting_numbers(folder: Path) -> int:
    """How many messages' numbers wait in the spool for the database that is away, none of them twice."""
    with EmbeddedStore(folder / "points.duckdb", read_only=True) as store:
        counters = {record.series for record in store.series() if record.metric == "n"}
    found: set[tuple[int, float]] = set()
    with Spool(folder / "spool.db", ["away"]) as spool:
        for _, output in spool.read("away"):
            points = output.points
            for series, value in zip(points.series.tolist(), points.value.tolist(), strict=True):
                if series in counters:
                    assert (series, value) not in found, (series, value)
                    found.add((series, value))
    return len(found)
