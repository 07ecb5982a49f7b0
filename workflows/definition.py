"""Workflows: a definition held against the part of the Amazon States Language that is supported: all that is wrong.

Nothing is converted: what has no mistake is run as it stands. See docs/workflows.md.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from common.suggestions import unknown
from workflows.choice_rules import moment, rule_mistakes
from workflows.json_paths import json_mistake, path_mistakes, template_mistakes
from workflows.resources import APPROVAL, parameter_mistakes, resource_mistake
from workflows.ways import way_mistakes

_INPUT = {"InputPath", "OutputPath"}
_RESULT = {"Parameters", "ResultSelector", "ResultPath"}
_RETRIED = {"Retry", "Catch"}
_FLOW = {"Next", "End"}
_FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "Task": ({"Resource"}, _INPUT | _RESULT | _RETRIED | _FLOW | {"TimeoutSeconds"}),
    "Choice": ({"Choices"}, _INPUT | {"Default"}),
    "Wait": (set(), _INPUT | _FLOW | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"}),
    "Parallel": ({"Branches"}, _INPUT | _RESULT | _RETRIED | _FLOW),
    "Map": (
        set(),
        _INPUT | _RESULT | _RETRIED | _FLOW
        | {"ItemProcessor", "Iterator", "ItemsPath", "ItemSelector", "MaxConcurrency"},
    ),
    "Pass": (set(), _INPUT | {"Parameters", "ResultPath", "Result"} | _FLOW),
    "Succeed": (set(), _INPUT),
    "Fail": (set(), {"Error", "Cause"}),
}  # fmt: skip
"""Fields that a state of each type needs, and those that it may have beside Type and Comment."""

_WAITS = ("Seconds", "SecondsPath", "Timestamp", "TimestampPath")
_RETRY = {"ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "Comment"}
_CATCH = {"ErrorEquals", "Next", "ResultPath", "Comment"}
_MACHINE = {"Comment", "StartAt", "States", "Version", "QueryLanguage"}
_PROCESSOR = _MACHINE | {"ProcessorConfig"}
_OF_NAMES = set("/#~[]")
_LONGEST_NAME = 80
_DEEPEST = 5
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a definition: the place in it, such as `States.Notify.Next`, and a sentence."""

    place: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}" if self.place else self.sentence


def read_definition(file: Path, functions: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """The definition in a file, and a line for everything that is wrong with it; `functions` are those configured."""
    try:
        text = file.read_bytes()
        if len(text) > _MOST_BYTES:
            return {}, [f"{file}: {len(text):,} bytes: expected at most 1 MiB"]
        found = json.loads(
            text.decode("utf-8-sig"), object_pairs_hook=_fields_once, parse_constant=_no_json, parse_float=_finite
        )
    except OSError as error:
        return {}, [f"{file} cannot be read: {error.strerror}"]
    except (ValueError, RecursionError) as error:
        return {}, [f"{file}: expected JSON: {error}"]
    if mistake := json_mistake(found):
        return {}, [f"{file}: expected JSON: {mistake}"]
    wrong = [f"{file}: {mistake}" for mistake in mistakes_of(found, functions)]
    return (found if isinstance(found, dict) else {}), wrong


def _fields_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'"{twice}" stands twice in the same object')
    return found


def _no_json(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _no_json(text)


def mistakes_of(definition: Any, functions: Collection[str]) -> list[Mistake]:
    """Everything that is wrong with a definition."""
    check = _Check(functions)
    check.machine(definition, "", _MACHINE, 0)
    return [Mistake(place, sentence) for place, sentence in check.found]


def processor_of(state: Mapping[str, Any]) -> Any:
    """What a Map state runs for each element, under its present name or the former one."""
    return state.get("ItemProcessor", state.get("Iterator"))


class _Check:
    def __init__(self, functions: Collection[str]) -> None:
        self.found: list[tuple[str, str]] = []
        self._functions = functions

    def say(self, place: str, sentence: str) -> None:
        self.found.append((place, sentence))

    def machine(self, given: Any, place: str, fields: set[str], depth: int) -> None:
        if not isinstance(given, Mapping):
            return self.say(place, "expected an object with StartAt and States")
        if depth > _DEEPEST:
            return self.say(place, f"nested more than {_DEEPEST} deep")
        dot = f"{place}." if place else ""
        self._known_fields(given, dot, fields)
        if given.get("QueryLanguage", "JSONPath") != "JSONPath":
            self.say(f"{dot}QueryLanguage", f"got {given['QueryLanguage']!r}: only JSONPath is supported")
        states = given.get("States")
        if not isinstance(states, Mapping) or not states:
            return self.say(f"{dot}States", "expected an object with at least one state")
        self._target(given.get("StartAt"), states, f"{dot}StartAt")
        for name, state in states.items():
            self._state_name(name, f"{dot}States.{name}")
            self.state(state, f"{dot}States.{name}", states, depth)
        self.found += way_mistakes(given.get("StartAt"), states, _FIELDS, dot)
        return None

    def _state_name(self, name: str, place: str) -> None:
        if not name or len(name) > _LONGEST_NAME or not name.isprintable() or set(name) & _OF_NAMES:
            self.say(place, f"expected a name of 1 to {_LONGEST_NAME} characters without / # ~ [ ]")

    def _known_fields(self, given: Mapping[str, Any], dot: str, fields: Collection[str]) -> None:
        for name in given:
            if name not in fields:
                self.say(f"{dot}{name}", f"not supported: {unknown(name, fields, 'field')}")

    def state(self, state: Any, place: str, states: Mapping[str, Any], depth: int) -> None:
        if not isinstance(state, Mapping):
            return self.say(place, "expected an object with Type")
        kind = state.get("Type")
        if not isinstance(kind, str) or kind not in _FIELDS:
            return self.say(f"{place}.Type", unknown(str(kind), _FIELDS, "type"))
        needed, allowed = _FIELDS[kind]
        self._known_fields(state, f"{place}.", ["Type", "Comment", *sorted(needed | allowed)])
        for name in sorted(needed - set(state)):
            self.say(f"{place}.{name}", f"missing: a {kind} state needs it")
        for name in ("InputPath", "OutputPath", "ResultPath", "ItemsPath"):
            if state.get(name) is not None and name in allowed:
                self.found += path_mistakes(state[name], f"{place}.{name}")
        for name in ("Parameters", "ResultSelector", "ItemSelector"):
            if name in state and name in allowed:
                self.found += template_mistakes(state[name], f"{place}.{name}")
        if "Next" in allowed:
            self._flow(state, place, states)
        if "Retry" in allowed:
            self._retries(state, place)
            self._catches(state, place, states)
        self._of_kind(kind, state, place, states, depth)
        return None

    def _flow(self, state: Mapping[str, Any], place: str, states: Mapping[str, Any]) -> None:
        if ("Next" in state) == (state.get("End") is True):
            self.say(place, "expected either Next, the name of a state, or End: true")
        if "Next" in state:
            self._target(state["Next"], states, f"{place}.Next")
        if "End" in state and state["End"] is not True:
            self.say(f"{place}.End", f"got {state['End']!r}, expected true; leave it out where there is Next")

    def _target(self, name: Any, states: Mapping[str, Any], place: str) -> None:
        if not isinstance(name, str) or name not in states:
            self.say(
                place, "missing: expected the name of a state" if name is None else unknown(str(name), states, "state")
            )

    def _errors(self, given: Mapping[str, Any], place: str, *, last: bool) -> None:
        names = given.get("ErrorEquals")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            self.say(f"{place}.ErrorEquals", 'expected a list of names of errors, such as ["States.ALL"]')
        elif "States.ALL" in names and (len(names) > 1 or not last):
            self.say(f"{place}.ErrorEquals", "States.ALL stands alone, and last")

    def _each(self, state: Mapping[str, Any], name: str, place: str) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
        if name not in state:
            return
        given = state[name]
        if not isinstance(given, list):
            self.say(f"{place}.{name}", "expected a list")
            return
        for number, each in enumerate(given):
            if isinstance(each, Mapping):
                yield f"{place}.{name}[{number}]", each, number == len(given) - 1
            else:
                self.say(f"{place}.{name}[{number}]", "expected an object with ErrorEquals")

    def _retries(self, state: Mapping[str, Any], place: str) -> None:
        for where, each, last in self._each(state, "Retry", place):
            self._known_fields(each, f"{where}.", _RETRY)
            self._errors(each, where, last=last)
            self._number(each, "IntervalSeconds", where, 0, 86_400)
            self._number(each, "BackoffRate", where, 1, 100)
            self._number(each, "MaxDelaySeconds", where, 1, 31_622_400)
            self._number(each, "MaxAttempts", where, 0, 1_000, whole=True)

    def _catches(self, state: Mapping[str, Any], place: str, states: Mapping[str, Any]) -> None:
        for where, each, last in self._each(state, "Catch", place):
            self._known_fields(each, f"{where}.", _CATCH)
            self._errors(each, where, last=last)
            self._target(each.get("Next"), states, f"{where}.Next")
            if each.get("ResultPath") is not None:
                self.found += path_mistakes(each["ResultPath"], f"{where}.ResultPath")

    def _number(
        self, given: Mapping[str, Any], name: str, place: str, least: float, most: float, *, whole: bool = False
    ) -> None:
        if name not in given:
            return
        value = given[name]
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not fits or not least <= value <= most:
            self.say(
                f"{place}.{name}",
                f"got {value!r}, expected a {'whole ' * whole}number from {least:,} to {most:,}",
            )

    def _of_kind(self, kind: str, state: Mapping[str, Any], place: str, states: Mapping[str, Any], depth: int) -> None:
        if kind == "Task":
            self._task(state, place)
        elif kind == "Choice":
            self._choice(state, place, states)
        elif kind == "Wait":
            self._wait(state, place)
        elif kind == "Parallel":
            self._parallel(state, place, depth)
        elif kind == "Map":
            self._map(state, place, depth)
        elif kind == "Fail":
            for name in ("Error", "Cause"):
                if not isinstance(state.get(name, ""), str):
                    self.say(f"{place}.{name}", f"got {state[name]!r}, expected a text")

    def _task(self, state: Mapping[str, Any], place: str) -> None:
        if "Resource" in state and (sentence := resource_mistake(state["Resource"], self._functions)):
            self.say(f"{place}.Resource", sentence)
        else:
            for name, mistake in parameter_mistakes(state.get("Resource"), state.get("Parameters")):
                self.say(f"{place}.Parameters{name}", mistake)
        self._number(state, "TimeoutSeconds", place, 1, 31_622_400)
        if "TimeoutSeconds" in state and state.get("Resource") != APPROVAL:
            self.say(
                f"{place}.TimeoutSeconds", f"only {APPROVAL} has it; a function has its own timeout in driftline.toml"
            )

    def _choice(self, state: Mapping[str, Any], place: str, states: Mapping[str, Any]) -> None:
        rules = state.get("Choices")
        if "Choices" in state and (not isinstance(rules, list) or not rules):
            self.say(f"{place}.Choices", "expected a list of rules")
        for number, rule in enumerate(rules if isinstance(rules, list) else ()):
            where = f"{place}.Choices[{number}]"
            self.found += rule_mistakes(rule, where)
            if isinstance(rule, Mapping):
                self._target(rule.get("Next"), states, f"{where}.Next")
        if "Default" in state:
            self._target(state["Default"], states, f"{place}.Default")

    def _wait(self, state: Mapping[str, Any], place: str) -> None:
        given = [name for name in _WAITS if name in state]
        if len(given) != 1:
            self.say(place, f"expected exactly one of {', '.join(_WAITS)}; got {', '.join(given) or 'none'}")
        self._number(state, "Seconds", place, 0, 31_622_400)
        if "Timestamp" in state and moment(state["Timestamp"]) is None:
            self.say(f"{place}.Timestamp", f"got {state['Timestamp']!r}, expected a time such as 2026-03-01T12:00:00Z")
        for name in ("SecondsPath", "TimestampPath"):
            if name in state:
                self.found += path_mistakes(state[name], f"{place}.{name}")

    def _parallel(self, state: Mapping[str, Any], place: str, depth: int) -> None:
        branches = state.get("Branches")
        if "Branches" in state and (not isinstance(branches, list) or not branches):
            self.say(f"{place}.Branches", "expected a list of machines, each with StartAt and States")
        for number, branch in enumerate(branches if isinstance(branches, list) else ()):
            self.machine(branch, f"{place}.Branches[{number}]", _MACHINE, depth + 1)

    def _map(self, state: Mapping[str, Any], place: str, depth: int) -> None:
        if ("ItemProcessor" in state) == ("Iterator" in state):
            self.say(f"{place}.ItemProcessor", "missing: a Map state needs it (or Iterator, its former name)")
            return
        name = "ItemProcessor" if "ItemProcessor" in state else "Iterator"
        self.machine(state[name], f"{place}.{name}", _PROCESSOR, depth + 1)
        config = state[name].get("ProcessorConfig", {}) if isinstance(state[name], Mapping) else {}
        if not isinstance(config, Mapping) or config.get("Mode", "INLINE") != "INLINE":
            self.say(f"{place}.{name}.ProcessorConfig", f'got {config!r}: only {{"Mode": "INLINE"}} is supported')
        self._number(state, "MaxConcurrency", place, 0, 1_000, whole=True)
