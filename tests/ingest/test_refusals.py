"""What is refused at a limit is refused again without a second look, within bounds, until there is room."""

from __future__ import annotations

import pytest

from alerts.actions import encode
from alerts.alarm_settings import AlarmSettings
from devices.device_actions import DeleteDevice
from devices.messages import MessageChunk
from devices.rejection_reasons import Reason
from devices.series_registry import SeriesRegistry
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from ingest.refusals import Refusal, RefusalMemory
from storage.store import JournalEntry, StepOutput

START = 1_750_000_000_000_000_000


class Feed:
    """An engine, stepped through one chunk after another."""

    def __init__(self, limits: LimitSettings) -> None:
        self.engine = Engine(
            [RouteSettings(filter="#")],
            {"default": ComponentSettings(type="threshold", upper=50.0)},
            AlarmSettings(),
            limits,
        )
        self._messages = 0

    def messages(self, *topics: str, payload: str = '{"x": 1}') -> StepOutput:
        first = self._messages
        self._messages += len(topics)
        rows = [(each.encode(), payload.encode(), START + first + i, 0) for i, each in enumerate(topics)]
        return self.engine.step(JournalEntry(self.engine.position, first, MessageChunk.of(rows)))

    def delete(self, device: str) -> None:
        body = encode([DeleteDevice(by="maria", at=START, device=device)])
        chunk = MessageChunk.of_actions(body, ticked_at=START + self._messages)
        self.engine.step(JournalEntry(self.engine.position, self._messages, chunk))


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The metrics that were looked up in the registry, each time that they were."""
    seen: list[str] = []
    own = SeriesRegistry.find_or_add

    def counted(self: SeriesRegistry, device: str, metric: str, *rest: str) -> object:
        seen.append(f"{device} {metric}")
        return own(self, device, metric, *rest)

    monkeypatch.setattr(SeriesRegistry, "find_or_add", counted)
    return seen


def test_a_series_beyond_the_limit_is_refused_alike_each_time_and_looked_up_once(looked_up: list[str]) -> None:
    feed = Feed(LimitSettings(max_series=1))
    answers = [feed.messages("a", "b", "b") for _ in range(3)]
    assert [len(each.points) for each in answers] == [1, 1, 1]
    letters = [[(each.reason, each.detail) for each in answer.dead_letters] for answer in answers]
    assert letters == [[("too_many_series", 'series "b" "x": limits.max_series = 1 is reached')] * 2] * 3
    assert looked_up == ["a x", "b x"]


def test_a_series_that_was_refused_is_taken_once_there_is_room() -> None:
    feed = Feed(LimitSettings(max_series_per_device=1))
    feed.messages("a")
    assert [each.reason for each in feed.messages("a", payload='{"y": 2}').dead_letters] == ["too_many_series"]
    feed.delete("a")
    assert feed.messages("a", payload='{"y": 2}').points.value.tolist() == [2.0]


def test_no_more_is_remembered_than_may_be() -> None:
    memory: RefusalMemory[int] = RefusalMemory(most=3)
    for key in range(10):
        memory.note(key, Refusal(Reason.TOO_MANY_SERIES, f"{key}"))
        assert len(memory) <= 3
    assert memory.get(9) == Refusal(Reason.TOO_MANY_SERIES, "9")
    assert memory.get(1) is None


def test_what_another_message_may_bring_is_not_remembered() -> None:
    memory: RefusalMemory[int] = RefusalMemory()
    memory.note(1, Refusal(Reason.NO_ROUTE, "no route's filter matches it"))
    assert memory.get(1) is None
