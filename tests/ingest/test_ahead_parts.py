"""The parts of a warning ahead: steps, the course of a series as means of them, and when it is worth a forecast."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detectors.horizon import History
from ingest.ahead import MOST_STEPS, STEPS, Course, allowed_limits, step_within
from ingest.knowledge_settings import SeriesSettings

SECOND = 10**9
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND


@pytest.mark.parametrize(
    ("duration", "step"),
    [(0, SECOND), (SECOND - 1, SECOND), (SECOND, SECOND), (5 * SECOND - 1, 2 * SECOND), (5 * SECOND, 5 * SECOND),
     (DAY - 1, 28_800 * SECOND), (DAY, DAY), (99 * DAY, DAY)],
)  # fmt: skip
def test_a_step_is_the_longest_of_those_that_fit_a_day(duration: int, step: int) -> None:
    assert step_within(duration) == step
    assert all(DAY % each == 0 for each in STEPS)


@pytest.mark.parametrize(("step", "size"), [(SECOND, MOST_STEPS), (5 * MINUTE, 4_032), (DAY, 14)])
def test_a_course_is_two_weeks_long_or_as_many_steps_as_are_kept(step: int, size: int) -> None:
    course = Course(step)
    assert (course.size, len(course.mean), course.place) == (size, size, -1)


def finite(history: History | None) -> list[float]:
    assert history is not None
    return [float(value) for value in history.mean if math.isfinite(value)]


def test_a_reading_that_opens_a_step_gives_the_means_of_those_before_it() -> None:
    course = Course(MINUTE)
    assert course.add(5 * MINUTE, 1.0) is None
    assert course.add(5 * MINUTE + 59 * SECOND, 3.0) is None
    history = course.add(6 * MINUTE, 7.0)
    assert (finite(history), history and history.end, history and history.step) == ([2.0], 6 * MINUTE, MINUTE)
    assert course.add(6 * MINUTE + 1, math.nan) is None
    assert course.add(6 * MINUTE + 1, math.inf) is None
    assert course.add(5 * MINUTE, 99.0) is None, "what is behind the step that is open is left out"
    assert finite(course.add(7 * MINUTE, 1.0)) == [2.0, 7.0]
    later = course.add(9 * MINUTE, 1.0)
    assert later is not None
    assert np.isnan(later.mean[-1])
    assert later.mean[-4:-1].tolist() == [2.0, 7.0, 1.0]


@pytest.mark.parametrize(("gap", "is_told"), [(24, True), (25, False)])
def test_after_a_gap_of_more_steps_than_a_warning_reaches_nothing_is_forecast(gap: int, is_told: bool) -> None:
    course = Course(MINUTE)
    course.add(0, 1.0)
    history = course.add(gap * MINUTE, 2.0)
    assert (history is not None) is is_told
    assert finite(course.add((gap + 1) * MINUTE, 3.0)) == [1.0, 2.0]


def test_means_older_than_the_course_are_forgotten() -> None:
    course = Course(DAY)
    for day in range(20):
        history = course.add(day * DAY, float(day))
    assert finite(history) == [float(day) for day in range(5, 19)][-14:]
    course.add(60 * DAY, 1.0)
    assert finite(course.add(61 * DAY, 2.0)) == [1.0]


def test_a_course_goes_on_where_its_state_was_and_one_of_another_step_begins_anew() -> None:
    course, again, other = Course(MINUTE), Course(MINUTE), Course(5 * MINUTE)
    for minute, value in enumerate((1.0, 2.0, 3.0)):
        course.add(minute * MINUTE, value)
    course.warns = True
    again.load(*course.state())
    other.load(*course.state())
    assert again.warns
    assert (other.place, other.warns) == (-1, False)
    course.add(2 * MINUTE + 1, 5.0)
    again.add(2 * MINUTE + 1, 5.0)
    assert finite(again.add(3 * MINUTE, 0.0)) == finite(course.add(3 * MINUTE, 0.0)) == [1.0, 2.0, 4.0]


def test_limits_are_those_that_are_set_with_their_side() -> None:
    both = SeriesSettings(metric="level", highest_allowed=95.0, lowest_allowed=0.0)
    assert [(each.value, each.above, each.source) for each in allowed_limits(both)] == [
        (95.0, True, "highest_allowed"), (0.0, False, "lowest_allowed"),
    ]  # fmt: skip
    assert [each.source for each in allowed_limits(SeriesSettings(metric="level", lowest_allowed=1.0))] == [
        "lowest_allowed"
    ]
