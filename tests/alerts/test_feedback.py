"""What people's answers about alarms change: thresholds, levels, and what alarms after them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from alerts.actions import Action, Feedback, UndoFeedback, Verdict, encode
from alerts.alarm_settings import AlarmSettings
from alerts.feedback import Answer, Answers, just_above, outcome_of
from devices.messages import MessageChunk
from devices.records import AlarmRecord, AlarmState
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
NOON = START + 43_200 * SECOND
ZSCORE = ComponentSettings(type="zscore", warmup=50)


class Plant:
    """One sensor, a reading a minute around 20, and people who answer; every entry is kept for a replay."""

    def __init__(self, detector: ComponentSettings = ZSCORE) -> None:
        self.detector = detector
        self.engine = self.fresh()
        self.minute = 0
        self.offset = 0
        self.entries: list[JournalEntry] = []
        self.random = np.random.default_rng(7)
        self.noise(400)

    def fresh(self) -> Engine:
        alarm = AlarmSettings(threshold=4.0, clear_after="2m", clear_readings=2)
        return Engine([RouteSettings(filter="#")], {"default": self.detector}, alarm, LimitSettings())

    def noise(self, count: int, around: float = 20.0) -> list[AlarmRecord]:
        return self.read(*(around + self.random.normal(0.0, 1.0, count)).round(3).tolist())

    def read(self, *values: float) -> list[AlarmRecord]:
        rows = []
        for value in values:
            rows.append((b"pump/t", repr(value).encode(), START + self.minute * 60 * SECOND, 0))
            self.minute += 1
        return self._step(MessageChunk.of(rows)).alarms

    def answer(self, action: Action) -> tuple[list[AlarmRecord], str]:
        output = self._step(MessageChunk.of_actions(encode([action]), ticked_at=START + self.minute * 60 * SECOND))
        return output.alarms, output.actions[0].refused or output.actions[0].text

    def _step(self, chunk: MessageChunk) -> StepOutput:
        entry = JournalEntry(self.engine.position, self.offset, chunk)
        self.offset += len(chunk)
        self.entries.append(entry)
        return self.engine.step(entry)

    @property
    def threshold(self) -> float:
        return self.engine.alarms.threshold(0)

    def restart(self) -> None:
        arrays, rest = self.engine.state()
        new = self.fresh()
        new.registry.load(self.engine.registry.records)
        assert new.load(self.engine.position, arrays, json.loads(json.dumps(rest))) == {}
        self.engine = new


def judge(alarm: int, verdict: Verdict, note: str = "") -> Feedback:
    return Feedback(by="Ana", at=NOON, alarm=alarm, verdict=verdict, note=note)


def opened(records: list[AlarmRecord]) -> list[int]:
    return sorted({record.alarm for record in records if record.state is AlarmState.OPEN})


@pytest.fixture
def plant() -> Plant:
    plant = Plant()
    assert opened(plant.read(25.0)) == [1]
    plant.noise(20)
    return plant


def test_an_alarm_marked_wrong_raises_the_threshold_just_above_it_and_its_like_is_quiet(plant: Plant) -> None:
    (record,), told = plant.answer(judge(1, "wrong", "test run"))
    assert (record.feedback, record.note, record.cleared_reason) == ("wrong", "test run", "back to normal")
    assert plant.threshold == just_above(record.peak_score) > 4.0
    assert told == f"wrong; threshold raised from 4.00 to {plant.threshold:.2f}: test run"
    plant.restart()
    assert plant.threshold == just_above(record.peak_score)
    assert opened(plant.read(25.0)) == []
    plant.noise(20)
    assert opened(plant.read(40.0)) == [2]


def test_an_open_alarm_marked_wrong_ends_and_what_goes_further_is_another_one() -> None:
    plant = Plant()
    plant.read(25.0)
    (record,), _ = plant.answer(judge(1, "wrong"))
    assert (record.state, record.cleared_reason) == (AlarmState.CLEARED, "marked wrong by Ana")
    assert opened(plant.read(25.0)) == []
    assert opened(plant.read(60.0)) == [2]


def test_taken_back_the_threshold_is_what_it_was_and_the_like_alarms_again(plant: Plant) -> None:
    plant.answer(judge(1, "wrong"))
    raised = plant.threshold
    (record,), told = plant.answer(UndoFeedback(by="Ben", at=NOON, alarm=1))
    assert (record.feedback, plant.threshold) == ("", 4.0)
    assert told == f"threshold lowered from {raised:.2f} to 4.00"
    assert opened(plant.read(25.0)) == [2]
    assert plant.answer(UndoFeedback(by="Ben", at=NOON, alarm=1)) == (
        [],
        "alarm 1: nothing was said of it that could be taken back",
    )


def test_an_alarm_marked_right_is_never_silenced_by_an_answer(plant: Plant) -> None:
    assert opened(plant.read(25.6)) == [2]
    plant.noise(20)
    right, told = plant.answer(judge(1, "right"))
    peak = right[0].peak_score
    assert told == f"right; threshold stays 4.00; no answer raises it past {peak:.2f}"
    _, told = plant.answer(judge(2, "wrong"))
    assert plant.threshold == 4.0
    assert told == "wrong; threshold cannot be raised above this alarm: alarm 1, marked right, scored no more"
    assert opened(plant.read(25.0)) == [3]


def test_a_right_answer_lowers_a_threshold_that_another_one_raised(plant: Plant) -> None:
    plant.answer(judge(1, "wrong"))
    raised = plant.threshold
    assert opened(plant.read(25.6)) == [2]
    plant.noise(20)
    plant.answer(judge(2, "wrong"))
    higher = plant.threshold
    assert higher > raised
    _, told = plant.answer(judge(2, "right"))
    assert plant.threshold == raised
    assert told == f"right; threshold lowered from {higher:.2f} to {raised:.2f}"


def test_what_follows_a_new_peak_is_judged_by_it_however_the_journal_was_cut() -> None:
    """Alarm 1 is wrong and scored more than alarm 2, which is right: once that goes further, alarm 1 counts."""
    found = []
    for together in (True, False):
        plant = Plant()
        assert opened(plant.read(25.8)) == [1]
        plant.noise(20)
        assert opened(plant.read(24.7)) == [2]
        plant.answer(judge(2, "right"))
        _, said = plant.answer(judge(1, "wrong"))
        assert "cannot be raised above this alarm: alarm 2, marked right, scored no more" in said
        rows = (30.0, 14.8, 14.8)
        before = len(plant.entries)
        for part in [rows] if together else [(row,) for row in rows]:
            plant.read(*part)
        engine = plant.fresh()
        outputs = [engine.step(entry) for entry in plant.entries]
        flags = np.concatenate([output.points.anomaly for output in outputs[before:]])
        found.append((flags.tolist(), plant.engine.alarms.threshold(0), plant.engine.alarms.state()[1]))
    assert found[0][0] == [True, False, False], "alarm 1 scored as much as the readings behind the peak"
    assert found[0][1] > 6.0
    assert found[0] == found[1]


def test_a_replay_of_the_journal_gives_the_same_thresholds_and_alarms(plant: Plant) -> None:
    plant.answer(judge(1, "wrong"))
    plant.read(25.0)
    plant.noise(50)
    again = plant.fresh()
    alarms = [record for entry in plant.entries for record in again.step(entry).alarms]
    assert [(r.alarm, r.state, r.feedback) for r in alarms] == [
        (1, "open", ""),
        (1, "cleared", ""),
        (1, "cleared", "wrong"),
    ]
    assert again.alarms.threshold(0) == plant.threshold
    assert json.dumps(again.state()[1]) == json.dumps(plant.engine.state()[1])


def test_a_level_that_is_expected_from_now_on_is_normal_at_once_and_the_old_one_again_when_taken_back() -> None:
    plant = Plant(ComponentSettings(type="ensemble"))
    plant.noise(3000)
    assert opened(plant.noise(30, around=40.0)) == [1]
    (record,), told = plant.answer(judge(1, "expected"))
    assert told == "expected; what it shows now is taken for normal"
    assert (record.feedback, record.cleared_reason) == ("expected", "marked expected by Ana")
    plant.restart()
    assert opened(plant.noise(60, around=40.0)) == []
    assert [alarm.series for alarm in plant.engine.open_alarms] == []
    assert opened(plant.noise(30, around=20.0)) == [2]
    _, told = plant.answer(UndoFeedback(by="Ana", at=NOON, alarm=1))
    assert told == "what was normal before is normal again"
    plant.noise(5)
    plant.restart()
    assert [alarm.series for alarm in plant.engine.open_alarms] == [0]
    assert [(r.alarm, r.cleared_reason) for r in plant.noise(10) if r.cleared] == [(2, "back to normal")]


def test_what_is_expected_and_of_no_level_raises_the_threshold(plant: Plant) -> None:
    (record,), told = plant.answer(judge(1, "expected"))
    assert plant.threshold == just_above(record.peak_score)
    assert told == f"expected; threshold raised from 4.00 to {plant.threshold:.2f}"


def test_answers_are_rebuilt_from_what_alarms_carry() -> None:
    answers = Answers()
    answers.put(3, Answer(1, "wrong", 6.0, {}))
    answers.put(3, Answer(2, "right", 9.0, {}))
    again = Answers()
    again.adopt(
        AlarmRecord(alarm, 3, AlarmState.CLEARED, START, START, "minor", peak, 1.0, 0.0, "odd", feedback=verdict)
        for alarm, verdict, peak in ((1, "wrong", 6.0), (2, "right", 9.0), (4, "", 11.0))
    )
    assert (again.state(), again.minimum(3)) == (answers.state(), 6.1)


@pytest.mark.parametrize(
    ("answer", "before", "after", "right", "told"),
    [
        (Answer(1, "expected", 6.0, {"d": {}}), 4.0, 4.0, None, "what it shows now is taken for normal"),
        (Answer(1, "right", 6.0, {}), 6.5, 6.0, None, "threshold lowered from 6.50 to 6.00"),
        (Answer(1, "wrong", 6.0, {}), 6.1, 6.1, None, "threshold stays 6.10, above this alarm"),
        (Answer(1, "wrong", 6.0, {}), 4.0, 5.1, Answer(2, "right", 6.0, {}), "threshold raised from 4.00 to 5.10; "
         "threshold cannot be raised above this alarm: alarm 2, marked right, scored no more"),
        (Answer(1, "wrong", 12.0, {}), 4.0, 12.0, None, "threshold cannot be raised above this alarm, which has the "
         "highest score there is: change its limit"),
    ],
)  # fmt: skip
def test_what_came_of_an_answer_is_told(
    answer: Answer, before: float, after: float, right: Answer | None, told: str
) -> None:
    assert outcome_of(answer, before, after, right) == told


def test_answers_of_one_series_raise_its_minimum_to_the_highest_wrong_one_below_the_lowest_right_one() -> None:
    answers = Answers()
    assert (answers.minimum(3), answers.lowest_right(3)) == (0.0, None)
    for alarm, verdict, peak in ((1, "wrong", 6.0), (2, "wrong", 7.0), (3, "expected", 5.0), (4, "right", 9.0)):
        answers.put(3, Answer(alarm, verdict, peak, {}))  # type: ignore[arg-type]
    assert answers.minimum(3) == pytest.approx(7.1)
    answers.put(3, Answer(5, "right", 7.0, {}))
    assert answers.minimum(3) == pytest.approx(6.1)
    assert answers.lowest_right(3) == Answer(5, "right", 7.0, {})
    answers.put(3, Answer(6, "right", 6.05, {}))
    assert answers.minimum(3) == 6.05
    for alarm in (1, 2, 3, 4, 5, 6, 6):
        answers.withdraw(3, alarm)
    assert (answers.series, answers.minimum(3)) == ([], 0.0)


def test_a_threshold_just_above_is_a_tenth_of_a_decade_or_of_what_is_left() -> None:
    assert just_above(6.0) == pytest.approx(6.1)
    assert just_above(11.5) == pytest.approx(11.55)
    assert just_above(12.0) == 12.0
