"""Workflows: runs that outlive a kill, by DBOS over a SQLite file: begun, listed, decided on, taken up again."""

from __future__ import annotations

import hashlib
import logging
import secrets
import sqlite3
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from dbos import DBOS, Serializer, SetWorkflowID

from common.time_units import HOUR, SECOND
from workflows.durable_steps import DoTask, DurableSteps
from workflows.json_paths import json_mistake
from workflows.machine import Ended, Machine
from workflows.run_records import RunDetail, RunError, RunRecord, Standing, StepRecord, UnknownRunError

log = logging.getLogger(__name__)

_VERSION = "1"
"""Of the way in which a machine's steps follow each other. Runs of another version are not taken up."""
_MACHINE = "machine"
_BRANCH = "branch"
_QUEUE = "runs"
_QUEUE_SECONDS = 0.5
_TASKS = 16
"""Tasks of all runs that are done side by side; others wait."""
_MOST_RUNNING = 1_000
_MILLISECOND = 1_000_000
_RAISED = "driftline: raised"
COUNTED = ("begun", "succeeded", "failed", "cancelled", "calls", "errors")
"""What is counted of a workflow: its runs by what became of them, each try of a task, and those tries that failed."""


class _KeptError(Exception):
    """What was raised in a run, as it was kept: its kind and its words."""


class _Json(Serializer):
    """What DBOS keeps is JSON: reading the file runs no code."""

    def serialize(self, data: Any) -> str:
        if isinstance(data, BaseException):
            # Kept apart from text, since DBOS raises it again where it is asked for.
            text = str(data)
            data = {_RAISED: text if isinstance(data, _KeptError) else f"{type(data).__name__}: {text}"}
        return orjson.dumps(data, default=str).decode()

    def deserialize(self, serialized_data: str) -> Any:
        found = orjson.loads(serialized_data)
        return _KeptError(found[_RAISED]) if isinstance(found, dict) and list(found) == [_RAISED] else found

    def name(self) -> str:
        return "driftline_json"


class WorkflowEngine:
    """All runs of one data folder. One at a time may be started in a process. `do` does the tasks.

    Runs that were under way are taken up again where they were once it is started.
    """

    def __init__(self, path: Path, do: DoTask, *, clock: Callable[[], int]) -> None:
        self._path = path
        self._do = do
        self._clock = clock
        self._lock = threading.Lock()
        self._standings: dict[str, dict[str, Standing]] = defaultdict(dict)
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._cancelled: set[str] = set()
        self._pool = ThreadPoolExecutor(_TASKS, thread_name_prefix="workflow task")
        self._machine: Callable[..., Any] | None = None
        self._branch: Callable[..., Any] | None = None
        self._swept = 0

    def start(self) -> None:
        """Open the file, and take up what was under way. Raises OSError, or what DBOS raises for a damaged file."""
        self._path.touch(mode=0o600, exist_ok=True)
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        DBOS(
            config={
                "name": "driftline",
                "system_database_url": f"sqlite:///{self._path.absolute()}",
                "application_version": _VERSION,
                "executor_id": "local",
                "serializer": _Json(),
                "log_level": "WARNING",
                "notification_listener_polling_interval_sec": 0.5,
            }
        )
        self._declare()
        DBOS.launch()
        # Taken from a queue, a run is a task of DBOS's event loop alone, and costs no thread while it waits. One that
        # is begun straight has a thread besides, which would note the end of the service as the run's failure.
        DBOS.register_queue(_QUEUE, polling_interval_sec=_QUEUE_SECONDS)

    def _declare(self) -> None:
        """What DBOS runs are functions, and found again by their names."""

        @DBOS.workflow(name=_BRANCH, max_recovery_attempts=None)
        async def branch(
            run: str, workflow: str, definition: dict[str, Any], prefix: str, value: Any, context: dict[str, Any]
        ) -> Ended:
            return await self._run(run, workflow, definition, prefix, value, context)

        @DBOS.workflow(name=_MACHINE, max_recovery_attempts=None)
        async def machine(run: str, workflow: str, definition: dict[str, Any], value: Any, started: str) -> Ended:
            execution = {"Id": run, "Name": run, "Input": value, "StartTime": started}
            context = {"Execution": execution, "StateMachine": {"Name": workflow}}
            outcome = ""
            try:
                ended = await self._run(run, workflow, definition, "", value, context)
                outcome = ended["state"]
            except Exception:
                outcome = "failed"
                raise
            finally:
                self._ended(run, workflow, outcome)
            return ended

        self._machine, self._branch = machine, branch

    def stop(self) -> None:
        """Leave every run where it is. A task under way is done again after the next start."""
        # It warns of each run that is left, which is what a stop is for.
        logging.getLogger("dbos").setLevel(logging.ERROR)
        DBOS.destroy(destroy_registry=True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(
        self, run: str, workflow: str, definition: dict[str, Any], prefix: str, value: Any, context: dict[str, Any]
    ) -> Ended:
        assert self._branch is not None
        assert DBOS.workflow_id is not None
        steps = DurableSteps(run, workflow, self, self._do, self._pool, self._branch)
        try:
            return await Machine(definition, steps, context, prefix).run(value)
        finally:
            with self._lock:
                self._standings[run].pop(DBOS.workflow_id, None)
                if not self._standings[run]:
                    del self._standings[run]

    def _ended(self, run: str, workflow: str, outcome: str) -> None:
        """A run is over for this process; without an outcome it is left where it is, or was cancelled."""
        with self._lock:
            if run in self._cancelled:
                self._cancelled.discard(run)
            elif outcome:
                self._counts[workflow][outcome] += 1

    def called(self, workflow: str, *, failed: bool) -> None:
        """A task of a run of the workflow was tried."""
        with self._lock:
            self._counts[workflow].update(calls=1, errors=int(failed))

    def counts(self, workflow: str) -> dict[str, int]:
        """What became of the workflow's runs and of the calls of their tasks since the start: see `COUNTED`.

        Of the runs under way now, all are `running`, and those that wait for a person's approval `waiting`.
        """
        with self._lock:
            stands = [list(each.values()) for run, each in self._standings.items() if _workflow_of(run) == workflow]
            counted = {name: self._counts[workflow][name] for name in COUNTED}
        waiting = sum(any(each.doing == "waiting for approval" for each in mine) for mine in stands)
        return {**counted, "running": len(stands), "waiting": waiting}

    def stand(self, run: str, machine: str, standing: Standing) -> None:
        """A machine of a run is there now."""
        with self._lock:
            self._standings[run][machine] = standing

    def begin(self, workflow: str, definition: Mapping[str, Any], value: Any, key: str | None) -> tuple[str, bool]:
        """Begin a run: its name, and whether it is new; of one `key` there is one run. Raises RunError."""
        assert self._machine is not None
        if mistake := json_mistake(value):
            raise RunError(f"the input cannot be kept as JSON: {mistake}")
        token = secrets.token_hex(6) if key is None else hashlib.sha256(key.encode()).hexdigest()[:12]
        run = f"{workflow}-{token}"
        if DBOS.list_workflows(workflow_ids=[run], load_input=False, load_output=False):
            return run, False
        with self._lock:
            if len(self._standings) >= _MOST_RUNNING:
                raise RunError(f"{_MOST_RUNNING:,} runs are under way; begin more once some of them have ended")
        started = datetime.fromtimestamp(self._clock() / SECOND, UTC).isoformat(timespec="milliseconds")
        with SetWorkflowID(run):
            DBOS.enqueue_workflow(_QUEUE, self._machine, run, workflow, dict(definition), value, started)
        with self._lock:
            self._counts[workflow]["begun"] += 1
        return run, True

    def runs(self, workflow: str | None, limit: int) -> list[RunRecord]:
        """Runs, the newest first, of one workflow or of all."""
        prefix = None if workflow is None else f"{workflow}-"
        found = DBOS.list_workflows(
            name=_MACHINE, workflow_id_prefix=prefix, limit=limit, sort_desc=True, load_input=False
        )
        return [self._record(each) for each in found]

    def run(self, run: str) -> RunDetail:
        """One run, with everything. Raises UnknownRunError."""
        status = self._status(run)
        inputs: list[Any] = list(status.input["args"])
        steps = self._steps(run, inputs[0])
        ended = status.output if isinstance(status.output, dict) else {}
        return RunDetail(self._record(status), inputs[2], inputs[3], ended.get("output"), steps)

    def decide(self, run: str, place: str | None, *, approved: bool, by: str, comment: str) -> str:
        """Give a person's decision to the state that waits for it; its place. Raises UnknownRunError, RunError."""
        name = self._name(run)
        with self._lock:
            standings = self._standings.get(name, {})
            waiting = {
                each.place: machine for machine, each in standings.items() if each.doing == "waiting for approval"
            }
            chosen = place or next(iter(waiting), "")
            if chosen not in waiting:
                where = f" at {place}" if place else ""
                raise RunError(f"{run} does not wait for approval{where}{_named(waiting)}")
            if place is None and len(waiting) > 1:
                raise RunError(f"{run} waits for several approvals: name the state{_named(waiting)}")
            machine = waiting[chosen]
            asked = standings[machine]
            # Taken at once: of two people who decide at the same moment one is told that it is done.
            standings[machine] = Standing(chosen, "at work")
        decision = {"approved": approved, "by": by, "comment": comment}
        try:
            DBOS.send(machine, decision, topic=chosen, idempotency_key=f"{machine}/{chosen}")
        except BaseException:
            self.stand(name, machine, asked)
            raise
        return chosen

    def resume(self, run: str) -> str:
        """Take a run that failed up again at the state where it failed; the name of the run that does so.

        Raises UnknownRunError, RunError.
        """
        status = self._status(run)
        record = self._record(status)
        if record.state != "failed":
            raise RunError(f"{run} has not failed: it is {record.state}")
        first = min(
            (
                step["function_id"]
                for step in DBOS.list_workflow_steps(run, load_output=False)
                if step["function_name"].startswith(f"{record.failed_at}#")
                or (step["child_workflow_id"] or "").startswith(
                    (f"{run}/{record.failed_at}[", f"{run}/{record.failed_at}#")
                )
            ),
            default=None,
        )
        if first is None:
            raise RunError(f"{run} failed at {record.failed_at}, which does nothing outside: begin a new run")
        again = f"{run.partition('.')[0]}.{secrets.token_hex(3)}"
        with SetWorkflowID(again):
            DBOS.fork_workflow(run, first)
        with self._lock:
            self._counts[record.workflow]["begun"] += 1
        return again

    def cancel(self, run: str) -> None:
        """End a run before its next step. Raises UnknownRunError, RunError."""
        record = self._record(self._status(run))
        if record.state != "running":
            raise RunError(f"{run} has ended: it is {record.state}")
        name = self._name(run)
        with self._lock:
            self._cancelled.add(name)
            self._counts[record.workflow]["cancelled"] += 1
        DBOS.cancel_workflow(run, cancel_children=True)
        with self._lock:
            self._standings.pop(name, None)

    def sweep(self, keep: Mapping[str, int]) -> None:
        """Forget runs that ended longer ago than is kept, in ns by workflow; looked for once an hour."""
        now = self._clock()
        if now - self._swept < HOUR:
            return
        self._swept = now
        for workflow, kept in keep.items():
            before = datetime.fromtimestamp((now - kept) / SECOND, UTC).isoformat()
            old = DBOS.list_workflows(
                name=_MACHINE,
                workflow_id_prefix=f"{workflow}-",
                completed_before=before,
                load_input=False,
                load_output=False,
            )
            if old:
                DBOS.delete_workflows([each.workflow_id for each in old], delete_children=True)

    def _status(self, run: str) -> Any:
        found = DBOS.list_workflows(workflow_ids=[run], name=_MACHINE)
        if not found:
            raise UnknownRunError(run)
        return found[0]

    def _name(self, run: str) -> str:
        """The name that the run's steps go by: that of the first one, where it was taken up again."""
        return str(self._status(run).input["args"][0])

    def _record(self, status: Any) -> RunRecord:
        ended = status.output if isinstance(status.output, dict) else {}
        state = {"SUCCESS": ended.get("state", "failed"), "ERROR": "failed", "CANCELLED": "cancelled"}.get(
            status.status, "running"
        )
        if state == "failed" and status.was_forked_from:
            state = "resumed"
        with self._lock:
            standings = self._standings.get(status.workflow_id.partition(".")[0], {}) if state == "running" else {}
            stands = sorted(standings.values(), key=lambda each: each.place)
        return RunRecord(
            status.workflow_id,
            _workflow_of(status.workflow_id),
            state,
            status.created_at * _MILLISECOND,
            None if status.completed_at is None else status.completed_at * _MILLISECOND,
            stands,
            ended.get("error", "States.Runtime" if status.status == "ERROR" else ""),
            ended.get("cause", str(status.error) if status.status == "ERROR" else ""),
            ended.get("at", ""),
        )

    def _steps(self, machine: str, name: str) -> list[StepRecord]:
        """Every step of a machine that is done, with those of the machines within it, in the order of their ends."""
        found = []
        asked: list[Any] = []
        for step in DBOS.list_workflow_steps(machine):
            child = step["child_workflow_id"]
            if child and step["function_name"] == _BRANCH:
                found += self._steps(child, name)
            elif "#" in step["function_name"] and isinstance(step["output"], dict):
                found.append(_step(step, name, asked))
            asked = _asked(step, asked)
        return sorted(found, key=lambda each: each.ended)


def _asked(step: Any, asked: list[Any]) -> list[Any]:
    """What DBOS noted of an approval that begins with this step or goes on with it: it waits, with a sleep beside."""
    if step["function_name"] == "DBOS.recv":
        return [step]
    return [*asked, step] if asked and step["function_name"] == "DBOS.sleep" else []


def _step(step: Any, name: str, asked: Sequence[Any]) -> StepRecord:
    """The record of a step; a decision's begins when it was asked for: `asked` has what DBOS noted of that."""
    place, _, attempt = step["function_name"].rpartition("#")
    output = step["output"]
    started = min(filter(None, (each["started_at_epoch_ms"] for each in (*asked, step))), default=0)
    return StepRecord(
        place,
        int(attempt),
        f"{name}/{place}",
        started * _MILLISECOND,
        (step["completed_at_epoch_ms"] or 0) * _MILLISECOND,
        output.get("result"),
        output.get("error", ""),
        output.get("cause", ""),
    )


def _workflow_of(run: str) -> str:
    return run.rpartition("-")[0]


def _named(waiting: Mapping[str, str]) -> str:
    return f" (waiting: {', '.join(waiting)})" if waiting else ""
