"""Alarm: stretches of time that people have marked as a fault or as normal, which settings are compared against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from alerts.actions import MarkStretch

MOST = 10_000
"""Stretches kept; beyond, the one marked first is forgotten."""


@dataclass(frozen=True, slots=True)
class MarkedStretch:
    """Event time from `start` up to and without `end` (ns) of a series, by its names."""

    device: str
    metric: str
    start: int
    end: int
    mark: Literal["fault", "normal"]
    by: str

    def overlaps(self, start: int, end: int) -> bool:
        """Whether it has a time in common with the one from `start` up to `end`."""
        return self.start < end and start < self.end


class MarkedStretches:
    """All stretches. No two of a series overlap: what is marked last counts."""

    def __init__(self) -> None:
        self._stretches: list[MarkedStretch] = []

    def put(self, action: MarkStretch) -> None:
        """Mark a stretch; what others say of parts of it no longer holds."""
        kept: list[MarkedStretch] = []
        for each in self._stretches:
            same = (each.device, each.metric) == (action.device, action.metric)
            if not same or not each.overlaps(action.start, action.end):
                kept.append(each)
                continue
            if each.start < action.start:
                kept.append(replace(each, end=action.start))
            if each.end > action.end:
                kept.append(replace(each, start=action.end))
        if action.mark != "none":
            kept.append(MarkedStretch(action.device, action.metric, action.start, action.end, action.mark, action.by))
        self._stretches = kept[-MOST:]

    def of(self, device: str) -> list[MarkedStretch]:
        """The stretches of a device, in order of time."""
        return sorted((each for each in self._stretches if each.device == device), key=lambda each: each.start)

    def state(self) -> list[dict[str, Any]]:
        """All stretches, as JSON."""
        return [asdict(each) for each in self._stretches]

    def load(self, state: Iterable[Mapping[str, Any]]) -> None:
        """Take over what `state` returned."""
        self._stretches = [MarkedStretch(**each) for each in state]
