"""The way that a machine takes, with steps whose answers are given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from workflows.machine import Ended, Machine


class GivenSteps:
    """Answers tasks from a list by place, an error as a text `name: cause`; notes what is asked for."""

    def __init__(self, answers: Mapping[str, list[Any]] | None = None, decision: dict[str, Any] | None = None) -> None:
        self.answers = {place: list(each) for place, each in (answers or {}).items()}
        self.decision = decision
        self.asked: list[Any] = []

    async def task(self, place: str, attempt: int, resource: str, payload: Any) -> dict[str, Any]:
        assert resource == "function:f"
        self.asked.append((place, attempt, payload))
        answer = self.answers[place].pop(0) if place in self.answers else {"of": place}
        if isinstance(answer, str):
            name, _, cause = answer.partition(": ")
            return {"error": name, "cause": cause}
        return {"result": answer}

    async def approval(self, place: str, payload: Any, seconds: float) -> dict[str, Any] | None:
        self.asked.append((place, payload, seconds))
        return self.decision

    async def sleep(self, place: str, seconds: float) -> None:
        self.asked.append((place, seconds))

    async def wait_until(self, place: str, time: str) -> None:
        self.asked.append((place, time))

    async def begin(
        self, place: str, machine: Mapping[str, Any], value: Any, context: Any
    ) -> Callable[[], Awaitable[Ended]]:
        return lambda: Machine(machine, self, context, place).run(value)


def run(states: dict[str, Any], value: Any = None, steps: GivenSteps | None = None) -> tuple[Ended, list[Any]]:
    steps = steps or GivenSteps()
    start = next(iter(states))
    machine = Machine({"StartAt": start, "States": states}, steps, {"Execution": {"Id": "r-1"}})
    return asyncio.run(machine.run({} if value is None else value)), steps.asked


def task(**more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": "function:f", **({} if "Next" in more else {"End": True}), **more}


def test_input_result_and_output_go_where_their_paths_say() -> None:
    states = {
        "A": task(
            InputPath="$.order",
            Parameters={"id.$": "$.id", "run.$": "$$.Execution.Id", "state.$": "$$.State.Name"},
            ResultSelector={"got.$": "$.of"},
            ResultPath="$.done.a",
            OutputPath="$.done",
        )
    }
    ended, asked = run(states, {"order": {"id": 7}})
    assert asked == [("A", 1, {"id": 7, "run": "r-1", "state": "A"})]
    assert ended == {"state": "succeeded", "output": {"a": {"got": "A"}}}


def test_a_task_is_tried_again_after_pauses_that_grow_and_then_caught() -> None:
    states = {
        "A": task(
            Retry=[{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 2, "MaxAttempts": 2, "BackoffRate": 3}],
            Catch=[{"ErrorEquals": ["States.ALL"], "Next": "B", "ResultPath": "$.error"}],
            Next="B",
        ),
        "B": {"Type": "Succeed"},
    }
    steps = GivenSteps({"A": ["States.TaskFailed: one", "States.TaskFailed: two", "States.TaskFailed: three"]})
    ended, asked = run(states, {"n": 1}, steps)
    assert asked == [("A", 1, {"n": 1}), ("A", 2), ("A", 2, {"n": 1}), ("A", 6), ("A", 3, {"n": 1})]
    assert ended["output"] == {"n": 1, "error": {"Error": "States.TaskFailed", "Cause": "three"}}


def test_an_error_that_nothing_catches_ends_the_run_and_says_where() -> None:
    states = {"A": task(Next="B"), "B": task(Catch=[{"ErrorEquals": ["Other"], "Next": "A"}])}
    ended, _ = run(states, None, GivenSteps({"B": ["States.Timeout: took too long"]}))
    assert ended == {"state": "failed", "error": "States.Timeout", "cause": "took too long", "at": "B"}


@pytest.mark.parametrize(
    ("value", "end"),
    [({"n": 4}, "Big"), ({"n": 4, "m": 1}, "Default"), ({"s": "abc"}, "Text"), ({"n": "4"}, "Default")],
)
def test_a_choice_goes_where_the_first_rule_holds(value: Any, end: str) -> None:
    present = {"Variable": "$.n", "IsPresent": True}
    big = [present, {"Variable": "$.n", "NumericGreaterThan": 3}, {"Not": {"Variable": "$.m", "IsPresent": True}}]
    text = [{"Variable": "$.s", "IsPresent": True}, {"Variable": "$.s", "StringMatches": "a*"}]
    states = {
        "A": {
            "Type": "Choice",
            "Choices": [{"And": big, "Next": "Big"}, {"And": text, "Next": "Text"}],
            "Default": "Default",
        },
        **{name: {"Type": "Pass", "Result": name, "End": True} for name in ("Big", "Text", "Default")},
    }
    assert run(states, value)[0]["output"] == end


def test_a_path_that_names_nothing_fails_the_state_and_says_what_is_there() -> None:
    ended, _ = run({"A": task(InputPath="$.device.name")}, {"device": {"id": 1}})
    assert (ended["error"], ended["at"]) == ("States.ParameterPathFailure", "A")
    assert ended["cause"] == '"$.device.name" is not there: step 2 has no "name" (its fields: id)'


def test_branches_and_elements_give_their_outputs_in_order() -> None:
    one = {"StartAt": "X", "States": {"X": task()}}
    item = {"StartAt": "X", "States": {"X": task(Parameters={"i.$": "$$.Map.Item.Index", "v.$": "$"})}}
    states = {
        "P": {"Type": "Parallel", "Branches": [one, one], "ResultPath": "$.p", "Next": "M"},
        "M": {"Type": "Map", "ItemsPath": "$.list", "ItemProcessor": item, "MaxConcurrency": 1, "End": True},
    }
    ended, asked = run(states, {"list": ["a", "b"]})
    assert ended["output"] == [{"of": "M[0]/X"}, {"of": "M[1]/X"}]
    assert asked[:2] == [("P[0]/X", 1, {"list": ["a", "b"]}), ("P[1]/X", 1, {"list": ["a", "b"]})]
    assert asked[2:] == [("M[0]/X", 1, {"i": 0, "v": "a"}), ("M[1]/X", 1, {"i": 1, "v": "b"})]


def test_a_branch_that_fails_fails_the_state_and_says_where() -> None:
    one = {"StartAt": "X", "States": {"X": task()}}
    states = {"P": {"Type": "Parallel", "Branches": [one, one], "End": True}}
    ended, _ = run(states, None, GivenSteps({"P[1]/X": ["Broken: no oil"]}))
    assert ended == {"state": "failed", "error": "Broken", "cause": "no oil (at P[1]/X)", "at": "P"}


@pytest.mark.parametrize(
    ("decision", "error", "cause"),
    [
        ({"approved": True, "by": "ann", "comment": "go"}, None, None),
        ({"approved": False, "by": "ann", "comment": "too hot"}, "Driftline.Refused", "refused by ann: too hot"),
        (None, "States.Timeout", "nobody decided within 60 s"),
    ],
)
def test_an_approval_waits_for_a_person(decision: Any, error: str | None, cause: str | None) -> None:
    states = {"A": {"Type": "Task", "Resource": "driftline:approval", "TimeoutSeconds": 60, "End": True}}
    ended, asked = run(states, {"n": 1}, GivenSteps(decision=decision))
    assert asked == [("A", {"n": 1}, 60)]
    assert (ended.get("error"), ended.get("cause")) == (error, cause)
    assert ended.get("output") == (None if error else {"by": "ann", "comment": "go"})


def test_a_state_that_is_entered_again_has_another_place_and_a_circle_without_end_is_found() -> None:
    more = {"Variable": "$.of", "StringEquals": "A~2", "Next": "End"}
    states = {
        "A": task(Next="C"),
        "C": {"Type": "Choice", "Choices": [more], "Default": "A"},
        "End": {"Type": "Succeed"},
    }
    assert [place for place, *_ in run(states)[1]] == ["A", "A~2"]
    states["C"]["Choices"][0]["StringEquals"] = "never"
    assert run(states)[0]["cause"] == "more than 10,000 states were entered: a circle without an end"


def test_data_that_double_with_every_state_end_the_run_in_words() -> None:
    """Twenty-eight states that say everything twice would take gigabytes."""
    names = [f"P{number}" for number in range(28)]
    states: dict[str, Any] = {
        name: {"Type": "Pass", "Parameters": {"l.$": "$", "r.$": "$"}, "Next": after}
        for name, after in zip(names, [*names[1:], "End"], strict=True)
    }
    states["End"] = {"Type": "Succeed"}
    states = {"A": {"Type": "Pass", "Next": "P0"}, **states}
    ended, _ = run(states, "oil")
    assert (ended["error"], ended["cause"]) == ("States.DataLimitExceeded", "P18: more than 4 MiB of data")


def test_waits_are_asked_for() -> None:
    states = {
        "A": {"Type": "Wait", "SecondsPath": "$.s", "Next": "B"},
        "B": {"Type": "Wait", "Timestamp": "2026-03-01T12:00:00Z", "End": True},
    }
    assert run(states, {"s": 2.5})[1] == [("A", 2.5), ("B", "2026-03-01T12:00:00Z")]
    assert run(states, {"s": "soon"})[0]["cause"] == "A: got 'soon', expected a number of seconds, at most a year"
