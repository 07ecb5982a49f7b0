"""Messages as columns: what each span holds, and the ticks that are no messages."""

from __future__ import annotations

import numpy as np

from devices.messages import FLAG_QOS, MessageChunk, Payloads

MESSAGES = [(b"a/t", b"21.5", 100, 1), (b"b", b"", 105, 0), ("ä".encode(), b"{}", 107, 2)]


def test_topics_payloads_and_arrivals_are_those_given() -> None:
    chunk = MessageChunk.of(MESSAGES, ticked_at=5)
    assert [(chunk.topic(n), chunk.payload(n)) for n in range(3)] == [(t, p) for t, p, _, _ in MESSAGES]
    assert (len(chunk), chunk.ticked_at, chunk.arrival.tolist()) == (3, 107, [100, 105, 107])
    payloads = chunk.payloads()
    assert (len(payloads), payloads.to_list(), payloads[2]) == (3, [b"21.5", b"", b"{}"], b"{}")
    assert [payloads.topic(n) for n in range(3)] == ["a/t", "b", "ä"]
    assert payloads.arrival_of(1) == 105
    some = payloads.take(np.array([2, 0]))
    assert (some.to_list(), some.topic(0), some.arrival_of(1)) == ([b"{}", b"21.5"], "ä", 100)
    bare = Payloads(payloads.data, payloads.start, payloads.end).take(np.array([0]))
    assert (bare.topic(0), bare.arrival_of(0)) == ("", None)


def test_a_part_ticks_at_its_last_message_and_a_choice_as_the_whole() -> None:
    chunk = MessageChunk.of(MESSAGES)
    part, chosen = chunk.part(0, 2), chunk.take(np.array([0]))
    assert (len(part), part.ticked_at, part.payload(1), chosen.ticked_at, len(chosen)) == (2, 105, b"", 107, 1)


def test_the_packet_identifier_stands_before_the_payload_of_what_is_acknowledged() -> None:
    data = b"t\x01\x02x" + b"t\x01\x02x" + b"t\x03x"
    spans = np.array([(0, 1, 3, 4), (4, 5, 7, 8), (8, 9, 10, 11)], np.int32)
    chunk = MessageChunk(data, spans, np.arange(3), (np.array([1, 0, 2]) & FLAG_QOS).astype(np.uint8), 2)
    assert chunk.packet_ids().tolist() == [258, 0, 0]


def test_a_tick_is_told_by_its_mark() -> None:
    ticks = [
        MessageChunk.of([], ticked_at=9), MessageChunk.session_mark(9), MessageChunk.reception_gap(9),
        MessageChunk.of_actions(b"[]", ticked_at=9),
    ]  # fmt: skip
    assert [(t.begins_session, t.after_reception_gap, t.actions, t.ticked_at) for t in ticks] == [
        (False, False, None, 9),
        (True, True, None, 9),
        (False, True, None, 9),
        (False, False, b"[]", 9),
    ]
    posing = MessageChunk.of([(b"new ", b"session", 1, 0)])
    assert (posing.begins_session, posing.after_reception_gap) == (False, False)
    assert MessageChunk.of([(b"actions ", b"[]", 1, 0)]).actions is None
