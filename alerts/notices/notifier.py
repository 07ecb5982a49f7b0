"""Who is told of what, and when: routes alarms to channels, and empties the outbox in threads of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from alerts.notices.channels import ChannelError, Publish, deliver
from alerts.notices.hours import Hours
from alerts.notices.notice_settings import NoticeEvent, NoticeSettings
from alerts.notices.outbox import Outbox, Waiting
from alerts.notices.wording import AlarmView, Message, digest_of, message_of, message_of_test
from alerts.severity import SEVERITIES
from common.durations import parse_duration
from common.time_units import HOUR, SECOND

log = logging.getLogger(__name__)

DEAD_AFTER = 300 * SECOND
"""A channel that refuses what it is given for so long (ns) is an alarm of its own."""
_OLDEST = 24 * HOUR
_GIVEN_UP_AFTER = 72 * HOUR
_LONGEST_PAUSE = 300 * SECOND
_WORKERS = 4


@dataclass(frozen=True, slots=True)
class ChannelState:
    """How a channel does: `waiting` notices, and what the last attempt at the oldest ended with, "" where well."""

    settings: NoticeSettings
    waiting: int
    error: str
    made_on_page: bool


class Notifier:
    """Tells channels of alarms. `offer` queues, durably; threads deliver, and try again until the channel takes it.

    `configured` are channels of the configuration with their secrets, beside those that the outbox keeps. Alarms whose
    event time is more than a day old are history that is being replayed: nobody is told.
    """

    def __init__(
        self,
        outbox: Outbox,
        configured: Sequence[tuple[NoticeSettings, str]],
        *,
        clock: Callable[[], int],
        publish: Publish,
    ) -> None:
        self.outbox = outbox
        self._configured = list(configured)
        self._clock = clock
        self._publish = publish
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="notice")
        self._running: dict[str, Future[None]] = {}
        self._thread = threading.Thread(target=self._run, name="notices", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """End after the messages under way; what waits goes out after the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def configure(self, configured: Sequence[tuple[NoticeSettings, str]]) -> None:
        """Put other channels of the configuration in place, with their secrets."""
        self._configured = list(configured)

    def channels(self) -> list[tuple[NoticeSettings, str, bool]]:
        """Every channel with its secret, and whether it was made on the page. The configuration's name wins."""
        named = {settings.name for settings, _ in self._configured}
        on_page = [
            (settings, secret, True) for settings, secret in self.outbox.channels() if settings.name not in named
        ]
        return [(settings, secret, False) for settings, secret in self._configured] + on_page

    def states(self) -> list[ChannelState]:
        """How every channel does."""
        return [
            ChannelState(settings, *self.outbox.waiting(settings.name), on_page)
            for settings, _, on_page in self.channels()
        ]

    def offer(self, alarm: AlarmView) -> None:
        """Queue what the alarm's present state calls for; what was queued before is not queued again.

        Of an alarm that is shelved, or under maintenance, nobody is told that it opened, and a reminder is spared; of
        one of a muted device nobody is told anything.
        """
        now = self._clock()
        event: NoticeEvent = "cleared" if alarm.state == "cleared" else "opened"
        is_shelved = alarm.shelved_until is not None and alarm.shelved_until > now
        if alarm.is_muted or (event == "opened" and (is_shelved or alarm.maintenance)):
            self.outbox.put(alarm.alarm, "suppressed", [], now, follow_up=False)
            return
        if now - (alarm.cleared or alarm.opened) > _OLDEST:
            return
        wanted = []
        for settings, _, _ in self.channels():
            after = parse_duration(settings.after) if event == "opened" else 0
            is_taken_on = after > 0 and alarm.state == "acknowledged"
            if event not in settings.events or is_taken_on or alarm.about_channel == settings.name:
                continue
            if event == "cleared" or self._is_for(settings, alarm, now + after):
                wanted.append((settings.name, message_of(alarm, event, settings), now + after))
        self.outbox.put(alarm.alarm, alarm.state, wanted, now, follow_up=event == "cleared")
        self._wake.set()

    def adopt(self, alarms: Sequence[AlarmView]) -> None:
        """Take up alarms that are stored: those that changed while nobody looked are told; in a new outbox, none is."""
        is_new = self.outbox.is_new
        for alarm in alarms:
            if is_new:
                self.outbox.put(alarm.alarm, alarm.state, [], self._clock(), follow_up=False)
            elif self.outbox.state_of(alarm.alarm) != alarm.state:
                self.offer(alarm)

    def send(self, message: Message, channels: Sequence[str]) -> list[str]:
        """Queue a message through these channels, once by its key; returns the names that no channel has."""
        known = {settings.name for settings, _, _ in self.channels()}
        self.outbox.queue(message, [name for name in channels if name in known], self._clock())
        self._wake.set()
        return [name for name in channels if name not in known]

    def dead(self) -> dict[str, tuple[int, str]]:
        """Channels that have taken nothing for five minutes though something waits: since when, and the last error."""
        until = self._clock() - DEAD_AFTER
        waits = {settings.name: self.outbox.waits_since(settings.name) for settings, _, _ in self.channels()}
        return {name: found for name, found in waits.items() if found is not None and found[0] <= until}

    def test(self, channel: str) -> str:
        """Send a test through a channel and wait for it. Returns its key; raises ChannelError, KeyError."""
        settings, secret = {settings.name: (settings, secret) for settings, secret, _ in self.channels()}[channel]
        message = message_of_test(channel, self._clock())
        deliver(settings, secret, message, now=self._clock(), publish=self._publish)
        return message.key

    def deliver_due(self, settings: NoticeSettings, secret: str) -> None:
        """Send what is due to one channel, within its rate; more than that goes as one message."""
        now = self._clock()
        waiting = self._still_needed(self.outbox.due(settings.name, now), now)
        sent = self.outbox.sent_since(settings.name, now - HOUR)
        room = settings.per_hour - len(sent)
        if waiting and room <= 0:
            return
        if len(waiting) > room:
            fresh = [each for each in waiting[max(0, room - 1) :] if each.tries == 0 and each.alarm is not None]
            if len(fresh) > 1:
                self.outbox.digest(fresh, settings.name, digest_of([each.message for each in fresh]), now)
                waiting = self.outbox.due(settings.name, now)
        for each in waiting[:room]:
            if self._stopping.is_set() or not self._delivered(settings, secret, each):
                return

    def _delivered(self, settings: NoticeSettings, secret: str, each: Waiting) -> bool:
        try:
            deliver(settings, secret, each.message, now=self._clock(), publish=self._publish)
        except ChannelError as error:
            now = self._clock()
            pause = min(_LONGEST_PAUSE, SECOND * 2 ** min(each.tries + 1, 10))
            self.outbox.failed(each.ident, str(error), now + pause)
            log.warning('notices: channel "%s": %s', settings.name, error)
            return False
        self.outbox.mark([each.ident], "sent", self._clock())
        return True

    def _still_needed(self, waiting: list[Waiting], now: int) -> list[Waiting]:
        """Without what is too old, and without reminders of alarms that somebody has taken on meanwhile."""
        needed = []
        for each in waiting:
            is_reminder = each.alarm is not None and each.message.payload.get("reminder")
            if is_reminder and each.alarm is not None and self.outbox.state_of(each.alarm) != "open":
                self.outbox.mark([each.ident], "spared", now)
            elif now - each.created > _GIVEN_UP_AFTER:
                self.outbox.mark([each.ident], "given up", now)
            else:
                needed.append(each)
        return needed

    @staticmethod
    def _is_for(settings: NoticeSettings, alarm: AlarmView, now: int) -> bool:
        if _rank(alarm.severity) < _rank(settings.min_severity):
            return False
        is_own = bool(alarm.about_channel)
        if not is_own and not any(fnmatchcase(alarm.device, pattern) for pattern in settings.devices):
            return False
        local = datetime.fromtimestamp(now / 1e9, ZoneInfo(settings.time_zone))
        return not settings.hours or any(Hours.parse(text).includes(local) for text in settings.hours)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._pause())
            self._wake.clear()
            for settings, secret, _ in self.channels():
                running = self._running.get(settings.name)
                if self._stopping.is_set() or (running is not None and not running.done()):
                    continue
                self._running[settings.name] = self._pool.submit(self._guarded, settings, secret)

    def _guarded(self, settings: NoticeSettings, secret: str) -> None:
        try:
            self.deliver_due(settings, secret)
        except Exception:
            log.exception('notices: channel "%s" failed', settings.name)

    def _pause(self) -> float:
        """Seconds until something may be due, at most 5: cheap, and a clock that jumps does no harm."""
        dues = [self.outbox.next_due(settings.name) for settings, _, _ in self.channels()]
        waits = [(due - self._clock()) / 1e9 for due in dues if due is not None]
        return min(5.0, max(0.2, min(waits, default=5.0)))


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else 0
