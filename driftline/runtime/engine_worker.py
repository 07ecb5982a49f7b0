"""Decode to alarm, at run time: the thread that feeds journal entries to the engine, without a gap."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from devices.messages import MessageChunk
from driftline.compile.kernel_compiler import KernelCompiler
from driftline.http.events import LiveFeed
from driftline.runtime.store_worker import SnapshotRequest, StoreWorker
from driftline.tracing.tracer import Tracer
from ingest.pipeline import Engine
from storage.store import Journal, JournalEntry

log = logging.getLogger(__name__)

_HANDOFF_BYTES = 64 << 20
"""Chunks just journaled are handed over in memory up to this size; what is beyond is read back from the journal."""

_IDLE_SECONDS = 0.2
"""After this long without an entry, readings in the reorder buffer are due for a tick of arrival time."""

_NOTHING_WAITS_SECONDS = 1.0
"""As long where nothing waits: silence is looked for once a second."""

_STEP_SECONDS = 1.0
"""How long the step that is under way may take past the time to stop."""


class EngineWorker:
    """Runs an engine over the journal. Entries come from memory while the engine keeps up, else from the journal."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        stores: StoreWorker,
        feed: LiveFeed,
        *,
        clock: Callable[[], int],
        snapshot_every: int,
        need_tick: Callable[[], None],
        kernels: KernelCompiler | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.engine = engine
        self.error: BaseException | None = None
        self.last_arrival = 0
        self._moved_at = monotonic()
        self._journal = journal
        self._stores = stores
        self._feed = feed
        self._clock = clock
        self._snapshot_every = snapshot_every
        self._need_tick = need_tick
        self._kernels = kernels
        self._tracer = tracer
        self._handed: deque[JournalEntry] = deque()
        self._handed_bytes = 0
        self._end = engine.position
        self._wake = threading.Condition()
        self._stop_by = math.inf
        self._requests: deque[Callable[[], None]] = deque()
        self._snapshot_at = clock() + snapshot_every
        self._left_behind = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin with whatever the journal holds beyond the engine's position."""
        self._end = self._journal.next_position
        self._thread.start()

    def offer(self, position: int, offset: int, chunk: MessageChunk) -> None:
        """Take note of a chunk that is now in the journal. Called by the receiving thread; never blocks."""
        with self._wake:
            size = len(chunk.data)
            if self._handed_bytes + size <= _HANDOFF_BYTES:
                self._handed.append(JournalEntry(position, offset, chunk))
                self._handed_bytes += size
            self._end = position + 1
            self._wake.notify()

    def between_steps(self, action: Callable[[], None]) -> None:
        """Run an action in the engine's thread between two steps and wait for it; its errors are raised here."""
        done = threading.Event()
        errors: list[BaseException] = []

        def run() -> None:
            try:
                action()
            except BaseException as error:
                errors.append(error)
            done.set()

        with self._wake:
            self._requests.append(run)
            self._wake.notify()
        while not done.wait(0.2):
            if not self._thread.is_alive():
                raise RuntimeError("the engine has stopped")
        if errors:
            raise errors[0]

    def snapshot(self) -> None:
        """Queue a snapshot of the state at this position behind everything scored so far. Engine's thread only."""
        arrays, rest = self.engine.state()
        self._stores.put(SnapshotRequest(self.engine.position, arrays, rest))
        self._snapshot_at = self._clock() + self._snapshot_every

    def request_snapshot(self) -> None:
        """Let a snapshot be queued soon, ahead of its time. Any thread may call it."""
        self._snapshot_at = 0

    def stop(self, *, seconds: float = 3.0) -> None:
        """Finish what the journal holds, queue a last snapshot, and end the thread.

        What takes longer than `seconds` is left in the journal for the next start.
        """
        with self._wake:
            self._stop_by = monotonic() + seconds
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(seconds + _STEP_SECONDS)
            self._left_behind = self._thread.is_alive()
            if self._left_behind:
                log.warning("the engine is still at a step: what it has not finished is scored after the next start")

    @property
    def compiling(self) -> str:
        """The kernels that are being compiled before the first step; empty where none are."""
        return "" if self._kernels is None else self._kernels.under_way

    @property
    def stuck_seconds(self) -> float:
        """How long the step under way has lasted; 0 where none is."""
        return monotonic() - self._moved_at if self.backlog else 0.0

    @property
    def backlog(self) -> int:
        """Journal entries not yet scored."""
        return self._end - self.engine.position

    def _run(self) -> None:
        try:
            if self._kernels is not None:
                self._kernels.wait()
            while True:
                self._serve_requests()
                entry = self._next_entry()
                if entry is None:
                    break
                for one in entry:
                    if monotonic() >= self._stop_by:
                        break
                    self._step(one)
                if self._clock() >= self._snapshot_at:
                    self.snapshot()
            self.snapshot()
        except BaseException as error:
            # Once left behind it finds the store and the journal closed, which is no failure: the journal holds it all.
            if self._left_behind:
                return
            self.error = error
            raise

    def _step(self, entry: JournalEntry) -> None:
        output = self.engine.step(entry) if self._tracer is None else self._tracer.step(self.engine, entry)
        self.last_arrival = entry.chunk.ticked_at
        self._moved_at = monotonic()
        self._feed.publish(output.points, output.alarms)
        self._stores.put(output)

    def _patience(self) -> float:
        """Seconds without an entry after which arrival time is looked at."""
        something_waits = self.engine.waiting > 0 or self.engine.streams is not None
        return _IDLE_SECONDS if something_waits else _NOTHING_WAITS_SECONDS

    def _tick_due(self) -> bool:
        """Whether somebody is silent, or a window of a stream is over, and only a tick of arrival time can tell."""
        now = self._clock()
        due = None if self.engine.streams is None else self.engine.streams.due
        return self.engine.wants_tick(now) or (due is not None and now >= due)

    def _serve_requests(self) -> None:
        while self._requests:
            self._requests.popleft()()

    def _next_entry(self) -> list[JournalEntry] | None:
        """Entries to step through now, or None when stopping with nothing left or no time."""
        with self._wake:
            if monotonic() >= self._stop_by:
                return None
            while self._end <= self.engine.position and not self._requests:
                self._moved_at = monotonic()
                if self._stop_by < math.inf:
                    return None
                if not self._wake.wait(self._patience()) and self._tick_due():
                    self._need_tick()
                if self._clock() >= self._snapshot_at:
                    return []
            if self._requests:
                return []
            while self._handed and self._handed[0].position < self.engine.position:
                self._handed_bytes -= len(self._handed.popleft().chunk.data)
            if self._handed and self._handed[0].position == self.engine.position:
                entry = self._handed.popleft()
                self._handed_bytes -= len(entry.chunk.data)
                return [entry]
        return _some(self._journal, self.engine.position)


def _some(journal: Journal, position: int, most: int = 64) -> list[JournalEntry]:
    entries = []
    for entry in journal.read(position):
        entries.append(entry)
        if len(entries) == most:
            break
    return entries
