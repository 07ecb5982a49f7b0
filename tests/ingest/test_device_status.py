"""What is noted of a device beside its readings, and the sentence that a person reads of it."""

from __future__ import annotations

import pytest

from ingest import device_status
from ingest.device_status import DeviceStatus, DeviceStatuses, mostly_refused

SECOND = 10**9
QUARTER = 900 * SECOND


def status_after(*offsets: int, unbelievable: bool = False) -> DeviceStatus:
    statuses = DeviceStatuses()
    for offset in offsets:
        statuses.offset("pump", offset, unbelievable=unbelievable)
    found = statuses.get("pump")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        ([8 * QUARTER] * 5, 'clock 2 h ahead: local time without a zone; set time_zone = "+02:00" on its route'),
        ([-22 * QUARTER] * 5, 'clock 5.5 h behind: local time without a zone; set time_zone = "-05:30" on its route'),
        ([QUARTER] * 5, 'clock 0.25 h ahead: local time without a zone; set time_zone = "+00:15" on its route'),
        ([56 * QUARTER] * 5, 'clock 14 h ahead: local time without a zone; set time_zone = "+14:00" on its route'),
        ([57 * QUARTER] * 5, ""),
        ([4 * QUARTER] * 4, ""),
        ([4 * QUARTER + 120 * SECOND] * 5, 'clock 1 h ahead: local time without a zone; set time_zone = "+01:00" on'),
        ([4 * QUARTER + 121 * SECOND] * 5, ""),
        ([60 * SECOND] * 5, ""),
        ([4 * QUARTER] * 4 + [5 * QUARTER] * 4, ""),
        ([4 * QUARTER - 60 * SECOND, 4 * QUARTER + 60 * SECOND] * 3, "clock 1 h ahead"),
        ([4 * QUARTER - 61 * SECOND, 4 * QUARTER + 60 * SECOND] * 3, ""),
        ([4 * QUARTER] * 4 + [0] + [4 * QUARTER] * 4, ""),
    ],
)
def test_a_clock_that_is_the_same_quarters_of_an_hour_off_five_times_shows_local_time(
    offsets: list[int], said: str
) -> None:
    clock = status_after(*offsets).clock
    assert clock.startswith(said) if said else clock == ""


def test_a_clock_that_is_ahead_is_told_beyond_a_minute_where_readings_were_placed_for_it() -> None:
    assert status_after(60 * SECOND + 1, unbelievable=True).clock == "clock 1 min ahead"
    assert status_after(60 * SECOND, unbelievable=True).clock == ""
    assert status_after(90 * SECOND).clock == ""
    assert status_after(61 * SECOND, 70 * SECOND, unbelievable=True).clock_ahead == 2


def test_of_what_is_wrong_with_a_clock_the_gravest_is_told() -> None:
    status = DeviceStatus(time_unread=1, time_detail="'soon'")
    assert status.clock == "time not understood, its readings are placed at their arrival: 'soon'"
    status.clock_not_set = 1
    assert status.clock == "clock not set: its readings are placed at their arrival"
    status.clock_ahead, status.offset = 1, 3_600 * SECOND
    assert status.clock == "clock 1 h ahead"
    status.quarters, status.streak = -4, 5
    assert status.clock.startswith("clock 1 h behind: local time")
    assert DeviceStatus().clock == ""


def test_a_time_as_it_should_be_ends_a_streak() -> None:
    statuses = DeviceStatuses()
    for _ in range(5):
        statuses.offset("pump", 4 * QUARTER, unbelievable=False)
    statuses.on_time("pump")
    statuses.on_time("fan")
    assert statuses.get("pump") == DeviceStatus()
    assert statuses.get("fan") is None


def test_refusals_are_counted_and_the_newest_is_told() -> None:
    statuses = DeviceStatuses()
    statuses.count("pump", 7)
    assert len(statuses) == 0, "nothing is kept of a device of which nothing was noted"
    statuses.refuse("pump", "malformed", "first", 5)
    statuses.refuse("pump", "too_large", "x" * 501, 9)
    status = statuses.of("pump")
    assert (status.is_refused, status.refused_at, status.detail) == (True, 9, "x" * 500)
    statuses.count("pump", 1_000)
    assert not status.is_refused
    assert status.refusal.startswith("2 of 1,002 messages refused, the last one as too_large: xxx")
    assert (DeviceStatus().refusal, DeviceStatus().is_refused) == ("", False)


def test_a_device_is_there_or_gone_by_what_was_said_last_and_comes_back_by_what_it_sends() -> None:
    statuses = DeviceStatuses()
    assert statuses.set_online("pump", False, 5)
    assert not statuses.set_online("pump", False, 6)
    status = statuses.of("pump")
    assert (status.online, status.online_since) == (False, 5)
    statuses.observe("pump", 5)
    assert status.online is False, "what came no later than the word does not outweigh it"
    statuses.observe("pump", 6)
    assert (status.online, status.online_since) == (True, 6)
    statuses.observe("pump", 9)
    assert status.online_since == 6
    statuses.observe("fan", 9)
    assert statuses.get("fan") is None
    statuses.forget("pump")
    statuses.forget("pump")
    assert list(statuses) == []


def test_no_more_devices_are_noted_than_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_status, "MOST_DEVICES", 2)
    statuses = DeviceStatuses()
    for name in ("a", "b", "c"):
        statuses.refuse(name, "malformed", "x", 1)
    assert [name for name, _ in statuses] == ["a", "b"]
    assert statuses.of("c") == DeviceStatus()


def test_notes_come_back_and_what_another_version_kept_is_passed_over() -> None:
    statuses = DeviceStatuses()
    statuses.refuse("pump", "malformed", "x", 1)
    saved = statuses.state()
    saved["pump"]["of_another_version"] = 1
    again = DeviceStatuses()
    again.load(saved)
    assert list(again) == list(statuses)


def test_devices_most_of_whose_messages_are_refused_are_told_with_the_newest() -> None:
    statuses = DeviceStatuses()
    assert mostly_refused(statuses) == ""
    for device, refused, taken, at in (("a", 3, 2, 5), ("b", 3, 3, 9), ("c", 2, 0, 9)):
        for _ in range(refused):
            statuses.refuse(device, "malformed", "x", at)
        statuses.count(device, taken)
    assert mostly_refused(statuses) == (
        'most messages of device "a" are refused as malformed; see the dead letters for why'
    )
    for _ in range(3):
        statuses.refuse("d", "too_large", "x", 7)
    assert mostly_refused(statuses).startswith('most messages of device "d" (and of 1 other device) are refused as too')
    for _ in range(3):
        statuses.refuse("e", "too_large", "x", 6)
    assert mostly_refused(statuses).startswith('most messages of device "d" (and of 2 other devices) are')
