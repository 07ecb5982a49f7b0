"""Notices: who is told, how often, and that nothing is lost or told twice, kills included."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from receivers import HttpReceiver, MailServer
from told_notices import ALARM, CLEARED, HOUR, NOW, SECOND, Clock, Told, flush, keys, webhook

from alerts.notices.notice_settings import NoticeSettings


@pytest.mark.parametrize(
    ("settings", "taken"),
    [
        ({}, True),
        ({"min_severity": "major"}, True),
        ({"min_severity": "critical"}, False),
        ({"devices": ["plant/*"]}, True),
        ({"devices": ["lab/*"]}, False),
        ({"hours": ["Sun 11:00-13:00"]}, True),
        ({"hours": ["Mon-Fri 00:00-24:00"]}, False),
        ({"hours": ["Sun 11:00-13:00"], "time_zone": "Asia/Tokyo"}, False),
        ({"events": ["cleared"]}, False),
    ],
)
def test_alarms_are_routed_by_severity_device_and_hour(
    told: Told, web: HttpReceiver, settings: dict[str, object], taken: bool
) -> None:
    notifier = told(webhook(web, **settings))
    notifier.offer(ALARM)
    flush(notifier)
    assert keys(web) == (["alarm-7-opened"] if taken else [])


def test_an_alarm_that_grows_is_told_once_it_is_severe_enough_and_once_only(told: Told, web: HttpReceiver) -> None:
    notifier = told(webhook(web, min_severity="critical"))
    for severity in ("minor", "major", "critical", "critical", "major"):
        notifier.offer(replace(ALARM, severity=severity))
        flush(notifier)
    assert keys(web) == ["alarm-7-opened"]


def test_of_an_alarm_shelved_or_under_maintenance_nobody_is_told(told: Told, web: HttpReceiver, clock: Clock) -> None:
    notifier = told(webhook(web), webhook(web).model_copy(update={"name": "next", "after": "5m"}))
    notifier.offer(replace(ALARM, shelved_until=NOW + HOUR))
    notifier.offer(replace(ALARM, alarm=9, maintenance="cleaning"))
    notifier.offer(replace(ALARM, alarm=8))
    notifier.offer(replace(ALARM, alarm=8, shelved_until=NOW + HOUR))
    clock.now += 301 * SECOND
    flush(notifier)
    assert keys(web) == ["alarm-8-opened"]


def test_only_those_told_of_an_alarm_are_told_of_its_end(told: Told, web: HttpReceiver) -> None:
    notifier = told(webhook(web, min_severity="critical"))
    notifier.offer(ALARM)
    notifier.offer(CLEARED)
    flush(notifier)
    assert keys(web) == []


def test_the_next_to_call_is_told_of_what_nobody_took_on(told: Told, web: HttpReceiver, clock: Clock) -> None:
    notifier = told(webhook(web, after="5m"))
    taken_on, forgotten, short = (replace(ALARM, alarm=number) for number in (1, 2, 3))
    for alarm in (taken_on, forgotten, short):
        notifier.offer(alarm)
    flush(notifier)
    assert keys(web) == []
    notifier.offer(replace(taken_on, state="acknowledged"))
    notifier.offer(replace(short, state="cleared", cleared=NOW))
    clock.now += 301 * SECOND
    flush(notifier)
    assert keys(web) == ["alarm-2-opened"]


def test_the_steps_of_an_escalation_come_in_turn_until_somebody_takes_it_on(
    told: Told, web: HttpReceiver, mail: MailServer, clock: Clock
) -> None:
    shift = NoticeSettings(name="shift", kind="mail", url=mail.url, to=["shift@plant.example"])
    on_call = webhook(web, after="5m", events=["opened"]).model_copy(update={"name": "on-call"})
    manager = on_call.model_copy(update={"name": "manager", "after": "15m"})
    told(shift, on_call, manager).offer(ALARM)
    passed = {}
    for minute in (0, 4, 6, 14, 16):
        clock.now = NOW + minute * 60 * SECOND
        # Each time as after a start: what is due lies in the file alone.
        flush(told(shift, on_call, manager))
        passed[minute] = (len(mail.mails), len(web.posted))
    assert passed == {0: (1, 0), 4: (1, 0), 6: (1, 1), 14: (1, 1), 16: (1, 2)}


def test_of_an_alarm_is_known_who_was_told_who_is_next_and_who_was_spared(
    told: Told, web: HttpReceiver, clock: Clock
) -> None:
    channels = [
        webhook(web).model_copy(update={"name": name, "after": after})
        for name, after in (("now", "0s"), ("next", "5m"))
    ]
    notifier = told(*channels)
    notifier.offer(ALARM)
    flush(notifier)

    def known() -> list[tuple[str, str, int]]:
        return [(each.channel, each.state, (each.time - NOW) // SECOND) for each in notifier.outbox.told([7])[7]]

    assert known() == [("now", "sent", 0), ("next", "waiting", 300)]
    clock.now += 60 * SECOND
    notifier.offer(replace(ALARM, state="acknowledged"))
    assert known() == [("now", "sent", 0), ("next", "spared", 300)]
    clock.now += 60 * SECOND
    notifier.offer(ALARM)  # nobody takes care of it after all
    assert known() == [("now", "sent", 0), ("next", "waiting", 420)]


def test_hours_count_when_somebody_is_to_be_called(told: Told, web: HttpReceiver, clock: Clock) -> None:
    notifier = told(webhook(web, after="2h", hours=["Sun 13:00-15:00"]))
    notifier.offer(ALARM)
    clock.now += 2 * HOUR
    flush(notifier)
    assert keys(web) == ["alarm-7-opened"]


def test_a_channel_is_dead_once_it_has_refused_for_five_minutes_and_is_not_told_of_itself(
    told: Told, web: HttpReceiver, clock: Clock
) -> None:
    web.status = 500
    other = NoticeSettings(name="bus", kind="mqtt", devices=["plant/*"])
    notifier = told(webhook(web), other)
    notifier.offer(ALARM)
    flush(notifier)
    clock.now += 299 * SECOND
    assert notifier.dead() == {}
    clock.now += SECOND
    assert notifier.dead() == {"hook": (NOW, f"{web.url}/******** answered 500")}
    notifier.offer(replace(ALARM, alarm=8, device="driftline", metric="notices:hook", about_channel="hook"))
    assert [each.channel for each in notifier.outbox.told([8])[8]] == ["bus"]


def test_a_flood_comes_as_few_messages_that_name_all(told: Told, web: HttpReceiver, clock: Clock) -> None:
    notifier = told(webhook(web, per_hour=5))
    for number in range(100):
        notifier.offer(replace(ALARM, alarm=number, device=f"plant/pump-{number % 3}"))
    flush(notifier)
    assert len(web.posted) == 5
    digest = json.loads(web.posted[-1].body)
    assert digest["subject"] == "96 notices of 3 devices"
    assert "plant/pump-1 (32)" in digest["text"]
    assert len(digest["notices"]) == 96
    notifier.offer(replace(ALARM, alarm=200))
    flush(notifier)
    assert len(web.posted) == 5
    clock.now += HOUR + SECOND
    flush(notifier)
    assert keys(web)[-1] == "alarm-200-opened"


def test_a_channel_that_is_away_is_tried_again_and_shown(told: Told, web: HttpReceiver, clock: Clock) -> None:
    web.status = 500
    notifier = told(webhook(web))
    notifier.offer(ALARM)
    for _ in range(3):
        flush(notifier)
        clock.now += 20 * SECOND
    (state,) = notifier.states()
    assert (state.waiting, state.error) == (1, f"{web.url}/******** answered 500")
    assert notifier.outbox.newest()[0].tries == 3
    web.status = 200
    flush(notifier)
    assert keys(web) == ["alarm-7-opened"]
    assert (notifier.states()[0].waiting, notifier.states()[0].error) == (0, "")


def test_what_no_channel_takes_for_days_is_given_up_and_says_so(told: Told, web: HttpReceiver, clock: Clock) -> None:
    web.status = 500
    notifier = told(webhook(web))
    notifier.offer(ALARM)
    flush(notifier)
    clock.now += 73 * HOUR
    flush(notifier)
    assert [each.state for each in notifier.outbox.newest()] == ["given up"]


def test_history_that_is_replayed_alarms_nobody(told: Told, web: HttpReceiver) -> None:
    notifier = told(webhook(web))
    notifier.offer(replace(ALARM, opened=NOW - 25 * HOUR))
    flush(notifier)
    assert keys(web) == []


def test_a_new_outbox_tells_nothing_of_what_is_stored_and_a_known_one_what_it_missed(
    told: Told, web: HttpReceiver
) -> None:
    notifier = told(webhook(web))
    notifier.adopt([ALARM])
    flush(notifier)
    assert keys(web) == []
    missed = replace(ALARM, alarm=8)
    notifier.adopt([ALARM, missed])
    notifier.adopt([ALARM, missed])
    flush(notifier)
    assert keys(web) == ["alarm-8-opened"]


SENDER = """
import signal, sys, time
from pathlib import Path
from alerts.notices.notice_settings import NoticeSettings
from alerts.notices.notifier import Notifier
from alerts.notices.outbox import Outbox
from alerts.notices.wording import AlarmView
now = time.time_ns()
with Outbox(Path(sys.argv[1])) as outbox:
    channel = NoticeSettings(name="hook", kind="webhook", url=sys.argv[2], per_hour=10_000)
    later = channel.model_copy(update={"name": "next", "url": sys.argv[2] + "/next", "after": "1s"})
    notifier = Notifier(outbox, [(channel, ""), (later, "")], clock=time.time_ns, publish=print)
    notifier.start()
    for number in range(60):
        notifier.offer(AlarmView(number, "d", "m", "", "major", "open", now, None, 1.0, "odd"))
    print("offered", flush=True)
    signal.pause()
"""


def test_twenty_kills_lose_no_notice_and_repeat_one_a_channel_and_kill_at_most(
    tmp_path: Path, web: HttpReceiver, wait_until: Callable[..., None]
) -> None:
    numbers = range(60)
    every = {(path, f"alarm-{number}-opened") for number in numbers for path in ("/", "/next")}

    def came() -> list[tuple[str, str]]:
        return [(each.path, json.loads(each.body)["key"]) for each in web.posted]

    for kill in range(21):
        process = subprocess.Popen(
            [sys.executable, "-c", SENDER, str(tmp_path / "notices.db"), web.url], stdout=subprocess.PIPE
        )
        try:
            some = min(3 * (kill + 1), 50)
            wait_until(
                lambda kill=kill, some=some: set(came()) == every if kill == 20 else len(set(came())) >= some,
                within=240,
                what="notices",
            )
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    times = Counter(came())
    assert sum(times.values()) - len(times) <= 2 * 20
