"""Functions: what came of a call, as it is kept and shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one call. `kind`: "ok", "error" (it raised), "timeout", "crash", "memory", "broken" (the file does
    not load). `error` is one sentence, empty where all is well."""

    kind: str
    result: Any = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call as people see it. Times in ns; `memory` is the most that its process has used, in bytes.

    `key` is the event, or the first of its batch, `events` how many there were, `cold` whether its process was started
    for it.
    """

    request_id: str
    function: str
    trigger: str
    key: str
    attempt: int
    events: int
    started: int
    duration: int
    memory: int
    cold: bool
    outcome: str
    error: str = ""
    logs: list[str] = field(default_factory=list)
