"""Workflows at run time: what starts a run, what its tasks do, and how people see the runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

from common.durations import parse_duration
from common.extras import require
from common.suggestions import unknown
from driftline.config import Config
from driftline.http.view import StageHealth, Status
from functions.call_records import CallRecord, Outcome
from functions.runner import Actions, BusyError
from workflows.definition import read_definition
from workflows.resources import FUNCTION, action_of
from workflows.run_records import RunDetail, RunError, RunRecord, UnknownRunError
from workflows.workflow_settings import WorkflowSettings

if TYPE_CHECKING:
    from workflows.engine import WorkflowEngine

Invoke = Callable[[str, Any, str], tuple[Outcome, CallRecord]]
"""Calls a function by name with an event and a key, and waits. Raises KeyError, BusyError."""

log = logging.getLogger(__name__)

_STARTS_WITHIN = 30.0
_BUSY_SECONDS = 0.5


class WorkflowDesk:
    """The workflows of a running service. See `driftline.http.part_views.WorkflowView`.

    The engine, and the library that it needs, is loaded once there is a workflow or a file with runs.
    """

    def __init__(
        self, path: Path, config: Config, invoke: Invoke, actions: Actions, *, clock: Callable[[], int]
    ) -> None:
        self._path = path
        self._config = config
        self._invoke = invoke
        self._actions = actions
        self._clock = clock
        self._engine: WorkflowEngine | None = None
        self._lock = threading.Lock()
        self._started = threading.Event()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Take up the runs that were under way. Raises OSError."""
        self._load()
        self._started.set()

    def stop(self) -> None:
        """Leave the runs where they are."""
        self._stopping.set()
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.stop()

    def configure(self, config: Config) -> None:
        """Put the workflows of another configuration in place; runs that are under way keep their definition."""
        self._config = config
        self._load()

    def _load(self) -> None:
        with self._lock:
            if self._engine is not None or self._stopping.is_set():
                return
            if not self._config.workflows and not self._path.exists():
                return
            require("dbos", extra="workflows", purpose="Running workflows")
            from workflows.engine import WorkflowEngine  # noqa: PLC0415  of an extra

            engine = WorkflowEngine(self._path, self._do, clock=self._clock)
            engine.start()
            self._engine = engine

    @property
    def declared(self) -> Sequence[WorkflowSettings]:
        """The workflows in force."""
        return self._config.workflows

    def definition(self, name: str) -> tuple[dict[str, Any], list[str]]:
        """A workflow's definition as its file has it now, and what is wrong with it. Raises KeyError."""
        return read_definition(self._settings(name).file, [each.name for each in self._config.functions])

    def begin(self, name: str, value: Any, key: str | None) -> tuple[str, bool]:
        """Begin a run: its name, and whether it is new. Raises KeyError, RunError."""
        definition, mistakes = self.definition(name)
        if mistakes:
            raise RunError("; ".join(mistakes))
        engine = self._running_engine()
        engine.sweep({each.name: parse_duration(each.keep) for each in self.declared})
        return engine.begin(name, definition, value, key)

    def begin_for(self, name: str, value: Any, key: str) -> str:
        """Begin a run for an event; of one event there is one. Raises ValueError, whose text says why it could not."""
        try:
            return self.begin(name, value, key)[0]
        except KeyError:
            raise ValueError(unknown(name, [each.name for each in self.declared], "workflow")) from None

    def runs(self, name: str | None, limit: int) -> list[RunRecord]:
        """Runs, the newest first, of one workflow or of all."""
        return [] if self._engine is None else self._engine.runs(name, limit)

    def counts(self, name: str) -> dict[str, int]:
        """What became of a workflow's runs since the start, and how those under way stand; empty before that."""
        return {} if self._engine is None else self._engine.counts(name)

    def run(self, run: str) -> RunDetail:
        """One run, with everything. Raises UnknownRunError."""
        return self._engine_of(run).run(run)

    def decide(self, run: str, place: str | None, *, approved: bool, by: str, comment: str) -> str:
        """Approve or refuse what waits for it; its place. Raises UnknownRunError, RunError."""
        return self._engine_of(run).decide(run, place, approved=approved, by=by, comment=comment)

    def resume(self, run: str) -> str:
        """Take up a run that failed; the name of the run that does so. Raises UnknownRunError, RunError."""
        return self._engine_of(run).resume(run)

    def cancel(self, run: str) -> None:
        """End a run before its next step. Raises UnknownRunError, RunError."""
        self._engine_of(run).cancel(run)

    def health(self) -> list[StageHealth]:
        """A line for each workflow whose newest run has failed, or one for all of them."""
        newest = [run for each in self.declared for run in self.runs(each.name, 1)]
        failed = [
            StageHealth(
                f"workflow {each.workflow}", Status.YELLOW, f"{each.run} failed at {each.failed_at}: {each.cause}"
            )
            for each in newest
            if each.state == "failed"
        ]
        if failed or not self.declared:
            return failed
        return [StageHealth("workflows", Status.GREEN, f"{len(self.declared)} ready")]

    def _settings(self, name: str) -> WorkflowSettings:
        for each in self.declared:
            if each.name == name:
                return each
        raise KeyError(name)

    def _running_engine(self) -> WorkflowEngine:
        self._started.wait(_STARTS_WITHIN)
        engine = self._engine
        if engine is None:
            raise RunError("the service is starting or stopping")
        return engine

    def _engine_of(self, run: str) -> WorkflowEngine:
        if not self._started.is_set():
            raise RunError("the service is starting")
        engine = self._engine
        if engine is None:
            raise UnknownRunError(run)
        return engine

    def _do(self, workflow: str, key: str, resource: str, payload: Any) -> dict[str, Any]:
        """Do a task, and wait: `result`, or `error` and `cause`."""
        try:
            if resource.startswith(FUNCTION):
                return self._call(resource.removeprefix(FUNCTION), payload, key)
            if not isinstance(payload, Mapping):
                raise ValueError(f"{resource}: expected Parameters, an object with the action's parameters")
            result = self._actions.act(action_of(resource), payload, event=payload, function=workflow, key=key)
        except (ValueError, OSError) as error:
            return {"error": "States.TaskFailed", "cause": str(error)}
        except Exception as error:
            # What is raised would end the run for good; a failed try has Retry, Catch, and can be resumed.
            log.exception('workflow "%s": a task failed', workflow)
            return {"error": "States.TaskFailed", "cause": f"{type(error).__name__}: {error}; see the service's log"}
        return {"result": result}

    def _call(self, name: str, event: Any, key: str) -> dict[str, Any]:
        while True:
            try:
                outcome, _ = self._invoke(name, event, key)
            except KeyError:
                raise ValueError(f'there is no function "{name}" any more') from None
            except BusyError:
                if self._stopping.is_set():
                    raise
                sleep(_BUSY_SECONDS)
                continue
            if outcome.error:
                return {
                    "error": "States.Timeout" if outcome.kind == "timeout" else "States.TaskFailed",
                    "cause": f"{name}: {outcome.error}",
                }
            return {"result": outcome.result}
