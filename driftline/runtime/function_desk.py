"""Functions at run time: what the journal gives goes into the queue, and people see how each function does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from driftline.config import Config
from driftline.http.view import StageHealth, Status
from driftline.tracing.tracer import Tracer
from functions.call_records import CallRecord, Outcome
from functions.dispatcher import Dispatcher
from functions.function_queue import FunctionQueue, WaitingEvent
from functions.function_settings import FunctionSettings
from functions.runner import Actions
from functions.schedule import next_firing
from functions.triggers import with_stream_targets
from storage.store import StepOutput
from streams.stream_settings import stream_targets


class FunctionDesk:
    """The functions of a running service. See `driftline.http.part_views.FunctionView`.

    The queue is open from before `start` until after `stop`: the store fills it, and the page reads it.
    """

    def __init__(
        self,
        queue: FunctionQueue,
        config: Config,
        actions: Actions,
        *,
        clock: Callable[[], int],
        tracer: Tracer | None = None,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._most: dict[str, int] = {}
        self._dispatcher = Dispatcher(queue, self._read(config), actions, clock=clock)
        if tracer is not None:
            self._dispatcher.on_called = tracer.called
        self.wake = self._dispatcher.wake
        self.start = self._dispatcher.start
        self.stop = self._dispatcher.stop

    def configure(self, config: Config) -> None:
        """Put the functions of another configuration in place."""
        self._dispatcher.configure(self._read(config))

    def _read(self, config: Config) -> list[FunctionSettings]:
        functions = with_stream_targets(config.called, stream_targets(config.streams))
        self._most = {each.name: each.max_waiting for each in functions}
        return functions

    def take(self, output: StepOutput) -> None:
        """Queue the events of an output that is about to be stored. Raises StorageFullError."""
        if output.function_events:
            self._queue.take(output.function_events, output.next_position, self._most)

    @property
    def declared(self) -> Sequence[FunctionSettings]:
        """The functions in force."""
        return self._dispatcher.functions

    def counts(self, name: str) -> dict[str, int]:
        """What was counted of a function, and how many events of it wait now."""
        return {**self._queue.counts(name), "waiting": self._queue.waiting(name)[0]}

    def state(self, settings: FunctionSettings) -> dict[str, Any]:
        """How a function does, as the API tells it."""
        waiting, oldest = self._queue.waiting(settings.name)
        newest = self._queue.calls(settings.name, 1)
        return {
            "name": settings.name,
            "definition": _definition(settings),
            "mode": settings.mode,
            "counts": {**self._queue.counts(settings.name), "waiting": waiting},
            "oldest_waiting": oldest,
            "next_firing": self._next_firing(settings),
            "processes": len(self._dispatcher.pids(settings.name)),
            "last_call": newest[0] if newest else None,
            "problem": self._problem(settings.name, newest),
        }

    def calls(self, name: str | None, limit: int) -> list[CallRecord]:
        """The newest calls, of one function or of all."""
        return self._queue.calls(name, limit)

    def failed(self, name: str, limit: int) -> list[WaitingEvent]:
        """Events that were given up, the newest first."""
        return self._queue.failed(name, limit)

    def invoke(self, name: str, event: Any, key: str) -> tuple[Outcome, CallRecord]:
        """Call a function now and wait. Raises KeyError, BusyError."""
        return self._dispatcher.invoke(name, event, key)

    def submit(self, name: str, event: Any, key: str) -> bool:
        """Queue an event; False where one of its key waits already. Raises KeyError."""
        return self._dispatcher.submit(name, event, key)

    def retry(self, name: str) -> int:
        """Try again what was given up; returns how many events."""
        return self._dispatcher.retry(name)

    def health(self) -> list[StageHealth]:
        """A line for each function that needs a look, or one for all of them."""
        troubles = [
            StageHealth(f"function {each.name}", Status.YELLOW, problem)
            for each in self.declared
            if (problem := self._problem(each.name, self._queue.calls(each.name, 1)))
        ]
        if troubles or not self.declared:
            return troubles
        return [StageHealth("functions", Status.GREEN, f"{len(self.declared)} ready")]

    def _problem(self, name: str, newest: Sequence[CallRecord]) -> str:
        """What is wrong with a function, in one sentence; empty where nothing is."""
        counts = self._queue.counts(name)
        found = []
        if newest and newest[0].error:
            found.append(newest[0].error)
        if counts["failed"]:
            found.append(f"{counts['failed']:,} event{'s' * (counts['failed'] != 1)} set aside")
        if counts["dropped"]:
            found.append(f"{counts['dropped']:,} dropped: more than max_waiting waited")
        return "; ".join(found)

    def _next_firing(self, settings: FunctionSettings) -> int | None:
        trigger = settings.trigger
        return next_firing(trigger.cron, trigger.time_zone, self._clock()) if trigger.type == "schedule" else None


def _definition(settings: FunctionSettings) -> dict[str, Any]:
    """What was declared, without what stands at its default."""
    trigger = settings.trigger.model_dump(mode="json", exclude_defaults=True)
    return settings.model_dump(mode="json", exclude_defaults=True) | {
        "trigger": {"type": settings.trigger.type, **trigger}
    }
