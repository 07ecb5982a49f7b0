"""The false alarms that a budget allows beside those that were seen: counts and the sentence."""

from __future__ import annotations

import pytest

from alerts.alarm_settings import AlarmOverride, AlarmSettings
from alerts.alarm_step import SILENT
from alerts.budget_use import BudgetUse, budget_uses
from common.time_units import DAY
from devices.records import AlarmRecord, AlarmState, SeriesRecord

START = 1_772_366_400 * 1_000_000_000
END = START + 7 * DAY
SERIES = [
    SeriesRecord(0, "hall/pump", "level"),
    SeriesRecord(1, "hall/pump", "speed"),
    SeriesRecord(2, "yard/gate", "level"),
    SeriesRecord(3, "yard/gate", "firmware", kind="text"),
]
WEEKLY = AlarmSettings(budget="1 per sensor per week")


def alarm(number: int, series: int, opened: int = START, feedback: str = "", part: str = "default") -> AlarmRecord:
    return AlarmRecord(
        number, series, AlarmState.CLEARED, opened, opened + 1, "minor", 5.0, 1.0, 0.0, "odd", {part: 5.0},
        feedback=feedback,
    )  # fmt: skip


def test_a_week_allows_each_scored_series_its_budget_and_counts_what_was_raised() -> None:
    alarms = [
        alarm(1, 0, START), alarm(2, 0, END - 1, "right"), alarm(3, 1, feedback="wrong"),
        alarm(4, 1, feedback="expected"), alarm(5, 2),
        alarm(6, 0, START - 1), alarm(7, 0, END), alarm(8, 0, part=SILENT), alarm(9, 77),
    ]  # fmt: skip
    uses = budget_uses(SERIES, alarms, WEEKLY, START, END)
    assert uses.everything == BudgetUse("all", 3, 3.0, raised=5, right=1, wrong=2)
    assert uses.sites == [
        BudgetUse("hall", 2, 2.0, raised=4, right=1, wrong=2),
        BudgetUse("yard", 1, 1.0, raised=1),
    ]
    assert [(each.name, each.raised) for each in uses.devices] == [("hall/pump", 4), ("yard/gate", 1)]
    assert uses.everything.sentence() == (
        "3.0 false ones allowed; 5 raised by scores: 1 marked right, 2 marked wrong, 2 not judged"
    )


def test_a_device_that_came_later_is_allowed_less() -> None:
    seen = {"hall/pump": START + 5 * DAY, "yard/gate": START - DAY}
    uses = budget_uses(SERIES, [], WEEKLY, START, END, since=seen.get)
    assert {each.name: each.allowed for each in uses.devices} == {
        "hall/pump": pytest.approx(4 / 7),
        "yard/gate": 1.0,
    }
    late = budget_uses(SERIES, [], WEEKLY, START, END, since=lambda _device: END + DAY)
    assert late.everything.allowed == 0.0


def test_a_budget_of_its_own_is_a_series_alone() -> None:
    own = AlarmOverride(device="yard/*", budget="7 per sensor per day")
    uses = budget_uses(SERIES, [], AlarmSettings(overrides=[own]), START, END)
    assert {each.name: each.allowed for each in uses.devices}["yard/gate"] == pytest.approx(49.0 * 2)


def test_a_fixed_threshold_sets_no_budget_and_nothing_exceeds_it() -> None:
    uses = budget_uses(SERIES, [alarm(n, 0, feedback="wrong") for n in range(1, 9)], AlarmSettings(threshold=5.0),
                       START, END)  # fmt: skip
    assert (uses.everything.allowed, uses.everything.is_exceeded) == (None, False)
    assert uses.everything.sentence() == (
        "a fixed threshold sets no budget; 8 raised by scores: 0 marked right, 8 marked wrong, 0 not judged"
    )


@pytest.mark.parametrize(
    ("allowed", "wrong", "exceeded"),
    [(0.1, 1, False), (0.1, 2, True), (3.0, 3, False), (3.0, 4, True), (2.5, 3, True)],
)
def test_a_budget_is_exceeded_by_more_than_it_allows_and_more_than_one(
    allowed: float, wrong: int, exceeded: bool
) -> None:
    assert BudgetUse("x", allowed=allowed, raised=wrong, wrong=wrong).is_exceeded is exceeded


@pytest.mark.parametrize(
    ("allowed", "text"), [(0.0, "0.0"), (0.0123, "0.012"), (0.96, "0.96"), (1.0, "1.0"), (12.34, "12.3")]
)
def test_a_small_allowance_is_told_with_two_digits(allowed: float, text: str) -> None:
    assert BudgetUse("x", allowed=allowed).sentence().startswith(f"{text} false ones allowed; ")


def test_those_with_the_most_wrong_stand_first_then_the_most_raised_then_by_name() -> None:
    places = ["a/1", "b/1", "c/1", "d/1"]
    series = [SeriesRecord(number, device, "level") for number, device in enumerate(places)]
    alarms = [alarm(1, 1), alarm(2, 1), alarm(3, 2, feedback="wrong"), alarm(4, 3)]
    uses = budget_uses(series, alarms, WEEKLY, START, END)
    assert [each.name for each in uses.devices] == ["c/1", "b/1", "d/1", "a/1"]
    assert [each.name for each in uses.sites] == ["c", "b", "d", "a"]
