"""Workflows: the rules of a Choice state: which operators there are, what each compares, and whether a rule holds."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from common.suggestions import unknown
from workflows.json_paths import PathError, find, path_mistakes

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}
_GROUPS = ("And", "Or", "Not")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def moment(value: Any) -> datetime | None:
    """A time with its offset, from ISO 8601; None where it is none."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _is_moment(value: Any) -> bool:
    return isinstance(value, str) and moment(value) is not None


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "String": (_is_text, "a text"),
    "Numeric": (_is_number, "a number"),
    "Boolean": (_is_boolean, "true or false"),
    "Timestamp": (_is_moment, 'a time, such as "2026-03-01T12:00:00Z"'),
}
_TESTS: dict[str, Callable[[Any], bool]] = {
    "IsNull": lambda value: value is None,
    "IsString": _is_text,
    "IsNumeric": _is_number,
    "IsBoolean": _is_boolean,
    "IsTimestamp": _is_moment,
}
_OPERATORS = {
    f"{kind}{comparison}": (kind, comparison)
    for kind in _KINDS
    for comparison in _COMPARISONS
    if kind != "Boolean" or comparison == "Equals"
}
KNOWN = (*_OPERATORS, *(f"{name}Path" for name in _OPERATORS), "StringMatches", "IsPresent", *_TESTS)
"""Every operator that a rule may have."""


def rule_mistakes(rule: Any, place: str, *, within: bool = False) -> list[tuple[str, str]]:
    """The place and a sentence for everything that is wrong with a rule; one `within` another has no Next."""
    if not isinstance(rule, Mapping):
        return [(place, "expected a rule: an object with Variable, an operator and Next")]
    names = [name for name in rule if name not in ("Next", "Comment", "Variable")]
    mistakes = []
    if within and "Next" in rule:
        mistakes.append((f"{place}.Next", "only the outer rule has Next"))
    if len(names) != 1:
        given = ", ".join(names) or "none"
        return [*mistakes, (place, f"expected exactly one operator, such as StringEquals; got {given}")]
    name = names[0]
    if name in _GROUPS:
        return mistakes + _group_mistakes(name, rule[name], place)
    if name not in KNOWN:
        return [*mistakes, (f"{place}.{name}", unknown(name, [*KNOWN, *_GROUPS], "operator"))]
    if "Variable" not in rule:
        mistakes.append((place, "expected Variable, the path of what is compared"))
    else:
        mistakes += path_mistakes(rule["Variable"], f"{place}.Variable")
    return mistakes + _operand_mistakes(name, rule[name], f"{place}.{name}")


def _group_mistakes(name: str, value: Any, place: str) -> list[tuple[str, str]]:
    if name == "Not":
        return rule_mistakes(value, f"{place}.Not", within=True)
    if not isinstance(value, list) or not value:
        return [(f"{place}.{name}", "expected a list of rules")]
    return [
        mistake
        for number, each in enumerate(value)
        for mistake in rule_mistakes(each, f"{place}.{name}[{number}]", within=True)
    ]


def _operand_mistakes(name: str, value: Any, place: str) -> list[tuple[str, str]]:
    if name.endswith("Path"):
        return path_mistakes(value, place)
    if name in _OPERATORS:
        fits, expected = _KINDS[_OPERATORS[name][0]]
    elif name == "StringMatches":
        fits, expected = _is_text, "a text, in which * stands for any characters"
    else:
        fits, expected = _is_boolean, "true or false"
    return [] if fits(value) else [(place, f"got {value!r}, expected {expected}")]


def holds(rule: Mapping[str, Any], value: Any, context: Any) -> bool:
    """Whether a rule holds for a state's input. What is compared must be of the operator's kind; else it does not hold.

    Raises PathError where a path names nothing; IsPresent tells whether it does.
    """
    if "And" in rule:
        return all(holds(each, value, context) for each in rule["And"])
    if "Or" in rule:
        return any(holds(each, value, context) for each in rule["Or"])
    if "Not" in rule:
        return not holds(rule["Not"], value, context)
    name = next(name for name in rule if name not in ("Next", "Comment", "Variable"))
    operand = rule[name]
    if name == "IsPresent":
        return _is_present(rule["Variable"], value, context) is operand
    found = find(rule["Variable"], value, context)
    if name in _TESTS:
        return _TESTS[name](found) is operand
    if name == "StringMatches":
        return isinstance(found, str) and fnmatchcase(found, operand.replace("[", "[[]").replace("?", "[?]"))
    if name.endswith("Path"):
        operand = find(operand, value, context)
    kind, comparison = _OPERATORS[name.removesuffix("Path")]
    fits = _KINDS[kind][0]
    if not fits(found) or not fits(operand):
        return False
    if kind == "Timestamp":
        found, operand = moment(found), moment(operand)
    return _COMPARISONS[comparison](found, operand)


def _is_present(variable: str, value: Any, context: Any) -> bool:
    try:
        find(variable, value, context)
    except PathError:
        return False
    return True
