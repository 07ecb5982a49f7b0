"""Workflows: the ways through a machine: states that nothing leads to, and circles that no run would leave."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

_ENDS = ("Succeed", "Fail")
_CHANGES = ("InputPath", "OutputPath", "Parameters", "Result", "ResultPath")
"""Fields by which a Pass or Choice state changes the data that the next decision looks at."""


def targets_of(state: Mapping[str, Any]) -> list[str]:
    """The states that may follow a state, in the order in which they are named."""
    lists = (state.get("Choices"), state.get("Catch"))
    rules = [rule for each in lists if isinstance(each, list) for rule in each if isinstance(rule, Mapping)]
    named = [state.get("Next"), *(rule.get("Next") for rule in rules), state.get("Default")]
    return list(dict.fromkeys(name for name in named if isinstance(name, str)))


def way_mistakes(start: Any, states: Mapping[str, Any], types: Collection[str], dot: str) -> list[tuple[str, str]]:
    """The place and a sentence for each state that no way leads to, and for ways without an end.

    Nothing is said where a state is of none of the known `types`, or leads nowhere: that is told elsewhere.
    """
    if not isinstance(start, str) or start not in states:
        return []
    reached = _reached(start, states, types)
    if reached is None:
        return []
    found = [(f"{dot}States.{name}", "no state leads to it") for name in states if name not in reached]
    ends = {name for name in reached if states[name].get("End") is True or states[name]["Type"] in _ENDS}
    if not ends:
        sentence = "a run would never end: expected a state with End: true, or of type Succeed or Fail"
        return [*found, (f"{dot}States", sentence)]
    endless = [name for name in states if name in reached - _leading_to(ends, states, reached)]
    if endless:
        found.append((f"{dot}States.{endless[0]}", f"no end can be reached from it{_others(endless[1:])}"))
    idle = [name for name in _idle_circle(states, reached) if name not in endless]
    if idle:
        sentence = f"a circle that no run would leave, since nothing changes on the way: {', '.join(idle)}"
        found.append((f"{dot}States.{idle[0]}", sentence))
    return found


def _reached(start: str, states: Mapping[str, Any], types: Collection[str]) -> set[str] | None:
    seen, to_see = {start}, [start]
    while to_see:
        state = states[to_see.pop()]
        if not isinstance(state, Mapping) or str(state.get("Type")) not in types:
            return None
        targets = set(targets_of(state))
        if not targets <= set(states):
            return None
        to_see += targets - seen
        seen |= targets
    return seen


def _leading_to(ends: Collection[str], states: Mapping[str, Any], reached: Collection[str]) -> set[str]:
    """The states from which an end can be reached."""
    leading: set[str] = set(ends)
    while more := {name for name in reached if name not in leading and leading & set(targets_of(states[name]))}:
        leading |= more
    return leading


def _idle_circle(states: Mapping[str, Any], reached: Collection[str]) -> list[str]:
    """States on circles that neither do anything outside nor change the data, in the order of the file."""
    idle = {name: set(targets_of(states[name])) for name in states if name in reached and _is_idle(states[name])}
    before = -1
    while len(idle) != before:
        before = len(idle)
        entered = set().union(*idle.values()) if idle else set()
        # What leads nowhere within, or is not led to, is on no circle.
        idle = {name: targets & set(idle) for name, targets in idle.items() if name in entered and targets & set(idle)}
    return list(idle)


def _is_idle(state: Mapping[str, Any]) -> bool:
    return state["Type"] in ("Pass", "Choice") and not any(name in state for name in _CHANGES)


def _others(names: Collection[str]) -> str:
    return f", nor from {', '.join(names)}" if names else ""
