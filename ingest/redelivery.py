"""Receive: messages that the broker delivers again, recognised by what the journal holds.

A broker that did not get the acknowledgement of a message sends it again on the next connection of the session, with
the DUP flag and the same packet identifier (MQTT 3.1.1 and 5.0, sections 3.3.1.1 and 4.4). By then the message may be
in the journal: its acknowledgement was lost, or the process was killed before it was sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from hashlib import blake2b

import numpy as np

from common.storage_errors import StorageCorruptError
from devices.messages import FLAG_DUPLICATE, FLAG_QOS, FLAG_REDELIVERED, MessageChunk
from ingest.frames import ReceiveBuffer

log = logging.getLogger(__name__)

MOST_IDENTIFIERS = 65_535
"""Packet identifiers that a session has: more messages cannot wait for their acknowledgement."""

_QOS_2 = 2
_LOOK_BACK_BYTES = 256 << 20

Journaled = Callable[[], Iterator[MessageChunk]]
"""What the journal holds, the newest chunk first."""


def nothing_journaled() -> Iterator[MessageChunk]:
    """Of a session whose messages go elsewhere."""
    return iter(())


class Redeliveries:
    """Marks the messages of one session that are in the journal already with `FLAG_REDELIVERED`.

    The DUP flag alone tells nothing: the first delivery may have been lost on its way. A message is marked where its
    quality, packet identifier, topic and payload are those of one that was journaled since the session began. Where the
    broker has given that identifier to several of the last 65,535 messages it cannot be known which of them comes
    again, and the message is not marked: nothing is lost for the sake of nothing twice. A message of QoS 2 is known by
    its identifier alone until it is released (section 4.3.3).

    The journal is looked through once a connection, and only where a message with the DUP flag comes.
    """

    def __init__(self, journaled: Journaled) -> None:
        self._journaled = journaled
        self._known: dict[int, bytes | None] | None = None
        self._unreleased: set[int] = set()

    def connected(self, *, session_present: bool) -> None:
        """A connection begins. Where the broker has no session for it, nothing of before comes again."""
        self._known = None if session_present else {}
        if not session_present:
            self._unreleased.clear()

    def released(self, packet_id: int) -> None:
        """The broker has let go of a message of QoS 2: its identifier may be given to another."""
        self._unreleased.discard(packet_id)

    def mark(self, buffer: ReceiveBuffer, first_row: int) -> None:
        """Mark the messages from `first_row` on that have come before."""
        flags = buffer.flags(first_row)
        packet_ids = buffer.packet_ids(first_row)
        for row in np.flatnonzero(flags & (FLAG_DUPLICATE | _QOS_2)).tolist():
            packet_id = int(packet_ids[row])
            if not packet_id:
                continue
            quality = int(flags[row]) & FLAG_QOS
            if flags[row] & FLAG_DUPLICATE and (
                packet_id in self._unreleased
                or self._is_journaled(packet_id, quality, *buffer.message(first_row + row))
            ):
                flags[row] |= FLAG_REDELIVERED
            if quality == _QOS_2:
                self._unreleased.add(packet_id)

    def _is_journaled(self, packet_id: int, quality: int, topic: bytes, payload: bytes) -> bool:
        if self._known is None:
            self._known = _identities(self._journaled())
        if self._known.get(packet_id) != _digest(quality, topic, payload):
            return False
        del self._known[packet_id]
        return True


def _identities(chunks: Iterator[MessageChunk]) -> dict[int, bytes | None]:
    """Digest by packet identifier of what the session's last messages were; None where an identifier came twice."""
    known: dict[int, bytes | None] = {}
    messages = size = 0
    try:
        for chunk in chunks:
            if chunk.begins_session or messages >= MOST_IDENTIFIERS or size > _LOOK_BACK_BYTES:
                break
            size += len(chunk.data)
            packet_ids = chunk.packet_ids()
            rows = np.flatnonzero((packet_ids > 0) & ((chunk.flags & FLAG_REDELIVERED) == 0))[::-1]
            rows = rows[: MOST_IDENTIFIERS - messages]
            messages += len(rows)
            qualities = chunk.flags & FLAG_QOS
            for row, packet_id in zip(rows.tolist(), packet_ids[rows].tolist(), strict=True):
                digest = _digest(int(qualities[row]), chunk.topic(row), chunk.payload(row))
                known[packet_id] = None if packet_id in known else digest
    except StorageCorruptError as error:
        log.warning("messages that the broker delivers again may be stored twice: %s", error)
    return known


def _digest(quality: int, topic: bytes, payload: bytes) -> bytes:
    head = b"%d %d " % (quality, len(topic))
    return blake2b(head + topic + payload, digest_size=16).digest()
