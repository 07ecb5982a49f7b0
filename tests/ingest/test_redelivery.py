from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.storage_errors import StorageCorruptError
from devices.messages import FLAG_DUPLICATE, FLAG_REDELIVERED, MessageChunk
from ingest.frames import ReceiveBuffer
from ingest.redelivery import Redeliveries

Row = tuple[int, bytes, bytes]
"""Packet identifier, topic and payload of a message of QoS 1."""


def buffer_of(rows: Sequence[Row], flags: int) -> ReceiveBuffer:
    buffer = ReceiveBuffer(group_bytes=65_536, max_payload=1_000)
    for packet_id, topic, payload in rows:
        buffer.add(topic, payload, flags, packet_id)
    return buffer


def chunk_of(*rows: Row, flags: int = 1) -> MessageChunk:
    buffer = buffer_of(rows, flags)
    buffer.stamp(0, 1)
    return buffer.take()[0]


def marked(
    journaled: Sequence[MessageChunk], *rows: Row, flags: int = 1 | FLAG_DUPLICATE, present: bool = True
) -> list[bool]:
    """Which of the messages that come on a new connection are known from the journal, given oldest first."""
    redeliveries = Redeliveries(lambda: iter(journaled[::-1]))
    redeliveries.connected(session_present=present)
    buffer = buffer_of(rows, flags)
    redeliveries.mark(buffer, 0)
    return [bool(flag & FLAG_REDELIVERED) for flag in buffer.flags(0)]


ON = (7, b"lamp", b"on")


def test_a_message_is_known_by_identifier_topic_payload_and_quality() -> None:
    journal = [chunk_of((6, b"lamp", b"off"), ON)]
    assert marked(journal, ON) == [True]
    assert marked(journal, (8, b"lamp", b"on")) == [False]
    assert marked(journal, (7, b"door", b"on")) == [False]
    assert marked(journal, (7, b"lamp", b"of")) == [False]
    assert marked(journal, (7, b"lam", b"pon")) == [False]
    assert marked(journal, ON, flags=2 | FLAG_DUPLICATE) == [False]


def test_without_the_duplicate_flag_it_is_another_message() -> None:
    assert marked([chunk_of(ON)], ON, flags=1) == [False]


def test_one_journaled_message_explains_one_redelivery() -> None:
    assert marked([chunk_of(ON)], ON, ON) == [True, False]


def test_an_identifier_given_to_several_messages_explains_none() -> None:
    """A broker that hands identifiers out again at once: the one that comes again may never have been read."""
    assert marked([chunk_of(ON), chunk_of(ON)], ON) == [False]
    assert marked([chunk_of((7, b"lamp", b"off")), chunk_of(ON)], ON) == [False]


def test_a_redelivery_in_the_journal_is_not_another_message() -> None:
    again = chunk_of(ON, flags=1 | FLAG_DUPLICATE | FLAG_REDELIVERED)
    assert marked([chunk_of(ON), again, again], ON) == [True]


def test_nothing_is_known_of_before_the_session() -> None:
    mark = MessageChunk.session_mark(5)
    assert mark.begins_session
    assert not MessageChunk.of([], ticked_at=5).begins_session
    assert marked([chunk_of(ON), mark], ON) == [False]
    assert marked([chunk_of(ON), mark, chunk_of(ON)], ON) == [True]
    assert marked([chunk_of(ON)], ON, present=False) == [False]


def test_the_last_65_535_messages_are_looked_through() -> None:
    """As many as there are identifiers: beyond, a broker that counts them up has given this one to another."""
    rows = [(n, b"t", b"%d" % n) for n in range(1, 65_536)]
    journal = [chunk_of(*rows[start : start + 1_000]) for start in range(0, len(rows), 1_000)]
    assert marked(journal, rows[0], rows[-1]) == [True, True]
    assert marked([*journal, chunk_of((1, b"t", b"later"))], rows[0], rows[1]) == [False, True]


def test_messages_that_carry_no_identifier_are_passed_over() -> None:
    other = MessageChunk.of([(b"lamp", b"on", 1, 1), (b"lamp", b"on", 2, 0)])
    assert other.packet_ids().tolist() == [0, 0]
    assert marked([chunk_of(ON), other], ON) == [True]


def test_a_damaged_journal_is_read_as_far_as_it_goes() -> None:
    def journaled() -> Iterator[MessageChunk]:
        yield chunk_of(ON)
        raise StorageCorruptError("position 3 is damaged")

    redeliveries = Redeliveries(journaled)
    buffer = buffer_of([ON, (8, b"lamp", b"on")], 1 | FLAG_DUPLICATE)
    redeliveries.mark(buffer, 0)
    assert [bool(flag & FLAG_REDELIVERED) for flag in buffer.flags(0)] == [True, False]


def test_an_unreleased_message_of_qos_2_is_known_by_its_identifier_until_its_release() -> None:
    redeliveries = Redeliveries(lambda: iter(()))

    def deliver(flags: int) -> bool:
        buffer = buffer_of([(9, b"t", b"any")], flags)
        redeliveries.mark(buffer, 0)
        return bool(buffer.flags(0)[0] & FLAG_REDELIVERED)

    assert not deliver(2)
    redeliveries.connected(session_present=True)
    assert deliver(2 | FLAG_DUPLICATE)
    redeliveries.released(9)
    assert not deliver(2)
    redeliveries.connected(session_present=False)
    assert not deliver(2 | FLAG_DUPLICATE)
