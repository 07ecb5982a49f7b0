"""An external database away, failing, slow, or refusing lines: others go on, it catches up, nothing is lost unseen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_runs import KillableService, NumberedPublisher
from victoria import Misbehaving, Victoria, free_ports

from storage.embedded.database import EmbeddedStore
from storage.external.spool import refused_lines

pytestmark = [
    pytest.mark.faults,
    pytest.mark.service("mosquitto", "victoria-metrics"),
    pytest.mark.timeout(900),
]

RATE = 500.0
HOUR_MS = 3_600_000
CONFIG = """
[[sinks]]
name = "good"
type = "victoriametrics"
url = "{good}"
[[sinks]]
name = "bad"
type = "victoriametrics"
url = "{bad}"
timeout = "1s"
max_backoff = "1s"
"""


@dataclass
class Plant:
    """A service that writes to one database directly, and to another through a front that misbehaves."""

    service: KillableService
    good: Victoria
    bad: Victoria
    front: Misbehaving
    broker: str

    def sink(self, name: str) -> dict[str, int]:
        counts = self.service.get("counts")
        return dict(counts["sinks"][name]) if counts else {}

    def written(self, name: str) -> int:
        return self.sink(name).get("written", -1)


@pytest.fixture
def plant(service: KillableService, mosquitto: Any, tmp_path: Path, wait_until: Any) -> Iterator[Plant]:
    ports = free_ports(3)
    with (
        Victoria(tmp_path / "good", ports[0], wait_until) as good,
        Victoria(tmp_path / "bad", ports[1], wait_until) as bad,
        Misbehaving(bad.url, ports[2]) as front,
    ):
        service.configure(mosquitto.url, CONFIG.format(good=good.url, bad=front.url))
        service.start()
        yield Plant(service, good, bad, front, mosquitto.url)
        if service.alive:
            service.end()


def be_away(plant: Plant) -> None:
    plant.front.stop()


def answer_500(plant: Plant) -> None:
    plant.front.status = 500


def be_slow(plant: Plant) -> None:
    plant.front.delay_seconds = 2.0  # longer than the sink's timeout, so that the write is tried again


def recover(plant: Plant) -> None:
    plant.front.status, plant.front.delay_seconds = None, 0.0
    plant.front.stop()
    plant.front.start()


def assert_holds_what_is_stored(plant: Plant, database: Victoria, *, without: int = 0) -> int:
    """Compare with the embedded database, series by series; returns how many points there are."""
    there = database.samples("driftline_value")
    total = missing = 0
    with EmbeddedStore(plant.service.data / "points.duckdb", read_only=True) as store:
        for record in store.series():
            points = store.points(record.series)
            stored = dict(zip((points.time // 10**6).tolist(), points.value.tolist(), strict=True))
            found = there.get((record.device, record.metric), {})
            assert found.items() <= stored.items()
            total += len(stored)
            missing += len(stored) - len(found)
    assert missing == without
    return total


@pytest.mark.parametrize(("fault", "misbehave"), [("away", be_away), ("500s", answer_500), ("slow", be_slow)])
def test_a_database_in_trouble_catches_up_alone(
    fault: str, misbehave: Callable[[Plant], None], plant: Plant, wait_until: Any, extent: Any, report: Any
) -> None:
    seconds = extent.of(4, 60)
    started = time.time_ns() // 1_000_000 - 6 * HOUR_MS
    first = NumberedPublisher(plant.broker, messages=200, start_ms=started - HOUR_MS).start().finish()
    wait_until(lambda: plant.written("bad") > 0, within=240, what="a first write")
    misbehave(plant)
    publisher = NumberedPublisher(plant.broker, messages=int(RATE * seconds), rate=RATE, start_ms=started).start()
    # The fault lasts until everything is delivered and the other database has it all.
    delivered = first + publisher.finish()
    wait_until(lambda: plant.service.settled(delivered), within=240, what="everything stored")
    wait_until(lambda: plant.sink("good").get("waiting") == 0, within=240, what="the other database")
    wait_until(lambda: plant.service.stage("sink bad") == "yellow", within=240, what="a word about it")
    behind = plant.sink("bad")["waiting"]
    assert behind > 0
    began = time.monotonic()
    recover(plant)
    wait_until(lambda: plant.sink("bad").get("waiting") == 0, within=240, what="catching up")
    caught_up = time.monotonic() - began
    counts = plant.sink("bad")
    assert (counts["refused"], counts["dropped"]) == (0, 0)
    assert plant.service.stage("sink bad") == "green"
    said = [line for line in plant.service.log.splitlines() if "waits in the spool" in line]
    assert len(said) == 1, said
    assert plant.service.end() == 0, plant.service.log
    points = assert_holds_what_is_stored(plant, plant.good)
    assert_holds_what_is_stored(plant, plant.bad)
    report(
        f"external database {fault}",
        delivered=delivered,
        points=points,
        behind=behind,
        lost=0,
        seconds_to_catch_up=math.ceil(caught_up),
    )


def test_refused_lines_are_counted_and_kept_with_the_reason(
    plant: Plant, wait_until: Any, extent: Any, report: Any
) -> None:
    messages = extent.of(1_000, 20_000)
    plant.front.refuse = lambda line: "device=plant/d3,metric=v " in line or "device=d3,metric=v " in line
    publisher = NumberedPublisher(plant.broker, messages=messages, rate=RATE * 4).start()
    delivered = publisher.finish()
    wait_until(lambda: plant.service.settled(delivered), within=240, what="everything stored")
    # Each refused line is found by halves: many requests.
    wait_until(
        lambda: plant.sink("good").get("waiting") == plant.sink("bad").get("waiting") == 0, within=400, what="the sinks"
    )
    refused = plant.sink("bad")["refused"]
    assert plant.sink("good")["refused"] == 0
    assert plant.service.end() == 0, plant.service.log
    assert refused >= messages / publisher.devices
    kept = refused_lines(plant.service.data / "spool.db", refused + 1)
    assert len(kept) == refused
    assert all("d3,metric=v " in line.line and "told to refuse a line" in line.reason for line in kept)
    points = assert_holds_what_is_stored(plant, plant.good)
    values = sum(" value=" in line.line for line in kept)
    assert_holds_what_is_stored(plant, plant.bad, without=values)
    report("external database refusing lines", delivered=delivered, points=points, refused=refused, kept=len(kept))


def test_the_spool_survives_kills_of_the_service(plant: Plant, wait_until: Any, extent: Any, report: Any) -> None:
    messages, kills = extent.of(2_000, 20_000), extent.of(2, 8)
    plant.front.status = 503
    publisher = NumberedPublisher(plant.broker, messages=messages, rate=messages / (kills * 3.0)).start()
    for number in range(kills):
        target = messages * (number + 1) // (kills + 1)
        wait_until(lambda goal=target: publisher.delivered >= goal, within=240, what="more messages")
        plant.service.kill()
        plant.service.start()
    delivered = publisher.finish()
    recover(plant)
    wait_until(lambda: plant.service.settled(delivered), within=240, what="everything stored")
    wait_until(
        lambda: plant.sink("good").get("waiting") == plant.sink("bad").get("waiting") == 0, within=240, what="the sinks"
    )
    assert plant.service.end() == 0, plant.service.log
    points = assert_holds_what_is_stored(plant, plant.good)
    assert_holds_what_is_stored(plant, plant.bad)
    report("kill -9 with an external database away", kills=kills, delivered=delivered, points=points, lost=0)
