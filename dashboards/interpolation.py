"""A panel's query as Grafana sends it, with its variables filled in.

Several values become one pattern, and each is escaped, as
https://grafana.com/docs/grafana/latest/dashboards/variables/variable-syntax/ has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

ALL = ".*"
"""What a variable stands for where all its values are chosen."""

_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")
_SPECIAL = re.compile(r"[\\^$.*+?()[\]{}|]")


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen at the head of a dashboard: values by variable; a variable that is not named is at all of them."""

    values: Mapping[str, tuple[str, ...]]
    single: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The time range of a dashboard in whole seconds since the epoch, and the step between two values of a series."""

    start: int
    end: int
    step: int


def choosing_device(device: str) -> Choice:
    """One device, with the siblings that go with it; everything else is at all."""
    siblings = _SPECIAL.sub(r"\\\g<0>", device.rstrip("0123456789"))
    return Choice({"device": (device,), "siblings": (siblings,)}, frozenset({"device", "siblings"}))


def fill(expression: str, choice: Choice, span: TimeRange) -> str:
    """The PromQL expression with every variable filled in.

    Names that are no variable stay as they are, as the `$1` of a replacement does. Raises ValueError for a single
    variable without a value.
    """
    built_in = {
        "__interval": f"{span.step}s",
        "__rate_interval": f"{max(4 * span.step, 60)}s",
        "__range": f"{span.end - span.start}s",
        "__range_s": str(span.end - span.start),
    }

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        if name in built_in:
            return built_in[name]
        if name.isdecimal():
            return match[0]
        values = choice.values.get(name, ())
        if name in choice.single:
            if len(values) != 1:
                raise ValueError(f"variable {name!r} takes one value, got {len(values)}")
            return values[0].replace("\\", "\\\\").replace('"', '\\"')
        escaped = [_SPECIAL.sub(r"\\\\\g<0>", one) if one != ALL else one for one in values or (ALL,)]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    return _VARIABLE.sub(value, expression)


def used(expression: str) -> set[str]:
    """Names of the dashboard's own variables that an expression uses, without Grafana's built-in ones."""
    names = {match[1] or match[3] for match in _VARIABLE.finditer(expression)}
    return {name for name in names if not name.startswith("__") and not name.isdecimal()}
