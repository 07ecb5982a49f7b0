"""What tests of notices are given: receivers on loopback, and a notifier over an outbox of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from receivers import HttpReceiver
from told_notices import Clock, Told, published

from alerts.notices.notice_settings import NoticeSettings
from alerts.notices.notifier import Notifier
from alerts.notices.outbox import Outbox


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def web() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver().start()
    yield receiver
    receiver.stop()


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
