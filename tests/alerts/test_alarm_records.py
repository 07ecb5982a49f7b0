"""The records of alarms, straight from scores and silences: what is said, kept, numbered and forgotten."""

from __future__ import annotations

import math

import numpy as np
import orjson
import pytest

from alerts.actions import (
    Acknowledge,
    ActionError,
    AlarmAction,
    Clear,
    Comment,
    Feedback,
    Shelve,
    Unacknowledge,
    Unshelve,
)
from alerts.alarm_book import KEPT_CLEARED
from alerts.alarm_life import Alarms
from alerts.alarm_settings import AlarmOverride, AlarmSettings
from alerts.alarm_step import SILENT, AlarmStep, Opening, Scored, SilenceChange
from alerts.feedback import Adopted
from alerts.series_rules import SeriesRules
from common.time_units import MINUTE, SECOND
from devices.records import AlarmRecord, AlarmState, SeriesRecord, SeverityRise

START = 1_750_000_000 * SECOND


class NoLevels:
    """Detectors without a level."""

    def adopt(self, *_of: object) -> Adopted:
        return {}

    def restore(self, *_of: object) -> bool:
        return False


class Plant:
    """Sensors whose readings are scores, and people."""

    def __init__(self, series: int = 2) -> None:
        self.settings = AlarmSettings(threshold=4.0, clear_after="0s", clear_readings=1)
        self.alarms = Alarms(self.settings)
        self.alarms.grow([SeriesRecord(number, "pump", f"m{number}") for number in range(series)])

    def step(
        self, *readings: tuple[int, int, float], silences: tuple[SilenceChange, ...] = (), replaced: bool = False
    ) -> AlarmStep:
        """Readings as (series, ns from the start, score)."""
        series, time, score = zip(*readings, strict=True) if readings else ((), (), ())
        scored = Scored(
            np.array(series, np.int32), START + np.array(time, np.int64), np.array(score, np.float64),
            np.arange(len(readings)), lambda row: Opening(21.5, 20.0, f"odd at row {row}", {"default": 5.0}),
            is_replaced=lambda _row: replaced,
        )  # fmt: skip
        return self.alarms.step([scored], silences)[1]

    def act(self, action: AlarmAction) -> AlarmRecord:
        return self.alarms.act(action, NoLevels())[0]

    def comment(self, alarm: int) -> AlarmRecord:
        return self.act(Comment(by="Ana", at=START, alarm=alarm, note="seen"))


def silence(time: int, *, at: int = 0, series: int = 0, begins: bool = True) -> SilenceChange:
    opening = Opening(math.nan, math.nan, "pump is silent for 3 min", {}) if begins else None
    return SilenceChange(at, series, START + time, "major" if begins else "", opening)


def test_an_alarm_says_how_long_its_deviation_had_to_last() -> None:
    plant = Plant()
    plant.alarms.describe(0, SeriesRules(shortest=3 * MINUTE))
    step = plant.step((0, 0, 5.0), (1, 0, 5.0), (0, 3 * MINUTE, 5.0))
    assert [(each.alarm, each.series, each.reason) for each in step.records] == [
        (1, 1, "odd at row 1"),
        (2, 0, "odd at row 2; for 3 min"),
    ]
    assert (step.opened, step.opened_at, step.places) == (2, [1, 2], [1, 2])


RISING = (5.0, 5.04, 5.06, 5.06, 4.2, 5.14, 5.16, 9.0, 0.0)


def test_the_highest_score_of_an_open_alarm_is_what_its_readings_show_with_one_decimal() -> None:
    plant = Plant()
    step = plant.step(*((0, time, score) for time, score in enumerate(RISING)))
    told = [
        (place, each.state.value, each.severity, each.peak_score)
        for place, each in zip(step.places, step.records, strict=True)
    ]
    assert told == [
        (0, "open", "minor", 5.0),
        (2, "open", "minor", 5.06),
        (6, "open", "minor", 5.16),
        (7, "open", "major", 9.0),
        (8, "cleared", "major", 9.0),
    ]
    assert (step.rose, step.opened_at, [each.severity for each in step.rises]) == ([1, 2], [0], ["minor"])


def test_records_of_a_rising_score_are_the_same_whatever_pieces_the_readings_come_in() -> None:
    whole, pieces = Plant(), Plant()
    readings = [(0, time, score) for time, score in enumerate(RISING)]
    apart = [record for reading in readings for record in pieces.step(reading).records]
    assert apart == whole.step(*readings).records


def test_a_score_that_rises_with_each_reading_is_told_as_often_as_its_first_decimal_changes() -> None:
    plant = Plant()
    step = plant.step(*((0, time, 4.0 + 0.003 * time) for time in range(300)))
    assert len(step.records) == 10
    assert step.records[-1].peak_score == pytest.approx(4.852)


def test_a_silence_is_an_alarm_from_when_it_begins_to_when_something_is_heard() -> None:
    plant = Plant()
    step = plant.step((1, 0, 5.0), silences=(silence(0),))
    assert [(each.alarm, each.series, each.severity, each.reason) for each in step.records] == [
        (1, 0, "major", "pump is silent for 3 min"),
        (2, 1, "minor", "odd at row 0"),
    ]
    assert (step.records[0].parts, step.records[0].peak_score) == ({SILENT: 4.0}, 4.0)
    assert (step.places, step.opened_at) == ([-1, 0], [-1, 0])
    assert plant.step((0, 1, 5.0), (0, 2, 0.0)).records == []
    (ended,) = plant.step(silences=(silence(9, begins=False),)).records
    assert (ended.alarm, ended.cleared, ended.cleared_reason) == (1, START + 9, "heard from again")
    assert plant.step(silences=(silence(9, begins=False),)).records == []


def test_a_silence_that_is_over_before_it_began_ends_when_it_began() -> None:
    plant = Plant()
    plant.step(silences=(silence(9),))
    (ended,) = plant.step(silences=(silence(3, begins=False),)).records
    assert ended.cleared == ended.opened == START + 9


def test_a_series_that_alarms_already_has_no_second_alarm_of_silence_and_its_end_is_of_the_score() -> None:
    plant = Plant()
    plant.step((0, 0, 5.0))
    assert plant.step(silences=(silence(9),)).records == []
    assert plant.step(silences=(silence(9, begins=False),)).records == []
    (cleared,) = plant.step((0, 10, 0.0)).records
    assert (cleared.alarm, cleared.cleared_reason) == (1, "back to normal")


def test_where_the_alarm_of_the_device_stands_for_it_a_series_has_none() -> None:
    plant = Plant()
    assert plant.step((0, 0, 5.0), (0, 1, 0.0), replaced=True).records == []
    assert [alarm.series for alarm in plant.alarms.open_alarms] == []
    assert [each.alarm for each in plant.step((0, 2, 5.0)).records] == [1]


@pytest.mark.parametrize(("opened", "shelved"), [(99, 100), (100, None)])
def test_a_shelf_ends_at_its_time(opened: int, shelved: int | None) -> None:
    plant = Plant()
    plant.step((0, 0, 5.0), (0, 1, 0.0))
    plant.act(Shelve(by="Ana", at=START, alarm=1, until=START + 100))
    (record,) = plant.step((0, opened, 5.0)).records
    assert record.shelved_until == (None if shelved is None else START + shelved)


def test_what_is_done_with_a_cleared_alarm_leaves_it_cleared() -> None:
    plant = Plant()
    plant.step((0, 0, 5.0), (0, 1, 0.0))
    taken = plant.act(Acknowledge(by="Ana", at=START + 5, alarm=1, note="why?"))
    assert (taken.state, taken.acknowledged_by, taken.acknowledged_at) == (AlarmState.CLEARED, "Ana", START + 5)
    left = plant.act(Unacknowledge(by="Ana", at=START, alarm=1))
    assert (left.state, left.acknowledged_by, left.acknowledged_at, left.note) == (AlarmState.CLEARED, "", None, "why?")
    with pytest.raises(ActionError, match="alarm 1: it is cleared already"):
        plant.act(Clear(by="Ana", at=START, alarm=1))


def test_an_open_alarm_is_taken_on_and_given_back() -> None:
    plant = Plant()
    plant.step((0, 0, 5.0))
    assert plant.act(Acknowledge(by="Ana", at=START, alarm=1)).state is AlarmState.ACKNOWLEDGED
    assert plant.act(Unacknowledge(by="Ana", at=START, alarm=1, note="off duty")).state is AlarmState.OPEN
    (cleared,) = plant.step((0, 1, 0.0)).records
    assert (cleared.note, cleared.acknowledged_by) == ("off duty", "")


def test_a_series_taken_off_the_shelf_opens_alarms_that_are_told() -> None:
    plant = Plant()
    plant.step((0, 0, 5.0))
    plant.act(Shelve(by="Ana", at=START, alarm=1, until=START + 100))
    assert plant.act(Unshelve(by="Ana", at=START, alarm=1)).shelved_until is None
    assert plant.step((0, 1, 0.0), (0, 2, 5.0)).records[-1].shelved_until is None


def test_what_is_forgotten_is_no_alarm_that_anything_can_be_done_with() -> None:
    plant = Plant()
    plant.step((0, 0, 5.0), (0, 1, 0.0), (1, 1, 5.0), (1, 2, 0.0), (0, 3, 5.0), (1, 3, 5.0))
    plant.act(Shelve(by="Ana", at=START, alarm=3, until=START + 100))
    plant.alarms.forget([0])
    assert [alarm.series for alarm in plant.alarms.open_alarms] == [1]
    for gone in (1, 3):
        with pytest.raises(ActionError, match=f"alarm {gone}: there is no such alarm, or it was cleared long ago"):
            plant.comment(gone)
    assert [plant.comment(kept).note for kept in (2, 4)] == ["seen"] * 2
    _, rest = plant.alarms.state()
    assert rest["shelved"] == []


def test_the_last_that_were_cleared_and_those_judged_can_still_be_spoken_of() -> None:
    plant = Plant(1)
    plant.step((0, 0, 5.0), (0, 1, 0.0))
    plant.act(Feedback(by="Ana", at=START, alarm=1, verdict="right"))
    for number in range(1, KEPT_CLEARED + 2):
        plant.step((0, 10 * number, 5.0), (0, 10 * number + 1, 0.0))
    assert plant.comment(1).feedback == "right"
    with pytest.raises(ActionError, match="alarm 2: there is no such alarm"):
        plant.comment(2)
    assert plant.comment(3).note == "seen"


def test_an_ended_alarm_says_why_and_ends_with_the_last_reading() -> None:
    plant = Plant()
    plant.step((0, 0, 5.0), (0, 7, 4.5), (1, 9, 1.0))
    (ended,) = plant.alarms.end([1, 0], "its device was retired")
    assert (ended.alarm, ended.cleared, ended.cleared_reason) == (1, START + 7, "its device was retired")
    assert [alarm.series for alarm in plant.alarms.open_alarms] == []


def test_a_wrong_answer_holds_after_a_restart_and_where_only_the_store_is_left() -> None:
    plant = Plant(1)
    plant.step((0, 0, 5.0), (0, 1, 0.0))
    wrong = plant.act(Feedback(by="Ana", at=START, alarm=1, verdict="wrong"))
    assert (plant.alarms.minimum(0), plant.alarms.threshold(0)) == (5.1, 5.1)
    arrays, rest = plant.alarms.state()
    again, rebuilt = Alarms(plant.settings), Alarms(plant.settings)
    assert again.load(arrays, orjson.loads(orjson.dumps(rest)))
    rebuilt.adopt([], 2, [wrong])
    for alarms in (again, rebuilt):
        assert (alarms.minimum(0), alarms.threshold(0)) == (5.1, 5.1)
        plant.alarms = alarms
        assert plant.comment(1).feedback == "wrong"
        assert plant.step((0, 20, 5.0)).records == []
        assert [each.alarm for each in plant.step((0, 21, 5.2)).records] == [2]


def test_an_open_alarm_keeps_the_highest_score_and_severity_it_had() -> None:
    plant = Plant()
    step = plant.step((0, 0, 5.0), (0, 1, 9.0), (0, 2, 4.5), (0, 3, 0.0))
    assert step.rises == [SeverityRise(0, START, "minor")]
    assert [(each.state, each.severity, each.peak_score) for each in step.records] == [
        (AlarmState.OPEN, "minor", 5.0),
        (AlarmState.OPEN, "major", 9.0),
        (AlarmState.CLEARED, "major", 9.0),
    ]


def test_an_override_is_the_budget_of_the_series_that_it_names() -> None:
    own = AlarmOverride(device="pump", metric="m1", budget="1 per sensor per day")
    settings = AlarmSettings(budget="1 per sensor per week", overrides=[own])
    alarms = Alarms(settings)
    alarms.grow([SeriesRecord(number, "pump", f"m{number}") for number in range(2)])
    assert alarms.threshold(0) == pytest.approx(math.log10(7 * 24 * 60))
    assert alarms.threshold(1) == pytest.approx(math.log10(24 * 60))
    assert (settings.budget_of("pump", "m0"), settings.budget_of("pump", "m1")) == (
        "1 per sensor per week", "1 per sensor per day",
    )  # fmt: skip
