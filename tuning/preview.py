"""What stored scores would have alarmed under other alarm settings: no reading is scored again, so a month is quick.

This is exact for settings that judge scores: budget, threshold, clearing. What changes the scores themselves, another
detector or its parameters, needs a backtest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alerts.alarm_settings import AlarmSettings, budget_per_second
from alerts.policy import AlarmPolicy
from alerts.policy_kernels import ADOPTED, CLEARED, OPENED, Band
from storage.store import SeriesPoints


@dataclass(frozen=True, slots=True)
class PreviewAlarm:
    """An alarm that would have been: times in ns, `cleared` None where it would be open still, its highest score."""

    opened: int
    cleared: int | None
    peak: float


@dataclass(frozen=True, slots=True)
class Preview:
    """What one series would have done: its alarms in order, and the score that would raise one now."""

    alarms: tuple[PreviewAlarm, ...]
    threshold: float


def preview(
    points: SeriesPoints, settings: AlarmSettings, *, budget: str | None = None, minimum: float = 0.0
) -> Preview:
    """Judge the stored scores of one series, in time order, under `settings`.

    `budget` is the series' own, in place of the settings'; `minimum` the score below which nothing raises an alarm,
    whatever the budget says.
    """
    policy = AlarmPolicy(settings)
    policy.grow(1)
    policy.set_minimum(0, minimum)
    if budget is not None:
        policy.set_budget(0, budget_per_second(budget))
    series = np.zeros(len(points.time), np.int32)
    band = Band(points.value, points.expected, points.lower, points.upper)
    verdicts = policy.step(series, points.time, points.score, band)
    alarms = []
    opened: int | None = None
    for row in np.flatnonzero(np.isin(verdicts.event, (OPENED, CLEARED, ADOPTED))).tolist():
        if verdicts.event[row] == OPENED:
            opened = row
        elif opened is not None:
            alarms.append(_alarm(points, opened, row))
            opened = None
    if opened is not None:
        alarms.append(_alarm(points, opened, None))
    return Preview(tuple(alarms), policy.threshold(0))


def _alarm(points: SeriesPoints, opened: int, cleared: int | None) -> PreviewAlarm:
    peak = float(np.nanmax(points.score[opened : None if cleared is None else cleared + 1]))
    end = None if cleared is None else int(points.time[cleared])
    return PreviewAlarm(int(points.time[opened]), end, peak)
