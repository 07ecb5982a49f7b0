"""Workflows: the steps of one run, each kept in DBOS's file before the machine goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any, Protocol

from dbos import DBOS, SetWorkflowID

from workflows.choice_rules import moment
from workflows.json_paths import json_mistake
from workflows.machine import Ended
from workflows.run_records import Standing

_LEAST_SLEEP = 0.001
"""DBOS keeps no note of a sleep of nothing, and a run that is taken up again would count its steps otherwise."""

DoTask = Callable[[str, str, str, Any], dict[str, Any]]
"""Does a task, and waits: workflow, key, resource, payload; gives `result`, or `error` and `cause`."""


class Board(Protocol):
    """Where runs say how they stand."""

    def stand(self, run: str, machine: str, standing: Standing) -> None:
        """Machine `machine` of a run is there now."""
        ...

    def called(self, workflow: str, *, failed: bool) -> None:
        """A task of a run of the workflow was tried."""
        ...


class DurableSteps:
    """See `workflows.machine.Steps`. `run` is the run's name, which the keys of its steps begin with."""

    def __init__(
        self, run: str, workflow: str, board: Board, do: DoTask, pool: Executor, branch: Callable[..., Any]
    ) -> None:
        self._run = run
        self._workflow = workflow
        self._board = board
        self._do = do
        self._pool = pool
        self._branch = branch

    async def task(self, place: str, attempt: int, resource: str, payload: Any) -> dict[str, Any]:
        """Do a task: `result`, or `error`, its name, with `cause`."""
        self._stand(place, "at work")
        key = f"{self._run}/{place}"

        async def do() -> dict[str, Any]:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._pool, self._do, self._workflow, key, resource, payload)
            if mistake := json_mistake(answer):
                answer = {"error": "States.TaskFailed", "cause": f"what it gave cannot be kept as JSON: {mistake}"}
            self._board.called(self._workflow, failed="error" in answer)
            return answer

        return await DBOS.run_step_async({"name": f"{place}#{attempt}"}, do)

    async def approval(self, place: str, payload: Any, seconds: float) -> dict[str, Any] | None:
        """What a person decided: `approved`, `by`, `comment`; None where nobody did in time."""
        self._stand(place, "waiting for approval", payload)
        decision: dict[str, Any] | None = await DBOS.recv_async(place, timeout_seconds=seconds)

        async def note() -> dict[str, Any]:
            if decision is None:
                return {"error": "States.Timeout", "cause": f"nobody decided within {seconds:g} s"}
            return {"result": decision}

        await DBOS.run_step_async({"name": f"{place}#1"}, note)
        return decision

    async def sleep(self, place: str, seconds: float) -> None:
        """Wait."""
        self._stand(place, "waiting")
        await DBOS.sleep_async(max(_LEAST_SLEEP, seconds))

    async def wait_until(self, place: str, time: str) -> None:
        """Wait for a time, ISO 8601."""
        until = moment(time)
        assert until is not None
        await self.sleep(place, (until - datetime.now(UTC)).total_seconds())

    async def begin(
        self, place: str, machine: Mapping[str, Any], value: Any, context: Any
    ) -> Callable[[], Awaitable[Ended]]:
        """Begin a machine within this one, as a run of DBOS of its own, under a name that stays the same."""
        self._stand(place.partition("[")[0], "at work")
        with SetWorkflowID(f"{DBOS.workflow_id}/{place}"):
            handle = await DBOS.start_workflow_async(
                self._branch, self._run, self._workflow, dict(machine), place, value, context
            )
        return handle.get_result

    def _stand(self, place: str, doing: str, asked: Any = None) -> None:
        assert DBOS.workflow_id is not None
        self._board.stand(self._run, DBOS.workflow_id, Standing(place, doing, asked))
