"""Store, at run time: external databases, each with a thread and a cursor of its own behind the spool."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from common.durations import parse_duration
from common.storage_errors import StorageCorruptError, StorageFullError
from devices.records import SeriesRecord
from driftline.tracing.tracer import Tracer
from storage.external.sink_registry import SinkWriter, sink_kind
from storage.external.spool import RefusedLine, SinkLag, Spool
from storage.storage_settings import SinkSettings, SpoolSettings, read_token
from storage.store import DevicePresence, StepOutput

log = logging.getLogger(__name__)

_FIRST_WAIT_SECONDS = 0.5
_IDLE_SECONDS = 1.0
_PRESENCE_SECONDS = 5.0
_STOP_SECONDS = 2.0

Presence = tuple[Sequence[str], NDArray[np.bool_], NDArray[np.int64]]
"""Devices by name, whether each is heard from, and how many of its alarms are open."""


@dataclass(frozen=True, slots=True)
class SinkState:
    """How one external database stands: `trouble` is what keeps it from taking writes now, `fatal` what ended it."""

    name: str
    lag: SinkLag
    trouble: str | None
    fatal: str | None


class SinkWorker:
    """Writes what waits in the spool to one sink, in order, each write confirmed before the cursor moves.

    A sink in trouble is tried again after a wait that doubles up to `max_backoff` seconds, of which between half and
    all is taken at random, so that many clients do not come back at once. Trouble and its end are each said once.
    """

    def __init__(
        self,
        name: str,
        sink: SinkWriter,
        spool: Spool,
        *,
        say: Callable[[str], None],
        batch_points: int = 20_000,
        max_backoff: float = 30.0,
        chance: random.Random | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.name = name
        self._sink = sink
        self._spool = spool
        self._say = say
        self._batch_points = batch_points
        self._max_backoff = max_backoff
        self._chance = chance or random.Random()
        self._tracer = tracer
        self._trouble: str | None = None
        self._fatal: str | None = None
        self._since = 0.0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._drain_until = 0.0
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)

    def start(self) -> None:
        """Begin with what waits in the spool."""
        self._sink.open()
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the spool."""
        self._wake.set()

    def stop(self, *, seconds: float = _STOP_SECONDS) -> None:
        """Write what waits for at most `seconds` more, and end; the rest stays in the spool for the next start."""
        self._drain_until = monotonic() + seconds
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        self._sink.close()

    def state(self) -> SinkState:
        """How it stands now."""
        return SinkState(self.name, self._spool.lag(self.name), self._trouble, self._fatal)

    def _run(self) -> None:
        failures = 0
        try:
            while self._goes_on():
                self._wake.clear()
                # After trouble a single output is tried: a server that is too slow for many may manage one.
                batch = self._next_batch(1 if failures else self._batch_points)
                if batch is None:
                    if self._stopping.is_set():
                        return
                    self._wake.wait(_IDLE_SECONDS)
                elif self._write(*batch):
                    failures = 0
                else:
                    failures += 1
                    if self._stopping.wait(self._pause(failures)):
                        return
        except Exception as error:
            if not self._stopping.is_set():
                self._fatal = str(error) or repr(error)
                log.exception("sink %s has ended", self.name)

    def _goes_on(self) -> bool:
        return not self._stopping.is_set() or monotonic() < self._drain_until

    def _next_batch(self, most: int) -> tuple[int, StepOutput] | None:
        outputs: list[StepOutput] = []
        points, last = 0, 0
        for entry, output in self._spool.read(self.name):
            outputs.append(output)
            points, last = points + len(output.points), entry
            if points >= most or len(outputs) >= most:
                break
        return (last, StepOutput.merged(outputs)) if outputs else None

    def _write(self, entry: int, output: StepOutput) -> bool:
        begun = 0 if self._tracer is None else self._tracer.now()
        try:
            rejected = self._sink.write(output)
        except OSError as error:
            self._in_trouble(error)
            return False
        if self._tracer is not None:
            self._tracer.sunk(self.name, output, begun)
        refused = [RefusedLine(self.name, line.line, line.reason) for line in rejected]
        self._spool.advance(self.name, entry, refused, max(0, len(output.points) - len(refused)))
        if refused:
            log.warning("sink %s refused %d lines: %s: %s", self.name, len(refused), refused[0].reason, refused[0].line)
        self._out_of_trouble()
        return True

    def _in_trouble(self, error: OSError) -> None:
        if self._trouble is None:
            self._since = monotonic()
            self._say(f"sink {self.name}: {error}; what it misses waits in the spool")
        self._trouble = str(error)

    def _out_of_trouble(self) -> None:
        if self._trouble is not None:
            self._trouble = None
            waiting = self._spool.lag(self.name).points
            self._say(
                f"sink {self.name}: takes writes again after {monotonic() - self._since:.0f} s; "
                f"{waiting:,} points to catch up"
            )

    def _pause(self, failures: int) -> float:
        longest = min(self._max_backoff, _FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 30))
        return longest * self._chance.uniform(0.5, 1.0)


class Sinks:
    """All external databases behind one spool. Without any, and without a spool left behind, it is an empty shell."""

    def __init__(
        self,
        path: Path,
        settings: Sequence[SinkSettings],
        *,
        spool: SpoolSettings,
        say: Callable[[str], None],
        clock: Callable[[], int],
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._settings = settings
        self._say = say
        self._clock = clock
        self._spool = Spool(path, [each.name for each in settings], max_bytes=spool.max_bytes)
        self._workers: list[SinkWorker] = []
        self._watch: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def position(self) -> int:
        """The journal position up to which every output is in the spool; 0 without external databases."""
        return self._spool.position if self._workers else 0

    def open(self, series: Sequence[SeriesRecord], *, stored: int, journal_end: int, before: Sequence[str] = ()) -> str:
        """Open the spool at the database's position `stored`, and start a thread for each database.

        `before` names the databases of the last run. Returns a sentence where what waited for them was lost with the
        spool, else "". Raises StorageCorruptError, and OSError where a token file cannot be read.
        """
        if not self._settings and not self._spool.path.exists():
            return ""
        tokens = [read_token(settings, os.environ) for settings in self._settings]
        self._spool.open()
        if not self._settings:
            self._spool.close()
            return ""
        lost = self._lost_word(stored, before)
        if (word := self._spool.align(stored, journal_end)) and not lost:
            self._say(word)
        for settings, token in zip(self._settings, tokens, strict=True):
            worker = SinkWorker(
                settings.name,
                sink_kind(settings.type).writer(settings, token=token, series=series),
                self._spool,
                say=self._say,
                batch_points=settings.batch_lines,
                max_backoff=parse_duration(settings.max_backoff) / 1e9,
                tracer=self._tracer,
            )
            worker.start()
            self._workers.append(worker)
        return lost

    def _lost_word(self, stored: int, before: Sequence[str]) -> str:
        if not before or not self._spool.is_behind(stored):
            return ""
        return (
            f"{self._spool.path} stands at journal position {self._spool.position}, and {stored} was stored with it: "
            f"the spool was lost, or is an older copy; what waited in it for {', '.join(before)} is not sent there, "
            "and is in the embedded database alone. If that was meant: `driftline confirm storage`"
        )

    def append(self, output: StepOutput) -> None:
        """Put an output into the spool, durably, and wake the threads. Raises StorageFullError."""
        if not self._workers:
            return
        self._spool.append(output)
        for worker in self._workers:
            worker.wake()

    def watch(self, presence: Callable[[], Presence]) -> None:
        """Note changes of device states from now on, looking every few seconds."""
        if self._workers:
            self._watch = threading.Thread(target=self._note_changes, args=(presence,), name="presence", daemon=True)
            self._watch.start()

    def stop(self) -> None:
        """End the threads and close the spool."""
        self._stopping.set()
        if self._watch is not None:
            self._watch.join()
        for worker in self._workers:
            worker.stop()
        self._spool.close()

    def states(self) -> list[SinkState]:
        """How each database stands, in the order of the configuration."""
        return [worker.state() for worker in self._workers]

    def _note_changes(self, presence: Callable[[], Presence]) -> None:
        changes = PresenceChanges()
        while not self._stopping.wait(_PRESENCE_SECONDS):
            found = changes.since_last(*presence(), self._clock())
            if not found:
                continue
            try:
                self._spool.note(found)
            except (StorageFullError, StorageCorruptError, OSError) as error:
                changes.forget()
                log.warning("device states: %s", error)


class PresenceChanges:
    """Which devices' states differ from the last look."""

    def __init__(self) -> None:
        self._online = np.empty(0, np.int8)
        self._alarms = np.empty(0, np.int64)

    def since_last(
        self, names: Sequence[str], online: NDArray[np.bool_], open_alarms: NDArray[np.int64], time: int
    ) -> list[DevicePresence]:
        """The states that changed, all of them at first; `online` and `open_alarms` are (n,), `names` at least n."""
        n = len(online)
        known = min(len(self._online), n)
        changed = np.ones(n, np.bool_)
        changed[:known] = (online[:known] != self._online[:known]) | (open_alarms[:known] != self._alarms[:known])
        self._online, self._alarms = online.astype(np.int8), open_alarms.copy()
        return [
            DevicePresence(names[i], time, bool(online[i]), int(open_alarms[i]))
            for i in np.flatnonzero(changed).tolist()
        ]

    def forget(self) -> None:
        """Take every state as changed at the next look."""
        self._online = np.empty(0, np.int8)
