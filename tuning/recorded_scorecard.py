"""The score card that was recorded of the default configuration, as `make scorecard` wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_PLACES = (Path(__file__).with_name("scorecard.json"), Path(__file__).parents[1] / "benchmarks" / "scorecard.json")
"""In an installed package, and in a checkout."""


def recorded_scorecard() -> dict[str, Any] | None:
    """The record, as `tuning.scorecard_tables.as_json` gives it; None where there is none. Raises OSError."""
    for place in _PLACES:
        if place.is_file():
            found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
            return found
    return None
