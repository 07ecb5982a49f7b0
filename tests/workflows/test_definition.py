"""What is wrong with a definition, told all at once, with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workflows.definition import mistakes_of, read_definition


def told(definition: Any) -> list[str]:
    return [str(mistake) for mistake in mistakes_of(definition, ["repair"])]


def of_state(state: dict[str, Any]) -> list[str]:
    return told({"StartAt": "A", "States": {"A": state}})


def task(**more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": "function:repair", "End": True, **more}


def action(name: str, **parameters: Any) -> dict[str, Any]:
    return task(Resource=f"driftline:{name}", Parameters=parameters)


def choice(**rule: Any) -> dict[str, Any]:
    return {"Type": "Choice", "Choices": [{"Variable": "$.x", **rule, "Next": "A"}]}


def test_every_kind_of_state_is_taken() -> None:
    inner = {"StartAt": "I", "States": {"I": task()}}
    states = {
        "Task": {
            **task(Retry=[{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 2}, {"ErrorEquals": ["States.ALL"]}]),
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Fail", "ResultPath": "$.error"}],
            "Parameters": {"device.$": "$.device", "run.$": "$$.Execution.Id", "fixed": [1, {"x.$": "$['a b'][0]"}]},
            "Next": "Choice",
        },
        "Choice": {
            "Type": "Choice",
            "Choices": [
                {"And": [{"Variable": "$.n", "NumericGreaterThan": 3}, {"Not": {"Variable": "$.m", "IsPresent": True}}],
                 "Next": "Wait"},
                {"Variable": "$.s", "StringEqualsPath": "$.t", "Next": "Map"},
            ],
            "Default": "Approve",
        },
        "Wait": {"Type": "Wait", "SecondsPath": "$.pause", "Next": "Approve"},
        "Approve": {"Type": "Task", "Resource": "driftline:approval", "TimeoutSeconds": 60, "Next": "Parallel"},
        "Parallel": {"Type": "Parallel", "Branches": [inner, inner], "ResultPath": "$.both", "Next": "Map"},
        "Map": {"Type": "Map", "ItemsPath": "$.list", "ItemProcessor": inner, "MaxConcurrency": 2, "Next": "Pass"},
        "Pass": {"Type": "Pass", "Result": {"ok": True}, "ResultPath": "$.r", "Next": "Done"},
        "Done": {"Type": "Succeed"},
        "Fail": {"Type": "Fail", "Error": "Broken", "Cause": "it is"},
    }  # fmt: skip
    del states["Task"]["End"]
    assert told({"Comment": "all of it", "StartAt": "Task", "States": states}) == []


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (task(Resource="function:repare"), 'States.A.Resource: unknown function "repare"; did you mean "repair"?'),
        (task(Resource="driftline:publich"), 'unknown "driftline:publich"; did you mean "driftline:publish"?'),
        (task(Resource="driftline:workflow"), 'States.A.Resource: unknown "driftline:workflow"'),
        (task(HeartbeatSeconds=3), 'States.A.HeartbeatSeconds: not supported: unknown field "HeartbeatSeconds"'),
        (task(TimeoutSeconds=3), "States.A.TimeoutSeconds: only driftline:approval has it; a function has its own"),
        (task(Next="A"), "States.A: expected either Next, the name of a state, or End: true"),
        (task(Parameters={"x.$": "$.a[*]"}), 'States.A.Parameters.x.$: got "$.a[*]", which is not read from "[*]" on'),
        (task(Parameters={"x.$": "States.UUID()"}), "intrinsic functions are not supported"),
        (action("http", url="http://"), 'States.A.Parameters.url: got "http://", expected an address that begins with'),
        (action("http", **{"url.$": "$.to", "boddy.$": "$"}), 'Parameters.boddy.$: unknown parameter "boddy"; did you'),
        (action("shelve", seconds=0), "States.A.Parameters.seconds: got 0, expected greater than 0"),
        (action("row", values={}), "States.A.Parameters.table: missing: the action needs it"),
        (task(Retry=[{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["E"]}]), "States.ALL stands alone, and last"),
        (task(Retry=[{"ErrorEquals": ["E"], "MaxAttempts": 1.5}]), "got 1.5, expected a whole number from 0 to 1,000"),
        (task(Catch=[{"ErrorEquals": ["E"], "Next": "B"}]), 'States.A.Catch[0].Next: unknown state "B" (known: A)'),
        ({"Type": "Tusk"}, 'States.A.Type: unknown type "Tusk"; did you mean "Task"?'),
        ({"Type": ["Task"], "Next": {}}, "States.A.Type: unknown type \"['Task']\""),
        ({"Type": "Wait", "End": True}, "expected exactly one of Seconds, SecondsPath, Timestamp, TimestampPath; got"),
        ({"Type": "Map", "End": True}, "States.A.ItemProcessor: missing: a Map state needs it"),
        (choice(StringIs="y"), 'States.A.Choices[0].StringIs: unknown operator "StringIs"'),
        (choice(NumericEquals="3"), "States.A.Choices[0].NumericEquals: got '3', expected a number"),
        ({"Type": "Pass", "Next": "A"}, "States: a run would never end: expected a state with End: true"),
    ],
)  # fmt: skip
def test_each_mistake_names_its_place_and_what_is_expected(state: dict[str, Any], expected: str) -> None:
    assert any(expected in line for line in of_state(state)), of_state(state)


@pytest.mark.parametrize(
    "state",
    [
        action("http", **{"url.$": "$.to", "body": {"by.$": "$.by"}}),
        action("http", url="https://plant.example/told", headers={"X-Run.$": "$$.Execution.Id"}),
        action("label", **{"labels": {"site.$": "$.site"}, "device.$": "$.device"}),
        action("row", table="repairs", values={"by.$": "$.by", "cost": 3}),
    ],
)
def test_parameters_that_the_run_gives_are_no_mistakes(state: dict[str, Any]) -> None:
    assert of_state(state) == []


def test_all_mistakes_are_told_at_once_those_within_a_branch_too() -> None:
    branch = {"StartAt": "X", "States": {"Y": task(Resource="no")}}
    found = told(
        {
            "StartAt": "A",
            "QueryLanguage": "JSONata",
            "States": {"A": {"Type": "Parallel", "Branches": [branch], "End": True}, "B": task()},
        }
    )
    assert found == [
        "QueryLanguage: got 'JSONata': only JSONPath is supported",
        'States.A.Branches[0].StartAt: unknown state "X" (known: Y)',
        found[2],
        "States.B: no state leads to it",
    ]
    assert found[2].startswith('States.A.Branches[0].States.Y.Resource: unknown "no"')


def test_a_file_that_is_none_is_told_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "repair.json"
    assert read_definition(file, [])[1] == [f"{file} cannot be read: No such file or directory"]
    file.write_text("{")
    assert read_definition(file, [])[1][0].startswith(f"{file}: expected JSON: ")
    file.write_text("[]")
    assert read_definition(file, []) == ({}, [f"{file}: expected an object with StartAt and States"])
    file.write_text(json.dumps({"StartAt": "A", "States": {"A": task()}}))
    assert read_definition(file, ["repair"]) == ({"StartAt": "A", "States": {"A": task()}}, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"StartAt": "A", "States": {}, "StartAt": "B"}', '"StartAt" stands twice in the same object'),
        ('{"States": {"A": {"Type": "Pass", "Next": "B", "Next": "A"}}}', '"Next" stands twice in the same object'),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a": -Infinity}', "-Infinity is no number of JSON"),
        ('{"a": 1e999}', "1e999 is no number of JSON"),
        ('{"a": 123456789012345678901234567890}', "Integer exceeds 64-bit range"),
    ],
)
def test_what_only_some_readers_take_for_json_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "repair.json"
    file.write_text(text)
    assert read_definition(file, []) == ({}, [f"{file}: expected JSON: {said}"])


def circle(length: int, **last: Any) -> dict[str, Any]:
    """A choice that goes into a circle of Pass states, or ends."""
    states: dict[str, Any] = {f"P{n}": {"Type": "Pass", "Next": f"P{n + 1}"} for n in range(length - 1)}
    states[f"P{length - 1}"] = {"Type": "Pass", **last}
    start = {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": True, "Next": "P0"}], "Default": "End"}
    return {"StartAt": "Start", "States": {"Start": start, **states, "End": {"Type": "Succeed"}}}


def test_a_circle_without_an_end_is_refused_before_any_run() -> None:
    assert told(circle(10, Next="P0")) == [
        "States.P0: no end can be reached from it, nor from " + ", ".join(f"P{n}" for n in range(1, 10))
    ]
    assert told(circle(2, Next="Start")) == [
        "States.Start: a circle that no run would leave, since nothing changes on the way: Start, P0, P1"
    ]
    assert told(circle(2, Next="Start", InputPath="$.rest")) == [], "it may come to an end"
    waits = circle(2, Next="Start")
    waits["States"]["P1"] = {"Type": "Wait", "Seconds": 60, "Next": "Start"}
    assert told(waits) == []
