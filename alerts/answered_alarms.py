"""Alarm: what people say of alarms, carried to the policy's thresholds and the detectors' levels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from alerts.actions import ActionError, Feedback, UndoFeedback
from alerts.alarm_book import cleared
from alerts.alarm_step import is_of_scores
from alerts.feedback import Answer, Answers, Levels, changed_threshold, outcome_of
from alerts.policy import AlarmPolicy, PeakWatch
from devices.records import AlarmRecord, AlarmState


class AnsweredAlarms:
    """The answers that hold, and what they change of `policy`: see `alerts.feedback`."""

    def __init__(self, policy: AlarmPolicy) -> None:
        self._policy = policy
        self._answers = Answers()

    def minimum(self, series: int) -> float:
        """The least score that raises an alarm for this series by the answers; 0 for none."""
        return self._answers.minimum(series)

    def watch(self, open_alarms: Mapping[int, AlarmRecord]) -> PeakWatch | None:
        """Follow the highest scores of open alarms, by series, that have an answer; None where none has."""
        answered = self._answers.answered(open_alarms)

        def changed(series: int, peak: float) -> None:
            # What follows is judged by the new highest score.
            record = open_alarms[series]
            if is_of_scores(record) and self._answers.note_peak(record, peak):
                self._policy.set_minimum(series, self._answers.minimum(series))

        return PeakWatch(answered, changed) if answered else None

    def judge(self, record: AlarmRecord, action: Feedback, levels: Levels) -> tuple[AlarmRecord, str]:
        """The alarm's record after an answer, and what came of it, for people."""
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
            after = cleared(after, self._policy.last_time(series), f"marked {action.verdict} by {action.by}")
            if answer.raises and self._policy.threshold(series) > answer.peak:
                # What goes further than this alarm did is another one.
                self._policy.close(series)
        right = self._answers.lowest_right(series)
        return after, outcome_of(answer, threshold, self._policy.threshold(series), right)

    def undo(self, record: AlarmRecord, action: UndoFeedback, levels: Levels) -> tuple[AlarmRecord, str]:
        """The alarm's record without its answer, and what came of it, for people. Raises ActionError without one."""
        if self._answers.of(record.series, record.alarm) is None:
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

    def adopt(self, judged: Iterable[AlarmRecord]) -> None:
        """Take the answers that alarms carry, where the state before was lost."""
        self._answers.adopt(judged)
        self.set_minimums()

    def state(self) -> list[list[Any]]:
        """All answers, as JSON."""
        return self._answers.state()

    def load(self, saved: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Take over what `state` returned; the policy is told by `set_minimums`."""
        self._answers.load(saved)

    def set_minimums(self) -> None:
        """Tell the policy the least score of every series that has an answer."""
        self._policy.grow(max((series + 1 for series in self._answers.series), default=0))
        for series in self._answers.series:
            self._policy.set_minimum(series, self._answers.minimum(series))
