"""Alarm: an alarm's whole life, from the reading that opens it to the one that clears it, and the records of it."""

from __future__ import annotations

import math
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
from alerts.alarm_settings import AlarmSettings, Scope, budget_per_second
from alerts.alarm_step import NO_READING, SILENT, AlarmStep, Opening, Scored, SilenceChange, is_of_scores
from alerts.budget_rates import budget_rates
from alerts.feedback import Answer, Answers, Levels, changed_threshold, outcome_of
from alerts.policy import ADOPTED, CLEARED, OPENED, AlarmPolicy, PeakWatch, Verdicts
from alerts.series_rules import SeriesRules
from alerts.severity import SEVERITIES
from common.durations import spoken_duration
from devices.records import AlarmRecord, AlarmState, SeriesRecord, SeverityRise

BACK_TO_NORMAL = "back to normal"
HEARD_AGAIN = "heard from again"
KEPT_CLEARED = 200
"""Alarms cleared last that people can still act on, beside those that somebody has judged."""


class Alarms:
    """All alarms: opened, raised in severity and cleared by the policy's verdicts.

    People change alarms by actions: see `act`. The last few that were cleared are kept for that.

    A series has one alarm at a time. Where the alarm of a whole device stands for one of its series, that one is judged
    as always, but has no record. Everything depends on the readings and their order alone.
    """

    def __init__(self, settings: AlarmSettings) -> None:
        self._settings = settings
        self._policy = AlarmPolicy(settings)
        self._known = 0
        self._open: dict[int, AlarmRecord] = {}
        self._cleared: dict[int, AlarmRecord] = {}
        self._shelved: dict[int, int] = {}
        self._answers = Answers()
        self._next = 1

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
        return self._answers.minimum(series)

    def thresholds(self) -> NDArray[np.float64]:
        """The same of every series, and of some that are not there yet."""
        return self._policy.thresholds()

    @property
    def open_series(self) -> NDArray[np.intp]:
        """Series with an open alarm."""
        return np.array(list(self._open), np.intp)

    def opened_for(self, part: str) -> list[int]:
        """Series with an open alarm that this part, such as `OF_STREAM`, contributed to."""
        return [series for series, alarm in self._open.items() if part in alarm.parts]

    def step(self, sets: Sequence[Scored], silences: Sequence[SilenceChange] = ()) -> tuple[list[Verdicts], AlarmStep]:
        """Judge readings of one or more sets, whose series are not shared, and follow their alarms and `silences`."""
        answered = self._answers.answered(self._open)
        watch = PeakWatch(answered, self._peak_changed) if answered else None
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
                before = self._open.get(int(sets[number].series[row]))
                record = self._changed(sets[number], verdicts[number], row)
                step.rises.extend(_rise(before, record))
                opened = verdicts[number].event[row] == OPENED
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
        if series in self._open:
            return None
        return self._opened(series, time, self.threshold(series), severity, opening)

    def over(self, series: int, time: int, reason: str) -> AlarmRecord | None:
        """End the alarm that `begin` opened; None where there is none any more."""
        before = self._open.get(series)
        if before is None or is_of_scores(before):
            return None
        del self._open[series]
        after = replace(before, state=AlarmState.CLEARED, cleared=max(time, before.opened), cleared_reason=reason)
        self._keep_cleared(after)
        return after

    def act(self, action: AlarmAction, levels: Levels) -> tuple[AlarmRecord, str]:
        """The alarm's record after what a person did, and what else came of it, for people.

        After one has been cleared by hand, no other opens until its series has been back to normal once. What somebody
        says of an alarm changes its series from here on: see `alerts.feedback`. `levels` are the detectors.

        Raises ActionError where there is no such alarm, or it has been cleared for long.
        """
        before = next((record for record in self._open.values() if record.alarm == action.alarm), None)
        is_open = before is not None
        before = before or self._cleared.get(action.alarm)
        if before is None:
            raise ActionError(f"alarm {action.alarm}: there is no such alarm, or it was cleared long ago")
        outcome = ""
        if isinstance(action, Feedback):
            after, outcome = self._judged(before, action, levels)
        elif isinstance(action, UndoFeedback):
            after, outcome = self._judgement_undone(before, action, levels)
        else:
            after = self._acted(before, action)
        if is_open and after.state is AlarmState.CLEARED:
            del self._open[after.series]
            self._keep_cleared(after)
        elif is_open:
            self._open[after.series] = after
        else:
            self._cleared[after.alarm] = after
        return after, outcome

    def end(self, series: Sequence[int], reason: str) -> list[AlarmRecord]:
        """Clear the open alarms of these series for a reason; returns their records."""
        ended = []
        for number in series:
            before = self._open.pop(number, None)
            if before is None:
                continue
            after = self._cleared_now(before, reason)
            self._keep_cleared(after)
            ended.append(after)
        return ended

    def forget(self, series: Sequence[int]) -> None:
        """Know nothing more of the alarms of these series."""
        for number in series:
            self._open.pop(number, None)
            self._shelved.pop(number, None)
        gone = set(series)
        self._cleared = {number: record for number, record in self._cleared.items() if record.series not in gone}

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
                self._shelved[record.series] = action.until
                return replace(record, shelved_until=action.until, note=note)
            case Unshelve():
                self._shelved.pop(record.series, None)
                return replace(record, shelved_until=None, note=note)
            case Clear():
                if not is_open:
                    raise ActionError(f"alarm {record.alarm}: it is cleared already")
                return replace(self._cleared_now(record, f"by {action.by}"), note=note)
            case Comment():
                return replace(record, note=note)

    def _cleared_now(self, record: AlarmRecord, reason: str) -> AlarmRecord:
        cleared = max(record.opened, self._policy.last_time(record.series))
        return replace(record, state=AlarmState.CLEARED, cleared=cleared, cleared_reason=reason)

    def _judged(self, record: AlarmRecord, action: Feedback, levels: Levels) -> tuple[AlarmRecord, str]:
        series, is_open = record.series, record.state is not AlarmState.CLEARED
        threshold = self._policy.threshold(series)
        self._withdraw(record, levels)
        if is_open:
            record = replace(record, peak_score=max(record.peak_score, self._policy.peak(series)))
        adopted = {}
        if action.verdict == "expected" and is_open:
            adopted = dict(levels.adopt(series, next(iter(record.parts), "")))
            self._policy.end_by_score(series)
        answer = Answer(record.alarm, action.verdict, record.peak_score, adopted)
        self._answers.put(series, answer)
        self._policy.set_minimum(series, self._answers.minimum(series))
        after = replace(record, feedback=action.verdict, note=action.note or record.note)
        if is_open and action.verdict != "right":
            after = self._cleared_now(after, f"marked {action.verdict} by {action.by}")
            if answer.raises and self._policy.threshold(series) > answer.peak:
                # What goes further than this alarm did is another one.
                self._policy.close(series)
        right = self._answers.lowest_right(series)
        return after, outcome_of(answer, threshold, self._policy.threshold(series), right)

    def _judgement_undone(self, record: AlarmRecord, action: UndoFeedback, levels: Levels) -> tuple[AlarmRecord, str]:
        answer = self._answers.of(record.series, record.alarm)
        if answer is None:
            raise ActionError(f"alarm {record.alarm}: nothing was said of it that could be taken back")
        threshold = self._policy.threshold(record.series)
        outcome = self._withdraw(record, levels)
        self._policy.set_minimum(record.series, self._answers.minimum(record.series))
        after = self._policy.threshold(record.series)
        outcome = outcome or changed_threshold(threshold, after) or f"threshold stays {threshold:.2f}"
        return replace(record, feedback="", note=action.note or record.note), outcome

    def _withdraw(self, record: AlarmRecord, levels: Levels) -> str:
        """Take back what an earlier answer about the alarm had changed of the level; says so where it did."""
        answer = self._answers.of(record.series, record.alarm)
        self._answers.withdraw(record.series, record.alarm)
        if answer is None or not answer.adopted:
            return ""
        self._policy.end_by_score(record.series)
        if levels.restore(record.series, answer.adopted):
            return "what was normal before is normal again"
        return "the level that was adopted stays: its detector has begun anew since"

    def _keep_cleared(self, record: AlarmRecord) -> None:
        self._cleared[record.alarm] = record
        others = [alarm for alarm, kept in self._cleared.items() if not kept.feedback]
        for alarm in others[: max(len(others) - KEPT_CLEARED, 0)]:
            del self._cleared[alarm]

    def adopt(
        self, open_alarms: Sequence[AlarmRecord], next_alarm: int, judged: Sequence[AlarmRecord] | None = None
    ) -> None:
        """Let exactly these alarms be open, and number new ones from `next_alarm`: what a store holds, where the state
        before was lost. `judged` are those that somebody has said something of; None leaves the answers as they are."""
        self._policy.adopt(
            (a.series, a.opened, a.peak_score, SEVERITIES.index(a.severity)) for a in open_alarms if is_of_scores(a)
        )
        self._open = {record.series: record for record in open_alarms}
        self._next = next_alarm
        if judged is not None:
            self._answers.adopt(judged)
            self._cleared.update({record.alarm: record for record in judged if record.cleared is not None})
            self._set_minimums()

    def _set_minimums(self) -> None:
        self._policy.grow(max((series + 1 for series in self._answers.series), default=0))
        for series in self._answers.series:
            self._policy.set_minimum(series, self._answers.minimum(series))

    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
        """A copy of the whole state: arrays, and the rest as JSON."""
        rest = {
            "next_alarm": self._next,
            "open_alarms": [alarm_to_json(record) for record in self._open.values()],
            "cleared_alarms": [alarm_to_json(record) for record in self._cleared.values()],
            "shelved": list(self._shelved.items()),
            "answers": self._answers.state(),
        }
        return self._policy.state(), rest

    def load(self, arrays: Mapping[str, NDArray[np.generic]], rest: Mapping[str, Any]) -> bool:
        """Take over a state that `state` returned.

        Returns False where the arrays are of another version: then alarms that are open stay so, and what the policy
        knew of each series' cadence is learned anew.
        """
        records = [alarm_from_json(saved) for saved in rest["open_alarms"]]
        cleared = [alarm_from_json(saved) for saved in rest.get("cleared_alarms", ())]
        self._cleared = {record.alarm: record for record in cleared}
        self._shelved = {int(series): int(until) for series, until in rest.get("shelved", ())}
        self._answers.load(rest.get("answers", ()))
        try:
            self._policy.load(arrays)
        except KeyError:
            self._policy.grow(max((record.series + 1 for record in records), default=0))
            self._set_minimums()
            self.adopt(records, int(rest["next_alarm"]))
            return False
        self._set_minimums()
        self._open = {record.series: record for record in records}
        self._next = int(rest["next_alarm"])
        return True

    def _changed(self, scored: Scored, verdicts: Verdicts, row: int) -> AlarmRecord | None:
        """The alarm's record after an event; None where it has none, since the device's alarm takes its place."""
        series, time, event = int(scored.series[row]), int(scored.time[row]), verdicts.event[row]
        severity, peak = SEVERITIES[verdicts.severity[row]], float(verdicts.peak[row])
        before = self._open.get(series)
        if before is not None and not is_of_scores(before):
            # A reading from before the silence, which waited for others: the series has one alarm at a time.
            return None
        if event == OPENED:
            if scored.is_replaced(row):
                return None
            opening = self._lasting(series, scored.opening(row))
            opening = replace(opening, reason=opening.reason + scored.beside(row, verdicts))
            return self._opened(series, time, peak, severity, opening)
        if before is None:
            return None
        if event in (CLEARED, ADOPTED):
            del self._open[series]
            after = replace(
                before,
                state=AlarmState.CLEARED,
                cleared=time,
                cleared_reason=_end_of(event, time - before.opened),
                severity=severity,
                peak_score=peak,
            )
            self._keep_cleared(after)
        else:
            after = replace(before, severity=severity, peak_score=peak)
            self._open[series] = after
        return after

    def _peak_changed(self, series: int, peak: float) -> None:
        """An open alarm that somebody has judged has another highest score: what follows is judged by that."""
        record = self._open[series]
        if is_of_scores(record) and self._answers.note_peak(record, peak):
            self._policy.set_minimum(series, self._answers.minimum(series))

    def _lasting(self, series: int, opening: Opening) -> Opening:
        """The opening, which says how long its deviation had to last where a person has set that."""
        shortest = self._policy.shortest(series)
        return replace(opening, reason=f"{opening.reason}; for {spoken_duration(shortest)}") if shortest else opening

    def _opened(self, series: int, time: int, score: float, severity: str, opening: Opening) -> AlarmRecord:
        record = AlarmRecord(
            alarm=self._next,
            series=series,
            state=AlarmState.OPEN,
            opened=time,
            cleared=None,
            severity=severity,
            peak_score=score,
            value=opening.value,
            expected=opening.expected,
            reason=opening.reason,
            parts=opening.parts,
            shelved_until=self._shelf(series, time),
        )
        self._next += 1
        self._open[series] = record
        return record

    def _shelf(self, series: int, time: int) -> int | None:
        until = self._shelved.get(series)
        if until is not None and until <= time:
            del self._shelved[series]
            return None
        return until


def _rise(before: AlarmRecord | None, after: AlarmRecord | None) -> list[SeverityRise]:
    """That an alarm is of a higher severity than before, where it is."""
    if before is None or after is None or after.alarm != before.alarm or after.severity == before.severity:
        return []
    return [SeverityRise(before.series, before.opened, before.severity)]


def _end_of(event: int, lasted: int) -> str:
    """Why an alarm has ended that lasted so many ns."""
    return f"adopted as normal after {spoken_duration(lasted)}" if event == ADOPTED else BACK_TO_NORMAL


def alarm_to_json(record: AlarmRecord) -> dict[str, Any]:
    """A record as JSON holds it."""
    return {name: getattr(record, name) for name in AlarmRecord.__slots__} | {"state": record.state.value}


def alarm_from_json(saved: Mapping[str, Any]) -> AlarmRecord:
    """What `alarm_to_json` gave, once it has been JSON."""
    # JSON has no NaN: where there was no value, or nothing was expected, it says null.
    numbers = {name: math.nan if saved[name] is None else saved[name] for name in ("value", "expected")}
    return AlarmRecord(**{**saved, "state": AlarmState(saved["state"]), **numbers})
