"""Channels of notices: what each sends and in which words, and which settings cannot be a channel."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import datetime

import pytest
from pydantic import ValidationError
from receivers import HttpReceiver, MailServer
from told_notices import ALARM, CLEARED, NOW, SECOND, Told, flush, keys, published, webhook

from alerts.notices.channels import ChannelError
from alerts.notices.hours import Hours
from alerts.notices.notice_settings import NoticeSettings


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
