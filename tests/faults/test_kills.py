"""kill -9 at any moment: nothing delivered is lost, nothing is stored twice, and the state is an undisturbed run's."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fault_runs import (
    JournalTail,
    KillableService,
    NumberedPublisher,
    SettingsTrail,
    assert_each_once,
    assert_undisturbed,
)

from storage.journal import SqliteJournal

pytestmark = [pytest.mark.faults, pytest.mark.service("mosquitto"), pytest.mark.timeout(600)]


def kill_often(service: KillableService, publisher: NumberedPublisher, kills: int, random: Random) -> None:
    """Kill at random moments between start-up and hard work, each time after some more messages were published."""
    for number in range(kills):
        if not service.alive:
            service.spawn()
        deadline = time.monotonic() + 60
        target = publisher.messages * (number + random.random()) / kills
        if random.random() < 0.75:  # most of the time it gets to work; else it is killed somewhere in its start-up
            while service.stage("broker") != "green" and service.alive and time.monotonic() < deadline:
                time.sleep(0.02)
            while publisher.delivered < target and time.monotonic() < deadline:
                time.sleep(0.01)
        time.sleep(random.uniform(0.05, 1.5))
        assert service.alive, service.log
        service.kill()


def test_kills_at_random_moments(
    service: KillableService, mosquitto: Any, wait_until: Any, tmp_path: Path, extent: Any, report: Any
) -> None:
    random = Random(extent.seed)
    messages, kills = extent.of(8_000, 200_000), extent.of(3, 20)
    service.configure(mosquitto.url)
    service.start()  # from here on the broker keeps what comes for it
    publisher = NumberedPublisher(mosquitto.url, messages=messages, rate=messages / (kills * 4.0)).start()
    with JournalTail(service.data / "journal.db") as tail:
        kill_often(service, publisher, kills, random)
        service.start()
        delivered = publisher.finish()
        wait_until(lambda: service.settled(delivered), within=120, what="everything in its place")
        assert service.end() == 0, service.log
    assert tail.error is None, tail.error
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    assert_undisturbed(service, tail.entries, tmp_path / "undisturbed.duckdb")
    redelivered = sum(len(e.chunk) for e in tail.entries) - delivered
    report(
        "kill -9 at random moments",
        kills=service.kills,
        delivered=delivered,
        lost=0,
        doubled=0,
        redelivered=redelivered,
    )


CONFIGURATIONS = (
    """
    [snapshot]
    every = "200ms"
    [journal]
    max_bytes = 1048576
    [store]
    compact_rows = 2000
    """,
    """
    [snapshot]
    every = "300ms"
    [journal]
    max_bytes = 1048576
    [store]
    compact_rows = 2000
    [alarm]
    clear_after = 5
    [detectors.limits]
    type = "threshold"
    upper = 50.0
    [[routes]]
    filter = "#"
    detectors = ["default", "limits"]
    """,
)


def test_kills_during_start_up_snapshots_compaction_and_reload(
    service: KillableService, mosquitto: Any, wait_until: Any, tmp_path: Path, extent: Any, report: Any
) -> None:
    random = Random(extent.seed)
    messages, kills = extent.of(20_000, 120_000), extent.of(3, 16)
    service.configure(mosquitto.url, CONFIGURATIONS[0])
    service.start()
    trail = SettingsTrail(service)
    publisher = NumberedPublisher(mosquitto.url, messages=messages, rate=messages / (kills * 4.0)).start()
    with JournalTail(service.data / "journal.db") as tail:
        for number in range(kills):
            if not service.alive:
                service.spawn()
            where = ("reload", "work", "start-up")[number % 3]
            if where != "start-up":
                wait_until(lambda: service.stage("broker") == "green", within=60, what="the start")
                trail.note()
                target = messages * (number + random.random()) / kills
                wait_until(lambda target=target: publisher.delivered >= target, within=60, what="more messages")
            if where == "reload":
                service.configure(mosquitto.url, CONFIGURATIONS[(number + 1) % 2])
            time.sleep(random.uniform(0.05, 1.5))
            assert service.alive, service.log
            service.kill()
            trail.note()
        service.start()
        trail.note()
        delivered = publisher.finish()
        wait_until(lambda: service.settled(delivered), within=120, what="everything in its place")
        first = service.data / "journal.db"
        assert service.end() == 0, service.log
    assert tail.error is None, tail.error
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    assert_undisturbed(service, tail.entries, tmp_path / "undisturbed.duckdb", trail.changes)
    with SqliteJournal(first, read_only=True) as journal:
        compacted = journal.first_position
    assert compacted, "the journal was never compacted"
    assert len(trail.changes) > 1, "the configuration never changed"
    report(
        "kill -9 in start-up, snapshot, compaction, reload",
        kills=service.kills,
        reloads=len(trail.changes) - 1,
        compacted_entries=compacted,
        delivered=delivered,
        lost=0,
        doubled=0,
    )
