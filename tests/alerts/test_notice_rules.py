"""Which notices go, when, and in which words, at their borders. Channels are of MQTT, published into a list."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from alerts.notices.hours import Hours
from alerts.notices.notice_settings import NoticeSettings, read_secret
from alerts.notices.notifier import Notifier
from alerts.notices.outbox import Outbox
from alerts.notices.wording import AlarmView, Message, digest_of, message_of, message_of_test, one_line
from common.time_units import HOUR, MINUTE, SECOND

NOW = 1_772_366_400 * SECOND  # Sunday 2026-03-01 12:00 UTC
ALARM = AlarmView(7, "plant/pump", "level", "bar", "major", "open", NOW, None, 8.5, "level 8.5 bar, usually 2 to 3 bar")


class Bus:
    """A broker that takes what is published unless it is `broken`, a clock that stands, and an outbox."""

    def __init__(self, path: Path) -> None:
        self.now = NOW
        self.broken: Exception | None = None
        self.refused = 0
        self.sent: list[tuple[str, str]] = []
        self.outbox = Outbox(path).open()

    def publish(self, topic: str, payload: bytes) -> None:
        if self.broken is not None:
            self.refused += 1
            raise self.broken
        self.sent.append((topic, json.loads(payload)["key"]))

    def notifier(self, *channels: NoticeSettings) -> Notifier:
        return Notifier(self.outbox, [(each, "") for each in channels], clock=lambda: self.now, publish=self.publish)

    def flush(self, notifier: Notifier) -> list[str]:
        """Send what is due; the keys of what went."""
        before = len(self.sent)
        for settings, secret, _ in notifier.channels():
            notifier.deliver_due(settings, secret)
        return [key for _, key in self.sent[before:]]


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(tmp_path / "notices.db")
    yield bus
    bus.outbox.close()


def channel(name: str = "bus", **settings: object) -> NoticeSettings:
    return NoticeSettings.model_validate({"name": name, "kind": "mqtt", "topic": name} | settings)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("Mon 07:00-18:00", {0}),
        ("Mon-Mon 07:00-18:00", {0}),
        ("Tue-Thu 07:00-18:00", {1, 2, 3}),
        ("Fri-Mon 07:00-18:00", {4, 5, 6, 0}),
        ("Saturday, Sunday 07:00-18:00", {5, 6}),
        ("07:00-18:00", set(range(7))),
    ],
)
def test_hours_are_of_the_days_that_are_named(text: str, days: set[int]) -> None:
    assert Hours.parse(text) == Hours(frozenset(days), 420, 1080)


@pytest.mark.parametrize(
    "text", ["07:60-18:00", "07:00-24:01", "07:00-07:00", "Foo 07:00-18:00", "Mon-Foo 07:00-18:00"]
)
def test_what_are_no_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f'got "{text}", expected days and hours such as'):
        Hours.parse(text)


@pytest.mark.parametrize(
    ("text", "time", "within"),
    [
        ("Sun 22:00-06:00", "2026-03-01T21:59", False),
        ("Sun 22:00-06:00", "2026-03-01T22:00", True),
        ("Sun 22:00-06:00", "2026-03-02T05:59", True),
        ("Sun 22:00-06:00", "2026-03-02T06:00", False),
        ("Sun 22:00-06:00", "2026-03-02T22:00", False),
        ("Sun 12:00-24:00", "2026-03-01T11:59", False),
        ("Sun 12:00-24:00", "2026-03-01T23:59", True),
        ("Sun 12:00-24:00", "2026-03-02T00:00", False),
    ],
)
def test_hours_begin_and_end_at_the_minute(text: str, time: str, within: bool) -> None:
    assert Hours.parse(text).includes(datetime.fromisoformat(time)) is within


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "mail", "url": "smtp://mail", "to": ["a@b", "nobody"]}, "expected mail addresses"),
        ({"kind": "mail", "url": "smtp://", "to": ["a@b"]}, 'url: got "smtp://", expected smtp://host'),
        ({"kind": "mail", "url": "http://mail", "to": ["a@b"]}, "expected smtp://host"),
        ({"kind": "mail", "url": "smtp://mail:0", "to": ["a@b"]}, "expected smtp://host"),
        ({"kind": "webhook", "url": "https://"}, "expected an http or https address without a password"),
        ({"kind": "webhook", "url": "ftp://host/x"}, "expected an http or https address without a password"),
        ({"kind": "webhook", "url": "https://user@host/x"}, "expected an http or https address without a password"),
        ({"kind": "mqtt", "after": "5m", "events": ["cleared"]}, 'after: got "5m", expected events with "opened"'),
    ],
)
def test_a_channel_that_could_not_work_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        NoticeSettings.model_validate({"name": "x"} | settings)


def test_channels_that_work_are_taken_whatever_else_is_empty() -> None:
    assert NoticeSettings(name="x", kind="mail", url="smtps://mail", to=["a@b", "c@d"]).to == ["a@b", "c@d"]
    assert NoticeSettings(name="x", kind="webhook", url="http://host").url == "http://host"
    assert channel(after="5m", events=["opened"]).after == "5m"


def test_a_secret_is_read_from_its_file_else_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from file\n")
    environment = {"DRIFTLINE_NOTICE_ON_CALL_SECRET": "from environment"}
    assert read_secret(channel("on-call", secret_file=tmp_path / "key"), environment) == "from file"
    assert read_secret(channel("on-call"), environment) == "from environment"
    assert read_secret(channel("other"), environment) == ""


def test_a_message_names_the_value_only_where_there_is_one() -> None:
    words = channel(subject="{value}|{state}|{cleared}", body=" {opened} ")
    told = message_of(ALARM, "opened", words)
    assert (told.subject, told.body) == ("8.5 bar|open|", "2026-03-01 12:00:00 UTC")
    assert (told.payload["value"], told.payload["cleared"], "reminder" in told.payload) == (8.5, None, False)
    silent = message_of(replace(ALARM, value=math.nan), "opened", words)
    assert (silent.subject, silent.payload["value"]) == ("|open|", None)
    bare = message_of(replace(ALARM, unit=""), "opened", words)
    assert bare.subject == "8.5|open|"
    cleared = message_of(replace(ALARM, state="cleared", cleared=NOW + SECOND), "cleared", words)
    assert cleared.subject == "8.5 bar|cleared 2026-03-01 12:00:01 UTC, open|2026-03-01 12:00:01 UTC"


def test_a_message_that_comes_later_is_a_reminder_and_its_end_is_none() -> None:
    later = channel(after="5m")
    assert message_of(ALARM, "opened", later).payload["reminder"] is True
    assert "reminder" not in message_of(ALARM, "cleared", later).payload


@pytest.mark.parametrize(("count", "beyond"), [(20, ""), (21, "\nand 1 more")])
def test_a_digest_lists_twenty_and_counts_the_others(count: int, beyond: str) -> None:
    messages = [Message(f"k{n}", f"notice {n}", "", {"device": "pump", "reason": "odd"}) for n in range(count)]
    digest = digest_of(messages)
    listed = "".join(f"\n- notice {n}: odd" for n in range(20))
    assert digest.body == f"Most of them: pump ({count})\n{listed}{beyond}"
    assert digest.subject == f"{count} notices of 1 device"
    assert digest.key == f"digest-k0-k{count - 1}-{count}"
    other = digest_of([*messages, Message("x", "n", "", {"device": "fan"})])
    assert other.subject == f"{count + 1} notices of 2 devices"


def test_a_test_says_that_nothing_is_wrong_and_a_subject_is_one_line_of_two_hundred() -> None:
    told = message_of_test("bus", NOW)
    assert told.body == 'This is a test of the notice channel "bus". Nothing is wrong.'
    assert (told.key, told.payload) == (f"test-bus-{NOW}", {"event": "test", "time": "2026-03-01T12:00:00.000+00:00"})
    assert one_line("a\r\nb" + "c" * 300) == "a b" + "c" * 197


@pytest.mark.parametrize(
    ("settings", "alarm", "is_told"),
    [
        ({"devices": ["lab/*", "plant/*"]}, ALARM, True),
        ({"devices": ["lab/*", "yard/*"]}, ALARM, False),
        ({"hours": ["Mon 00:00-24:00", "Sun 11:00-13:00"]}, ALARM, True),
        ({"hours": ["Mon 00:00-24:00", "Sun 13:00-14:00"]}, ALARM, False),
        ({"min_severity": "major"}, ALARM, True),
        ({"min_severity": "major"}, replace(ALARM, severity="minor"), False),
        ({"min_severity": "minor"}, replace(ALARM, severity="of old"), True),
        ({"min_severity": "major"}, replace(ALARM, severity="of old"), False),
        ({}, replace(ALARM, is_muted=True), False),
        ({}, replace(ALARM, shelved_until=NOW), True),
        ({}, replace(ALARM, shelved_until=NOW + 1), False),
        ({}, replace(ALARM, opened=NOW - 24 * HOUR), True),
        ({}, replace(ALARM, opened=NOW - 24 * HOUR - 1), False),
        ({}, replace(ALARM, state="acknowledged"), True),
        ({"after": "5m"}, replace(ALARM, state="acknowledged"), False),
        ({"devices": ["lab/*"]}, replace(ALARM, device="driftline", about_channel="mail"), True),
        ({}, replace(ALARM, device="driftline", about_channel="bus"), False),
    ],
)
def test_an_alarm_is_told_to_those_it_is_for(
    bus: Bus, settings: dict[str, object], alarm: AlarmView, is_told: bool
) -> None:
    notifier = bus.notifier(NoticeSettings.model_validate({"name": "bus", "kind": "mqtt"} | settings))
    notifier.offer(alarm)
    bus.now += 5 * MINUTE
    assert bus.flush(notifier) == (["alarm-7-opened"] if is_told else [])


def test_the_end_of_an_old_alarm_is_told_where_it_ended_lately(bus: Bus) -> None:
    notifier = bus.notifier(channel())
    notifier.offer(ALARM)
    bus.now += 48 * HOUR
    notifier.offer(replace(ALARM, state="cleared", cleared=bus.now))
    assert bus.flush(notifier) == ["alarm-7-opened", "alarm-7-cleared"]


def test_the_end_of_a_shelved_alarm_is_told_to_those_who_were_told_of_it(bus: Bus) -> None:
    notifier = bus.notifier(channel())
    notifier.offer(ALARM)
    notifier.offer(replace(ALARM, state="cleared", cleared=NOW, shelved_until=NOW + HOUR, maintenance="cleaning"))
    assert bus.flush(notifier) == ["alarm-7-opened", "alarm-7-cleared"]


def test_as_many_as_an_hour_allows_go_one_by_one_and_one_more_comes_with_the_last(bus: Bus) -> None:
    notifier = bus.notifier(channel(per_hour=3))
    for number in (1, 2, 3):
        notifier.offer(replace(ALARM, alarm=number))
    assert bus.flush(notifier) == ["alarm-1-opened", "alarm-2-opened", "alarm-3-opened"]
    notifier.offer(replace(ALARM, alarm=4))
    bus.now += HOUR - 1
    assert bus.flush(notifier) == []
    bus.now += 1
    assert bus.flush(notifier) == ["alarm-4-opened"]
    for number in (5, 6, 7):
        notifier.offer(replace(ALARM, alarm=number))
    assert bus.flush(notifier) == ["alarm-5-opened", "digest-alarm-6-opened-alarm-7-opened-2"]


def test_what_was_tried_before_and_what_is_a_message_of_its_own_is_put_into_no_digest(bus: Bus) -> None:
    notifier = bus.notifier(channel(per_hour=1))
    bus.broken = OSError("away")
    notifier.offer(replace(ALARM, alarm=1))
    assert bus.flush(notifier) == []
    assert notifier.send(Message("report-1", "report", "all well", {}), ["bus"]) == []
    notifier.offer(replace(ALARM, alarm=2))
    bus.broken, bus.now = None, NOW + 2 * SECOND
    assert bus.flush(notifier) == ["alarm-1-opened"]
    states = {each.key: each.state for each in bus.outbox.newest()}
    assert states == {"alarm-1-opened": "sent", "report-1": "waiting", "alarm-2-opened": "waiting"}


def test_a_refused_notice_is_tried_again_after_twice_as_long_each_time_at_most_five_minutes(bus: Bus) -> None:
    notifier = bus.notifier(channel())
    bus.broken = OSError("away")
    notifier.offer(ALARM)
    pauses = []
    for _ in range(10):
        assert bus.flush(notifier) == []
        due = bus.outbox.next_due("bus")
        assert due is not None
        pauses.append((due - bus.now) // SECOND)
        bus.now = due
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert notifier.states()[0].error == "OSError: away"


def test_after_a_refusal_the_others_wait_too(bus: Bus) -> None:
    notifier = bus.notifier(channel())
    notifier.offer(ALARM)
    notifier.offer(replace(ALARM, alarm=8))
    bus.broken = OSError("away")
    bus.flush(notifier)
    assert {each.key: each.tries for each in bus.outbox.newest()} == {"alarm-7-opened": 1, "alarm-8-opened": 0}


@pytest.mark.parametrize(("age", "state"), [(72 * HOUR, "sent"), (72 * HOUR + 1, "given up")])
def test_a_notice_is_given_up_after_three_days(bus: Bus, age: int, state: str) -> None:
    notifier = bus.notifier(channel())
    notifier.offer(ALARM)
    bus.now += age
    bus.flush(notifier)
    assert [each.state for each in bus.outbox.newest()] == [state]


def test_a_reminder_of_what_is_taken_on_meanwhile_is_spared_though_it_was_tried(bus: Bus) -> None:
    notifier = bus.notifier(channel("now"), channel("later", after="5m"))
    notifier.offer(ALARM)
    assert bus.flush(notifier) == ["alarm-7-opened"]
    bus.now, bus.broken = NOW + 5 * MINUTE, OSError("away")
    bus.flush(notifier)
    notifier.offer(replace(ALARM, state="acknowledged"))
    bus.now, bus.broken = NOW + 6 * MINUTE, None
    assert bus.flush(notifier) == []
    assert {each.channel: each.state for each in bus.outbox.newest()} == {"now": "sent", "later": "spared"}


def test_a_message_goes_once_through_the_channels_that_there_are(bus: Bus) -> None:
    notifier = bus.notifier(channel("a"), channel("b"))
    report = Message("report-1", "report", "all well", {})
    assert notifier.send(report, ["a", "nowhere"]) == ["nowhere"]
    assert notifier.send(report, ["a"]) == []
    bus.flush(notifier)
    assert bus.sent == [("a", "report-1")]


def test_other_channels_of_the_configuration_take_the_place_of_those_before_and_of_the_page(bus: Bus) -> None:
    notifier = bus.notifier(channel("a"))
    bus.outbox.save_channel(channel("page"), "")
    bus.outbox.save_channel(channel("b", topic="of the page"), "")
    notifier.configure([(channel("b"), "key")])
    assert [(each.name, each.topic, secret, on_page) for each, secret, on_page in notifier.channels()] == [
        ("b", "b", "key", False),
        ("page", "page", "", True),
    ]


def test_a_channel_removed_from_the_page_gives_up_what_waits_and_leaves_the_others(bus: Bus) -> None:
    bus.outbox.save_channel(channel("a"), "")
    bus.outbox.save_channel(channel("b"), "")
    bus.notifier().offer(ALARM)
    assert (bus.outbox.remove_channel("a"), bus.outbox.remove_channel("a")) == (True, False)
    assert {each.channel: each.state for each in bus.outbox.newest()} == {"a": "given up", "b": "waiting"}
    assert (bus.outbox.next_due("a"), bus.outbox.next_due("b")) == (None, NOW)


def test_the_last_two_thousand_are_kept_and_those_that_wait(bus: Bus) -> None:
    notices = [("bus", Message(f"k{number}", "s", "b", {}), NOW) for number in range(2_003)]
    bus.outbox.put(7, "open", notices, NOW, follow_up=False)
    idents = [each.ident for each in bus.outbox.due("bus", NOW, limit=3_000)]
    bus.outbox.mark(idents[1:], "sent", NOW)
    kept = {each.key: each.state for each in bus.outbox.newest(limit=3_000)}
    assert (len(kept), kept["k0"], "k2" in kept, kept["k3"]) == (2_001, "waiting", False, "sent")


def test_a_long_error_is_cut(bus: Bus) -> None:
    notifier = bus.notifier(channel())
    notifier.offer(ALARM)
    bus.broken = OSError("x" * 2_000)
    bus.flush(notifier)
    assert notifier.states()[0].error == "OSError: " + "x" * 491


def test_a_running_notifier_sends_what_is_offered_and_outlives_what_nobody_foresaw(
    bus: Bus, wait_until: Callable[..., None]
) -> None:
    notifier = bus.notifier(channel("a"), channel("b", devices=["lab/*"]))
    bus.broken = RuntimeError("unforeseen")
    notifier.start()
    try:
        notifier.offer(ALARM)
        wait_until(lambda: bus.refused, what="the fault")
        bus.broken = None
        notifier.offer(replace(ALARM, alarm=8))
        wait_until(lambda: len(bus.sent) == 2, what="both notices")
    finally:
        notifier.stop()
    assert sorted(bus.sent) == [("a", "alarm-7-opened"), ("a", "alarm-8-opened")]
    notifier.offer(replace(ALARM, alarm=9))
    assert [each.message.key for each in bus.outbox.due("a", NOW)] == ["alarm-9-opened"]


def test_a_notifier_that_was_never_started_can_be_stopped(bus: Bus) -> None:
    notifier = bus.notifier(channel())
    notifier.offer(ALARM)
    notifier.stop()
    assert bus.flush(notifier) == []
    assert bus.outbox.next_due("bus") == NOW
