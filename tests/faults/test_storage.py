"""Full disks, slow consumers, damaged files: said clearly, nothing acknowledged lost, no silent fresh start."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_runs import KillableService, NumberedPublisher, assert_each_once
from undisturbed_runs import assert_undisturbed, entries_of, newest_snapshot

from storage.embedded.database import EmbeddedStore

pytestmark = [pytest.mark.faults, pytest.mark.service("mosquitto"), pytest.mark.timeout(900)]

MEBIBYTE = 1 << 20


@pytest.fixture
def small_disk(service: KillableService) -> Iterator[Path]:
    """The service's data folder on a file system of 48 MiB of its own; skipped where none may be mounted."""
    service.data.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(service.data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    yield service.data
    if service.alive:
        service.kill()
    subprocess.run(["umount", "-l", str(service.data)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all room there is."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (MEBIBYTE, 4096):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    return ballast


def red(service: KillableService) -> set[str]:
    health = service.get("health")
    return {s["stage"] for s in health["stages"] if s["status"] == "red"} if health else set()


def test_a_full_disk_stops_acknowledging_and_resumes_by_itself(
    service: KillableService,
    small_disk: Path,
    mosquitto: Any,
    wait_until: Any,
    tmp_path: Path,
    extent: Any,
    report: Any,
) -> None:
    messages = extent.of(10_000, 60_000)
    service.configure(mosquitto.url, '[snapshot]\nevery = "1s"\n')
    service.start()
    publisher = NumberedPublisher(mosquitto.url, messages=messages, rate=messages / 10).start()
    wait_until(lambda: publisher.delivered > messages // 5, what="some messages")
    times_full = extent.of(1, 3)
    stages: set[str] = set()
    for _ in range(times_full):
        ballast = fill(small_disk)
        wait_until(lambda: red(service), within=240, what="a red stage")
        stages |= red(service)
        held = service.get("counts")["messages"]
        delivered = publisher.delivered
        wait_until(
            lambda delivered=delivered: publisher.done or publisher.delivered > delivered + 200, what="publishing"
        )
        if "journal" in red(service):
            assert service.get("counts")["messages"] - held < messages // 2
        ballast.unlink()
        wait_until(lambda: service.alive and not red(service), within=240, what="a green service")
    delivered = publisher.finish()
    wait_until(lambda: service.settled(delivered), within=240, what="everything in its place")
    assert service.end() == 0, service.log
    assert "Traceback" not in service.log, service.log
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    assert_undisturbed(service, entries_of(service.data / "journal.db"), tmp_path / "undisturbed.duckdb")
    report("disk full", times=times_full, red="+".join(sorted(stages)), delivered=delivered, lost=0, doubled=0)


def test_a_kill_on_a_full_disk(
    service: KillableService, small_disk: Path, mosquitto: Any, wait_until: Any, tmp_path: Path, report: Any
) -> None:
    service.configure(mosquitto.url, '[snapshot]\nevery = "1s"\n')
    service.start()
    # More than are needed: a machine that is slow to see the red stage must still be sent messages meanwhile.
    publisher = NumberedPublisher(mosquitto.url, messages=180_000, rate=1_500).start()
    wait_until(lambda: publisher.delivered > 1_000, what="some messages")
    ballast = fill(small_disk)
    wait_until(lambda: red(service), within=240, what="a red stage")
    service.kill()
    ballast.unlink()
    service.start()
    delivered = publisher.end_early()
    wait_until(lambda: service.settled(delivered), within=240, what="everything in its place")
    assert service.end() == 0, service.log
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    assert_undisturbed(service, entries_of(service.data / "journal.db"), tmp_path / "undisturbed.duckdb")
    report("kill -9 on a full disk", kills=1, delivered=delivered, lost=0, doubled=0)


def test_a_full_quota_of_the_database(
    service: KillableService, mosquitto: Any, wait_until: Any, tmp_path: Path, report: Any
) -> None:
    """The database may take 4 MiB: what comes beyond waits in the journal, and is stored once there is room."""
    service.configure(mosquitto.url, "[store]\nmax_bytes = 4194304\n")
    service.start()
    publisher = NumberedPublisher(mosquitto.url, messages=240_000).start()
    wait_until(lambda: "store" in red(service), within=240, what="a red store")
    assert service.end(within=240) == 0, service.log
    service.configure(mosquitto.url)
    service.start()
    delivered = publisher.finish()
    wait_until(lambda: service.settled(delivered), within=240, what="everything in its place")
    assert service.end() == 0, service.log
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    assert_undisturbed(service, entries_of(service.data / "journal.db"), tmp_path / "undisturbed.duckdb")
    report("database at its quota", delivered=delivered, lost=0, doubled=0)


def test_a_consumer_slower_than_the_publishers(
    service: KillableService, mosquitto: Any, wait_until: Any, extent: Any, report: Any
) -> None:
    """The service gets a small share of a processor: the broker holds messages back, and memory stays bounded."""
    messages = extent.of(40_000, 300_000)
    # A fraction of what is published, so that the journal fills too.
    service.configure(mosquitto.url, f"[journal]\nmax_bytes = {extent.of(1, 8) * MEBIBYTE}\n")
    service.start()
    publisher = NumberedPublisher(mosquitto.url, messages=messages).start()
    before = service.rss_bytes
    sizes = [before]
    enough = threading.Event()

    def hold_back() -> None:
        while not enough.is_set():
            os.kill(service.pid, signal.SIGSTOP)
            enough.wait(0.08)
            os.kill(service.pid, signal.SIGCONT)
            enough.wait(0.02)
            sizes.append(service.rss_bytes)

    slow = threading.Thread(target=hold_back)
    slow.start()
    try:
        delivered = publisher.finish()
        behind = delivered - service.get("counts")["messages"]
    finally:
        enough.set()
        slow.join()
    wait_until(lambda: service.settled(delivered), within=240, what="everything in its place")
    sizes.append(service.rss_bytes)
    assert service.end() == 0, service.log
    assert behind > 0, "the service was not slower than the publisher"
    assert max(sizes) < before + 256 * MEBIBYTE
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    report(
        "slow consumer",
        delivered=delivered,
        held_at_the_broker=behind,
        lost=0,
        resident_MiB=f"{before // MEBIBYTE} to {max(sizes) // MEBIBYTE}",
    )


@pytest.fixture
def stopped(service: KillableService, mosquitto: Any, wait_until: Any) -> NumberedPublisher:
    """A service that has stored 3,000 messages in several lives, and stands still now; its publisher."""
    service.configure(mosquitto.url, '[snapshot]\nevery = "300ms"\n')
    service.start()
    publisher = NumberedPublisher(mosquitto.url, messages=3_000, rate=2_000).start()
    delivered = publisher.finish()
    wait_until(lambda: service.settled(delivered), what="everything in its place")
    assert service.end() == 0
    return publisher


def more(service: KillableService, mosquitto: Any, before: NumberedPublisher, wait_until: Any) -> None:
    """Publish 1,000 messages more, of new devices' own."""
    publisher = NumberedPublisher(mosquitto.url, messages=1_000, start_ms=before.start_ms + 3_600_000).start()
    publisher.finish()
    wait_until(lambda: service.settled(4_000), what="everything in its place")


def points(service: KillableService) -> int:
    with EmbeddedStore(service.data / "points.duckdb", read_only=True) as store:
        return int(store.query("SELECT count(*) FROM points WHERE metric = 'n'").rows[0][0])


def test_a_damaged_snapshot_is_passed_over_with_a_word(
    service: KillableService, stopped: NumberedPublisher, mosquitto: Any, wait_until: Any, tmp_path: Path, report: Any
) -> None:
    with sqlite3.connect(service.data / "snapshots.db") as database:
        database.execute(
            "UPDATE block SET data = zeroblob(length(data)) WHERE part IN "
            "(SELECT id FROM part WHERE snapshot = (SELECT max(id) FROM snapshot))"
        )
    service.start()
    assert "is damaged" in service.log
    assert "an older one is used" in service.log
    more(service, mosquitto, stopped, wait_until)
    assert service.end() == 0
    assert points(service) == 4_000
    assert_undisturbed(service, entries_of(service.data / "journal.db"), tmp_path / "undisturbed.duckdb")
    report("newest snapshot damaged", said=1, previous_used=1, lost=0)


def test_snapshots_that_are_all_damaged_are_refused(
    service: KillableService, stopped: NumberedPublisher, wait_until: Any, report: Any
) -> None:
    with sqlite3.connect(service.data / "snapshots.db") as database:
        database.execute("UPDATE block SET data = zeroblob(length(data))")
    service.spawn()
    assert service.end(0, within=240) == 1
    assert "snapshots are damaged" in service.log
    assert "Traceback" not in service.log
    (service.data / "snapshots.db").unlink()
    service.start()
    assert "no snapshot of the learned state can be used" in service.log
    wait_until(lambda: service.settled(3_000), what="learning again")
    assert service.end() == 0
    assert points(service) == 3_000
    report("every snapshot damaged", refused=1)


def test_a_journal_that_lost_its_tail_goes_on_behind_what_is_stored(
    service: KillableService, stopped: NumberedPublisher, mosquitto: Any, wait_until: Any, report: Any
) -> None:
    with sqlite3.connect(service.data / "journal.db") as database:
        newest = database.execute("SELECT max(position) FROM chunk").fetchone()[0]
        database.execute("DELETE FROM chunk WHERE position > ?", (newest - 5,))
    service.start()
    wait_until(lambda: "has lost its newest 5 entries" in service.log, what="the word of it")
    more(service, mosquitto, stopped, wait_until)
    assert service.end() == 0
    assert points(service) == 4_000
    position, _, _ = newest_snapshot(service.data / "snapshots.db")
    assert position > newest
    report("journal's tail lost", said=1, lost=0)


def test_a_journal_that_is_gone_is_said(
    service: KillableService, stopped: NumberedPublisher, mosquitto: Any, wait_until: Any, report: Any
) -> None:
    for file in service.data.glob("journal.db*"):
        file.unlink()
    service.start()
    wait_until(lambda: "has lost its newest" in service.log, what="the word of it")
    more(service, mosquitto, stopped, wait_until)
    assert service.end() == 0
    assert points(service) == 4_000
    service.start()
    assert service.end() == 0
    report("journal gone", said=1, lost=0)


def test_a_journal_damaged_at_its_end_is_refused(
    service: KillableService, stopped: NumberedPublisher, report: Any
) -> None:
    with sqlite3.connect(service.data / "journal.db") as database:
        database.execute(
            "UPDATE chunk SET data = zeroblob(length(data)) WHERE position = "
            "(SELECT max(position) FROM chunk WHERE count > 0)"
        )
        database.execute("DELETE FROM chunk WHERE count = 0")
    service.spawn()
    assert service.end(0, within=240) == 1
    assert "wrong checksum" in " ".join(service.log.split())
    assert "Traceback" not in service.log
    report("journal's tail damaged", refused=1)


@pytest.mark.parametrize(
    ("name", "statement"),
    [("journal.db", "PRAGMA user_version = 0"), ("snapshots.db", "PRAGMA user_version = 99")],
)
def test_a_file_of_another_version_is_refused(
    service: KillableService, stopped: NumberedPublisher, report: Any, name: str, statement: str
) -> None:
    with sqlite3.connect(service.data / name) as database:
        database.execute(statement)
    service.spawn()
    assert service.end(0, within=240) == 1
    log = " ".join(service.log.split())
    assert "start the Driftline that wrote it, or move the file away" in log
    assert "Traceback" not in log
    report(f"{name} of another version", refused=1)
