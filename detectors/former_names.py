"""Module names that a user's own detector may still import from, for one version, each with a note in the log.

`driftline.api` has all of them. The names are known in an installed package too, which has no module `detectors`.
"""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any

from detectors import detector, fleet_detector

log = logging.getLogger(__name__)

FORMER = {
    "detectors.base": detector,
    "detectors.fleet": fleet_detector,
    "detectors.detector": detector,
    "detectors.fleet_detector": fleet_detector,
}


class FormerModule(ModuleType):
    """Gives the names of the module that took its place, and says so once."""

    def __init__(self, name: str, successor: ModuleType) -> None:
        super().__init__(name)
        self._successor = successor
        self._said = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not self._said:
            self._said = True
            log.warning(
                "%s: import from driftline.api instead; the former name goes with the next version", self.__name__
            )
        return getattr(self._successor, name)


def admit_former_names() -> None:
    """Let `from detectors.base import Detector` work; a module that is really there is left as it is."""
    for name, successor in FORMER.items():
        sys.modules.setdefault(name, FormerModule(name, successor))
