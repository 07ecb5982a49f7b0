"""Public reports that are told by many messages and the time between them: through the engine into a real store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from alerts.alarm_settings import AlarmSettings
from devices.messages import FLAG_RETAIN, MessageChunk
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.store import JournalEntry

SECOND = 1_000_000_000
START = 1_784_800_800 * SECOND
Message = tuple[str, str, int]
"""Topic, payload, and arrival in ns."""


class Service:
    """An engine and a store behind it."""

    def __init__(self, path: Path, **route: str) -> None:
        self.store = EmbeddedStore(path).open()
        detectors = {"default": ComponentSettings(type="threshold", upper=1e9)}
        self.engine = Engine([RouteSettings(filter="#", **route)], detectors, AlarmSettings(), LimitSettings())
        self._offset = 0

    def receive(self, messages: list[Message], *, flags: int = 0) -> None:
        chunk = MessageChunk.of([(topic.encode(), text.encode(), at, flags) for topic, text, at in messages])
        self.store.commit(self.engine.step(JournalEntry(self.engine.position, self._offset, chunk)))
        self._offset += len(messages)

    def times(self, device: str, metric: str) -> list[int]:
        number = self.engine.registry.find(device, metric)
        assert number is not None
        return self.store.points(number).time.tolist()

    def is_silent(self, device: str, now: int) -> bool:
        number = self.engine.registry.device_names.index(device)
        return bool(self.engine.liveness.silent(now)[number])


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path / "store.duckdb")
    yield made
    made.store.close()


def test_62_different_readings_of_one_second_are_all_kept_and_said_to_conflict(service: Service) -> None:
    told = [(START // SECOND + i // 4, 20 + i / 100) for i in range(200)]
    messages = [
        ("fast/s1", f'{{"time": {time}, "value": {value}}}', START + i * SECOND // 4)
        for i, (time, value) in enumerate(told)
    ]
    for first in range(0, 200, 7):
        service.receive(messages[first : first + 7])
    counts = service.store.counts()
    assert (counts["stored"], counts["conflicts"], counts.get("duplicates", 0)) == (200, 150, 0)
    times = service.times("fast/s1", "value")
    assert times == [time * SECOND + i % 4 for i, (time, _) in enumerate(told)]


def test_63_the_hour_that_comes_twice_in_autumn_is_kept_whole(tmp_path: Path) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    begin = datetime(2025, 10, 25, 23, 0, tzinfo=UTC)
    moments = [begin + timedelta(minutes=minute) for minute in range(300)]
    service = Service(tmp_path / "store.duckdb", time_zone="Europe/Berlin")
    service.receive(
        [
            (
                "meter/m1",
                f'{{"time": "{moment.astimezone(berlin):%Y-%m-%d %H:%M:%S}", "power": {100 + i}}}',
                int(moment.timestamp()) * SECOND + SECOND,
            )
            for i, moment in enumerate(moments)
        ]
    )
    counts = service.store.counts()
    assert (counts["stored"], counts.get("duplicates", 0)) == (300, 0)
    assert len(set(service.times("meter/m1", "power"))) == 300
    service.store.close()


def test_64_a_backlog_after_an_outage_is_stored_at_its_times_the_newest_first(service: Service) -> None:
    hour = 3_600
    live = [("pump", f'{{"time": {START // SECOND + i}, "t": {i}}}', START + i * SECOND) for i in range(60)]
    now = START + 60 * SECOND
    backlog = [
        ("pump", f'{{"time": {START // SECOND - back}, "t": {-back}}}', now + back * 1000)
        for back in range(1, hour + 1)
    ]
    service.receive(live)
    service.receive(backlog)
    first = START // SECOND - hour
    assert service.times("pump", "t") == [(first + i) * SECOND for i in range(hour + 60)]
    assert (service.store.counts()["late"], service.store.counts()["stored"]) == (hour, 60)


def test_64_readings_without_a_time_do_not_overwrite_one_another(service: Service) -> None:
    service.receive([("burst/t", str(i), START + i) for i in range(2_000)])
    assert service.store.counts()["stored"] == 2_000


def test_67_a_last_will_makes_the_device_offline_and_is_no_sign_of_life(service: Service) -> None:
    service.receive([("dev-1/temperature", "21.5", START), ("dev-1/temperature", "21.6", START + SECOND)])
    service.receive([("dev-1/status", "offline", START + 60 * SECOND)])
    status = service.engine.observer.statuses.get("dev-1")
    assert status is not None
    assert (status.online, status.online_since) == (False, START + 60 * SECOND)
    assert service.store.query("select distinct metric from points", 10).rows == [("temperature",)]
    number = service.engine.registry.device_names.index("dev-1")
    assert service.engine.liveness.last_arrival[number] == START + SECOND
    service.receive([("dev-1/temperature", "21.7", START + 90 * SECOND)])
    assert service.engine.observer.statuses.of("dev-1").online is True


def test_77_a_device_of_five_topics_that_sends_once_an_hour_is_never_silent(service: Service) -> None:
    hour = 3_600 * SECOND
    for round_ in range(20 * 24):
        at = START + round_ * hour
        messages = [(f"room/m{i}", str(20 + i), at + i * SECOND // 5) for i in range(5)]
        service.receive(messages)
        for minutes in (1, 30, 59):
            assert not service.is_silent("room", at + minutes * 60 * SECOND), (round_, minutes)
    assert service.is_silent("room", START + 24 * 20 * hour + 12 * hour)


def test_77_a_door_that_is_opened_now_and_then_is_not_silent(service: Service) -> None:
    pauses = [300, 7_200, 60, 28_800, 900, 43_200, 1_800, 10_800] * 8
    at = START
    for number, pause in enumerate(pauses):
        service.receive([("door/contact", str(number % 2), at)])
        assert not service.is_silent("door", at + pause * SECOND - 1), number
        at += pause * SECOND


def test_77_a_device_that_has_sent_once_is_new_and_not_silent(service: Service) -> None:
    service.receive([("late/t", "1", START)])
    assert not service.is_silent("late", START + 3_600 * SECOND)
    assert bool(service.engine.liveness.new()[0])


def test_a_retained_message_is_no_sign_of_life(service: Service) -> None:
    service.receive([("old/t", "1", START)], flags=FLAG_RETAIN)
    assert service.store.counts().get("stored", 0) == 0
