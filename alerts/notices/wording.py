"""What a notice says: templates filled, one message for many, and the same as JSON for programs."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from alerts.notices.notice_settings import NoticeEvent, NoticeSettings
from common.durations import parse_duration
from common.time_units import utc_text

_FIELD = re.compile(r"\{(\w+)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_LISTED = 20


@dataclass(frozen=True, slots=True)
class AlarmView:
    """An alarm as notices tell it: its record with the names of its series. Times in ns since the epoch."""

    alarm: int
    device: str
    metric: str
    unit: str
    severity: str
    state: str
    opened: int
    cleared: int | None
    value: float
    reason: str
    link: str = ""
    shelved_until: int | None = None
    maintenance: str = ""
    is_muted: bool = False
    """Nobody is to be told of its device's alarms."""
    about_channel: str = ""
    """The notice channel that the alarm is about; it is told to all others."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: `key` is the same each time that it is tried, so that receivers can tell a repetition."""

    key: str
    subject: str
    body: str
    payload: dict[str, Any]


def message_of(alarm: AlarmView, event: NoticeEvent, settings: NoticeSettings) -> Message:
    """One alarm's notice."""
    zone = ZoneInfo(settings.time_zone)
    values = {
        "device": alarm.device,
        "metric": alarm.metric,
        "severity": alarm.severity if event == "opened" else "cleared",
        "state": "open" if event == "opened" else f"cleared {_moment(alarm.cleared, zone)}, open",
        "reason": alarm.reason,
        "value": "" if math.isnan(alarm.value) else f"{alarm.value:.6g} {alarm.unit}".strip(),
        "opened": _moment(alarm.opened, zone),
        "cleared": _moment(alarm.cleared, zone),
        "link": alarm.link,
    }
    payload: dict[str, Any] = {
        "event": event,
        "alarm": alarm.alarm,
        "device": alarm.device,
        "metric": alarm.metric,
        "severity": alarm.severity,
        "opened": _iso(alarm.opened),
        "cleared": _iso(alarm.cleared),
        "value": None if math.isnan(alarm.value) else alarm.value,
        "unit": alarm.unit,
        "reason": alarm.reason,
        "link": alarm.link,
    }
    if event == "opened" and parse_duration(settings.after):
        payload["reminder"] = True
    key = f"alarm-{alarm.alarm}-{event}"
    return Message(key, one_line(_filled(settings.subject, values)), _filled(settings.body, values).strip(), payload)


def digest_of(messages: Sequence[Message]) -> Message:
    """Many notices as one: how many, of which devices, and the first of them."""
    devices = Counter(str(message.payload.get("device", "")) for message in messages)
    shown = [f"- {message.subject}: {message.payload.get('reason', '')!s}" for message in messages[:_LISTED]]
    beyond = len(messages) - len(shown)
    most = ", ".join(f"{device} ({count})" for device, count in devices.most_common(5))
    lines = [f"Most of them: {most}", "", *shown, *([f"and {beyond} more"] if beyond else [])]
    return Message(
        f"digest-{messages[0].key}-{messages[-1].key}-{len(messages)}",
        f"{len(messages)} notices of {len(devices)} device{'' if len(devices) == 1 else 's'}",
        "\n".join(lines),
        {"event": "digest", "notices": [message.payload for message in messages]},
    )


def message_of_test(channel: str, now: int) -> Message:
    """What `driftline alarms test` sends."""
    text = f'This is a test of the notice channel "{channel}". Nothing is wrong.'
    return Message(f"test-{channel}-{now}", "Test of Driftline's notices", text, {"event": "test", "time": _iso(now)})


def one_line(text: str) -> str:
    """Without control characters, which could end a header, and cut to 200 characters."""
    return _CONTROL.sub(" ", text).strip()[:200]


def _filled(template: str, values: dict[str, str]) -> str:
    return _FIELD.sub(lambda found: values[found[1]], template)


def _moment(time: int | None, zone: ZoneInfo) -> str:
    return "" if time is None else datetime.fromtimestamp(time / 1e9, zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def _iso(time: int | None) -> str | None:
    return None if time is None else utc_text(time, "milliseconds")
