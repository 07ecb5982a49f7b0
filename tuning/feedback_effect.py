"""What an answer about an alarm has changed, shown on the past: which alarms the threshold of now would have raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alerts.alarm_settings import AlarmSettings
from devices.records import AlarmRecord
from storage.store import SeriesPoints
from tuning.preview import PreviewAlarm, preview


@dataclass(frozen=True, slots=True)
class Effect:
    """Alarms of a series in `days` days: how many there were, and how many of them the threshold of now would raise.

    `right` of them are marked right, of which `right_kept` would be raised.
    """

    days: float
    threshold: float
    were: int
    kept: int
    right: int
    right_kept: int

    @property
    def sentence(self) -> str:
        """For people."""
        quiet, days = self.were - self.kept, f"the last {self.days:g} days"
        if self.were == 0:
            return f"no alarm in {days} to compare with"
        alarms = "1 alarm" if self.were == 1 else f"{self.were} alarms"
        if quiet == 0:
            text = f"the {alarms} of {days} would have been raised as well"
        elif quiet == self.were:
            text = f"would not have alarmed in {days}: there {'was' if self.were == 1 else 'were'} {alarms}"
        else:
            text = f"{quiet} of {alarms} in {days} would not have been raised"
        if self.right:
            true = "1 true one" if self.right == 1 else f"{self.right} true ones"
            text += f"; {true} kept" if self.right_kept == self.right else f"; of {true} {self.right_kept} kept"
        return text


def effect_of(
    points: SeriesPoints,
    alarms: Sequence[AlarmRecord],
    settings: AlarmSettings,
    *,
    budget: str | None,
    threshold: float,
    days: float,
) -> Effect:
    """Judge the stored scores of a series again, with `threshold` as the least that raises an alarm.

    `alarms` are those that opened within the time of `points`; `budget` is the series' own, None for the common one.
    """
    would = preview(points, settings, budget=budget, minimum=threshold).alarms
    kept = [alarm for alarm in alarms if is_kept(alarm, would)]
    right = [alarm for alarm in alarms if alarm.feedback == "right"]
    right_kept = sum(alarm.feedback == "right" for alarm in kept)
    return Effect(days, threshold, len(alarms), len(kept), len(right), right_kept)


def is_kept(alarm: AlarmRecord, would: Sequence[PreviewAlarm]) -> bool:
    """Whether one of the alarms that would be overlaps one that was."""
    end = alarm.cleared
    return any(
        (end is None or each.opened <= end) and (each.cleared is None or each.cleared >= alarm.opened) for each in would
    )
