"""Functions: calls of one function: its processes, its ready-made action, and a record of each call."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import monotonic, perf_counter_ns
from typing import Any, Protocol

from functions.call_records import CallRecord, Outcome
from functions.function_settings import FunctionSettings
from functions.templates import filled
from functions.worker_process import WorkerProcess, WorkerSettings, WorkerStartError

log = logging.getLogger(__name__)

_IDLE_SECONDS = 300.0
_MOST_ERROR = 5 << 10
"""Characters of an error; what a handler raises is cut at 4 KiB before, and the place stands behind it."""


class Actions(Protocol):
    """What the service does for functions."""

    def act(self, action: str, parameters: Mapping[str, Any], *, event: Any, function: str, key: str) -> Any:
        """Do a ready-made action; what it gives. Raises ValueError or OSError, whose text says why it could not."""
        ...


class BusyError(Exception):
    """All processes of the function are at work, and none became free in time."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a function is called with. `trigger` has its `type`, and the journal `position` where there is one."""

    event: Any
    key: str
    trigger: Mapping[str, Any]
    attempt: int = 1
    events: int = 1


@dataclass(slots=True)
class _Worker:
    process: WorkerProcess
    stamp: tuple[int, int]
    used: float


class FunctionRunner:
    """Calls one function, in as many processes as it may have. Any thread may call it.

    A process that has been ended, or whose file has changed, is replaced at the next call.
    """

    def __init__(
        self,
        settings: FunctionSettings,
        actions: Actions,
        *,
        clock: Callable[[], int],
        note: Callable[[CallRecord], object] | None = None,
    ) -> None:
        self.settings = settings
        self._actions = actions
        self._clock = clock
        self._note = note
        self._idle: list[_Worker] = []
        self._at_work: set[WorkerProcess] = set()
        self._count = 0
        self._stopping = False
        self._free = threading.Condition()

    def call(self, call: Call) -> tuple[Outcome, CallRecord]:
        """Call it and wait. Raises BusyError where no process becomes free within its timeout."""
        request = secrets.token_hex(8)
        started, began = self._clock(), perf_counter_ns()
        memory, cold, logs = 0, False, list[str]()
        if self.settings.action is not None:
            outcome = self._do(call)
        else:
            outcome, memory, cold, logs = self._run(call, request)
        outcome = _shortened(outcome)
        record = CallRecord(
            request_id=request,
            function=self.settings.name,
            trigger=str(call.trigger["type"]),
            key=call.key,
            attempt=call.attempt,
            events=call.events,
            started=started,
            duration=perf_counter_ns() - began,
            memory=memory,
            cold=cold,
            outcome=outcome.kind,
            error=outcome.error,
            logs=logs,
        )
        if self._stopping:
            return outcome, record
        if self._note is not None:
            self._note(record)
        return outcome, record

    def stop(self) -> None:
        """End all processes, those at work too: what they were called for is called for again after the next start."""
        with self._free:
            self._stopping = True
            idle, self._idle = self._idle, []
            for process in self._at_work:
                process.end()
            self._free.notify_all()
        for each in idle:
            each.process.kill()

    def end_idle(self) -> None:
        """End processes that nothing was asked of for five minutes."""
        with self._free:
            old = [each for each in self._idle if monotonic() - each.used > _IDLE_SECONDS]
            self._idle = [each for each in self._idle if each not in old]
            self._count -= len(old)
        for each in old:
            each.process.kill()

    @property
    def pids(self) -> list[int]:
        """Numbers of its processes."""
        with self._free:
            return [each.process.pid for each in self._idle] + [process.pid for process in self._at_work]

    def _do(self, call: Call) -> Outcome:
        assert self.settings.action is not None
        events = (
            call.event["records"] if self.settings.trigger.in_order and call.trigger["type"] != "http" else [call.event]
        )
        results = []
        try:
            for number, event in enumerate(events):
                key = call.key if len(events) == 1 else f"{call.key}/{number}"
                results.append(
                    self._actions.act(
                        self.settings.action,
                        filled(self.settings.with_, event),
                        event=event,
                        function=self.settings.name,
                        key=key,
                    )
                )
        except (ValueError, OSError) as error:
            return Outcome("error", error=str(error))
        except Exception as error:
            log.exception('function "%s": its action failed', self.settings.name)
            return Outcome("error", error=f"{type(error).__name__}: {error}; see the service's log")
        return Outcome("ok", result=results[0] if len(results) == 1 else results)

    def _run(self, call: Call, request: str) -> tuple[Outcome, int, bool, list[str]]:
        try:
            worker, cold = self._worker()
        except WorkerStartError as error:
            return Outcome("broken", error=str(error)), 0, True, error.traceback.rstrip().splitlines()
        process = worker.process
        try:
            outcome = process.call(
                {
                    "request_id": request,
                    "function": self.settings.name,
                    "event": call.event,
                    "key": call.key,
                    "attempt": call.attempt,
                    "trigger": dict(call.trigger),
                    "seconds": self.settings.timeout_seconds,
                },
                lambda action, parameters: self._actions.act(
                    action, parameters, event=call.event, function=self.settings.name, key=call.key
                ),
            )
        except BaseException:
            # What else it would send belongs to this call.
            process.kill()
            raise
        finally:
            self._give_back(worker)
        return outcome, process.memory, cold, process.logs

    def _worker(self) -> tuple[_Worker, bool]:
        """A process that has loaded the file as it is now, and whether it was started for this."""
        stamp = self._stamp()
        until = monotonic() + self.settings.timeout_seconds
        with self._free:
            while not self._idle and self._count >= self.settings.workers and not self._stopping:
                if not self._free.wait(max(0.0, until - monotonic())) and monotonic() >= until:
                    raise BusyError(f"{self.settings.name}: all {self.settings.workers} of its processes are at work")
            if self._stopping:
                raise WorkerStartError("the service is stopping")
            worker = self._idle.pop() if self._idle else None
            if worker is not None and worker.stamp == stamp and worker.process.usable:
                self._at_work.add(worker.process)
                return worker, False
            self._count += worker is None
        if worker is not None:
            worker.process.kill()
        try:
            process = WorkerProcess(self._worker_settings())
        except BaseException:
            with self._free:
                self._count -= 1
                self._free.notify()
            raise
        with self._free:
            self._at_work.add(process)
        return _Worker(process, stamp, monotonic()), True

    def _give_back(self, worker: _Worker) -> None:
        usable = worker.process.usable
        if not usable:
            worker.process.kill()
        with self._free:
            self._at_work.discard(worker.process)
            if usable and not self._stopping:
                worker.used = monotonic()
                self._idle.append(worker)
            else:
                self._count -= 1
            self._free.notify()

    def _worker_settings(self) -> WorkerSettings:
        settings = self.settings
        assert settings.file is not None
        secret = {name: os.environ[name] for name in settings.secrets if name in os.environ}
        return WorkerSettings(
            settings.file, settings.memory_mib, settings.timeout_seconds, {**settings.environment, **secret}
        )

    def _stamp(self) -> tuple[int, int]:
        assert self.settings.file is not None
        try:
            found = self.settings.file.stat()
        except OSError as error:
            raise WorkerStartError(f"{self.settings.file} cannot be read: {error.strerror}") from None
        return found.st_mtime_ns, found.st_size


def _shortened(outcome: Outcome) -> Outcome:
    if len(outcome.error) <= _MOST_ERROR:
        return outcome
    return replace(outcome, error=f"{outcome.error[:_MOST_ERROR]} ... (cut)")


def load_error(settings: FunctionSettings) -> str:
    """Why the function's file cannot be used: it does not load, or has no handler; empty where all is well.

    The file is run, in a process of its own.
    """
    if settings.file is None:
        return ""
    missing = [name for name in settings.secrets if name not in os.environ]
    if missing:
        return f"secrets: the environment has no {missing[0]}"
    try:
        settings.file.read_bytes()
    except OSError as error:
        return f"file: {settings.file} cannot be read: {error.strerror}"
    try:
        WorkerProcess(
            WorkerSettings(settings.file, settings.memory_mib, settings.timeout_seconds, settings.environment)
        ).kill()
    except WorkerStartError as error:
        return f"file: {settings.file}: {error}"
    return ""
