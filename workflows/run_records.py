"""Workflows: a run as people see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class UnknownRunError(KeyError):
    """There is no run of that name."""


class RunError(ValueError):
    """What is asked of a run cannot be done as it stands; the message says why."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run is now, or one of the machines within it: the place, and what it does there.

    `doing` is "at work", "waiting" or "waiting for approval", and `asked` then what the person is to decide on.
    """

    place: str
    doing: str
    asked: Any = None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A try of a task, or a decision, that is done. `key` is the same for every try; times in ns."""

    place: str
    attempt: int
    key: str
    started: int
    ended: int
    result: Any = None
    error: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run. Times in ns; `error`, `cause` and `failed_at` of one that failed.

    `state` is "running", "succeeded", "failed", "cancelled", or "resumed": it had failed, and another took its place.
    """

    run: str
    workflow: str
    state: str
    started: int
    ended: int | None
    stands: list[Standing] = field(default_factory=list)
    error: str = ""
    cause: str = ""
    failed_at: str = ""


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run with its definition, what went in and came out, and every step that is done, in order."""

    record: RunRecord
    definition: dict[str, Any]
    input: Any
    output: Any
    steps: list[StepRecord]
