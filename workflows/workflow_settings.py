"""Workflows, their settings: the definition's file, and what starts a run.

Declared once: validation, the JSON Schema, the commented sample and the reference page are derived from these models.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from common.durations import PositiveDuration
from common.setting_texts import PlainName
from common.suggestions import unknown
from functions.function_settings import FunctionSettings, TriggerSettings

_PATHS = ("runs",)
"""Names that stand behind /workflows/ in the API already."""


class WorkflowSettings(BaseModel):
    """A workflow: a definition in the Amazon States Language, and what starts a run of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: PlainName = Field(description="Its name: a small letter, then small letters, digits and `_`.")
    file: Path = Field(
        description="The JSON file with its definition; relative to the working folder. "
        "See [workflows](../workflows.md)."
    )
    trigger: TriggerSettings = Field(
        default=TriggerSettings(),
        description="What starts a run, as for functions; `http` alone where none is given: by hand and by request.",
    )
    keep: PositiveDuration = Field(default="90d", description="How long runs that have ended are kept.")


def starters_of(workflows: Sequence[WorkflowSettings]) -> list[FunctionSettings]:
    """For each workflow that something starts, the ready-made action that does so, under its name."""
    return [
        FunctionSettings.model_validate(
            {
                "name": each.name,
                "action": "workflow",
                "with": {"workflow": each.name},
                "trigger": each.trigger.model_dump(),
                "batch": 1,
            }
        )
        for each in workflows
        if each.trigger.type != "http"
    ]


def workflow_mistakes(
    workflows: Mapping[int, WorkflowSettings], functions: Collection[str], streams: Collection[str]
) -> list[tuple[int, str, str]]:
    """Names given twice or unknown: the number of the table in the file, the key, and a sentence."""
    found = []
    first: dict[str, int] = {}
    for number, each in workflows.items():
        if first.setdefault(each.name, number) != number:
            found.append((number, "name", f'"{each.name}" is taken by workflows[{first[each.name]}]'))
        elif each.name in functions:
            found.append((number, "name", f'"{each.name}" is the name of a function; choose another'))
        if each.name in _PATHS:
            found.append((number, "name", f'"{each.name}" is an address of the API, GET /workflows/{each.name}'))
        if each.trigger.stream and each.trigger.stream not in streams:
            found.append((number, "trigger.stream", unknown(each.trigger.stream, streams, "stream")))
    return found
