"""Notices: who is told, in which words, how often, and that nothing is lost or told twice, kills included."""

from __future__ import annotations

import hashlib
import hmac
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from pydantic import ValidationError
from receivers import HttpReceiver, MailServer

from alerts.notices.channels import ChannelError
from alerts.notices.hours import Hours
from alerts.notices.notice_settings import NoticeSettings
from alerts.notices.notifier import Notifier
from alerts.notices.outbox import Outbox
from alerts.notices.wording import AlarmView

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
NOW = 1_772_366_400 * SECOND  # Sunday 2026-03-01 12:00 UTC
ALARM = AlarmView(
    alarm=7,
    device="plant/pump-07",
    metric="temperature",
    unit="°C",
    severity="major",
    state="open",
    opened=NOW - 5 * SECOND,
    cleared=None,
    value=81.25,
    reason="temperature 81.2 °C, expected 54 (52 to 56)",
    link="http://127.0.0.1:8000/#/device/plant%2Fpump-07",
)
CLEARED = replace(ALARM, state="cleared", cleared=NOW)


class Clock:
    now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def web() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver().start()
    yield receiver
    receiver.stop()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer().start()
    yield server
    server.stop()


Told = Callable[..., Notifier]


@pytest.fixture
def told(tmp_path: Path, clock: Clock) -> Iterator[Told]:
    """A notifier over one outbox, whose channels are delivered to by `flush` alone, without threads."""
    outbox = Outbox(tmp_path / "notices.db").open()

    def make(*channels: NoticeSettings, secret: str = "") -> Notifier:
        published.clear()
        return Notifier(
            outbox, [(each, secret) for each in channels], clock=clock, publish=lambda *sent: published.append(sent)
        )

    yield make
    outbox.close()


published: list[tuple[str, bytes]] = []


def flush(notifier: Notifier) -> None:
    for settings, secret, _ in notifier.channels():
        notifier.deliver_due(settings, secret)


def webhook(web: HttpReceiver, **settings: object) -> NoticeSettings:
    return NoticeSettings(name="hook", kind="webhook", url=f"{web.url}/in", **settings)


def keys(web: HttpReceiver) -> list[str]:
    return [json.loads(each.body)["key"] for each in web.posted]


def test_a_mail_says_what_happened_where_and_since_when(told: Told, mail: MailServer) -> None:
    settings = NoticeSettings(name="mail", kind="mail", url=mail.url, to=["ops@plant.example"])
    notifier = told(settings)
    notifier.offer(ALARM)
    notifier.offer(CLEARED)
    flush(notifier)
    opened, cleared = mail.mails
    assert opened["Subject"] == "major: plant/pump-07 temperature"
    assert opened["To"] == "ops@plant.example"
    assert opened["Message-ID"] == "<alarm-7-opened.mail@localhost>"
    assert opened.get_content().replace("\r\n", "\n") == (
        "temperature 81.2 °C, expected 54 (52 to 56)\n\n"
        "plant/pump-07 temperature, open since 2026-03-01 11:59:55 UTC\n"
        "http://127.0.0.1:8000/#/device/plant%2Fpump-07\n"
    )
    assert cleared["Subject"] == "cleared: plant/pump-07 temperature"
    assert "cleared 2026-03-01 12:00:00 UTC, open since 2026-03-01 11:59:55 UTC" in cleared.get_content()


def test_a_device_s_name_cannot_add_headers_to_a_mail(told: Told, mail: MailServer) -> None:
    notifier = told(NoticeSettings(name="mail", kind="mail", url=mail.url, to=["ops@plant.example"]))
    notifier.offer(replace(ALARM, device="x\r\nBcc: thief@evil.example\r\n\r\nhello"))
    flush(notifier)
    (sent,) = mail.mails
    assert sent["Bcc"] is None
    assert sent["Subject"] == "major: x Bcc: thief@evil.example hello temperature"


def test_a_webhook_is_signed_over_time_and_body(told: Told, web: HttpReceiver) -> None:
    notifier = told(webhook(web), secret="key")
    notifier.offer(ALARM)
    flush(notifier)
    (posted,) = web.posted
    expected = hmac.new(b"key", f"{NOW // SECOND}.".encode() + posted.body, hashlib.sha256).hexdigest()
    assert posted.headers["driftline-signature"] == f"t={NOW // SECOND},v1={expected}"
    assert posted.headers["driftline-notice"] == "alarm-7-opened"
    content = json.loads(posted.body)
    assert (content["event"], content["device"], content["value"]) == ("opened", "plant/pump-07", 81.25)
    assert content["opened"] == "2026-03-01T11:59:55.000+00:00"


def test_a_webhook_follows_no_redirect(told: Told, web: HttpReceiver) -> None:
    web.status = 302
    notifier = told(webhook(web))
    notifier.offer(ALARM)
    flush(notifier)
    assert notifier.states()[0].error == f"{web.url}/******** answered 302"


def test_a_webhook_goes_its_own_way_whatever_proxy_the_environment_names(
    told: Told, web: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    notifier = told(webhook(web))
    notifier.offer(ALARM)
    flush(notifier)
    assert keys(web) == ["alarm-7-opened"]


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0.0.0.0", "[::ffff:169.254.169.254]"])
def test_a_webhook_is_never_sent_to_a_metadata_service(told: Told, host: str) -> None:
    notifier = told(NoticeSettings(name="hook", kind="webhook", url=f"http://{host}/latest"))
    with pytest.raises(ChannelError, match="an address that no webhook is sent to"):
        notifier.test("hook")


def test_mqtt_gets_the_same_as_json(told: Told) -> None:
    notifier = told(NoticeSettings(name="bus", kind="mqtt"))
    notifier.offer(ALARM)
    flush(notifier)
    ((topic, payload),) = published
    assert topic == "driftline/notices"
    assert json.loads(payload)["reason"] == ALARM.reason


def test_apprise_carries_what_else_there_is(told: Told, web: HttpReceiver) -> None:
    pytest.importorskip("apprise")
    notifier = told(NoticeSettings(name="any", kind="apprise"), secret=web.url.replace("http", "json"))
    notifier.offer(ALARM)
    flush(notifier)
    (posted,) = web.posted
    assert json.loads(posted.body)["title"] == "major: plant/pump-07 temperature"
    broken = told(NoticeSettings(name="any", kind="apprise"), secret="nonsense")
    with pytest.raises(ChannelError, match="no address that Apprise knows"):
        broken.test("any")


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


def test_a_channel_of_the_page_is_kept_with_its_secret(told: Told, web: HttpReceiver) -> None:
    notifier = told()
    notifier.outbox.save_channel(webhook(web), "key")
    again = told()
    assert again.test("hook").startswith("test-hook-")
    assert "driftline-signature" in web.posted[0].headers
    assert again.states()[0].made_on_page


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "mail", "url": "mail.plant"}, 'url: got "mail.plant", expected smtp://host'),
        ({"kind": "mail", "url": "smtp://user:pw@mail", "to": ["a@b"]}, "expected smtp://host"),
        ({"kind": "mail", "url": "smtp://mail", "to": []}, r"to: got \[\], expected mail addresses"),
        ({"kind": "mail", "url": "smtp://mail", "to": ["a@b, c@d"]}, "expected mail addresses"),
        ({"kind": "webhook", "url": "file:///etc/passwd"}, "expected an http or https address"),
        ({"kind": "mqtt", "topic": "a/#"}, "expected one topic without wildcards"),
        ({"kind": "mqtt", "subject": "{device.__class__} {pump}"}, 'unknown "{pump}"'),
        ({"kind": "mqtt", "hours": ["Monday morning"]}, 'got "Monday morning", expected days and hours'),
        ({"kind": "mqtt", "time_zone": "Mars/Olympus"}, 'unknown "Mars/Olympus"'),
    ],
)
def test_what_cannot_be_a_channel_is_said(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        NoticeSettings(name="x", **settings)


@pytest.mark.parametrize("kind", ["mail", "webhook"])
def test_a_password_in_an_address_is_refused_without_being_repeated(kind: str) -> None:
    url = f"{'smtp' if kind == 'mail' else 'https'}://user:hunter2@host"
    with pytest.raises(ValidationError) as refused:
        NoticeSettings(name="x", kind=kind, url=url, to=["a@b"])
    [sentence] = [error["msg"] for error in refused.value.errors()]
    assert "user:********@host" in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    ("text", "time", "within"),
    [
        ("Mon-Fri 07:00-18:00", "2026-03-02T07:00", True),
        ("Mon-Fri 07:00-18:00", "2026-03-02T18:00", False),
        ("Mon-Fri 07:00-18:00", "2026-03-01T12:00", False),
        ("22:00-06:00", "2026-03-01T05:59", True),
        ("Fri 22:00-06:00", "2026-03-07T03:00", True),
        ("Fri 22:00-06:00", "2026-03-06T03:00", False),
        ("Sat,Sun 00:00-24:00", "2026-03-01T23:59", True),
        ("Fri-Mon 08:00-09:00", "2026-03-01T08:30", True),
    ],
)
def test_hours_of_the_week(text: str, time: str, within: bool) -> None:
    assert Hours.parse(text).includes(datetime.fromisoformat(time)) is within


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
                within=90,
                what="notices",
            )
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    times = Counter(came())
    assert sum(times.values()) - len(times) <= 2 * 20
