"""The broker goes away, the service is stopped or stays down for long: what was delivered arrives, in order."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fault_runs import KillableService, NumberedPublisher, assert_each_once
from firmware_sim.publisher import BrokerAddress, Publisher
from undisturbed_runs import assert_undisturbed, entries_of

from storage.embedded.database import EmbeddedStore

pytestmark = [pytest.mark.faults, pytest.mark.service("mosquitto"), pytest.mark.timeout(900)]


def published(url: str, messages: list[tuple[bytes, bytes]]) -> None:
    """Publish at QoS 1 and wait for every PUBACK."""
    with Publisher(BrokerAddress.parse(url), client_id="hand", say=lambda _: None) as publisher:
        publisher.open()
        publisher.send(messages)
        assert publisher.drain(30)


def absences_of(service: KillableService) -> int:
    """How often the log says that the broker is away."""
    return sum("WARNING" in line and "broker away" in line for line in service.log.splitlines())


def test_a_broker_that_restarts_and_is_cut_off(
    service: KillableService, mosquitto: Any, wait_until: Any, tmp_path: Path, extent: Any, report: Any
) -> None:
    random = Random(extent.seed)
    messages, restarts, away = extent.of(5_000, 60_000), extent.of(2, 5), extent.of(8, 30)
    service.configure(mosquitto.url, 'keep_alive = "5s"\n')
    service.start()
    publisher = NumberedPublisher(
        mosquitto.url, messages=messages, rate=messages / (restarts * 5.0), untimed=10
    ).start()
    for number in range(restarts):
        target = messages * (number + random.random()) / (restarts + 1)
        wait_until(lambda target=target: publisher.delivered >= target, within=240, what="more messages")
        mosquitto.stop()
        wait_until(lambda number=number: absences_of(service) > number, within=240, what="a word about the broker")
        mosquitto.start()
        wait_until(lambda: service.stage("broker") == "green", within=240, what="the connection")
    # A stopped process answers nobody, but its connections stay: what a cable that is pulled looks like from here.
    os.kill(mosquitto.pid, signal.SIGSTOP)
    cut_off = time.monotonic()
    wait_until(lambda: service.stage("broker") == "red", what="a word about the broker")
    time.sleep(max(0.0, cut_off + away - time.monotonic()))
    os.kill(mosquitto.pid, signal.SIGCONT)
    delivered = publisher.finish()
    wait_until(lambda: service.settled(delivered), within=240, what="everything in its place")
    said = absences_of(service)
    assert service.end() == 0, service.log
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    entries = entries_of(service.data / "journal.db")
    assert_undisturbed(service, entries, tmp_path / "undisturbed.duckdb")
    assert said == restarts + 1, "each absence is said once"
    report(
        "broker restarted, then cut off",
        restarts=restarts,
        seconds_cut_off=away,
        delivered=delivered,
        lost=0,
        doubled=0,
        redelivered=sum(len(e.chunk) for e in entries) - delivered,
        said=said,
    )


def test_sigterm_under_load_drains_and_exits(
    service: KillableService, mosquitto: Any, wait_until: Any, extent: Any, report: Any
) -> None:
    messages, stops = extent.of(20_000, 100_000), extent.of(1, 5)
    service.configure(mosquitto.url)
    service.start()
    publisher = NumberedPublisher(mosquitto.url, messages=messages, rate=messages / (stops * 8.0)).start()
    longest = longest_of_its_own = 0.0
    for number in range(stops):
        if not service.alive:
            service.start()
        wait_until(
            lambda number=number: publisher.delivered >= messages * (number + 0.5) / stops, within=240, what="messages"
        )
        exit_code, took, waited = service.stop_and_measure()
        assert exit_code == 0, service.log
        longest = max(longest, took)
        longest_of_its_own = max(longest_of_its_own, took - waited)
    # What others on this machine took of the processors is not the service's.
    assert longest_of_its_own < 10
    service.start()
    delivered = publisher.finish()
    wait_until(lambda: service.settled(delivered), within=240, what="everything in its place")
    assert service.end() == 0, service.log
    assert "Traceback" not in service.log
    assert_each_once(service.data / "points.duckdb", publisher, delivered)
    report(
        "SIGTERM under load",
        stops=stops,
        longest_stop=f"{longest:.1f} s",
        without_waiting_for_a_processor=f"{longest_of_its_own:.1f} s",
        delivered=delivered,
        lost=0,
    )


def test_history_comes_first_and_in_order_after_a_long_time_down(
    service: KillableService, mosquitto: Any, wait_until: Any, tmp_path: Path, report: Any
) -> None:
    """The devices went on for an hour of their own time while the service was down, with a fault in its middle."""
    hour = 3600
    began = int(time.time()) - 2 * hour

    def reading(second: int) -> tuple[bytes, bytes]:
        fault = hour + 1800 <= second < hour + 1830
        body = {"ts": (began + second) * 1000, "v": 20 + (second * 7919 % 100) / 100 + (500 if fault else 0)}
        return b"plant/press", json.dumps(body).encode()

    service.configure(mosquitto.url, '[detectors.default]\ntype = "zscore"\n')
    service.start()
    published(mosquitto.url, [reading(second) for second in range(0, hour, 2)])
    wait_until(lambda: service.settled(hour // 2), within=240, what="the first hour")
    service.kill()
    published(mosquitto.url, [reading(second) for second in range(hour, 2 * hour, 2)])
    service.start()
    published(mosquitto.url, [reading(2 * hour - 1)])
    wait_until(lambda: service.settled(hour + 1), within=240, what="the second hour")
    assert service.end() == 0
    with EmbeddedStore(service.data / "points.duckdb", read_only=True) as store:
        alarms = store.alarms()
        late = store.counts().get("late", 0)
    assert late == 0, "history came out of order"
    assert len(alarms) == 1, alarms
    assert alarms[0].opened == (began + hour + 1800) * 10**9, "the alarm is not dated when it happened"
    assert alarms[0].cleared is not None
    assert alarms[0].cleared < (began + 2 * hour) * 10**9
    assert_undisturbed(service, entries_of(service.data / "journal.db"), tmp_path / "undisturbed.duckdb")
    report("restart after 1 h down", delivered=hour + 1, lost=0, out_of_order=late, alarms_dated_now=0)


def test_a_client_id_that_another_service_holds_is_refused(
    service: KillableService, mosquitto: Any, wait_until: Any, tmp_path: Path, report: Any
) -> None:
    service.configure(mosquitto.url)
    service.start()
    other = KillableService(tmp_path / "other", wait_until)
    other.configure(mosquitto.url)
    other.spawn()
    try:
        wait_until(
            lambda: "another client connects" in " ".join((service.log + other.log).split()), what="a clear word"
        )
        log = " ".join((service.log + other.log).split())
        wait_until(lambda: "red" in (service.stage("broker"), other.stage("broker")), what="a red broker stage")
        assert '"driftline-faults"' in log
    finally:
        other.kill()
    report("client id held by another service", refused=1)


def test_old_subscriptions_are_removed_when_the_configuration_drops_them(
    service: KillableService, mosquitto: Any, wait_until: Any, report: Any
) -> None:
    """Dropped while the service is down, dropped while it runs, and dropped by a change that a kill follows."""

    def routes(*filters: str) -> str:
        return "".join(f'[[routes]]\nfilter = "{name}"\n' for name in filters)

    def arriving(*topics: bytes) -> int:
        """How many of one message a topic arrive; the one to kept/a, the last, always does."""
        before = service.get("counts")["messages"]
        published(mosquitto.url, [*((topic, b'{"v": 1}') for topic in topics), (b"kept/a", b'{"v": 2}')])
        wait_until(lambda: service.settled(before + 1), what="the last message")
        return int(service.get("counts")["messages"]) - before

    service.configure(mosquitto.url, routes("one/#", "two/#", "three/#", "kept/#"))
    service.start()
    assert arriving(b"one/a", b"two/a", b"three/a") == 4
    assert service.end() == 0
    service.configure(mosquitto.url, routes("two/#", "three/#", "kept/#"))
    service.start()
    assert arriving(b"one/a", b"two/a", b"three/a") == 3
    service.configure(mosquitto.url, routes("three/#", "kept/#"))
    wait_until(lambda: service.log.count("is in force") == 1 and service.listens, what="the change")
    assert arriving(b"one/a", b"two/a", b"three/a") == 2
    service.kill()
    service.configure(mosquitto.url, routes("kept/#"))
    service.start()
    assert arriving(b"one/a", b"two/a", b"three/a") == 1
    assert service.end() == 0, service.log
    report("subscriptions dropped by the configuration", dropped_while_down=2, dropped_while_running=1, left=0)


def test_what_the_broker_drops_is_reported_as_loss_upstream(
    service: KillableService, mosquitto: Any, wait_until: Any, report: Any
) -> None:
    """A service that stands still behind a broker with a short queue: the broker acknowledges, and drops."""
    mosquitto.stop()
    mosquitto.extra = "sys_interval 1\nmax_queued_messages 100\nmax_inflight_messages 100\n"
    mosquitto.start()
    service.configure(mosquitto.url)
    service.start()

    def said() -> str:
        health = service.get("health")
        return next((s["message"] for s in health["stages"] if s["stage"] == "broker"), "") if health else ""

    def lost() -> int:
        return int(service.get("counts")["upstream_dropped"])

    os.kill(service.pid, signal.SIGSTOP)
    try:
        published(mosquitto.url, [(b"plant/press", b'{"v": %d}' % n) for n in range(5_000)])
    finally:
        os.kill(service.pid, signal.SIGCONT)
    wait_until(lambda: "the broker has dropped" in said(), what="a word about the loss")
    assert service.stage("broker") == "yellow"
    wait_until(
        lambda: service.get("counts")["messages"] + lost() == 5_000, what="the whole loss, as the broker says it"
    )
    arrived = service.get("counts")["messages"]
    assert lost() == 5_000 - arrived > 0
    assert f"driftline_upstream_dropped_total {5_000 - arrived}.0" in (service.fetch("metrics") or "")

    # A broker that has started anew counts from nought; and what it drops while the service is down is seen after.
    mosquitto.stop()
    mosquitto.start()
    wait_until(lambda: service.stage("broker") in ("green", "yellow"), what="the broker's return")
    assert service.end() == 0, service.log
    published(mosquitto.url, [(b"plant/press", b'{"v": %d}' % n) for n in range(3_000)])
    service.start()
    wait_until(lambda: lost() > 5_000 - arrived, what="the loss while it was down")
    wait_until(lambda: service.get("counts")["messages"] + lost() == 8_000, what="a sum of the broker's word and ours")
    report("broker's queue full, before and after its restart", published=8_000, lost_upstream_as_said=lost())
