"""Functions: parameters of a ready-made action with the event's fields in the place of `{field}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

PLACE = re.compile(r"\{([A-Za-z_]\w*(?:\.\w+)*)\}")
"""A field of the event within a text, such as `{device}`."""


def filled(value: Any, event: Any, place: str = "with") -> Any:
    """The value with every `{field}` in its texts replaced; a text that is one place alone takes the field's type.

    `{fields.temp}` reaches into a table. Raises ValueError where the event has no such field.
    """
    if isinstance(value, Mapping):
        return {key: filled(each, event, f"{place}.{key}") for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, event, f"{place}[{number}]") for number, each in enumerate(value)]
    if not isinstance(value, str):
        return value
    if alone := PLACE.fullmatch(value):
        return _field(alone[1], event, place)
    return PLACE.sub(lambda found: _as_text(_field(found[1], event, place)), value)


def _field(name: str, event: Any, place: str) -> Any:
    found = event
    for step in name.split("."):
        if not isinstance(found, Mapping) or step not in found:
            known = ", ".join(map(str, event)) if isinstance(event, Mapping) and event else "none"
            raise ValueError(f'{place}: the event has no "{name}" (its fields: {known})')
        found = found[step]
    return found


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
