"""Workflows: paths into JSON (`$.device.labels['site']`, `$.rows[0]`), and templates whose keys end in `.$`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

_STEP = re.compile(r"\.([A-Za-z_]\w*)|\['([^'\]]+)'\]|\[(\d+)\]")
_EXPECTED = "expected a path such as $.device, $.rows[0] or $['a name']"
_LONGEST_LIST = 10_000

Path = tuple[str | int, ...]


class PathError(ValueError):
    """A value has nothing at a path; the message says where the way ends."""


def parse(text: object) -> Path:
    """The steps of a path, the first of which is "$" or, for the run's own facts, "$$". Raises ValueError."""
    if not isinstance(text, str) or not text.startswith("$"):
        raise ValueError(f'got "{text}", {_EXPECTED}')
    start = "$$" if text.startswith("$$") else "$"
    steps: list[str | int] = [start]
    place = len(start)
    while place < len(text):
        found = _STEP.match(text, place)
        if found is None:
            raise ValueError(f'got "{text}", which is not read from "{text[place:]}" on; {_EXPECTED}')
        name, quoted, number = found.groups()
        steps.append(int(number) if number is not None else name or quoted)
        place = found.end()
    return tuple(steps)


def find(text: str, value: Any, context: Any) -> Any:
    """What stands at a path of the value, or of the context for one that begins with `$$`. Raises PathError."""
    start, *steps = parse(text)
    found = context if start == "$$" else value
    for number, step in enumerate(steps):
        if isinstance(step, int):
            there = isinstance(found, list) and step < len(found)
        else:
            there = isinstance(found, Mapping) and step in found
        if not there:
            raise PathError(f'"{text}" is not there: {_ending(found, number, step)}')
        found = found[step]
    return found


def _ending(found: Any, number: int, step: str | int) -> str:
    place = f"step {number + 1} has" if number else "the input has"
    if isinstance(found, Mapping):
        return f'{place} no "{step}" (its fields: {", ".join(map(str, found)) or "none"})'
    if isinstance(found, list):
        return f"{place} {len(found)} elements"
    return f"{place} no fields"


def with_result(value: Any, text: str, result: Any) -> Any:
    """A copy of the value with the result at a path; tables on the way are made. Raises PathError."""
    return _put(value, parse(text)[1:], result, text)


def _put(value: Any, steps: Path, result: Any, text: str) -> Any:
    if not steps:
        return result
    step, *rest = steps
    if isinstance(step, int):
        if not isinstance(value, list) or step > min(len(value), _LONGEST_LIST):
            raise PathError(f'"{text}" cannot be set: there is no list with a place {step}')
        copied = [*value, None] if step == len(value) else list(value)
        copied[step] = _put(copied[step], tuple(rest), result, text)
        return copied
    if value is not None and not isinstance(value, Mapping):
        raise PathError(f'"{text}" cannot be set: "{step}" would be a field of something that has no fields')
    table = dict(value or {})
    table[step] = _put(table.get(step), tuple(rest), result, text)
    return table


def filled(template: Any, value: Any, context: Any) -> Any:
    """A template with each key `"name.$"` replaced by `"name"` and what stands at its path. Raises PathError."""
    if isinstance(template, Mapping):
        return {
            key.removesuffix(".$"): find(each, value, context) if key.endswith(".$") else filled(each, value, context)
            for key, each in template.items()
        }
    if isinstance(template, list):
        return [filled(each, value, context) for each in template]
    return template


def is_larger(value: Any, most: int) -> bool:
    """Whether a value takes more than about `most` bytes as JSON; what stands in it twice counts twice."""
    size, waiting = 0, [value]
    while waiting and size <= most:
        each = waiting.pop()
        size += len(each) + 2 if isinstance(each, str) else 2
        if isinstance(each, Mapping):
            waiting += each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return size > most


def json_mistake(value: Any) -> str:
    """Why a value cannot be kept as JSON, such as for a whole number beyond 64 bits; empty where it can."""
    try:
        orjson.dumps(value, default=str)
    except orjson.JSONEncodeError as error:
        return str(error)
    return ""


def template_mistakes(template: Any, place: str) -> list[tuple[str, str]]:
    """The place and a sentence for each path of a template that cannot be read."""
    found: list[tuple[str, str]] = []
    if isinstance(template, Mapping):
        for key, each in template.items():
            if not key.endswith(".$"):
                found += template_mistakes(each, f"{place}.{key}")
            elif isinstance(each, str) and each.startswith("States."):
                found.append((f"{place}.{key}", f'got "{each}": intrinsic functions are not supported; {_EXPECTED}'))
            else:
                found += path_mistakes(each, f"{place}.{key}")
    elif isinstance(template, list):
        for number, each in enumerate(template):
            found += template_mistakes(each, f"{place}[{number}]")
    return found


def path_mistakes(text: object, place: str) -> list[tuple[str, str]]:
    """The place and a sentence where a path cannot be read."""
    try:
        parse(text)
    except ValueError as error:
        return [(place, str(error))]
    return []
