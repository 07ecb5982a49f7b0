"""The condition of a stream as an alarm of its device."""

from __future__ import annotations

import math

import pytest

from alerts.alarm_life import Alarms
from alerts.alarm_settings import AlarmSettings
from alerts.alarm_step import OF_STREAM, Opening
from alerts.stream_alarms import ConditionChange, alarm_of_condition, metric_of_stream
from common.time_units import SECOND
from devices.records import AlarmState
from devices.series_registry import SeriesRegistry, TooManySeriesError

START = 1_750_000_000 * SECOND
HOT = Opening(91.0, math.nan, "hot: 91 is above 90", {})


def change(time: int, opening: Opening | None = None, stream: str = "hot") -> ConditionChange:
    return ConditionChange(stream, "pump", START + time * SECOND, "critical" if opening else "", opening)


def test_a_condition_is_one_alarm_from_when_it_holds_to_when_it_does_no_longer() -> None:
    registry, alarms = SeriesRegistry(max_series=10, max_series_per_device=10), Alarms(AlarmSettings(threshold=5.0))
    assert alarm_of_condition(change(0), registry, alarms, lambda _: True) is None
    assert len(registry) == 0
    opened = alarm_of_condition(change(1, HOT), registry, alarms, lambda _: True)
    assert opened is not None
    assert (opened.alarm, opened.severity, opened.reason, opened.value) == (1, "critical", "hot: 91 is above 90", 91.0)
    assert (opened.parts, opened.peak_score, opened.opened) == ({OF_STREAM: 5.0}, 5.0, START + SECOND)
    assert registry.records[0].metric == metric_of_stream("hot") == "stream:hot"
    assert (registry.records[0].device, registry.records[0].kind) == ("pump", "diagnostic")
    assert alarm_of_condition(change(2, HOT), registry, alarms, lambda _: True) is None
    assert alarms.opened_for(OF_STREAM) == [0]
    assert alarms.opened_for("default") == []
    ended = alarm_of_condition(change(9), registry, alarms, lambda _: True)
    assert ended is not None
    assert (ended.alarm, ended.state, ended.cleared) == (1, AlarmState.CLEARED, START + 9 * SECOND)
    assert ended.cleared_reason == "the condition holds no longer"
    assert alarm_of_condition(change(10), registry, alarms, lambda _: True) is None


def test_a_device_out_of_service_opens_none_but_ends_what_is_open() -> None:
    registry, alarms = SeriesRegistry(max_series=10, max_series_per_device=10), Alarms(AlarmSettings())
    assert alarm_of_condition(change(1, HOT), registry, alarms, lambda _: False) is None
    assert [alarm.series for alarm in alarms.open_alarms] == []
    assert alarm_of_condition(change(2, HOT), registry, alarms, lambda series: series == 0) is not None
    assert alarm_of_condition(change(3), registry, alarms, lambda _: False) is not None


def test_where_no_series_is_left_it_says_so() -> None:
    registry, alarms = SeriesRegistry(max_series=1, max_series_per_device=10), Alarms(AlarmSettings())
    alarm_of_condition(change(1, HOT), registry, alarms, lambda _: True)
    with pytest.raises(TooManySeriesError):
        alarm_of_condition(change(2, HOT, stream="cold"), registry, alarms, lambda _: True)
