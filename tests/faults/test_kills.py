"""kill -9 at any moment: nothing delivered is lost, nothing is stored twice, and the state is an undisturbed run's."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from fault_runs import JournalTail, KillableService, NumberedPublisher, assert_each_once
from killed_at import POINTS
from undisturbed_runs import SettingsTrail, assert_undisturbed

from devices.messages import FLAG_REDELIVERED

pytestmark = [pytest.mark.faults, pytest.mark.service("mosquitto"), pytest.mark.timeout(1_200)]


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
    """Half of the devices send no time: what is delivered again can be told only by what the journal holds."""
    random = Random(extent.seed)
    messages, kills = extent.of(8_000, 200_000), extent.of(3, 20)
    service.configure(mosquitto.url)
    service.start()  # from here on the broker keeps what comes for it
    publisher = NumberedPublisher(mosquitto.url, messages=messages, rate=messages / (kills * 4.0), untimed=10).start()
    with JournalTail(service.data / "journal.db") as tail:
        kill_often(service, publisher, kills, random)
        service.start()
        delivered = publisher.finish()
        wait_until(lambda: service.settled(delivered), within=240, what="everything in its place")
        counts = service.get("counts")
        assert service.end() == 0, service.log
    assert tail.error is None, tail.error
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    assert_undisturbed(service, tail.entries, tmp_path / "undisturbed.duckdb")
    redelivered = sum(len(e.chunk) for e in tail.entries) - delivered
    assert counts["redelivered"] == counts["duplicates"] == redelivered
    report(
        "kill -9 at random moments",
        kills=service.kills,
        delivered=delivered,
        lost=0,
        doubled=0,
        redelivered=redelivered,
    )


SHORT_POINTS = [
    "journaled, not acknowledged",
    "within a snapshot",
    "within the journal's compaction",
    "reload, before its snapshot",
    "start-up, state restored",
]
SELDOM = ("within the journal's compaction", "within the database's compaction")
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


def kill_at(
    point: str, service: KillableService, mosquitto: Any, wait_until: Any, trail: SettingsTrail, other: str, times: int
) -> None:
    """Start a service that dies at the point, bring it there, and see it die."""
    if point == "start-up under a changed configuration":
        service.configure(mosquitto.url, other)
    service.spawn(killed_at=point, times=times)
    if point.startswith("reload"):
        wait_until(lambda: service.stage("broker") == "green", within=240, what="the start")
        trail.note()
        service.configure(mosquitto.url, other)
    service.await_kill(point)
    trail.note()


def test_kills_at_named_points(
    service: KillableService, mosquitto: Any, wait_until: Any, tmp_path: Path, extent: Any, report: Any
) -> None:
    """Start-up, commit, snapshot, compaction and reload are each really hit: the process kills itself there."""
    random = Random(extent.seed)
    points = SHORT_POINTS if not extent.full else [*POINTS, *random.sample([*POINTS], 6)]
    service.configure(mosquitto.url, CONFIGURATIONS[0])
    service.start()
    trail = SettingsTrail(service)
    publisher = NumberedPublisher(mosquitto.url, messages=1_000_000, rate=1_000, untimed=10).start()
    configured = 0
    with JournalTail(service.data / "journal.db") as tail:
        service.kill()
        for point in points:
            changes = point.startswith("reload") or "changed" in point
            configured = (configured + changes) % 2
            often = point in SELDOM or point.startswith(("start-up", "reload"))
            times = 1 if often else random.randint(1, 5)
            kill_at(point, service, mosquitto, wait_until, trail, CONFIGURATIONS[configured], times)
        service.start()
        trail.note()
        delivered = publisher.end_early()
        wait_until(lambda: service.settled(delivered), within=240, what="everything in its place")
        assert service.end() == 0, service.log
    assert tail.error is None, tail.error
    assert service.kills == len(points) + 1
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    assert_undisturbed(service, tail.entries, tmp_path / "undisturbed.duckdb", trail.changes)
    assert len(trail.changes) > 1, "the configuration never changed"
    again = sum(int(np.count_nonzero(e.chunk.flags & FLAG_REDELIVERED)) for e in tail.entries)
    assert again, "nothing was delivered again, although the service died between journal and acknowledgement"
    report(
        "kill -9 at named points (start-up, commit, snapshot, compaction, reload)",
        points=len(set(points)),
        kills=service.kills,
        reloads=len(trail.changes) - 1,
        delivered=delivered,
        lost=0,
        doubled=0,
        redelivered=again,
    )
