"""Store, at run time: the thread that commits what the engine made, and saves snapshots behind it."""

from __future__ import annotations

import math
import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from numpy.typing import NDArray

from common.storage_errors import StorageFullError
from detectors.detector import State
from driftline.runtime.sink_worker import Sinks
from driftline.tracing.tracer import Tracer
from storage.embedded.database import EmbeddedStore
from storage.snapshots import SnapshotStore
from storage.store import StepOutput

_QUEUE_STEPS = 256
_MOST_ROWS = 250_000

_LONGER = 5.0
"""What nobody waits for gathers this many times longer: each transaction costs a fixed part, and large ones cost half
as much a row."""

_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """The engine's state at a journal position, to be saved once everything before it is stored."""

    position: int
    arrays: Mapping[str, State]
    rest: Mapping[str, Any]


def flattened(arrays: Mapping[str, State]) -> State:
    """State by part and name as one level of "part/name"."""
    return {f"{part}/{name}": array for part, state in arrays.items() for name, array in state.items()}


def unflattened(parts: Mapping[str, NDArray[Any]]) -> dict[str, State]:
    """What `flattened` was given."""
    arrays: dict[str, State] = {}
    for key, array in parts.items():
        part, _, name = key.rpartition("/")
        arrays.setdefault(part, {})[name] = array
    return arrays


def _is_awaited(output: StepOutput) -> bool:
    """Whether somebody waits for it: an alarm, what a person did, a new device or series, a stream's result."""
    return any(
        (output.alarms, output.actions, output.series, output.registered, output.stream_results, output.dead_letters)
    )


class _End:
    """Nothing follows."""


class StoreWorker:
    """Commits outputs in order, several to a transaction, and saves snapshots only behind what is stored.

    A store that is full holds the queue up, and with it the engine and in the end the broker; nothing is dropped.
    """

    def __init__(
        self,
        store: EmbeddedStore,
        snapshots: SnapshotStore,
        *,
        flush_seconds: float,
        sinks: Sinks | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.problem: str | None = None
        self.error: BaseException | None = None
        self.on_stream_results: Callable[[], object] = lambda: None
        """Called once results of streams are stored."""
        self.ahead: Callable[[StepOutput], object] | None = None
        """Called with every output before it is stored, again where that fails; what it raises holds the store up."""
        self.on_function_events: Callable[[], object] = lambda: None
        """Called once an output with events of functions is stored."""
        self._store = store
        self._snapshots = snapshots
        self._flush_seconds = flush_seconds
        self._writing_since: float | None = None
        self._sinks = sinks
        self._tracer = tracer
        self._queue: queue.Queue[StepOutput | SnapshotRequest | _End] = queue.Queue(_QUEUE_STEPS)
        self._lock = threading.Lock()
        self._committed: Counter[str] = Counter()
        self._pending: Counter[str] = Counter()
        self._give_up = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    def start(self) -> None:
        """Begin committing."""
        self._committed = Counter(self._store.counts())
        self._thread.start()

    def put(self, item: StepOutput | SnapshotRequest) -> None:
        """Queue an output or a snapshot; blocks while the queue is full. RuntimeError when the thread has ended."""
        if isinstance(item, StepOutput) and item.next_position > self._store.position:
            with self._lock:
                self._pending.update(item.counts)
        while True:
            if self.error is not None or self._closing:
                raise RuntimeError("the store has stopped") from self.error
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

    def stop(self, *, seconds: float = 3.0) -> None:
        """Commit all that is queued and end the thread; a store that stays full is given up after `seconds`.

        What is given up is in the journal, and is stored at the next start.
        """
        if not self._thread.is_alive():
            return
        self._closing = True
        timer = threading.Timer(seconds, self._give_up.set)
        timer.start()
        while self._thread.is_alive():
            try:
                self._queue.put(_End(), timeout=0.5)
            except queue.Full:
                continue
            break
        self._thread.join()
        timer.cancel()

    @property
    def seconds_writing(self) -> float:
        """How long the transaction that is being written has taken by now; 0 where none is."""
        since = self._writing_since
        return 0.0 if since is None else monotonic() - since

    def ledger(self) -> tuple[dict[str, int], dict[str, int]]:
        """What is committed and what is pending, by counter, at one moment."""
        with self._lock:
            return dict(self._committed), dict(self._pending)

    def _run(self) -> None:
        try:
            following: SnapshotRequest | _End | None = None
            while not isinstance(following, _End):
                outputs, following = self._gather()
                self._commit(outputs)
                if isinstance(following, SnapshotRequest):
                    self._save(following)
        except BaseException as error:
            self.error = error
            if not self._give_up.is_set():
                raise

    def _gather(self) -> tuple[list[StepOutput], SnapshotRequest | _End | None]:
        """Outputs for one transaction, and the mark that ended it, if one did. What is stored already is left out."""
        outputs: list[StepOutput] = []
        rows = 0
        deadline: float | None = None
        patience = self._flush_seconds * _LONGER
        while rows < _MOST_ROWS:
            try:
                item = self._queue.get(timeout=None if deadline is None else max(0.0, deadline - monotonic()))
            except queue.Empty:
                break
            if not isinstance(item, StepOutput):
                return outputs, item
            if item.next_position > self._store.position:
                within = self._flush_seconds if _is_awaited(item) else patience
                deadline = min(math.inf if deadline is None else deadline, monotonic() + within)
                outputs.append(item)
                rows += len(item.points)
            # After a kill the spool may be ahead of the database: what it holds already must not stand in one
            # transaction with what it does not.
            if outputs and self._sinks is not None and item.next_position == self._sinks.position:
                break
        return outputs, None

    def _commit(self, outputs: list[StepOutput]) -> None:
        if not outputs:
            return
        merged = StepOutput.merged(outputs)
        begun = 0 if self._tracer is None else self._tracer.now()
        self._writing_since = monotonic()
        self._until_there_is_room(lambda: self._store.commit(merged, self._ahead))
        self._writing_since = None
        if self._tracer is not None:
            self._tracer.stored(merged, begun)
        if merged.stream_results:
            self.on_stream_results()
        if merged.function_events:
            self.on_function_events()
        committed = Counter(self._store.counts())
        with self._lock:
            self._committed = committed
            self._pending.subtract(merged.counts)

    def _ahead(self, output: StepOutput) -> None:
        if self._sinks is not None:
            self._sinks.append(output)
        if self.ahead is not None:
            self.ahead(output)

    def _save(self, request: SnapshotRequest) -> None:
        parts = flattened(request.arrays)
        self._until_there_is_room(lambda: self._snapshots.save(request.position, "", parts, dict(request.rest)))

    def _until_there_is_room(self, write: Callable[[], object]) -> None:
        while True:
            try:
                write()
            except StorageFullError as error:
                self.problem = str(error)
                if self._give_up.wait(_RETRY_SECONDS):
                    raise
            else:
                self.problem = None
                return
