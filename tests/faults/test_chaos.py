"""`make chaos`: random faults of all kinds for some minutes, against what must be there in the end.

The seed is printed; `DRIFTLINE_FAULTS_SEED` repeats the order of faults. A seed that fails becomes a test of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from fault_runs import KillableService, NumberedPublisher, assert_each_once
from firmware_sim.publisher import BrokerAddress, Publisher

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
)


class Chaos:
    """One service, its broker, and what is done to them."""

    def __init__(self, service: KillableService, mosquitto: Any, random: Random) -> None:
        self.service, self.mosquitto, self.random = service, mosquitto, random
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
            self.damage_the_newest_snapshot,
            self.damage_the_dead_letters,
            self.ask_for_much_and_take_nothing,
        )

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
        messages = [(b"hostile/%d/%d" % (self.random.randrange(50), n), self.random.choice(HOSTILE)) for n in range(20)]
        with Publisher(BrokerAddress.parse(self.mosquitto.url), client_id="hostile", say=lambda _: None) as publisher:
            publisher.open()
            publisher.send(messages)
            assert publisher.drain(60)
        self.hostile += len(messages)

    def reload(self) -> None:
        self.service.configure(self.mosquitto.url, f"[alarm]\nclear_after = {self.random.randrange(5, 50)}\n")

    def configure_wrongly(self) -> None:
        self.service.configure(self.mosquitto.url, '[[routes]]\nfilter = "#"\ncodec = "[/x]"\n')
        time.sleep(2)
        self.service.configure(self.mosquitto.url)

    def stand_still(self) -> None:
        os.kill(self.service.pid, signal.SIGSTOP)
        time.sleep(self.random.uniform(0.1, 3))
        os.kill(self.service.pid, signal.SIGCONT)

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
        address = urlsplit(json.loads((self.service.data / "service.json").read_text())["url"])
        slow = b'{"sql": "SELECT count(*) FROM range(1000000000000) t(a) WHERE a % 7 = 3"}'
        head = b"POST /api/v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        for request in (
            b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
            head + b"Content-Length: %d\r\n\r\n" % len(slow) + slow,
            b"GET /api/v1/",
        ):
            with contextlib.suppress(OSError):
                asking = socket.create_connection((address.hostname, address.port), timeout=5)
                asking.sendall(request)
                self._sockets.append(asking)
        for old in self._sockets[:-12]:
            old.close()
        del self._sockets[:-12]


def test_chaos(service: KillableService, mosquitto: Any, wait_until: Any, extent: Any, report: Any) -> None:
    random = Random(extent.seed)
    print(f"\nchaos for {MINUTES:g} minutes, DRIFTLINE_FAULTS_SEED={extent.seed}", flush=True)
    service.configure(mosquitto.url)
    service.start()
    chaos = Chaos(service, mosquitto, random)
    publisher = NumberedPublisher(mosquitto.url, messages=100_000_000, rate=200).start()
    until = time.monotonic() + 60 * MINUTES
    done: Counter[str] = Counter()
    while time.monotonic() < until:
        time.sleep(random.uniform(0.2, 6))
        fault = random.choice(chaos.faults)
        print(f"{time.strftime('%H:%M:%S')} {fault.__name__}", flush=True)
        assert service.alive, service.log
        fault()
        done[fault.__name__] += 1
    delivered = publisher.end_early()
    wait_until(lambda: service.settled(delivered + chaos.hostile), within=300, what="everything in its place")
    assert service.end() == 0, service.log
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    report("chaos", minutes=MINUTES, faults=sum(done.values()), delivered=delivered, lost=0, doubled=0, **done)
