"""Alarm: an alarm's whole life, from the reading that opens it to the one that clears it, and the records of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.actions import (
    Acknowledge,
    ActionError,
    AlarmAction,
    Clear,
    Comment,
    Feedback,
    Shelve,
    Unacknowledge,
    UndoFeedback,
    Unshelve,
)
from alerts.alarm_book import AlarmBook, cleared
from alerts.alarm_settings import AlarmSettings, Scope, budget_per_second
from alerts.alarm_step import NO_READING, SILENT, AlarmStep, Opening, Scored, SilenceChange, is_of_scores
from alerts.answered_alarms import AnsweredAlarms
from alerts.budget_rates import budget_rates
from alerts.feedback import Levels
from alerts.policy import AlarmPolicy, Verdicts
from alerts.policy_kernels import ADOPTED, CLEARED, OPENED, ROSE
from alerts.series_rules import SeriesRules
from alerts.severity import SEVERITIES
from common.durations import spoken_duration
from devices.records import AlarmRecord, AlarmState, SeriesRecord, SeverityRise

BACK_TO_NORMAL = "back to normal"
HEARD_AGAIN = "heard from again"


class Alarms:
    """All alarms: opened, raised in severity or highest score, and cleared by the policy's verdicts.

    People change alarms by actions: see `act`. The last few that were cleared are kept for that.

    A series has one alarm at a time. Where the alarm of a whole device stands for one of its series, that one is judged
    as always, but has no record. Everything depends on the readings and their order alone.
    """

    def __init__(self, settings: AlarmSettings) -> None:
        self._settings = settings
        self._policy = AlarmPolicy(settings)
        self._known = 0
        self._book = AlarmBook()
        self._answered = AnsweredAlarms(self._policy)

    def grow(self, series: Sequence[SeriesRecord]) -> None:
        """Make room for these series, in order of their numbers; each gets the budget that the settings give it."""
        self._policy.grow(len(series))
        for record in series[self._known :] if self._settings.overrides else ():
            if budget := self._settings.override_of(record.device, record.metric):
                self._policy.set_budget(record.series, budget_per_second(budget))
        if len(series) > self._known and self._settings.budget_scope is not Scope.SENSOR:
            for number, rate in budget_rates(series, self._settings).items():
                self._policy.set_budget(number, rate)
        self._known = len(series)

    def describe(self, series: int, rules: SeriesRules) -> None:
        """Judge a series by what a person said of it; it is no part of the state, and told again after a restart."""
        self._policy.describe(series, rules)

    def threshold(self, series: int) -> float:
        """The score that raises an alarm for this series now."""
        return self._policy.threshold(series)

    def minimum(self, series: int) -> float:
        """The least score that raises an alarm for this series by what people have said of its alarms; 0 for none."""
        return self._answered.minimum(series)

    def thresholds(self) -> NDArray[np.float64]:
        """The same of every series, and of some that are not there yet."""
        return self._policy.thresholds()

    @property
    def open_alarms(self) -> list[AlarmRecord]:
        """Alarms that are not cleared: at most one of each series."""
        return list(self._book.open.values())

    def is_open(self, series: int) -> bool:
        """Whether a series has an open alarm."""
        return series in self._book.open

    def opened_for(self, part: str) -> list[int]:
        """Series with an open alarm that this part, such as `OF_STREAM`, contributed to."""
        return [series for series, alarm in self._book.open.items() if part in alarm.parts]

    def step(self, sets: Sequence[Scored], silences: Sequence[SilenceChange] = ()) -> tuple[list[Verdicts], AlarmStep]:
        """Judge readings of one or more sets, whose series are not shared, and follow their alarms and `silences`."""
        watch = self._answered.watch(self._book.open)
        verdicts = [self._policy.step(scored.series, scored.time, scored.score, scored.band, watch) for scored in sets]
        events = [
            (int(scored.at[row]), number, row)
            for number, (scored, verdict) in enumerate(zip(sets, verdicts, strict=True))
            if verdict.events
            for row in np.flatnonzero(verdict.event).tolist()
        ]
        events += [(change.at, NO_READING, row) for row, change in enumerate(silences)]
        step = AlarmStep()
        for at, number, row in sorted(events):
            if number == NO_READING:
                record, opened = self._silence_changed(silences[row]), silences[row].opening is not None
            else:
                before = self._book.open.get(int(sets[number].series[row]))
                record = self._changed(sets[number], verdicts[number], row)
                step.rises.extend(_rise(before, record))
                opened = verdicts[number].event[row] == OPENED
                if record is not None and verdicts[number].event[row] == ROSE:
                    step.rose.append(len(step.records))
            if record is not None:
                place = NO_READING if number == NO_READING else at
                step.records.append(record)
                step.places.append(place)
                if opened:
                    step.opened_at.append(place)
        return verdicts, step

    def _silence_changed(self, change: SilenceChange) -> AlarmRecord | None:
        """Open or end the alarm of what is not heard from; None where its series has another alarm, or none."""
        if change.opening is None:
            return self.over(change.series, change.time, HEARD_AGAIN)
        opening = replace(change.opening, parts={SILENT: self.threshold(change.series)})
        return self.begin(change.series, change.time, change.severity, opening)

    def begin(self, series: int, time: int, severity: str, opening: Opening) -> AlarmRecord | None:
        """Open an alarm that no score raises, at arrival time `time`; None where its series has one already."""
        if series in self._book.open:
            return None
        return self._book.begin(series, time, self.threshold(series), severity, opening)

    def over(self, series: int, time: int, reason: str) -> AlarmRecord | None:
        """End the alarm that `begin` opened; None where there is none any more."""
        before = self._book.open.get(series)
        if before is None or is_of_scores(before):
            return None
        return self._book.put(cleared(before, time, reason))

    def act(self, action: AlarmAction, levels: Levels) -> tuple[AlarmRecord, str]:
        """The alarm's record after what a person did, and what else came of it, for people.

        After one has been cleared by hand, no other opens until its series has been back to normal once. What somebody
        says of an alarm changes its series from here on: see `alerts.feedback`. `levels` are the detectors.

        Raises ActionError where there is no such alarm, or it has been cleared for long.
        """
        before = self._book.find(action.alarm)
        if before is None:
            raise ActionError(f"alarm {action.alarm}: there is no such alarm, or it was cleared long ago")
        outcome = ""
        if isinstance(action, Feedback):
            after, outcome = self._answered.judge(before, action, levels)
        elif isinstance(action, UndoFeedback):
            after, outcome = self._answered.undo(before, action, levels)
        else:
            after = self._acted(before, action)
        return self._book.put(after), outcome

    def end(self, series: Sequence[int], reason: str) -> list[AlarmRecord]:
        """Clear the open alarms of these series for a reason; returns their records."""
        ended = [self._book.open[each] for each in series if each in self._book.open]
        return [self._book.put(self._cleared_now(before, reason)) for before in ended]

    def forget(self, series: Sequence[int]) -> None:
        """Know nothing more of the alarms of these series."""
        self._book.forget(series)

    def _acted(
        self, record: AlarmRecord, action: Acknowledge | Unacknowledge | Shelve | Unshelve | Clear | Comment
    ) -> AlarmRecord:
        is_open = record.state is not AlarmState.CLEARED
        note = action.note or record.note
        match action:
            case Acknowledge():
                state = AlarmState.ACKNOWLEDGED if is_open else record.state
                return replace(record, state=state, acknowledged_by=action.by, acknowledged_at=action.at, note=note)
            case Unacknowledge():
                state = AlarmState.OPEN if is_open else record.state
                return replace(record, state=state, acknowledged_by="", acknowledged_at=None, note=note)
            case Shelve():
                self._book.shelve(record.series, action.until)
                return replace(record, shelved_until=action.until, note=note)
            case Unshelve():
                self._book.unshelve(record.series)
                return replace(record, shelved_until=None, note=note)
            case Clear():
                if not is_open:
                    raise ActionError(f"alarm {record.alarm}: it is cleared already")
                return replace(self._cleared_now(record, f"by {action.by}"), note=note)
            case Comment():
                return replace(record, note=note)

    def _cleared_now(self, record: AlarmRecord, reason: str) -> AlarmRecord:
        return cleared(record, self._policy.last_time(record.series), reason)

    def adopt(
        self, open_alarms: Sequence[AlarmRecord], next_alarm: int, judged: Sequence[AlarmRecord] | None = None
    ) -> None:
        """Let exactly these alarms be open, and number new ones from `next_alarm`: what a store holds, where the state
        before was lost. `judged` are those that somebody has said something of; None leaves the answers as they are."""
        self._policy.adopt(
            (a.series, a.opened, a.peak_score, SEVERITIES.index(a.severity)) for a in open_alarms if is_of_scores(a)
        )
        self._book.adopt(open_alarms, next_alarm)
        if judged is not None:
            self._answered.adopt(judged)
            self._book.keep(record for record in judged if record.cleared is not None)

    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
        """A copy of the whole state: arrays, and the rest as JSON."""
        return self._policy.state(), self._book.state() | {"answers": self._answered.state()}

    def load(self, arrays: Mapping[str, NDArray[np.generic]], rest: Mapping[str, Any]) -> bool:
        """Take over a state that `state` returned.

        Returns False where the arrays are of another version: then alarms that are open stay so, and what the policy
        knew of each series' cadence is learned anew.
        """
        self._book.load(rest)
        self._answered.load(rest.get("answers", ()))
        open_alarms = list(self._book.open.values())
        try:
            self._policy.load(arrays)
        except KeyError:
            self._policy.grow(max((record.series + 1 for record in open_alarms), default=0))
            self._answered.set_minimums()
            self.adopt(open_alarms, int(rest["next_alarm"]))
            return False
        self._answered.set_minimums()
        return True

    def _changed(self, scored: Scored, verdicts: Verdicts, row: int) -> AlarmRecord | None:
        """The alarm's record after an event; None where it has none, since the device's alarm takes its place."""
        series, time, event = int(scored.series[row]), int(scored.time[row]), verdicts.event[row]
        severity, peak = SEVERITIES[verdicts.severity[row]], float(verdicts.peak[row])
        before = self._book.open.get(series)
        if before is not None and not is_of_scores(before):
            # A reading from before the silence, which waited for others: the series has one alarm at a time.
            return None
        if event == OPENED:
            if scored.is_replaced(row):
                return None
            opening = self._lasting(series, scored.opening(row))
            opening = replace(opening, reason=opening.reason + scored.beside(row, verdicts))
            return self._book.begin(series, time, peak, severity, opening)
        if before is None:
            return None
        after = replace(before, severity=severity, peak_score=peak)
        if event in (CLEARED, ADOPTED):
            after = cleared(after, time, _end_of(event, time - before.opened))
        return self._book.put(after)

    def _lasting(self, series: int, opening: Opening) -> Opening:
        """The opening, which says how long its deviation had to last where a person has set that."""
        shortest = self._policy.shortest(series)
        return replace(opening, reason=f"{opening.reason}; for {spoken_duration(shortest)}") if shortest else opening


def _rise(before: AlarmRecord | None, after: AlarmRecord | None) -> list[SeverityRise]:
    """That an alarm is of a higher severity than before, where it is."""
    if before is None or after is None or after.alarm != before.alarm or after.severity == before.severity:
        return []
    return [SeverityRise(before.series, before.opened, before.severity)]


def _end_of(event: int, lasted: int) -> str:
    """Why an alarm has ended that lasted so many ns."""
    return f"adopted as normal after {spoken_duration(lasted)}" if event == ADOPTED else BACK_TO_NORMAL
