from __future__ import annotations

import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from receiver_bench import Bench, Publisher, journaled, running

from devices.messages import FLAG_QOS, FLAG_REDELIVERED, MessageChunk
from driftline.runtime.broker import start_broker
from ingest.broker_settings import BrokerSettings
from ingest.receiver_state import ReceiverState
from ingest.session import MqttSession
from storage.journal.sqlite_journal import SqliteJournal

pytestmark = [pytest.mark.service("mosquitto"), pytest.mark.timeout(600)]

PROTOCOLS = ["5", "3.1.1"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_messages_of_every_quality_are_journaled_once_and_acknowledged(
    bench: Bench, wait_until: Any, protocol: str
) -> None:
    journal = bench.journal()
    receiver = bench.receiver(journal, protocol=protocol)
    wait_until(running(receiver))
    publisher = bench.publisher()
    sent = {quality: publisher.send(100, quality=quality) for quality in (0, 1, 2)}
    wait_until(lambda: receiver.statistics().messages >= 300)
    assert receiver.stop()

    by_quality: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
    for entry in journal.read(0):
        for i in range(len(entry.chunk)):
            assert entry.chunk.topic(i) == b"plant/a"
            by_quality[int(entry.chunk.flags[i]) & FLAG_QOS].append(entry.chunk.payload(i))
    assert by_quality == sent
    assert receiver.statistics().pending_acknowledgements == 0

    # Everything was acknowledged: the same client finds nothing waiting.
    again = bench.receiver(bench.journal("again"), protocol=protocol)
    wait_until(running(again))
    marker = publisher.send(1)
    wait_until(lambda: again.statistics().messages >= 1)
    assert journaled(bench.journal("again")) == marker


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_appended_is_handed_over_in_order(bench: Bench, wait_until: Any, protocol: str) -> None:
    journal = bench.journal()
    receiver = bench.receiver(journal, protocol=protocol)
    wait_until(running(receiver))
    publisher = bench.publisher()
    for _ in range(5):
        publisher.send(20)
    wait_until(lambda: receiver.statistics().messages == 100)
    entries = list(journal.read(0))
    assert [(e.position, e.offset, e.chunk.data) for e in entries] == [(p, o, c.data) for p, o, c in bench.appended]
    arrival = np.concatenate([e.chunk.arrival for e in entries])
    assert (np.diff(arrival) > 0).all()


class GatedJournal(SqliteJournal):
    """Does not write before it may."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.entered = threading.Event()
        self.gate = threading.Event()

    def append(self, chunk: MessageChunk) -> int:
        if not len(chunk):
            return super().append(chunk)
        self.entered.set()
        assert self.gate.wait(60)
        return super().append(chunk)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("quality", [1, 2])
def test_nothing_is_acknowledged_before_it_is_on_disk(
    bench: Bench, wait_until: Any, protocol: str, quality: int
) -> None:
    stuck = bench.journal("stuck", GatedJournal)
    assert isinstance(stuck, GatedJournal)
    first = bench.receiver(stuck, protocol=protocol)
    wait_until(running(first))
    publisher = bench.publisher()
    sent = publisher.send(50, quality=quality)
    assert stuck.entered.wait(60)

    successor = bench.journal("successor")
    second = bench.receiver(successor, protocol=protocol)
    wait_until(lambda: second.statistics().messages >= 50)
    assert journaled(successor) == sent
    assert second.stop()
    stuck.gate.set()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("quality", [1, 2])
def test_what_is_journaled_and_not_acknowledged_is_marked_when_it_comes_again(
    bench: Bench, wait_until: Any, monkeypatch: pytest.MonkeyPatch, protocol: str, quality: int
) -> None:
    """The first receiver journals and falls silent, as one does that is killed there; the broker then has to ask the
    second one, and half of what it had sent was never read by the first."""
    journal = bench.journal()
    first = bench.receiver(journal, protocol=protocol)
    wait_until(running(first))
    publisher = bench.publisher()
    acknowledged = publisher.send(30, quality=quality)
    wait_until(lambda: first.statistics().messages == 30)
    with monkeypatch.context() as patched:
        patched.setattr(MqttSession, "acknowledge", lambda *_: None)
        silent = publisher.send(30, quality=quality, topic="plant/same")
        wait_until(lambda: first.statistics().messages == 60)
        first.pause()
        unread = publisher.send(30, quality=quality, topic="plant/same")
        assert first.stop()
    second = bench.receiver(journal, protocol=protocol)
    wait_until(lambda: second.statistics().messages == 60)
    bench.broker.stop()
    wait_until(lambda: second.statistics().state == ReceiverState.NO_BROKER)
    bench.broker.start()
    wait_until(running(second))
    more = bench.publisher().send(30, quality=quality, topic="plant/same")
    wait_until(lambda: journaled(journal)[-30:] == more)
    rows = [
        (chunk.payload(i), bool(chunk.flags[i] & FLAG_REDELIVERED))
        for chunk in (entry.chunk for entry in journal.read(0))
        for i in range(len(chunk))
    ]
    # The broker may have ended before it read all acknowledgements of the second receiver, too.
    assert [payload for payload, again in rows if again][:30] == silent
    assert [payload for payload, again in rows if not again] == acknowledged + silent + unread + more


def test_a_new_session_is_marked_in_the_journal(bench: Bench, wait_until: Any) -> None:
    journal = bench.journal()
    for client_id, marks in (("one", 1), ("one", 1), ("two", 2)):
        receiver = bench.receiver(journal, client_id=client_id)
        wait_until(running(receiver))
        assert receiver.stop()
        assert sum(entry.chunk.begins_session for entry in journal.read(0)) == marks
    # Each connection says that nothing was received before it, one that goes on with its session too.
    assert [entry.chunk.after_reception_gap for entry in journal.read(0) if not len(entry.chunk)] == [True] * 3


def test_a_full_journal_holds_messages_back_and_goes_on_by_itself(bench: Bench, wait_until: Any) -> None:
    journal = bench.journal(max_bytes=1 << 20, keep="0s")
    receiver = bench.receiver(journal)
    wait_until(running(receiver))
    publisher = bench.publisher()
    payload = b"x" * 50_000
    sent = 60
    for number in range(sent):
        publisher.client.publish("plant/a", b"%03d" % number + payload, qos=1)
    wait_until(lambda: receiver.statistics().state == ReceiverState.JOURNAL_FULL)
    statistics = receiver.statistics()
    assert "messages wait in memory" in statistics.reason
    assert statistics.messages < sent
    assert statistics.pending_acknowledgements > 0

    seen: set[bytes] = set()

    def work_off() -> bool:
        for entry in journal.read(journal.first_position):
            seen.update(entry.chunk.payload(i)[:3] for i in range(len(entry.chunk)))
            journal.compact(entry.position + 1, time.time_ns())
        return receiver.statistics().messages >= sent

    wait_until(work_off, within=240)
    work_off()
    assert sorted(seen) == [b"%03d" % number for number in range(sent)]
    assert receiver.statistics().state == ReceiverState.RUNNING


def test_a_pause_leaves_messages_at_the_broker(bench: Bench, wait_until: Any) -> None:
    journal = bench.journal()
    receiver = bench.receiver(journal)
    wait_until(running(receiver))
    receiver.pause()
    assert receiver.statistics().state == ReceiverState.PAUSED
    publisher = bench.publisher()
    before = publisher.send(10)
    receiver.request_tick()
    wait_until(lambda: receiver.statistics().chunks >= 1)
    after = publisher.send(10)
    assert receiver.statistics().messages <= len(before)
    receiver.resume()
    wait_until(lambda: receiver.statistics().messages == 20)
    assert journaled(journal) == before + after


def cut_off_for_its_silence(bench: Bench) -> Callable[[], bool]:
    """Connect a client of the same keep-alive that says nothing more: tells whether the broker has cut it off."""
    silent = socket.create_connection((bench.broker.host, bench.broker.port))
    bench.ends.append(silent.close)
    silent.sendall(b"\x10\x12\x00\x04MQTT\x04\x02\x00\x01\x00\x06silent")
    assert silent.recv(4) == b"\x20\x02\x00\x00"
    silent.setblocking(False)

    def is_cut_off() -> bool:
        try:
            return silent.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    return is_cut_off


def test_a_pause_longer_than_keep_alive_does_not_cost_the_connection(bench: Bench, wait_until: Any) -> None:
    receiver = bench.receiver(bench.journal(), keep_alive="1s")
    wait_until(running(receiver))
    receiver.pause()
    wait_until(cut_off_for_its_silence(bench), within=240, what="the end of a client that says nothing")
    receiver.resume()
    sent = bench.publisher().send(5)
    wait_until(lambda: receiver.statistics().messages == len(sent))
    assert receiver.statistics().reconnects == 0


def test_ticks_carry_the_time_where_nothing_arrives(bench: Bench, wait_until: Any) -> None:
    journal = bench.journal()
    times = iter([1000, 500, 2000])
    receiver = bench.receiver(journal, clock=lambda: next(times), url="mqtt://127.0.0.1:1")
    for count in (1, 2, 3):
        receiver.request_tick()
        wait_until(lambda count=count: len(bench.appended) == count)
    assert [(len(e.chunk), e.chunk.ticked_at) for e in journal.read(0)] == [(0, 1000), (0, 1001), (0, 2000)]


def test_offsets_and_arrival_go_on_over_a_restart_with_an_earlier_clock(bench: Bench, wait_until: Any) -> None:
    journal = bench.journal()
    publisher = bench.publisher()
    for clock in (1_000_000, 10):
        receiver = bench.receiver(journal, clock=lambda clock=clock: clock)
        wait_until(running(receiver))
        publisher.send(3)
        wait_until(lambda receiver=receiver: receiver.statistics().messages == 3)
        assert receiver.stop()
    arrival = np.concatenate([e.chunk.arrival for e in journal.read(0)]).tolist()
    # The mark of a connection takes a nanosecond, too.
    assert arrival == [1_000_001, 1_000_002, 1_000_003, 1_000_005, 1_000_006, 1_000_007]
    offsets = [offset for _, offset, chunk in bench.appended if len(chunk)]
    assert offsets == sorted(set(offsets))
    assert journal.next_offset == 6


def test_arrival_follows_a_clock_that_was_set_back(bench: Bench, wait_until: Any) -> None:
    """One message comes while the clock is 40 days ahead: the next ones carry the true time again."""
    journal = bench.journal()
    now = [1_000 * 10**9]
    receiver = bench.receiver(journal, clock=lambda: now[0])
    wait_until(running(receiver))
    publisher = bench.publisher()
    for count, ahead in enumerate((0, 40 * 86_400 * 10**9, 0)):
        now[0] = 1_000 * 10**9 + ahead
        publisher.send(1)
        wait_until(lambda count=count: receiver.statistics().messages == count + 1)
    assert receiver.stop()
    first, wrong, after = np.concatenate([e.chunk.arrival for e in journal.read(0)]).tolist()
    assert wrong > 40 * 86_400 * 10**9
    assert first - 1_000 * 10**9 < 10**6
    assert after == 1_000 * 10**9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restarted_broker_loses_nothing_that_was_delivered_to_us_or_waits_there(
    bench: Bench, wait_until: Any, number: int
) -> None:
    journal = bench.journal()
    receiver = bench.receiver(journal)
    wait_until(running(receiver))
    sent: list[bytes] = []
    for _ in range(3):
        publisher = Publisher(bench.broker.port)
        sent += publisher.send(200)
        publisher.close()
        expected = len(sent)
        wait_until(lambda count=expected: receiver.statistics().messages >= count)
        bench.broker.stop(number)
        wait_until(lambda: receiver.statistics().state == ReceiverState.NO_BROKER)
        bench.broker.start()
        wait_until(running(receiver))
    assert set(sent) <= set(journaled(journal))


def test_stop_drains_what_was_delivered(bench: Bench, wait_until: Any) -> None:
    journal = bench.journal()
    receiver = bench.receiver(journal)
    wait_until(running(receiver))
    sent = bench.publisher().send(500, quality=0)
    probe = bench.publisher()
    marker = probe.send(1)
    wait_until(lambda: receiver.statistics().messages >= 1)
    assert receiver.stop()
    assert receiver.statistics().state == ReceiverState.STOPPED
    got = journaled(journal)
    assert len(got) >= 1
    assert set(got) <= set(sent + marker)


def test_what_arrives_between_two_runs_waits_at_the_broker(bench: Bench, wait_until: Any) -> None:
    journal = bench.journal()
    receiver = bench.receiver(journal)
    wait_until(running(receiver))
    assert receiver.stop()
    sent = bench.publisher().send(100)
    receiver = bench.receiver(journal)
    wait_until(lambda: receiver.statistics().messages == 100)
    assert journaled(journal) == sent


def test_a_huge_payload_is_cut_and_counted_and_the_next_arrives(bench: Bench, wait_until: Any) -> None:
    journal = bench.journal()
    receiver = bench.receiver(journal)
    wait_until(running(receiver))
    publisher = bench.publisher()
    publisher.client.publish("plant/a", bytes(5_000_000), qos=1).wait_for_publish(20)
    publisher.send(1)
    wait_until(lambda: receiver.statistics().messages == 2)
    assert [len(payload) for payload in journaled(journal)] == [100_001, 1]
    assert receiver.statistics().truncated == 1


def test_a_failing_journal_stops_acknowledging_and_says_why(
    bench: Bench, wait_until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    journal = bench.journal()
    receiver = bench.receiver(journal)
    wait_until(running(receiver))
    journal.close()
    publisher = bench.publisher()
    publisher.send(1)
    wait_until(lambda: receiver.statistics().state == ReceiverState.FAILED)
    statistics = receiver.statistics()
    assert not statistics.healthy
    assert statistics.reason.startswith("receiving failed: ")
    assert receiver.stop()
    heir = bench.receiver(bench.journal("heir"))
    wait_until(lambda: heir.statistics().messages == 1)


def test_the_embedded_broker_serves_the_same_receiver(tmp_path: Path, wait_until: Any) -> None:
    handle = start_broker(
        "auto", tmp_path / "broker", which=lambda name: None if name == "mosquitto" else shutil.which(name)
    )
    broker = type("Embedded", (), {"url": handle.url, "port": int(handle.url.rsplit(":", 1)[1])})
    bench = Bench(broker, tmp_path)
    bench.ends.append(handle.stop)
    try:
        journal = bench.journal()
        settings = handle.resolve(BrokerSettings(client_id="driftline"))
        receiver = bench.receiver(journal, protocol=settings.protocol)
        wait_until(running(receiver))
        sent = bench.publisher().send(20)
        wait_until(lambda: receiver.statistics().messages >= 20)
        assert journaled(journal) == sent
        assert receiver.stop()
    finally:
        for end in reversed(bench.ends):
            end()
