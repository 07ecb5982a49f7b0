"""What tests of notices share: an alarm, a clock that stands, and deliveries without threads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from receivers import HttpReceiver

from alerts.notices.notice_settings import NoticeSettings
from alerts.notices.notifier import Notifier
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


Told = Callable[..., Notifier]

published: list[tuple[str, bytes]] = []


def flush(notifier: Notifier) -> None:
    for settings, secret, _ in notifier.channels():
        notifier.deliver_due(settings, secret)


def webhook(web: HttpReceiver, **settings: object) -> NoticeSettings:
    return NoticeSettings(name="hook", kind="webhook", url=f"{web.url}/in", **settings)


def keys(web: HttpReceiver) -> list[str]:
    return [json.loads(each.body)["key"] for each in web.posted]
