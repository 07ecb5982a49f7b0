"""Alarm: what people's answers about alarms change: the score a series has to reach, and what is normal for it.

An alarm that was wrong raises the threshold of its series just above its highest score. An alarm that was right keeps
the threshold from being raised past it. What is expected from now on is adopted by the detectors as normal, where the
alarm is of a level and still open; else it raises the threshold as a wrong one does. Every answer can be withdrawn, and
then the threshold and the level are what they were without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from alerts.actions import Verdict
from devices.records import AlarmRecord

HIGHEST_SCORE = 12.0
"""Nothing scores higher, so no threshold silences an alarm that scored this."""
_ABOVE = 0.1
"""Decades, and share of what is left up to the highest score, by which a threshold is raised above a wrong alarm."""

Adopted = Mapping[str, Mapping[str, list[float]]]
"""What detectors took for normal before they adopted a level: by detector, then by array."""


class Levels(Protocol):
    """The detectors, as far as answers change them."""

    def adopt(self, series: int, channel: str) -> Adopted:
        """Take the present level of a series for normal; `channel` is what raised the alarm.

        Returns what was normal before, for `restore`; empty where the detectors have no level to adopt.
        """
        ...

    def restore(self, series: int, before: Adopted) -> bool:
        """Take for normal again what was before; False where no detector of then is there any more."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody said of an alarm, its highest score, and what detectors had for normal before it was adopted."""

    alarm: int
    verdict: Verdict
    peak: float
    adopted: Adopted

    @property
    def raises(self) -> bool:
        """Whether the threshold is to be above the alarm."""
        return self.verdict == "wrong" or (self.verdict == "expected" and not self.adopted)


def just_above(score: float) -> float:
    """The threshold that a score does not reach; never above the highest score."""
    return score + min(_ABOVE, _ABOVE * (HIGHEST_SCORE - score))


class Answers:
    """All answers that hold, by series. The same answers give the same thresholds, in whatever order they came."""

    def __init__(self) -> None:
        self._answers: dict[int, dict[int, Answer]] = {}

    @property
    def series(self) -> list[int]:
        """Series with an answer."""
        return list(self._answers)

    def put(self, series: int, answer: Answer) -> None:
        """Keep an answer, in place of an earlier one about the same alarm."""
        self._answers.setdefault(series, {})[answer.alarm] = answer

    def of(self, series: int, alarm: int) -> Answer | None:
        """The answer about an alarm that holds now."""
        return self._answers.get(series, {}).get(alarm)

    def withdraw(self, series: int, alarm: int) -> None:
        """Forget the answer about an alarm, where there is one."""
        answers = self._answers.get(series, {})
        answers.pop(alarm, None)
        if not answers:
            self._answers.pop(series, None)

    def answered(self, alarms: Mapping[int, AlarmRecord]) -> list[int]:
        """Those series whose one alarm of `alarms`, by series, has an answer."""
        return [each for each in alarms.keys() & self._answers.keys() if alarms[each].alarm in self._answers[each]]

    def note_peak(self, record: AlarmRecord, peak: float) -> bool:
        """Take a new highest score of an alarm; True where that may change the series' minimum."""
        answer = self.of(record.series, record.alarm)
        if answer is None or answer.peak == peak:
            return False
        self.put(record.series, replace(answer, peak=peak))
        return True

    def lowest_right(self, series: int) -> Answer | None:
        """The alarm marked right that scored least: no answer raises the threshold past it."""
        right = [answer for answer in self._answers.get(series, {}).values() if answer.verdict == "right"]
        return min(right, key=lambda answer: (answer.peak, answer.alarm), default=None)

    def minimum(self, series: int) -> float:
        """The least score that may raise an alarm of the series; 0 where no answer says so."""
        right = self.lowest_right(series)
        limit = HIGHEST_SCORE if right is None else right.peak
        raising = [a.peak for a in self._answers.get(series, {}).values() if a.raises and a.peak < limit]
        return min(just_above(max(raising)), limit) if raising else 0.0

    def state(self) -> list[list[Any]]:
        """All answers, as JSON."""
        return [[series, asdict(answer)] for series, answers in self._answers.items() for answer in answers.values()]

    def load(self, state: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Take over what `state` returned."""
        self._answers = {}
        for series, saved in state:
            self.put(int(series), Answer(**saved))

    def adopt(self, alarms: Iterable[AlarmRecord]) -> None:
        """Take the answers that alarms carry, where the state before was lost; a level adopted then is not told."""
        self._answers = {}
        for record in alarms:
            if record.feedback in ("right", "wrong"):
                verdict: Verdict = "right" if record.feedback == "right" else "wrong"
                self.put(record.series, Answer(record.alarm, verdict, record.peak_score, {}))


def changed_threshold(before: float, after: float) -> str:
    """How a threshold was changed; "" where it was not."""
    if before == after:
        return ""
    return f"threshold {'raised' if after > before else 'lowered'} from {before:.2f} to {after:.2f}"


def outcome_of(answer: Answer, before: float, after: float, right: Answer | None) -> str:
    """What an answer has changed, for people: the threshold before and after it.

    `right` is the answer that keeps the threshold from being raised further, where there is one.
    """
    changed = changed_threshold(before, after)
    if answer.adopted:
        return "what it shows now is taken for normal"
    if answer.verdict == "right":
        return changed or f"threshold stays {after:.2f}; no answer raises it past {answer.peak:.2f}"
    if after > answer.peak:
        return changed or f"threshold stays {after:.2f}, above this alarm"
    if answer.peak >= HIGHEST_SCORE:
        return "threshold cannot be raised above this alarm, which has the highest score there is: change its limit"
    if right is not None and right.peak <= answer.peak:
        text = f"threshold cannot be raised above this alarm: alarm {right.alarm}, marked right, scored no more"
        return f"{changed}; {text}" if changed else text
    return changed
