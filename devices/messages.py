"""Receive, its unit: a run of raw MQTT messages, columnar from the socket onward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from devices.message_properties import MessageProperties, parse_properties

FLAG_QOS = 0b0000_0011
FLAG_RETAIN = 0b0000_0100
FLAG_DUPLICATE = 0b0000_1000
"""The broker's word (DUP) that it may have sent the message before."""
FLAG_REDELIVERED = 0b0001_0000
"""Ours, set by the receiver: this very message is in the journal already, to be acknowledged and counted alone."""

_SESSION_MARK = b"new session"
_GAP_MARK = b"reception gap"
_ACTIONS_MARK = b"actions "


@dataclass(frozen=True, slots=True)
class Payloads:
    """Byte spans of one buffer: payload `i` is `data[start[i]:end[i]]`.

    Shapes: `start`, `end` int32 (n,). What surrounds the payloads, for the few codecs that need it: `topics` int32
    (n, 2), start and end of each topic in the buffer, and `arrival` int64 (n,) ns; None where it is not known.
    """

    data: bytes
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    topics: NDArray[np.int32] | None = None
    arrival: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, index: int) -> bytes:
        return self.data[self.start[index] : self.end[index]]

    def to_list(self) -> list[bytes]:
        """Every payload as its own bytes object."""
        data = self.data
        return [data[a:b] for a, b in zip(self.start.tolist(), self.end.tolist(), strict=True)]

    def take(self, index: NDArray[np.intp]) -> Payloads:
        """The payloads at `index`, over the same buffer."""
        topics = None if self.topics is None else self.topics[index]
        arrival = None if self.arrival is None else self.arrival[index]
        return Payloads(self.data, self.start[index], self.end[index], topics, arrival)

    def topic(self, index: int) -> str:
        """The topic of payload `index`; empty where it is not known."""
        if self.topics is None:
            return ""
        return self.data[self.topics[index, 0] : self.topics[index, 1]].decode("utf-8", "replace")

    def arrival_of(self, index: int) -> int | None:
        """When payload `index` arrived, ns since the epoch; None where it is not known."""
        return None if self.arrival is None else int(self.arrival[index])


@dataclass(frozen=True, slots=True)
class MessageChunk:
    """A run of raw messages in arrival order, as the journal stores them.

    `data` holds the bytes of all topics and payloads (and may hold bytes between them); `spans` int32 (n, 4) gives
    topic start, topic end, payload start, payload end of each message; `arrival` int64 (n,) is nanoseconds since the
    epoch, strictly increasing within the chunk; `flags` uint8 (n,) holds QoS, retain, duplicate and redelivered
    bits. Where bytes stand between topic and payload of a message of QoS 1 or 2, the first two are its packet
    identifier, as in the frame that brought it. A chunk without messages is a tick: `ticked_at` tells how far arrival
    time has come. Kinds of ticks of their own mark that the broker began a new session, mark the end of a time in which
    nothing was received, and hold what people did.
    """

    data: bytes
    spans: NDArray[np.int32]
    arrival: NDArray[np.int64]
    flags: NDArray[np.uint8]
    ticked_at: int

    def __len__(self) -> int:
        return len(self.arrival)

    def topic(self, index: int) -> bytes:
        """Topic of message `index`, as received: UTF-8 is not yet checked."""
        return self.data[self.spans[index, 0] : self.spans[index, 1]]

    def payload(self, index: int) -> bytes:
        """Payload of message `index`."""
        return self.data[self.spans[index, 2] : self.spans[index, 3]]

    def payloads(self) -> Payloads:
        """All payloads as spans over the chunk's buffer."""
        return Payloads(self.data, self.spans[:, 2], self.spans[:, 3], self.spans[:, :2], self.arrival)

    def packet_ids(self) -> NDArray[np.uint16]:
        """Packet identifier of each message, uint16 (n,); 0 at QoS 0 and where it did not come by MQTT."""
        found = np.zeros(len(self), np.uint16)
        at = self.spans[:, 1]
        rows = np.flatnonzero(((self.flags & FLAG_QOS) > 0) & (self.spans[:, 2] - at >= 2))
        data = np.frombuffer(self.data, np.uint8)
        at = at[rows]
        found[rows] = (data[at].astype(np.uint16) << 8) | data[at + 1]
        return found

    @property
    def begins_session(self) -> bool:
        """Whether this is the mark of a new session: no message before it can be delivered again."""
        return len(self) == 0 and self.data == _SESSION_MARK

    @property
    def after_reception_gap(self) -> bool:
        """Whether nothing was received since the entry before this: what was sent meanwhile may still come."""
        return len(self) == 0 and self.data in (_SESSION_MARK, _GAP_MARK)

    @property
    def actions(self) -> bytes | None:
        """What people did, where the chunk holds that in place of messages; None where it does not."""
        if len(self) == 0 and self.data.startswith(_ACTIONS_MARK):
            return self.data[len(_ACTIONS_MARK) :]
        return None

    def take(self, index: NDArray[np.intp]) -> MessageChunk:
        """The messages at `index`, over the same buffer."""
        return MessageChunk(self.data, self.spans[index], self.arrival[index], self.flags[index], self.ticked_at)

    def part(self, start: int, end: int) -> MessageChunk:
        """The messages from `start` to `end`, exclusive and at least one, over the same buffer."""
        arrival = self.arrival[start:end]
        return MessageChunk(self.data, self.spans[start:end], arrival, self.flags[start:end], int(arrival[-1]))

    @classmethod
    def of_actions(cls, body: bytes, *, ticked_at: int) -> MessageChunk:
        """A tick that holds what people did: see `alerts.actions`."""
        return replace(cls.of([], ticked_at=ticked_at), data=_ACTIONS_MARK + body)

    @classmethod
    def session_mark(cls, ticked_at: int) -> MessageChunk:
        """A tick that marks the begin of a new session with the broker."""
        return replace(cls.of([], ticked_at=ticked_at), data=_SESSION_MARK)

    @classmethod
    def reception_gap(cls, ticked_at: int) -> MessageChunk:
        """A tick up to which nothing was received since the entry before it."""
        return replace(cls.of([], ticked_at=ticked_at), data=_GAP_MARK)

    def between(self, index: int) -> bytes:
        """What stands between topic and payload of message `index`: packet identifier, and properties of MQTT 5."""
        return self.data[self.spans[index, 1] : self.spans[index, 2]]

    def encoded_properties(self, index: int) -> bytes:
        """The properties of message `index` as `encode_properties` gives them, empty where it has none."""
        encoded = self.between(index)[2 if self.flags[index] & FLAG_QOS else 0 :]
        return b"" if encoded == b"\0" else encoded

    def properties(self, index: int) -> MessageProperties:
        """The properties of message `index`."""
        return parse_properties(self.between(index), has_packet_id=bool(self.flags[index] & FLAG_QOS))

    @classmethod
    def of(
        cls,
        messages: list[tuple[bytes, bytes, int, int]],
        *,
        ticked_at: int = 0,
        properties: Sequence[bytes] = (),
    ) -> MessageChunk:
        """Build a chunk from (topic, payload, arrival ns, flags) tuples, and the encoded properties of each, if any."""
        spans = np.empty((len(messages), 4), np.int32)
        parts: list[bytes] = []
        position = 0
        for i, (topic, payload, _, flags_) in enumerate(messages):
            between = (bytes(2) if flags_ & FLAG_QOS else b"") + properties[i] if properties and properties[i] else b""
            middle = position + len(topic)
            begin = middle + len(between)
            spans[i] = (position, middle, begin, begin + len(payload))
            position = begin + len(payload)
            parts += (topic, between, payload)
        arrival = np.array([m[2] for m in messages], np.int64)
        flags = np.array([m[3] for m in messages], np.uint8)
        return cls(b"".join(parts), spans, arrival, flags, int(arrival[-1]) if messages else ticked_at)
