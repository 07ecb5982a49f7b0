"""Score: adoption: what a series shows now is taken for its level at once, because a person says that it is normal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from detectors.channels.deviation import FORECASTS, KNOTS, LEVEL, SHIFT, WARMUP, DeviationState
from detectors.channels.value_range import RangeState
from detectors.statistics.calendar_time import DAY

CHANNELS = ("jump", "shift", "level", "lasting", "range")
"""Channels whose alarms are about a level."""


def adopt_level(deviation: DeviationState, reach: RangeState, slot: int, clock: int) -> dict[str, list[float]]:
    """Move every level of a slot to where its readings are now, and widen its range to there.

    `clock` is the time on the wall of the newest reading (ns). Returns what was there before, by array, for
    `restore_level`; empty where the slot has learned too little to have a level.
    """
    if deviation.learned[slot] < WARMUP:
        return {}
    before = {
        "level": deviation.level[slot].tolist(),
        "mean": [float(deviation.mean[slot])],
        "range": [float(reach.low[slot]), float(reach.high[slot])],
    }
    present = _present(deviation, slot)
    course = _course(deviation.course[slot], clock)
    deviation.level[slot, :FORECASTS] = present
    deviation.level[slot, FORECASTS:] = present - course
    deviation.held[slot] = 0
    deviation.mean[slot] = 0.0
    reach.low[slot], reach.high[slot] = min(reach.low[slot], present), max(reach.high[slot], present)
    return before


def restore_level(deviation: DeviationState, reach: RangeState, slot: int, before: Mapping[str, list[float]]) -> None:
    """Put levels and range back to what `adopt_level` returned."""
    deviation.level[slot] = before["level"]
    deviation.mean[slot] = before["mean"][0]
    deviation.held[slot] = 0
    reach.low[slot], reach.high[slot] = before["range"]


def _present(deviation: DeviationState, slot: int) -> float:
    """The level of the last readings: the mean of those against which a level is held, else what follows quickly."""
    for which in (LEVEL, SHIFT):
        if deviation.held[slot, which] > 0:
            return float(deviation.seen[slot, which])
    return float(deviation.level[slot, SHIFT])


def _course(course: NDArray[np.float32], clock: int) -> float:
    """What the hour of the day adds to the level."""
    place = (clock % DAY) / (DAY / KNOTS)
    return float(np.interp(place, np.arange(KNOTS + 1), np.append(course, course[0])))
