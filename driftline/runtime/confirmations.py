"""Beside the way of a message: what a person confirms by `driftline confirm`, handed over in the data folder.

A request waits there for a service that does not run, too: the next start finds it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

SUBJECTS = {
    "clock": "the host's clock is right as it stands now",
    "storage": "what the data folder has lost is known, and the service goes on with what is there",
}
"""What can be confirmed, and what that says."""

_REQUEST = "confirm.request"


def ask_to_confirm(data: Path, subject: str) -> None:
    """Leave a confirmation for the service that runs on `data`, or will. Raises OSError."""
    target = data / _REQUEST
    asked = {*_read(target), subject}
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps(sorted(asked)) + "\n")
    temporary.replace(target)


class Confirmations:
    """Takes up what was confirmed. `actions` is what to do, by subject."""

    def __init__(self, data: Path, actions: Mapping[str, Callable[[], object]]) -> None:
        self._request = data / _REQUEST
        self._actions = actions

    def look(self) -> None:
        """Do what is asked for; returns at once where nothing is."""
        if not self._request.exists():
            return
        asked = _read(self._request)
        self._request.unlink(missing_ok=True)
        for subject in asked:
            if subject in self._actions:
                self._actions[subject]()
                log.warning("confirmed by a person: %s", SUBJECTS[subject])


def _read(path: Path) -> list[str]:
    try:
        return [str(subject) for subject in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError):
        return []
