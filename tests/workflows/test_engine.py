"""Runs in DBOS's file: what is kept, and what people do with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS

from workflows.engine import COUNTED, WorkflowEngine
from workflows.run_records import RunError, UnknownRunError

DAY = 86_400_000_000_000
NOW = 1_900_000_000_000_000_000
TASK = {"Type": "Task", "Resource": "function:f"}
DEFINITION = {
    "StartAt": "First",
    "States": {
        "First": {**TASK, "ResultPath": "$.first", "Next": "Approve"},
        "Approve": {"Type": "Task", "Resource": "driftline:approval", "ResultPath": "$.decision", "Next": "Each"},
        "Each": {
            "Type": "Map",
            "ItemsPath": "$.list",
            "ItemProcessor": {"StartAt": "X", "States": {"X": {**TASK, "End": True}}},
            "ResultPath": "$.each",
            "Next": "Last",
        },
        "Last": {**TASK, "ResultPath": "$.last", "End": True},
    },
}


class Tasks:
    """Does tasks; a place that is `broken` fails."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.broken: set[str] = set()

    def __call__(self, workflow: str, key: str, resource: str, payload: Any) -> dict[str, Any]:
        assert (key.rpartition("-")[0], resource) == (workflow, "function:f")
        assert "list" in payload or payload in ("a", "b")
        self.done.append(key)
        if key.partition("/")[2] in self.broken:
            return {"error": "States.TaskFailed", "cause": "no oil"}
        return {"result": len(self.done)}


@pytest.fixture
def wait(wait_until: Callable[..., None]) -> Callable[[WorkflowEngine, str, str], None]:
    def until(engine: WorkflowEngine, run: str, state: str) -> None:
        def stands() -> bool:
            record = engine.run(run).record
            return state in (record.state, *(each.doing for each in record.stands))

        wait_until(stands, within=240, what=f"{run} {state}")

    return until


def counted(**counts: int) -> dict[str, int]:
    return dict.fromkeys((*COUNTED, "running", "waiting"), 0) | counts


def test_a_run_waits_outlives_a_stop_fails_and_is_taken_up_where_it_failed(
    tmp_path: Path, wait: Any, wait_until: Callable[..., None]
) -> None:
    tasks = Tasks()
    tasks.broken.add("Each[1]/X")
    engine = WorkflowEngine(tmp_path / "workflows.db", tasks, clock=lambda: NOW)
    engine.start()
    run, begun = engine.begin("repair", DEFINITION, {"list": ["a", "b"]}, "event-1")
    assert begun
    assert engine.begin("repair", DEFINITION, {"list": []}, "event-1") == (run, False)
    wait(engine, run, "waiting for approval")
    wait_until(lambda: "DBOS.sleep" in [each["function_name"] for each in DBOS.list_workflow_steps(run)])
    asked = time.time_ns()
    engine.stop()

    engine = WorkflowEngine(tmp_path / "workflows.db", tasks, clock=lambda: NOW)
    engine.start()
    try:
        wait(engine, run, "waiting for approval")
        assert engine.counts("repair") == counted(running=1, waiting=1), "they are of this start"
        assert tasks.done == [f"{run}/First"], "what is done is not done again"
        [standing] = engine.run(run).record.stands
        assert (standing.place, standing.asked) == ("Approve", {"list": ["a", "b"], "first": 1})
        with pytest.raises(RunError, match=rf"^{run} does not wait for approval at Last \(waiting: Approve\)$"):
            engine.decide(run, "Last", approved=True, by="ann", comment="")
        assert engine.decide(run, None, approved=True, by="ann", comment="go") == "Approve"
        with pytest.raises(RunError, match="does not wait for approval"):
            engine.decide(run, None, approved=False, by="bob", comment="")
        wait(engine, run, "failed")
        record = engine.run(run).record
        assert (record.error, record.cause, record.failed_at) == (
            "States.TaskFailed", "no oil (at Each[1]/X)", "Each",
        )  # fmt: skip

        [decision] = [step for step in engine.run(run).steps if step.place == "Approve"]
        assert decision.started <= asked < decision.ended, "it took from when it was asked for, stop and all"

        tasks.broken.clear()
        again = engine.resume(run)
        wait(engine, again, "succeeded")
        _assert_resumed(engine, tasks, run, again)
        assert engine.counts("repair") == counted(begun=1, succeeded=1, failed=1, calls=5, errors=1)
    finally:
        engine.stop()


def test_of_several_people_who_decide_at_once_one_decision_holds(tmp_path: Path, wait: Any) -> None:
    ask = {"Type": "Task", "Resource": "driftline:approval", "End": True}
    engine = WorkflowEngine(tmp_path / "workflows.db", Tasks(), clock=lambda: NOW)
    engine.start()
    try:
        run, _ = engine.begin("repair", {"StartAt": "Ask", "States": {"Ask": ask}}, None, None)
        wait(engine, run, "waiting for approval")
        together = threading.Barrier(6)

        def decide(person: int) -> str | None:
            together.wait()
            try:
                return engine.decide(run, None, approved=person % 2 == 0, by=f"person {person}", comment="")
            except RunError:
                return None

        with ThreadPoolExecutor(6) as people:
            told = list(people.map(decide, range(6)))
        [heard] = [person for person, place in enumerate(told) if place == "Ask"]
        wait(engine, run, "failed" if heard % 2 else "succeeded")
        record = engine.run(run).record
        said = record.cause if heard % 2 else str(engine.run(run).output)
        assert f"person {heard}" in said
    finally:
        engine.stop()


def _assert_resumed(engine: WorkflowEngine, tasks: Tasks, run: str, again: str) -> None:
    assert [each.state for each in engine.runs("repair", 10)] == ["succeeded", "resumed"]
    detail = engine.run(again)
    assert detail.output["decision"] == {"by": "ann", "comment": "go"}
    assert [step.place for step in detail.steps][:2] == ["First", "Approve"]
    assert {step.place for step in detail.steps[2:-1]} == {"Each[0]/X", "Each[1]/X"}
    assert detail.steps[-1].key == f"{run}/Last", "the key is that of the first run"
    assert tasks.done.count(f"{run}/First") == 1
    with pytest.raises(RunError, match="has not failed: it is resumed"):
        engine.resume(run)


def test_a_run_is_cancelled_and_forgotten_and_one_that_does_not_exist_is_unknown(tmp_path: Path, wait: Any) -> None:
    now = [NOW]
    engine = WorkflowEngine(tmp_path / "workflows.db", Tasks(), clock=lambda: now[0])
    engine.start()
    try:
        run, _ = engine.begin("repair", DEFINITION, {"list": []}, None)
        wait(engine, run, "waiting for approval")
        engine.cancel(run)
        assert engine.run(run).record.state == "cancelled"
        with pytest.raises(RunError, match="has ended: it is cancelled"):
            engine.cancel(run)
        assert engine.counts("repair") == counted(begun=1, cancelled=1, calls=1)
        other, _ = engine.begin("repair_all", DEFINITION, {"list": []}, None)
        assert [each.run for each in engine.runs("repair", 10)] == [run], "not those of repair_all"
        now[0] += 400 * DAY
        engine.sweep({"repair": 30 * DAY, "repair_all": 30 * DAY})
        assert [each.run for each in engine.runs(None, 10)] == [other], "one that goes on is kept"
        with pytest.raises(UnknownRunError):
            engine.run(run)
    finally:
        engine.stop()


def test_a_run_that_ends_by_something_unforeseen_says_what_it_was(
    tmp_path: Path, wait: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    def do(workflow: str, key: str, resource: str, payload: Any) -> dict[str, Any]:
        if payload == "odd":
            raise LookupError("no such pump")
        return {"result": 1 << 70 if payload == "large" else payload}

    each = {"StartAt": "X", "States": {"X": {**TASK, "End": True}}}
    definition = {"StartAt": "Each", "States": {"Each": {"Type": "Map", "ItemProcessor": each, "End": True}}}
    engine = WorkflowEngine(tmp_path / "workflows.db", do, clock=lambda: NOW)
    engine.start()
    try:
        for item, error, cause in (
            ("odd", "States.Runtime", "LookupError: no such pump"),
            (
                "large",
                "States.TaskFailed",
                "what it gave cannot be kept as JSON: Integer exceeds 64-bit range (at Each[0]/X)",
            ),
        ):
            run, _ = engine.begin("repair", definition, [item], None)
            wait(engine, run, "failed")
            record = engine.run(run).record
            assert (record.error, record.cause) == (error, cause)
        with pytest.raises(RunError, match="the input cannot be kept as JSON: Integer exceeds 64-bit range"):
            engine.begin("repair", definition, [1 << 70], None)
        waiting, _ = engine.begin("repair", DEFINITION, {"list": []}, None)
        wait(engine, waiting, "waiting for approval")
        capfd.readouterr()
    finally:
        engine.stop()
    assert capfd.readouterr() == ("", ""), "a run that is left where it is is no warning"
