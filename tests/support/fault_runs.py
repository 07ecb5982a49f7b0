"""What the fault tests share: a service to kill, publishers that number messages, and the run without any fault."""

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import orjson
from firmware_sim.publisher import BrokerAddress, Publisher
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from common.storage_errors import StorageCorruptError
from devices.records import SeriesRecord
from driftline.config import Config, load_config
from driftline.runtime.recovery import engine_of_settings, new_engine
from driftline.runtime.store_worker import flattened
from driftline.runtime.warm_start import warm_start
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.journal.sqlite_journal import SqliteJournal
from storage.snapshots import SnapshotStore
from storage.store import JournalEntry, StepOutput

WaitUntil = Callable[..., None]

STEP_MS = 50
_KILLED_AT = str(Path(__file__).with_name("killed_at.py"))
_JUMPING_CLOCK = str(Path(__file__).with_name("jumping_clock.py"))
TABLES = {
    "points": "SELECT * FROM stored.point ORDER BY ALL",
    "series": "SELECT * FROM stored.series ORDER BY ALL",
    "alarms": "SELECT * FROM stored.alarm ORDER BY ALL",
    "counts": "SELECT name, value FROM counts WHERE value <> 0 ORDER BY ALL",
}
_LETTERS = "dead letters"


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

    def await_kill(self, point: str, *, within: float = 120) -> None:
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

    def end(self, number: int = signal.SIGTERM, *, within: float = 60) -> int:
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
            return httpx.get(f"{service['url']}/{path}", timeout=20, trust_env=False).text
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
    def paused(self, within: float = 120) -> Iterator[int]:
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
        self._thread.join(30)
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
        self._thread.join(20)
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


def entries_of(path: Path) -> list[JournalEntry]:
    """All entries of a journal file."""
    with SqliteJournal(path, read_only=True) as journal:
        return list(journal.read(journal.first_position))


class SettingsTrail:
    """The settings that the service's snapshots name, by the journal position from which each was in force."""

    def __init__(self, service: KillableService) -> None:
        self._path = service.data / "snapshots.db"
        self.changes: Changes = {0: [settings_of(load_config(service.config))]}

    def note(self) -> None:
        """Look at the newest snapshot. Needed at least once between two changes."""
        with SnapshotStore(self._path) as snapshots:
            saved = snapshots.load()
        if saved is not None:
            note_change(self.changes, saved.meta["settings_from"], saved.meta["settings"])


def settings_of(config: Config) -> Mapping[str, Any]:
    """The settings that an engine of this configuration has."""
    return new_engine(config, []).settings


Changes = dict[int, list[Mapping[str, Any]]]
"""By journal position: the settings put in force there, one after the other."""


def note_change(changes: Changes, position: int, settings: Mapping[str, Any]) -> None:
    """Note that `settings` are in force from `position` on; before the first entry only the last ones count."""
    there = changes.setdefault(position, [])
    if position == 0:
        there.clear()
    if there[-1:] != [settings]:
        there.append(settings)


def undisturbed(
    entries: Iterable[JournalEntry], changes: Changes, database: Path, *, together: int = 64
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Replay a journal into an empty database in one go; returns the engine's state at the end.

    Each of the `changes` is put in place as a reload does it.
    """
    engine = _engine_from(changes[0][-1])
    with EmbeddedStore(database) as store:
        waiting: list[StepOutput] = []
        for entry in entries:
            waiting.append(engine.step(entry))
            if len(waiting) == together:
                store.commit(StepOutput.merged(waiting))
                waiting.clear()
            if engine.position in changes:
                if waiting:
                    store.commit(StepOutput.merged(waiting))
                    waiting.clear()
                for settings in changes[engine.position]:
                    new = _engine_from(settings, engine.registry.records)
                    arrays, rest = engine.state()
                    warm_start(new, new.load(engine.position, arrays, rest), arrays, store, lambda _: None)
                    engine = new
        if waiting:
            store.commit(StepOutput.merged(waiting))
    arrays, rest = engine.state()
    return flattened(arrays), rest


def _engine_from(settings: Mapping[str, Any], known: Sequence[SeriesRecord] = ()) -> Engine:
    engine = engine_of_settings(settings, known)
    assert engine is not None, settings
    return engine


def tables_of(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table of a database as rows that compare equal where the stored bytes are equal."""
    with EmbeddedStore(database, read_only=True) as store, store._cursor() as cursor:
        tables = {name: cursor.execute(sql).fetchall() for name, sql in TABLES.items()}
        tables[_LETTERS] = [astuple(each) for each in store._letters.newest(1_000_000)]
    return {name: [tuple(map(repr, row)) for row in rows] for name, rows in tables.items()}


def differences_of_tables(one: Path, other: Path) -> list[str]:
    """What differs between two databases, a line each; empty where they hold the same."""
    found = []
    left, right = tables_of(one), tables_of(other)
    for name in (*TABLES, _LETTERS):
        if left[name] != right[name]:
            only_left, only_right = set(left[name]) - set(right[name]), set(right[name]) - set(left[name])
            found.append(
                f"{name}: {len(left[name])} rows and {len(right[name])}; only in the first {sorted(only_left)[:3]}, "
                f"only in the second {sorted(only_right)[:3]}"
            )
    return found


def differences_of_state(saved: Mapping[str, NDArray[Any]], whole: Mapping[str, NDArray[Any]]) -> list[str]:
    """What differs between two engine states, bit for bit; arrays may have different room at their ends."""
    found = [f"part {name} is in one only" for name in saved.keys() ^ whole.keys()]
    for name in saved.keys() & whole.keys():
        left, right = saved[name], whole[name]
        if left.dtype != right.dtype or left.shape[1:] != right.shape[1:]:
            found.append(f"{name}: {left.dtype}{left.shape} and {right.dtype}{right.shape}")
            continue
        rows = min(len(left), len(right)) if left.ndim else 0
        if left.ndim == 0 or left[:rows].tobytes() != right[:rows].tobytes():
            if left.tobytes() != right.tobytes():
                found.append(f"{name}: values differ")
            continue
        for rest in (left[rows:], right[rows:]):
            if len(rest) and rest.tobytes() != np.broadcast_to(rest[:1], rest.shape).tobytes():
                found.append(f"{name}: {len(rest)} rows in one only, and they are not empty ones")
    return found


def newest_snapshot(path: Path) -> tuple[int, dict[str, NDArray[Any]], dict[str, Any]]:
    """Position, arrays and the rest of the newest snapshot."""
    with SnapshotStore(path) as snapshots:
        saved = snapshots.load()
    assert saved is not None
    return saved.position, saved.parts, saved.meta


def assert_undisturbed(
    service: KillableService,
    entries: list[JournalEntry],
    scratch: Path,
    changes: Changes | None = None,
) -> None:
    """The ended service's tables and state are those of one undisturbed run over the same journal, bit for bit."""
    position, arrays, rest = newest_snapshot(service.data / "snapshots.db")
    assert position == len(entries), "the last snapshot does not stand at the journal's end"
    changes = changes or {0: [settings_of(load_config(service.config))]}
    whole_arrays, whole_rest = undisturbed(entries, changes, scratch)
    found = differences_of_tables(service.data / "points.duckdb", scratch)
    found += differences_of_state(arrays, whole_arrays)
    found += [] if _without_own(rest) == _without_own(whole_rest) else [f"{rest} and {whole_rest}"]
    assert not found, "\n".join(found)


def _without_own(rest: Mapping[str, Any]) -> dict[str, Any]:
    """The alarms of an engine's state; what JSON has no word for, as it is read back."""
    return {name: json.loads(orjson.dumps(rest[name])) for name in ("next_alarm", "open_alarms")}


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
