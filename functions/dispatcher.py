"""Functions: who is called, and when: takes events from the queue, tries again, and sets aside what cannot be taken."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import orjson

from common.durations import parse_duration
from common.time_units import MINUTE, SECOND
from functions.call_records import CallRecord, Outcome
from functions.event_contents import text_of_time
from functions.function_queue import FunctionQueue, WaitingEvent
from functions.function_settings import FunctionSettings
from functions.runner import Actions, BusyError, Call, FunctionRunner
from functions.schedule import newest_firing
from storage.store import FunctionEvent

log = logging.getLogger(__name__)

_LOOK_SECONDS, _NONE_SECONDS = 1.0, 30.0
_LONGEST_PAUSE = 5 * MINUTE
_TROUBLE_SECONDS = 5.0
"""The pause after what came of a call could not be noted: the queue itself has trouble then."""


class _Lanes:
    """A function at work: its runner, its threads, and the lanes or events that they are busy with."""

    def __init__(self, runner: FunctionRunner) -> None:
        self.runner = runner
        self.settings = runner.settings
        self.threads = max(self.settings.workers, self.settings.trigger.shards)
        self.pool = ThreadPoolExecutor(self.threads, thread_name_prefix=f"function {self.settings.name}")
        self.busy: set[int] = set()
        self.stopped = threading.Event()

    def stop(self) -> None:
        self.stopped.set()
        self.runner.stop()
        self.pool.shutdown(wait=True, cancel_futures=True)


class Dispatcher:
    """Calls functions for the events in the queue, each function in threads and processes of its own.

    What fails is tried again after pauses, and set aside at last. Of rows in order the batch is halved until the row is
    found that fails; the others go on.
    """

    def __init__(
        self,
        queue: FunctionQueue,
        functions: Sequence[FunctionSettings],
        actions: Actions,
        *,
        clock: Callable[[], int],
    ) -> None:
        self.queue = queue
        self.on_called: Callable[[Iterable[str], CallRecord], object] = lambda _keys, _record: None
        """Called after a call for events of the queue, with their keys and what came of it."""
        self._actions = actions
        self._clock = clock
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._lanes: dict[str, _Lanes] = {}
        self._thread = threading.Thread(target=self._run, name="functions", daemon=True)
        self.configure(functions)

    def start(self) -> None:
        """Begin with what waits."""
        self._thread.start()

    def stop(self) -> None:
        """End the calls under way; what they were for is called for again after the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        for lanes in self._lanes.values():
            lanes.stop()

    def configure(self, functions: Sequence[FunctionSettings]) -> None:
        """Put other functions in place; those that are declared as they were keep their processes."""
        with self._lock:
            before, self._lanes = self._lanes, {}
            for settings in functions:
                kept = before.get(settings.name)
                if kept is not None and kept.settings == settings:
                    self._lanes[settings.name] = before.pop(settings.name)
                else:
                    runner = FunctionRunner(settings, self._actions, clock=self._clock, note=self.queue.note)
                    self._lanes[settings.name] = _Lanes(runner)
                if settings.trigger.type == "schedule" and not self.queue.fired(settings.name):
                    # A schedule that is new makes up for nothing.
                    self.queue.set_mark(f"schedule {settings.name}", self._clock())
        for lanes in before.values():
            lanes.stop()
        self._wake.set()

    def wake(self) -> None:
        """Look for events now. Any thread may call it."""
        self._wake.set()

    @property
    def functions(self) -> list[FunctionSettings]:
        """The functions in force."""
        with self._lock:
            return [lanes.settings for lanes in self._lanes.values()]

    def invoke(self, name: str, event: Any, key: str) -> tuple[Outcome, CallRecord]:
        """Call a function now, by hand, and wait. Raises KeyError, BusyError."""
        with self._lock:
            runner = self._lanes[name].runner
        return runner.call(Call(event, key, {"type": "http"}))

    def submit(self, name: str, event: Any, key: str) -> bool:
        """Queue an event for a function; False where one of its key waits already. Raises KeyError."""
        with self._lock:
            settings = self._lanes[name].settings
        now = self._clock()
        taken = self.queue.put(FunctionEvent(settings.name, key, 0, -1, now, {"type": "http"}, orjson.dumps(event)))
        self._wake.set()
        return taken

    def retry(self, name: str) -> int:
        """Try what was given up again; returns how many events."""
        count = self.queue.retry(name, self._clock())
        self._wake.set()
        return count

    def pids(self, name: str) -> list[int]:
        """Processes of a function that run now. Raises KeyError."""
        with self._lock:
            return self._lanes[name].runner.pids

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except Exception:
                log.exception("functions: looking for events failed; it is tried again")
            self._wake.wait(self._pause())
            self._wake.clear()

    def _pause(self) -> float:
        if not self._lanes:
            return _NONE_SECONDS
        due = self.queue.next_due()
        now = self._clock()
        # What is due already waits for a lane, whose end wakes this thread.
        return _LOOK_SECONDS if due is None or due <= now else min(_LOOK_SECONDS, (due - now) / SECOND)

    def _look(self) -> None:
        with self._lock:
            everyone = list(self._lanes.values())
        for lanes in everyone:
            if lanes.settings.trigger.type == "schedule":
                self._fire(lanes.settings)
            if lanes.settings.trigger.in_order:
                self._start_lanes(lanes)
            else:
                self._start_events(lanes)
            lanes.runner.end_idle()

    def _fire(self, settings: FunctionSettings) -> None:
        now = self._clock()
        trigger = settings.trigger
        at = newest_firing(trigger.cron, trigger.time_zone, self.queue.fired(settings.name), now)
        if at is None:
            return
        time = text_of_time(at)
        content = orjson.dumps({"type": "schedule", "time": time})
        event = FunctionEvent(settings.name, f"schedule-{time}", 0, -1, now, {"type": "schedule"}, content)
        self.queue.fire(event, at)

    def _start_lanes(self, lanes: _Lanes) -> None:
        for shard in self.queue.lanes(lanes.settings.name):
            if shard in lanes.busy:
                continue
            events = self.queue.lane(lanes.settings.name, shard, self._clock(), lanes.settings.batch)
            if events:
                self._submit(lanes, shard, partial(self._run_batch, lanes, events))

    def _start_events(self, lanes: _Lanes) -> None:
        room = lanes.threads - len(lanes.busy)
        if room <= 0:
            return
        for event in self.queue.due(lanes.settings.name, self._clock(), room + len(lanes.busy)):
            if event.ident not in lanes.busy and len(lanes.busy) < lanes.threads:
                self._submit(lanes, event.ident, partial(self._run_event, lanes, event))

    def _submit(self, lanes: _Lanes, place: int, work: Callable[[], None]) -> None:
        lanes.busy.add(place)

        def run() -> None:
            try:
                if not self._stopping.is_set():
                    work()
            except Exception:
                log.exception('function "%s": its events stay where they are', lanes.settings.name)
                lanes.stopped.wait(_TROUBLE_SECONDS)
            finally:
                lanes.busy.discard(place)
                self._wake.set()

        try:
            lanes.pool.submit(run)
        except RuntimeError:
            lanes.busy.discard(place)

    def _run_event(self, lanes: _Lanes, event: WaitingEvent) -> None:
        if self._is_too_old(lanes.settings, event):
            return
        outcome = self._call(lanes, [event], event.content)
        if outcome is None:
            return
        if not outcome.error:
            self.queue.done([event])
        elif event.tries >= lanes.settings.retries:
            self.queue.give_up(event, outcome.error)
        else:
            self.queue.again([event], outcome.error, self._due(lanes.settings, event.tries))

    def _run_batch(self, lanes: _Lanes, events: list[WaitingEvent]) -> None:
        """Call for the oldest rows of a lane: all or none of them are taken, until one is found that cannot be."""
        events = [event for event in events if not self._is_too_old(lanes.settings, event)]
        if not events:
            return
        outcome = self._call(lanes, events, _batch(events))
        if outcome is None:
            return
        if not outcome.error:
            self.queue.done(events)
        elif events[0].tries < lanes.settings.retries:
            self.queue.again(events, outcome.error, self._due(lanes.settings, events[0].tries))
        else:
            self._bisect(lanes, events, outcome.error)

    def _bisect(self, lanes: _Lanes, events: list[WaitingEvent], error: str) -> None:
        if len(events) == 1:
            self.queue.give_up(events[0], error)
            return
        middle = len(events) // 2
        for half in (events[:middle], events[middle:]):
            outcome = self._call(lanes, half, _batch(half))
            if outcome is None:
                return
            if outcome.error:
                self._bisect(lanes, half, outcome.error)
            else:
                self.queue.done(half)

    def _call(self, lanes: _Lanes, events: list[WaitingEvent], content: Any) -> Outcome | None:
        """What came of a call; None where the service stops, and all stays as it is."""
        first = events[0]
        if self._stopping.is_set():
            return None
        try:
            call = Call(content, first.key, first.trigger, first.tries + 1, len(events))
            outcome, record = lanes.runner.call(call)
            self.on_called([event.key for event in events], record)
        except BusyError:
            return None
        except Exception as error:
            # Unforeseen, and a failed try like others: it has its pause, and an end.
            log.exception('function "%s": the call failed', lanes.settings.name)
            outcome = Outcome("error", error=f"{type(error).__name__}: {error}; see the service's log")
        if outcome.error:
            # A process that was ended because the service stops, or its function has changed, has not failed.
            if self._is_over(lanes):
                return None
            log.warning('function "%s": %s', lanes.settings.name, outcome.error)
        return outcome

    def _is_over(self, lanes: _Lanes) -> bool:
        with self._lock:
            return self._stopping.is_set() or self._lanes.get(lanes.settings.name) is not lanes

    def _is_too_old(self, settings: FunctionSettings, event: WaitingEvent) -> bool:
        if self._clock() - event.created <= parse_duration(settings.max_age):
            return False
        last = f": {event.error}" if event.error else ""
        self.queue.give_up(event, f"older than {settings.max_age}, its max_age{last}")
        return True

    def _due(self, settings: FunctionSettings, tries: int) -> int:
        pause: int = min(_LONGEST_PAUSE, parse_duration(settings.backoff) * 2 ** min(tries, 20))
        return self._clock() + pause


def _batch(events: Sequence[WaitingEvent]) -> dict[str, Any]:
    return {"type": events[0].trigger["type"], "records": [event.content for event in events]}
