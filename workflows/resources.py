"""Workflows: what a Task state does: a function of the configuration, a ready-made action, or a person's approval."""

from __future__ import annotations

from collections.abc import Collection

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
