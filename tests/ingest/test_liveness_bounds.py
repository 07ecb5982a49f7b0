"""Who is heard from, to the nanosecond: when a device is new, quiet, silent, and what its intervals teach."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alerts.alarm_step import Opening
from ingest.liveness import Liveness
from ingest.silence import Silence, SilenceWatch

SECOND = 10**9
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
START = 1_750_000_000 * SECOND


def heard(arrivals: list[int], times: list[int] | None = None) -> Liveness:
    liveness = Liveness()
    liveness.grow(1)
    for arrival, time in zip(arrivals, times or arrivals, strict=True):
        liveness.observe(np.zeros(1, np.int32), np.array([time]), np.array([arrival]))
    return liveness


def steady(count: int, every: int) -> list[int]:
    return [START + n * every for n in range(count)]


def first_silent(liveness: Liveness, after: int, *, quiet: bool = False) -> int:
    """The nanoseconds after the last sign of life from which on a device is silent (or quiet): by halving."""
    low, high = 0, 100 * DAY
    while high - low > 1:
        middle = (low + high) // 2
        is_so = (liveness.quiet if quiet else liveness.silent)(after + middle)[0]
        low, high = (low, middle) if is_so else (middle, high)
    return high


def test_a_device_is_new_for_three_intervals_and_known_after_twenty() -> None:
    for intervals, is_new, is_known in (
        (0, True, False),
        (2, True, False),
        (3, False, False),
        (19, False, False),
        (20, False, True),
    ):
        liveness = heard(steady(intervals + 1, MINUTE))
        assert (bool(liveness.new()[0]), bool(liveness.known()[0])) == (is_new, is_known)


@pytest.mark.parametrize(
    ("count", "every", "silent_after"),
    [
        (1, MINUTE, 3 * DAY),
        (20, MINUTE, 3 * DAY),
        (20, DAY, 4 * DAY),
        (21, MINUTE, 5 * MINUTE),
        (21, SECOND, 30 * SECOND),
        (21, 6 * SECOND, 30 * SECOND),
        (21, 7 * SECOND, 35 * SECOND),
        (40, HOUR, 5 * HOUR),
        (40, HOUR + SECOND, 3 * (HOUR + SECOND)),
        (40, 2 * HOUR, 6 * HOUR),
    ],
)
def test_a_steady_device_is_silent_after_several_of_its_longest_intervals(
    count: int, every: int, silent_after: int
) -> None:
    arrivals = steady(count, every)
    assert first_silent(heard(arrivals), arrivals[-1]) == silent_after + 1


@pytest.mark.parametrize(("count", "every", "quiet_after"), [(2, SECOND, 30 * SECOND), (5, MINUTE, 5 * MINUTE)])
def test_a_device_is_quiet_after_five_of_its_longest_intervals(count: int, every: int, quiet_after: int) -> None:
    arrivals = steady(count, every)
    assert first_silent(heard(arrivals), arrivals[-1], quiet=True) == quiet_after + 1


def test_who_has_sent_once_or_never_is_neither_quiet_nor_silent_before_it_is_known() -> None:
    assert not heard([START]).quiet(START + 99 * DAY)[0]
    never = Liveness()
    never.grow(1)
    assert (never.silent(START)[0], never.quiet(START)[0], never.last_arrival[0]) == (False, False, -1)


def test_intervals_that_are_not_alike_are_those_of_a_device_that_sends_on_change() -> None:
    alike, unlike = [START], [START]
    for n in range(40):
        alike.append(alike[-1] + (10 if n % 2 else 14) * MINUTE)
        unlike.append(unlike[-1] + (60 if n % 4 == 0 else 10) * MINUTE)
    assert not heard(alike).on_change()[0]
    liveness = heard(unlike)
    assert liveness.on_change()[0]
    assert first_silent(liveness, unlike[-1]) == DAY + 1
    assert not heard(unlike[:20]).on_change()[0], "too little is known of it"


def test_readings_of_one_burst_are_one_sign_of_life_and_the_newest_event_counts() -> None:
    burst = [START, START + 500_000, START + 1_000_000]
    liveness = heard(burst, [5, 9, 7])
    assert (liveness.last_arrival[0], liveness.last_event[0], liveness.new()[0]) == (START, 9, True)
    assert liveness.silent(START + 3 * DAY + 1)[0]
    apart = heard([START, START + 1_000_001])
    assert apart.last_arrival[0] == START + 1_000_001


def test_a_clock_that_is_set_back_by_more_than_five_seconds_begins_anew_where_it_stands() -> None:
    near = heard([START, START - 5 * SECOND], [100, 50])
    assert (near.last_arrival[0], near.last_event[0]) == (START, 100)
    far = heard([START, START - 5 * SECOND - 1], [100, 50])
    assert (far.last_arrival[0], far.last_event[0]) == (START - 5 * SECOND - 1, 50)


def test_an_interval_that_came_once_keeps_coming_on_the_first_day_and_not_later() -> None:
    first_day = [*steady(30, MINUTE), START + 29 * MINUTE + 40 * MINUTE]
    assert heard(first_day).longest[0] == 40 * MINUTE
    days = [*steady(3 * 1_440, MINUTE)]
    outage = [*days, days[-1] + 5 * HOUR, *(days[-1] + 5 * HOUR + n * MINUTE for n in range(1, 200))]
    assert heard(outage).longest[0] <= 2 * MINUTE
    daily = [at for day in range(12) for at in (START + day * DAY + n * MINUTE for n in range(600))]
    assert 12 * HOUR < heard(daily).longest[0] <= 15 * HOUR


def test_what_a_description_lets_a_device_be_silent_for_holds_from_its_arrival_on() -> None:
    liveness = heard(steady(40, MINUTE))
    last = START + 39 * MINUTE
    assert liveness.limit(0, 90 * SECOND, last)
    assert not liveness.limit(0, 90 * SECOND, last + 1), "it is no news"
    assert liveness.limits(last).tolist()[:1] == [90.0 * SECOND]
    assert math.isinf(liveness.limits(last - 1)[0])
    limits, since = liveness.described(1)
    assert (limits[0], since[0], liveness.shortest_limit) == (90.0 * SECOND, last, 90.0 * SECOND)
    assert first_silent(liveness, last) == 90 * SECOND + 1
    assert not liveness.quiet(last + 50 * DAY)[0], "a description says how often it comes"
    assert liveness.limit(0, 0, last + 5)
    assert first_silent(liveness, last) == 5 * MINUTE + 1
    assert not liveness.limit(7_000, 0, last)
    assert liveness.limit(7_000, 5, last)
    assert liveness.limits(last)[7_000] == 5.0


def test_the_state_of_a_version_that_knew_one_longest_interval_goes_on() -> None:
    liveness = heard(steady(40, MINUTE))
    old = {name: array for name, array in liveness.state().items() if name in (
        "last_event", "last_arrival", "mean", "deviation", "longest", "intervals")}  # fmt: skip
    again = Liveness()
    again.load(old)
    last = START + 39 * MINUTE
    assert first_silent(again, last) == 5 * MINUTE + 1
    again.observe(np.zeros(1, np.int32), np.array([last + MINUTE]), np.array([last + MINUTE]))
    assert first_silent(again, last + MINUTE) == 5 * MINUTE + 1


@pytest.mark.parametrize(
    ("silence", "said"),
    [
        (Silence(0, -1, True, 90 * SECOND, 0, 30.0 * SECOND),
         "the device has been silent for 1.5 min; it is heard from at least every 30 s otherwise"),
        (Silence(0, 0, True, 90 * SECOND, 0, 30.0 * SECOND),
         "flow has not come for 1.5 min, though its device sends; it comes at least every 30 s otherwise"),
        (Silence(0, -1, True, 90 * SECOND, 0, 30.0 * SECOND, told=True),
         "the device has been silent for 1.5 min; its description says that it comes at least "
         "every 30 s (expire_after)"),
        (Silence(0, 5, True, 90 * SECOND, 30 * SECOND, 30.0 * SECOND, told=True),
         "flow has not come for 1 min; its description says that it comes at least every 30 s (expire_after)"),
    ],
)  # fmt: skip
def test_a_silence_is_told_with_how_long_it_lasts_and_how_often_it_comes_otherwise(silence: Silence, said: str) -> None:
    opening = silence.opening("flow")
    assert isinstance(opening, Opening)
    assert (opening.reason, opening.parts, math.isnan(opening.value), math.isnan(opening.expected)) == (
        said,
        {},
        True,
        True,
    )


class Watched:
    """One device with two metrics, and what its watch says of arrivals one by one."""

    def __init__(self) -> None:
        self.watch = SilenceWatch()
        self.watch.grow(1, 2)
        self.device_of = np.zeros(2, np.int32)

    def at(self, moment: int, *series: int, after_gap: bool = False) -> list[Silence]:
        n = len(series)
        arrivals = np.full(n, moment, np.int64)
        return self.watch.step(
            np.zeros(n, np.int32), np.array(series, np.int32), arrivals, arrivals, np.array([moment], np.int64),
            self.device_of, lambda _: True, after_gap=after_gap,
        )  # fmt: skip

    def rounds(self, count: int, start: int = START) -> int:
        for n in range(count):
            assert self.at(start + n * 10 * SECOND, 0, 1) == []
        return start + (count - 1) * 10 * SECOND


def test_a_device_falls_silent_at_the_first_look_after_its_time_and_is_back_at_its_first_reading() -> None:
    watched = Watched()
    last = watched.rounds(40)
    found = [watched.at(last + n * SECOND) for n in range(1, 60)]
    (begun,) = [silences for silences in found if silences]
    assert begun == [Silence(0, -1, True, last + 51 * SECOND, last, 10.0 * SECOND)]
    assert watched.at(last + 70 * SECOND, 1) == [Silence(0, -1, False, last + 70 * SECOND, last + 70 * SECOND, 0.0)]
    assert watched.at(last + 71 * SECOND, 1) == []


def test_a_metric_is_missing_by_what_its_device_has_sent_since() -> None:
    watched = Watched()
    last = watched.rounds(40)
    found = [watched.at(last + n * 10 * SECOND, 0) for n in range(1, 8)]
    assert [each for silences in found for each in silences] == [
        Silence(0, 1, True, last + 61 * SECOND, last, 10.0 * SECOND)
    ]
    assert watched.at(last + 80 * SECOND, 0, 1) == [Silence(-1, 1, False, last + 80 * SECOND, last + 80 * SECOND, 0.0)]


@pytest.mark.parametrize(("gap", "silent_at"), [(25, 51), (26, 77)])
def test_after_a_time_in_which_nothing_was_listened_to_everybody_has_their_time_anew(gap: int, silent_at: int) -> None:
    watched = Watched()
    last = watched.rounds(40)
    seconds = [gap, *range(gap + 1, 90)]
    found = [each for second in seconds for each in watched.at(last + second * SECOND)]
    assert [(each.time - last) // SECOND for each in found] == [silent_at]


def test_a_tick_is_wanted_ten_seconds_after_the_last_arrival_where_a_device_is_known() -> None:
    watched = Watched()
    assert not watched.watch.wants_tick(START + 99 * SECOND)
    watched.at(START, 0)
    assert not watched.watch.wants_tick(START + 10 * SECOND - 1)
    assert watched.watch.wants_tick(START + 10 * SECOND)


def test_arrivals_up_to_the_next_look_are_one_step() -> None:
    watched = Watched()
    last = watched.rounds(40)
    quiet = np.array([last + 1, last + 2, last + 3], np.int64)
    assert watched.watch.until_look(quiet) == 3
    due = np.array([last + 1, last + 100 * SECOND, last + 101 * SECOND], np.int64)
    assert (watched.watch.until_look(due), watched.watch.until_look(due[1:]), watched.watch.until_look(due[:1])) == (
        1,
        1,
        1,
    )
    assert watched.watch.until_look(np.empty(0, np.int64)) == 0


def test_those_that_are_adopted_are_silent_until_they_are_heard_from() -> None:
    watched = Watched()
    last = watched.rounds(40)
    watched.watch.adopt([0], [1])
    ended = watched.at(last + SECOND, 0, 1)
    assert [(each.device, each.series, each.begins) for each in ended] == [(0, -1, False), (-1, 1, False)]
    watched.watch.adopt([], [])
    assert watched.at(last + 2 * SECOND, 0, 1) == []
