"""Beside score: what the host of detectors asks of each of them, whether it scores single series or devices' rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.detector import BaseDetector, State
from detectors.fingerprint import Fingerprint
from detectors.knowledge import Knowledge

NONE = -1

History = tuple[int, NDArray[np.int64], NDArray[np.float64]]
"""A series, and times and values of earlier readings of it, in time order."""


class DetectorSlots(ABC):
    """One configured detector, and which series have which slots in it."""

    name: str
    fingerprint: Fingerprint

    @property
    @abstractmethod
    def detector(self) -> BaseDetector:
        """The detector itself."""

    @abstractmethod
    def assign(self, series: int, knowledge: Knowledge, arrival: int) -> bool:
        """Let the detector score the series from the message of this arrival (ns) on; what it has learned is kept.

        Returns False where it has no place left.
        """

    @abstractmethod
    def drop(self, series: int) -> None:
        """Let the detector no longer score the series; its slot is kept for it."""

    @abstractmethod
    def has(self, series: int) -> bool:
        """Whether the detector scores the series."""

    def has_place(self, series: int) -> bool:
        """Whether the detector scores the series, or will once its device has another metric."""
        return self.has(series)

    @abstractmethod
    def group(self, series: int) -> int:
        """A number that the series learned together with this one share: itself, or its device."""

    @abstractmethod
    def warm(self, histories: Sequence[History]) -> None:
        """Learn earlier readings of all series of a group."""

    @abstractmethod
    def slot_of_series(self) -> NDArray[np.int32]:
        """The slot whose first score each series waits for, -1 for none; may end before the last series."""

    @abstractmethod
    def state(self) -> State:
        """A copy of the whole state."""

    @abstractmethod
    def load(self, state: State) -> None:
        """Take over a state that `state` returned. Raises ValueError or KeyError where it does not fit."""

    @property
    def needed(self) -> int:
        """Readings, or rows, that a fresh slot needs before its first score."""
        fresh = type(self.detector)(self.detector.parameters)
        fresh.grow(1)
        return int(fresh.warming()[1][0])


def with_prefix(prefix: str, state: Mapping[str, NDArray[Any]]) -> State:
    """The arrays under names that begin with a prefix."""
    return {prefix + name: array for name, array in state.items()}


def without_prefix(prefix: str, state: Mapping[str, NDArray[Any]]) -> State:
    """Those arrays whose names begin with the prefix, under their names without it."""
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
