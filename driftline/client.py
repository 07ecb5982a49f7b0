"""How commands reach what a service has stored: through the running service, else by the database file itself."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVICE_FILE = "service.json"
"""Written by a running service into its data folder: {"pid", "url"}."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The answer to a query: column names, and rows of plain values. `truncated` where there were more."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that runs on a data folder."""

    pid: int
    url: str


def running_service(data: Path) -> RunningService | None:
    """The service that runs on the data folder; None where none does."""
    try:
        found = json.loads((data / SERVICE_FILE).read_bytes())
        service = RunningService(int(found["pid"]), str(found["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return service if _alive(service.pid) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
