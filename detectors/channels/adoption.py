"""Score: adoption: what a series shows now is taken for its level at once, because a person says that it is normal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.channels.deviation import FORECASTS, KNOTS, LEVEL, SHIFT, WARMUP
from detectors.statistics.calendar_time import DAY

CHANNELS = ("jump", "shift", "level", "lasting", "range")
"""Channels whose alarms are about a level."""


def adopt_level(deviation: Any, reach: Any, clock: int) -> dict[str, list[float]]:
    """Move every level of a series to where its readings are now, and widen its range to there.

    `deviation` and `reach` are the series' records; `clock` is the time on the wall of the newest reading (ns). Returns
    what was there before, by column, for `restore_level`; empty where the series has learned too little.
    """
    if deviation.learned < WARMUP:
        return {}
    before = {
        "level": deviation.level.tolist(),
        "mean": [float(deviation["mean"])],
        "range": [float(reach.low), float(reach.high)],
    }
    present = _present(deviation)
    course = _course(deviation.course, clock)
    deviation.level[:FORECASTS] = present
    deviation.level[FORECASTS:] = present - course
    deviation.held[:] = 0
    deviation["mean"] = 0.0
    reach.low, reach.high = min(reach.low, present), max(reach.high, present)
    return before


def restore_level(deviation: Any, reach: Any, before: Mapping[str, list[float]]) -> None:
    """Put levels and range of a series' records back to what `adopt_level` returned."""
    deviation.level[:] = before["level"]
    deviation["mean"] = before["mean"][0]
    deviation.held[:] = 0
    reach.low, reach.high = before["range"]


def _present(deviation: Any) -> float:
    """The level of the last readings: the mean of those against which a level is held, else what follows quickly."""
    for which in (LEVEL, SHIFT):
        if deviation.held[which] > 0:
            return float(deviation.seen[which])
    return float(deviation.level[SHIFT])


def _course(course: NDArray[np.float32], clock: int) -> float:
    """What the hour of the day adds to the level."""
    place = (clock % DAY) / (DAY / KNOTS)
    return float(np.interp(place, np.arange(KNOTS + 1), np.append(course, course[0])))
