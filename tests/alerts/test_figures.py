from __future__ import annotations

from alerts.figures import alarm_figures
from common.time_units import DAY, HOUR, MINUTE
from devices.records import AlarmRecord, AlarmState

START = 1_772_366_400 * 1_000_000_000


def alarm(number: int, opened: int, series: int = 0, *, still: bool = False, severity: str = "minor") -> AlarmRecord:
    state = AlarmState.OPEN if still else AlarmState.CLEARED
    return AlarmRecord(
        number, series, state, opened, None if still else opened + MINUTE, severity, 5.0, 1.0, 0.0, "odd"
    )


def test_a_quiet_day_is_acceptable() -> None:
    figures = alarm_figures([alarm(i, START + i * HOUR, series=i) for i in range(24)], START, START + DAY)
    assert (figures.alarms, figures.per_hour, figures.verdict) == (24, 1.0, "acceptable")
    assert (figures.busiest, figures.floods, figures.flood_share) == (1, 0, 0.0)
    assert figures.hours == (1,) * 24
    assert figures.top_share == 10 / 24
    assert figures.chattering == ()


def test_eleven_alarms_in_ten_minutes_are_a_flood_and_ten_are_none() -> None:
    def burst(count: int, at: int) -> list[AlarmRecord]:
        return [alarm(i, at + i * 30_000_000_000, series=i) for i in range(count)]

    assert alarm_figures(burst(10, START), START, START + HOUR).floods == 0
    one = alarm_figures(burst(14, START + HOUR), START, START + DAY)
    assert (one.floods, one.busiest) == (1, 14)
    two = alarm_figures([*burst(11, START + HOUR), *burst(11, START + 3 * HOUR)], START, START + DAY)
    assert two.floods == 2
    assert two.flood_share == 2 * 10 * MINUTE / DAY


def test_too_many_alarms_are_called_so() -> None:
    many = [alarm(i, START + i * 4 * MINUTE) for i in range(15)]
    assert alarm_figures(many[:12], START, START + HOUR).verdict == "manageable"
    assert alarm_figures(many, START, START + HOUR).verdict == "too many"


def test_chattering_stale_and_unacknowledged_are_named() -> None:
    chattering = [alarm(i, START + i * 20_000_000_000, series=4) for i in range(3)]
    slow = [alarm(10 + i, START + i * 40_000_000_000, series=5) for i in range(3)]
    stale = alarm(99, START - 2 * DAY, series=6, still=True, severity="critical")
    fresh = alarm(98, START, series=7, still=True)
    figures = alarm_figures([*chattering, *slow, stale, fresh], START, START + HOUR)
    assert figures.chattering == (4,)
    assert figures.stale == (99,)
    assert (figures.open, figures.unacknowledged, figures.alarms) == (2, 2, 7)
    assert figures.top[0] == (4, 3)


def test_no_alarm_at_all_gives_no_figure_that_is_not_so() -> None:
    figures = alarm_figures([], START, START + HOUR)
    assert (figures.alarms, figures.per_hour, figures.top_share, figures.verdict) == (0, 0.0, 0.0, "acceptable")


def test_where_there_was_no_device_nothing_is_said_of_the_rate() -> None:
    figures = alarm_figures([], START, START + 7 * DAY, [])
    assert (figures.since, figures.is_short, figures.verdict) == (START + 7 * DAY, True, "nothing watched")
    later = alarm_figures([], START, START + 7 * DAY, [START + 8 * DAY])
    assert later.verdict == "nothing watched"


def test_a_rate_is_over_the_time_since_the_first_device_was_seen() -> None:
    three = [alarm(i, START + 4 * DAY + i * HOUR, series=i) for i in range(48)]
    later = alarm_figures(three, START, START + 7 * DAY, [START + 5 * DAY, START + 4 * DAY])
    assert (later.since, later.per_hour, later.verdict) == (START + 4 * DAY, 48 / 72, "acceptable")
    unknown = alarm_figures(three, START, START + 7 * DAY, [START + 5 * DAY, None])
    assert (unknown.since, unknown.per_hour) == (START, 48 / 168)
    begin = START + 4 * DAY + 47 * HOUR + HOUR // 2
    short = alarm_figures(three[-1:], START, begin, [begin - HOUR // 6])
    assert (short.since, short.verdict) == (three[-1].opened, "too early to tell")
    assert not alarm_figures(three, begin - HOUR, begin, [START]).is_short


def test_alarms_at_the_start_count_and_those_at_the_end_do_not() -> None:
    alarms = [alarm(1, START - 1), alarm(2, START), alarm(3, START + HOUR - 1), alarm(4, START + HOUR, still=True)]
    figures = alarm_figures(alarms, START, START + HOUR)
    assert (figures.alarms, figures.open, figures.hours, figures.top) == (2, 0, (2,), ((0, 2),))


def test_six_an_hour_are_acceptable_and_twelve_manageable() -> None:
    def verdict(count: int) -> str:
        return alarm_figures([alarm(i, START + i, series=i) for i in range(count)], START, START + HOUR).verdict

    assert [verdict(count) for count in (6, 7, 12, 13)] == ["acceptable", "manageable", "manageable", "too many"]


def test_three_within_exactly_a_minute_chatter() -> None:
    def times(length: int) -> tuple[int, ...]:
        apart = [alarm(i, START + at, series=3) for i, at in enumerate((0, length // 2, length))]
        return alarm_figures(apart, START, START + HOUR).chattering

    assert (times(MINUTE), times(MINUTE + 1)) == ((3,), ())
    assert alarm_figures([alarm(1, START), alarm(2, START)], START, START + HOUR).chattering == ()


def test_an_alarm_open_for_more_than_a_day_is_stale() -> None:
    open_ones = [alarm(1, START - 1, still=True), alarm(2, START, still=True, severity="major")]
    figures = alarm_figures(open_ones, START, START + DAY)
    assert (figures.stale, figures.severities) == ((1,), {"major": 1})


def test_an_alarm_ten_minutes_before_is_no_part_of_a_flood() -> None:
    eleven = [alarm(i, START + i * MINUTE, series=i) for i in range(11)]
    assert (alarm_figures(eleven, START, START + HOUR).floods, alarm_figures(eleven, START, START + HOUR).busiest) == (
        0, 10,
    )  # fmt: skip


def test_floods_that_touch_are_one_and_take_their_time_once() -> None:
    """Twelve at once, and ten minutes later, of which the flood of the first still lasts, twelve again."""
    first = [alarm(i, START + HOUR, series=i) for i in range(12)]
    second = [alarm(20 + i, START + HOUR + 10 * MINUTE, series=i) for i in range(12)]
    figures = alarm_figures([*first, *second], START, START + 4 * HOUR)
    assert (figures.floods, figures.flood_share) == (1, 20 * MINUTE / (4 * HOUR))
    later = [alarm(20 + i, START + HOUR + 10 * MINUTE + 1, series=i) for i in range(12)]
    assert alarm_figures([*first, *later], START, START + 4 * HOUR).floods == 2
