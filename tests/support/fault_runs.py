"""What the fault tests share: a service to kill, and publishers that number messages."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from firmware_sim.publisher import BrokerAddress, Publisher
from prometheus_client.parser import text_string_to_metric_families

from common.storage_errors import StorageCorruptError
from storage.embedded.database import EmbeddedStore
from storage.journal.sqlite_journal import SqliteJournal
from storage.store import JournalEntry

WaitUntil = Callable[..., None]

STEP_MS = 50
_KILLED_AT = str(Path(__file__).with_name("killed_at.py"))
_JUMPING_CLOCK = str(Path(__file__).with_name("jumping_clock.py"))


class KillableService:
    """A real `driftline up` on one data folder, started and ended as often as a test likes."""

    def __init__(self, folder: Path, wait_until: WaitUntil) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data = folder / "var"
        self.config = folder / "driftline.toml"
        self.clock_file: Path | None = None
        """Where set, the service's wall clock is ahead by what stands there (`jumping_clock.set_offset`)."""
        self.kills = 0
        self.starts = 0
        self._wait_until = wait_until
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, broker_url: str, text: str = "") -> None:
        """Write the configuration: this broker, and more sections of TOML."""
        temporary = self.config.with_suffix(".tmp")
        temporary.write_text(f'[broker]\nurl = "{broker_url}"\nclient_id = "driftline-faults"\n{text}')
        temporary.replace(self.config)

    def spawn(self, *, killed_at: str = "", times: int = 1) -> None:
        """Start the process and wait for nothing; it may be one that dies at a named point (`killed_at`)."""
        program = ["-m", "driftline"]
        if killed_at:
            program = [_KILLED_AT, killed_at, str(times)]
        elif self.clock_file is not None:
            program = [_JUMPING_CLOCK, str(self.clock_file)]
        command = [sys.executable, *program, "up", "--data", str(self.data), "--config", str(self.config)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", "0"], stdout=log, stderr=log, env={**os.environ, "COLUMNS": "400"}
            )
        self.starts += 1

    def await_kill(self, point: str, *, within: float = 240) -> None:
        """Wait until the process has died at the point that it was started for."""
        self._wait_until(lambda: not self.alive, within=within, what=f"a kill at: {point}")
        assert self._process is not None
        assert self._process.returncode == -signal.SIGKILL, self.log
        self.kills += 1

    def start(self) -> None:
        """Start the service, and wait until it listens to the broker."""
        self.spawn()
        self._wait_until(lambda: not self.alive or self.listens, within=300, what="the start")
        assert self.alive, self.log

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self) -> None:
        """`kill -9`."""
        self.end(signal.SIGKILL)
        self.kills += 1

    def end(self, number: int = signal.SIGTERM, *, within: float = 180) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        assert self._process is not None
        if self.alive:
            self._process.send_signal(number)
        return self._process.wait(within)

    def stop_and_measure(self) -> tuple[int, float, float]:
        """SIGTERM: exit code, seconds to the end, and seconds of these that its threads waited for a processor."""
        assert self._process is not None
        began, before, delay = time.monotonic(), self._run_delay(), 0.0
        self._process.send_signal(signal.SIGTERM)
        while self._process.poll() is None and time.monotonic() < began + 120:
            delay = max(delay, self._run_delay() - before)
            time.sleep(0.02)
        return self._process.wait(1), time.monotonic() - began, delay

    def _run_delay(self) -> float:
        """Seconds that the threads there are now were ready to run and did not (proc(5), schedstat)."""
        total = 0
        for path in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError, IndexError):
                total += int(path.read_text().split()[1])
        return total / 1e9

    @property
    def address(self) -> tuple[str, int]:
        """Where the running service's HTTP server listens."""
        url = urlsplit(json.loads((self.data / "service.json").read_text())["url"])
        assert url.hostname is not None
        assert url.port is not None
        return url.hostname, url.port

    def fetch(self, path: str) -> str | None:
        """What the running service answers under this path; None while it does not."""
        try:
            service = json.loads((self.data / "service.json").read_text())
            if service["pid"] != self.pid:
                return None
            return httpx.get(f"{service['url']}/{path}", timeout=240, trust_env=False).text
        except (OSError, ValueError, httpx.HTTPError):
            return None

    def get(self, path: str) -> Any:
        """The API's reply; None while it does not answer."""
        text = self.fetch(f"api/v1/{path}")
        return None if text is None else json.loads(text)

    def stage(self, name: str) -> str | None:
        """How a stage stands; None while the API does not answer."""
        health = self.get("health")
        return next((str(s["status"]) for s in health["stages"] if s["stage"] == name), None) if health else None

    @property
    def listens(self) -> bool:
        """Whether the broker has confirmed the session and its subscriptions."""
        health = self.get("health")
        return bool(health) and any(
            s["stage"] == "broker" and s["message"].startswith("running") for s in health["stages"]
        )

    def settled(self, messages: int) -> bool:
        """Whether so many messages have arrived, redelivered ones aside, and all readings are in their place."""
        counts = self.get("counts")
        if not counts:
            return False
        arrived = counts["messages"] - counts["redelivered"]
        return bool(arrived >= messages and counts["lag_messages"] == 0 and counts["in_flight"] == 0)

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the process."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class NumberedPublisher:
    """Publishes numbered readings of several devices at QoS 1 from a thread; `delivered` are those with a PUBACK.

    Message `n` of a device carries its number, its own time, and a value with a spike now and then. The first
    `untimed` devices have no clock: their messages carry no time.
    """

    def __init__(
        self,
        url: str,
        *,
        messages: int,
        devices: int = 20,
        rate: float = math.inf,
        start_ms: int | None = None,
        untimed: int = 0,
    ) -> None:
        self.messages = messages
        self.error: BaseException | None = None
        self.devices = devices
        self._rate = rate
        self.start_ms = start_ms if start_ms is not None else time.time_ns() // 1_000_000 - 6 * 3600 * 1000
        self._untimed = untimed
        self._enough = threading.Event()
        self._paused = threading.Event()
        self._quiet = threading.Event()
        self._stop = threading.Event()
        self._publisher = Publisher(
            BrokerAddress.parse(url), client_id="numbered", in_flight=500, say=lambda _: None, stop=self._stop
        )
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> NumberedPublisher:
        self._thread.start()
        return self

    @property
    def delivered(self) -> int:
        return self._publisher.acknowledged

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def finish(self, within: float = 300) -> int:
        """Wait until every message has its PUBACK; returns how many."""
        self._thread.join(within)
        assert self.done, f"{self.delivered} of {self.messages} messages have a PUBACK after {within:g} s"
        assert self.error is None, self.error
        assert self.delivered == self.messages
        return self.delivered

    def end_early(self) -> int:
        """Publish no more, and wait until everything that was published has its PUBACK; returns how many."""
        self._enough.set()
        return self.finish()

    @contextlib.contextmanager
    def paused(self, within: float = 240) -> Iterator[int]:
        """Publish nothing meanwhile; gives how many messages have their PUBACK, which are all that were sent."""
        self._quiet.clear()
        self._paused.set()
        assert self._quiet.wait(within), "acknowledgements are missing"
        try:
            yield self.delivered
        finally:
            self._paused.clear()

    def message(self, number: int) -> tuple[bytes, bytes]:
        """Topic and payload of one message."""
        n, device = divmod(number, self.devices)
        value = 20 + math.sin(n / 20) + (number * 2654435761 % 1000) / 2000 + (40 if n % 500 == 300 + device else 0)
        time = "" if device < self._untimed else f'"ts":{self.start_ms + n * STEP_MS},'
        body = f'{{{time}"n":{n},"v":{value:.3f}}}'
        return b"plant/d%d" % device, body.encode()

    def _run(self) -> None:
        try:
            with self._publisher as publisher:
                publisher.open(retry=True)
                began, sent = time.monotonic(), 0
                while sent < self.messages and not self._enough.is_set():
                    if self._paused.is_set():
                        if self._quiet.is_set() or publisher.drain(1):
                            self._quiet.set()
                        publisher.pump(0.05)
                        began += 0.05
                        continue
                    batch = [self.message(i) for i in range(sent, min(self.messages, sent + 200))]
                    publisher.send(batch)
                    sent += len(batch)
                    publisher.pump(max(0.0, sent / self._rate - (time.monotonic() - began)))
                self.messages = sent
                assert publisher.drain(120), "acknowledgements are missing"
        except BaseException as error:
            self.error = error


class CountsWatch:
    """Reads `/api/v1/counts` and `/metrics` again and again while it is entered: every answer's sum has to close."""

    def __init__(self, service: KillableService) -> None:
        self.answers = 0
        self.wrong: list[str] = []
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> CountsWatch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        self._thread.join(180)
        if kind is None:
            assert not self.wrong, self.wrong[:5]

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            for path, sums in (("api/v1/counts", self._of_counts), ("metrics", self._of_metrics)):
                text = self._service.fetch(path) if self._service.starts else None
                if text is not None:
                    received, placed = sums(text)
                    self.answers += 1
                    if received != placed:
                        self.wrong.append(f"received {received}, in its places {placed}: {text}")

    def _of_counts(self, text: str) -> tuple[float, float]:
        counts = json.loads(text)
        placed = sum(counts[name] for name in ("stored", "duplicates", "late", "in_flight"))
        return counts["received"], placed + sum(counts["rejected"].values()) + sum(counts["dropped"].values())

    def _of_metrics(self, text: str) -> tuple[float, float]:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        places = ("points_total", "rejected_total", "dropped_total", "in_flight")
        of = {
            name: sum(s.value for s in samples if s.name == f"driftline_{name}") for name in (*places, "readings_total")
        }
        return of["readings_total"], sum(of[name] for name in places)


class JournalTail:
    """Copies a journal's entries as they come, so that they can be replayed after compaction has removed them."""

    def __init__(self, path: Path) -> None:
        self.entries: list[JournalEntry] = []
        self.error: BaseException | None = None
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> JournalTail:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(180)
        if self.error is None:
            self._catch_up()

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.1):
                self._catch_up()
        except BaseException as error:
            self.error = error

    def _catch_up(self) -> None:
        if not self._path.exists():
            return
        try:
            with SqliteJournal(self._path, read_only=True) as journal:
                self.entries.extend(journal.read(len(self.entries)))
        except (OSError, ValueError):
            return  # the file is just being made, or its last writer was just killed
        except StorageCorruptError as error:
            if "is not a Driftline" not in str(error):  # its tables are not made yet
                raise


def assert_each_once(database: Path, publisher: NumberedPublisher, delivered: int) -> None:
    """Every delivered message is stored exactly once, with its own number."""
    with EmbeddedStore(database, read_only=True) as store, store._cursor() as cursor:
        rows = cursor.execute(
            "SELECT device, count(*), count(DISTINCT value), min(value), max(value) FROM points "
            "WHERE metric = 'n' GROUP BY device"
        ).fetchall()
    assert len(rows) == publisher.devices
    for device, count, distinct, low, high in rows:
        number = int(device.removeprefix("plant/d"))
        expected = len(range(number, delivered, publisher.devices))
        assert (count, distinct, low, high) == (expected, expected, 0, expected - 1), device
