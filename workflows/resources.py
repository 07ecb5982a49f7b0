"""Workflows: what a Task state does: a function of the configuration, a ready-made action, or a person's approval."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from common.suggestions import unknown
from functions.action_settings import ACTIONS

APPROVAL = "driftline:approval"
FUNCTION = "function:"
_ACTION = "driftline:"
_OWN = {"workflow"}
"""Actions that start a run: a workflow that starts workflows could do so without end."""


def action_of(resource: str) -> str:
    """The ready-made action that a resource names; empty where it names none."""
    return resource.removeprefix(_ACTION) if resource.startswith(_ACTION) and resource != APPROVAL else ""


def resource_mistake(resource: object, functions: Collection[str]) -> str:
    """Why a resource cannot be used; empty where it can. `functions` are the configured ones."""
    if not isinstance(resource, str):
        return f"got {resource!r}, expected a text, such as function:NAME or driftline:approval"
    if resource.startswith(FUNCTION):
        name = resource.removeprefix(FUNCTION)
        return "" if name in functions else unknown(name, functions, "function")
    known = [APPROVAL, *(f"{_ACTION}{name}" for name in ACTIONS if name not in _OWN)]
    return "" if resource in known else unknown(resource, [*known, *(f"{FUNCTION}{each}" for each in functions)])


def parameter_mistakes(resource: object, parameters: object) -> Iterator[tuple[str, str]]:
    """What is wrong with the parameters of a ready-made action, as far as a definition has them: place and sentence.

    A name that ends with `.$` gets its value from the run, and is no mistake before there is one.
    """
    model = ACTIONS.get(action_of(resource)) if isinstance(resource, str) else None
    if model is None or not isinstance(parameters, Mapping):
        return
    from_run = {str(name).removesuffix(".$") for name in parameters if str(name).endswith(".$")}
    fixed = {name: value for name, value in parameters.items() if not str(name).endswith(".$")}
    for name in sorted(from_run - set(model.model_fields)):
        yield f".{name}.$", unknown(name, model.model_fields, "parameter")
    try:
        model.model_validate(fixed)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            name = ".".join(map(str, detail["loc"]))
            # What holds for all parameters together can be told only where all are there.
            if from_run and (not name or (detail["type"] == "missing" and name in from_run)):
                continue
            yield f".{name}" if name else "", _sentence(detail, model.model_fields)


def _sentence(detail: Any, known: Collection[str]) -> str:
    if detail["type"] == "extra_forbidden":
        return unknown(str(detail["loc"][-1]), known, "parameter")
    if detail["type"] == "missing":
        return "missing: the action needs it"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    return f"got {detail['input']!r}, expected {str(detail['msg']).removeprefix('Input should be ')}"
