"""The dashboards, one file each. A new one is one line in `BOARDS`."""

from __future__ import annotations

from dashboards.model import Board
from dashboards.panels.detectors_panels import DETECTORS
from dashboards.panels.device_panels import DEVICE
from dashboards.panels.fleet_panels import FLEET
from dashboards.panels.pipeline_panels import PIPELINE
from dashboards.panels.truth_panels import TRUTH

BOARDS: tuple[Board, ...] = (FLEET, DEVICE, DETECTORS, PIPELINE, TRUTH)
"""All dashboards, in the order in which they are listed."""


def checked(boards: tuple[Board, ...]) -> tuple[Board, ...]:
    """The boards as given. Raises ValueError for a uid, or a panel name within a board, that is there twice."""
    seen: set[str] = set()
    for board in boards:
        if board.uid in seen:
            raise ValueError(f"dashboard uid {board.uid!r} is taken; give each dashboard its own")
        seen.add(board.uid)
        names = [panel.name for panel in board.panels]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{board.uid}: panel name {doubled[0]!r} is taken; give each panel its own")
    return boards


checked(BOARDS)
