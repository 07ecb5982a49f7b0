"""Alarms that no score opens, and what of all alarms is carried over a restart."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest

from alerts.actions import ReportChannel
from alerts.alarm_life import Alarms
from alerts.alarm_settings import AlarmSettings
from alerts.channel_alarms import alarm_of_channel, channel_of
from alerts.policy import AlarmPolicy
from common.time_units import SECOND
from devices.records import AlarmRecord, AlarmState
from devices.series_registry import SeriesRegistry

START = 1_750_000_000 * SECOND


class House:
    """Alarms of channels, and what was reported of them."""

    def __init__(self) -> None:
        self.registry = SeriesRegistry(max_series=10, max_series_per_device=10)
        self.alarms = Alarms(AlarmSettings())

    def report(self, state: Any, at: int, error: str = "", since: int = 0) -> AlarmRecord | None:
        """What the report of the channel `mail` makes of its alarm, `at` and `since` in seconds from the start."""
        said = ReportChannel(
            by="driftline", at=START + at * SECOND, since=START + since * SECOND,
            channel="mail", state=state, error=error,
        )  # fmt: skip
        return alarm_of_channel(said, self.registry, self.alarms)


def test_a_channel_that_takes_nothing_is_one_alarm_until_it_takes_messages_again() -> None:
    house = House()
    assert house.report("well", 0) is None
    opened = house.report("dead", 420, "mail.example does not answer", since=60)
    assert opened is not None
    assert opened.reason == 'notice channel "mail" has taken nothing for 6 min: mail.example does not answer'
    assert (opened.alarm, opened.state, opened.severity) == (1, AlarmState.OPEN, "major")
    assert house.report("dead", 500, "again", since=60) is None
    ended = house.report("well", 600)
    assert ended is not None
    assert (ended.alarm, ended.state, ended.cleared_reason) == (1, AlarmState.CLEARED, "takes messages again")
    assert ended.cleared == START + 600 * SECOND
    assert house.report("well", 700) is None
    (series,) = house.registry.records
    assert channel_of(series.device, series.metric) == "mail"
    assert channel_of("pump", series.metric) == channel_of(series.device, "rss") == ""


@pytest.mark.parametrize("keeps_policy", [True, False])
def test_an_open_alarm_without_value_or_expectation_comes_back_from_a_snapshot(keeps_policy: bool) -> None:
    house, other = House(), House()
    opened = house.report("dead", 420, "refused", since=60)
    arrays, rest = house.alarms.state()
    assert other.alarms.load(arrays if keeps_policy else {}, orjson.loads(orjson.dumps(rest))) is keeps_policy
    other.registry.load(house.registry.records)
    assert opened is not None
    ended = other.report("removed", 500)
    assert ended is not None
    assert (ended.alarm, ended.opened, ended.reason, ended.cleared_reason) == (
        1, opened.opened, opened.reason, "channel removed",
    )  # fmt: skip
    assert math.isnan(ended.value)
    assert math.isnan(ended.expected)
    assert ended.peak_score == opened.peak_score


def test_a_series_that_is_not_known_has_the_threshold_that_is_set() -> None:
    assert AlarmPolicy(AlarmSettings(threshold=0.5)).threshold(7) == 0.5
