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
