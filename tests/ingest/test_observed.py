"""What is said of devices being there, and what they send, in the order in which both came."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry

START = 1_750_000_000 * 10**9


def presence_after(messages: Sequence[tuple[str, str]], *, at_once: bool) -> dict[str, bool | None]:
    """Which devices are said to be there after the messages, that come as one chunk or each alone."""
    engine = Engine(
        [RouteSettings(filter="#", detectors=["default"])],
        {"default": ComponentSettings(type="zscore")},
        AlarmSettings(),
        LimitSettings(),
    )
    rows = [(topic.encode(), payload.encode(), START + i * 10**9, 0) for i, (topic, payload) in enumerate(messages)]
    for chunk in [rows] if at_once else [[row] for row in rows]:
        engine.step(JournalEntry(engine.position, 0, MessageChunk.of(chunk)))
    return {name: status.online for name, status in engine.observer.statuses}


READING = ("pump/speed", "3")
AWAY = ("pump/status", "offline")
PART = ("hall/sensor-1/state", '{"temperature": 21.5}')
PART_AWAY = ("hall/sensor-1/availability", "offline")


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([READING, AWAY], {"pump": False}),
        ([AWAY, READING], {"pump": True}),
        ([AWAY, READING, AWAY], {"pump": False}),
        # A device whose readings stand below its own topic goes and comes under the name that they have.
        ([PART, PART_AWAY], {"hall/sensor-1/state": False}),
        ([PART_AWAY, PART], {"hall/sensor-1/state": True}),
        ([PART, PART_AWAY, PART], {"hall/sensor-1/state": True}),
    ],
)
def test_what_came_last_counts_however_the_messages_are_cut(
    messages: Sequence[tuple[str, str]], expected: dict[str, bool], at_once: bool
) -> None:
    assert presence_after(messages, at_once=at_once) == expected
