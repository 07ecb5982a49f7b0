"""What is journaled beside what the broker delivers: actions of people, messages from elsewhere, and once more."""

from __future__ import annotations

import time
from typing import Any

import pytest
from receiver_bench import Bench, journaled, running

from common.storage_errors import StorageFullError
from ingest.broker_settings import BrokerSettings
from ingest.receive import Receiver
from ingest.session import MqttSession

pytestmark = [pytest.mark.service("mosquitto"), pytest.mark.timeout(600)]


def test_what_people_do_is_journaled_behind_the_messages_that_came_before(bench: Bench, wait_until: Any) -> None:
    journal = bench.journal()
    receiver = bench.receiver(journal)
    wait_until(running(receiver))
    sent = bench.publisher().send(5)
    wait_until(lambda: journaled(journal) == sent)
    position = receiver.given.append_actions(b"[]", timeout=240)
    entries = list(journal.read(0))
    assert entries[position].chunk.actions == b"[]"
    assert [entry.chunk.actions for entry in entries[:position]] == [None] * position
    ticks = [entry.chunk.ticked_at for entry in entries]
    assert ticks == sorted(set(ticks))
    assert bench.appended[-1][0] == position


def test_messages_that_came_another_way_stand_in_the_journal_with_arrivals_of_their_own(
    bench: Bench, wait_until: Any
) -> None:
    journal = bench.journal()
    receiver = bench.receiver(journal)
    wait_until(running(receiver))
    bench.publisher().send(2)
    wait_until(lambda: len(journaled(journal)) == 2)
    position = receiver.given.append_messages([(b"a", b"1"), (b"b", b"2")], timeout=240)
    *before, entry = journal.read(0)
    assert entry.position == position
    assert [(entry.chunk.topic(i), entry.chunk.payload(i)) for i in range(2)] == [(b"a", b"1"), (b"b", b"2")]
    assert before[-1].chunk.ticked_at < entry.chunk.arrival[0] < entry.chunk.arrival[1]
    assert (entry.offset, receiver.statistics().messages) == (2, 4)


def test_messages_are_journaled_once_more_with_the_arrival_that_they_had(bench: Bench, wait_until: Any) -> None:
    journal = bench.journal()
    receiver = bench.receiver(journal)
    wait_until(running(receiver))
    sent = bench.publisher().send(5)
    wait_until(lambda: journaled(journal) == sent)
    position, offset = receiver.given.append_again(
        [(b"a", b"1", 100), (b"b", b"2", 90), (b"a", b"3", 200)], timeout=240
    )
    (entry,) = journal.read(position)
    assert (offset, entry.offset, entry.chunk.arrival.tolist()) == (5, 5, [100, 101, 200])
    assert [(entry.chunk.topic(i), entry.chunk.payload(i)) for i in range(3)] == [
        (b"a", b"1"),
        (b"b", b"2"),
        (b"a", b"3"),
    ]
    assert receiver.statistics().messages == 8


def test_what_people_do_in_a_full_journal_is_refused_with_the_reason(bench: Bench, wait_until: Any) -> None:
    journal = bench.journal(max_bytes=1 << 20)
    receiver = bench.receiver(journal)
    wait_until(running(receiver))
    with pytest.raises(StorageFullError, match="journal"):
        for _ in range(100):
            receiver.given.append_actions(b"x" * 50_000, timeout=240)


def test_what_is_said_not_to_be_journaled_is_not_journaled_later(bench: Bench, wait_until: Any) -> None:
    journal = bench.journal()
    session = MqttSession(
        BrokerSettings(url=bench.broker.url, client_id="late"), {}, group_bytes=65_536, max_payload=1_000
    )
    receiver = Receiver(session, journal, time.time_ns)
    with pytest.raises(TimeoutError):
        receiver.given.append_messages([(b"a", b"1")], timeout=0.01)
    receiver.start()
    receiver.given.append_messages([(b"a", b"2")], timeout=240)
    assert receiver.stop()
    assert journaled(journal) == [b"2"]
