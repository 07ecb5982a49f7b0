"""Notices at run time: secrets, and a channel that takes nothing as an alarm that the others are told of."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from receivers import HttpReceiver, MailServer

from alerts.actions import Action, encode
from alerts.alarm_settings import AlarmSettings
from alerts.notices.notice_settings import NoticeSettings
from alerts.notices.outbox import Outbox
from devices.device_actions import MuteDevice, UnmuteDevice
from devices.messages import MessageChunk
from devices.records import AlarmState
from driftline.http.events import LiveFeed
from driftline.runtime.notice_desk import NoticeDesk, with_secrets
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.store import JournalEntry

SECOND = 1_000_000_000
START = 1_772_366_400 * SECOND


def test_a_secret_comes_from_its_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text("from the file\n")
    monkeypatch.setenv("DRIFTLINE_NOTICE_ON_CALL_SECRET", "from the environment")
    channels = [
        NoticeSettings(name="shift", kind="mqtt", secret_file=file),
        NoticeSettings(name="on-call", kind="mqtt"),
        NoticeSettings(name="other", kind="mqtt"),
    ]
    assert [secret for _, secret in with_secrets(channels)] == ["from the file", "from the environment", ""]


def test_a_secret_that_cannot_be_read_names_its_setting(tmp_path: Path) -> None:
    channels = [NoticeSettings(name="shift", kind="mqtt", secret_file=tmp_path / "gone")]
    with pytest.raises(OSError, match=r"notices\[0\]\.secret_file: .*gone cannot be read: No such file"):
        with_secrets(channels)


class Plant:
    """An engine, its database and feed; `now` is the clock that people and the desk go by."""

    def __init__(self, store: EmbeddedStore) -> None:
        limits = {"default": ComponentSettings(type="threshold", upper=50.0)}
        alarm = AlarmSettings(threshold=5.0)
        self.engine = Engine([RouteSettings(filter="#")], limits, alarm, LimitSettings())
        self.store, self.feed, self.now, self.offset = store, LiveFeed(), START, 0

    def read(self, *values: float) -> None:
        rows = [(b"pump/t", repr(value).encode(), self.now + i * SECOND, 0) for i, value in enumerate(values)]
        self._step(MessageChunk.of(rows))

    def act(self, actions: Sequence[Action]) -> None:
        self._step(MessageChunk.of_actions(encode(actions), ticked_at=self.now))

    def _step(self, chunk: MessageChunk) -> None:
        output = self.engine.step(JournalEntry(self.engine.position, self.offset, chunk))
        self.offset += len(chunk)
        self.store.commit(output)
        self.feed.publish(output.points, output.alarms)


def test_nobody_is_told_of_a_muted_device_until_it_is_unmuted(
    tmp_path: Path, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("driftline.runtime.notice_desk._LOOK_SECONDS", 0.05)
    told: list[tuple[str, bytes]] = []
    channel = NoticeSettings(name="shift", kind="mqtt", topic="notices")
    with EmbeddedStore(tmp_path / "points.duckdb") as store, Outbox(tmp_path / "notices.db") as outbox:
        outbox.put(99, "cleared", [], START, follow_up=False)
        plant = Plant(store)
        desk = NoticeDesk(
            outbox, [channel], [], store, plant.feed.subscribe,
            clock=lambda: plant.now, publish=lambda topic, payload: told.append((topic, payload)),
            page_url="http://page", act=plant.act, muted=lambda: plant.engine.book.muted,
        )  # fmt: skip
        desk.start()
        try:
            wait_until(lambda: plant.feed.listening, what="the desk to listen")
            plant.read(20.0)
            plant.act([MuteDevice(by="maria", at=START, device="pump")])
            plant.read(60.0)
            wait_until(lambda: outbox.state_of(1) == "suppressed", what="the alarm to be passed over")
            assert told == []
            plant.act([UnmuteDevice(by="maria", at=START, device="pump")])
            wait_until(lambda: len(told) == 1, what="the alarm, which is still open, to be told of")
            assert json.loads(told[0][1])["device"] == "pump"
        finally:
            desk.stop()


def test_a_channel_that_takes_nothing_is_an_alarm_that_the_others_are_told_of(
    tmp_path: Path, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("driftline.runtime.notice_desk._LOOK_SECONDS", 0.05)
    web, mail = HttpReceiver(status=500).start(), MailServer().start()
    channels = [
        NoticeSettings(name="hook", kind="webhook", url=web.url),
        NoticeSettings(name="shift", kind="mail", url=mail.url, to=["shift@plant.example"], devices=["hall-1/*"]),
    ]
    with EmbeddedStore(tmp_path / "points.duckdb") as store, Outbox(tmp_path / "notices.db") as outbox:
        outbox.put(99, "cleared", [], START, follow_up=False)  # one that knows alarms: in a new one nothing is told
        plant = Plant(store)
        desk = NoticeDesk(
            outbox, channels, [], store, plant.feed.subscribe,
            clock=lambda: plant.now, publish=lambda *_: None, page_url="http://page", act=plant.act,
        )  # fmt: skip
        desk.start()
        try:
            wait_until(lambda: plant.feed.listening, what="the desk to listen")
            plant.read(20.0, 60.0)
            wait_until(lambda: outbox.waits_since("hook"), what="the webhook to refuse the alarm")
            plant.now += 300 * SECOND
            wait_until(lambda: len(mail.mails) == 1, what="a mail about the webhook")
            assert mail.mails[0]["Subject"] == "major: driftline notices:hook"
            sentence = f'notice channel "hook" has taken nothing for 5 min: {web.url} answered 500'
            assert sentence in mail.mails[0].get_content()
            assert [(a.state, a.severity, a.reason) for a in store.alarms() if a.alarm == 2] == [
                (AlarmState.OPEN, "major", sentence)
            ]
            web.status = 200

            def is_over() -> bool:
                plant.now += 10 * SECOND  # a try under way may fail yet, and the next is due by this clock
                return len(mail.mails) == 2

            wait_until(is_over, what="a mail about its end")
            assert mail.mails[1]["Subject"] == "cleared: driftline notices:hook"
            (over,) = [a for a in store.alarms() if a.alarm == 2]
            assert (over.state, over.cleared_reason) == (AlarmState.CLEARED, "takes messages again")
        finally:
            desk.stop()
            web.stop()
            mail.stop()
