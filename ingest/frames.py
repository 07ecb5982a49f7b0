"""Receive: bytes from the socket to spans of PUBLISH frames, many in one compiled call.

Frames are those of MQTT 3.1.1 and 5.0, sections 2.1 (fixed header), 3.3 (PUBLISH), 3.4 (PUBACK) and 3.5 (PUBREC).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit, subkernel
from devices.messages import FLAG_DUPLICATE, FLAG_RETAIN, MessageChunk

PUBACK = 0x40
PUBREC = 0x50

LONGEST_TOPIC = 65_535
MAX_ROWS = 65_536

_FIXED_HEADER = 5
_HEADER_ROOM = LONGEST_TOPIC + 32_768


class Stop(IntEnum):
    """Why the splitter went no further."""

    INCOMPLETE = 0
    """The bytes end within a frame, or at a frame's end."""
    OTHER = 1
    """A whole frame that is no PUBLISH comes next."""
    FULL = 2
    """No row is left for another message."""
    MALFORMED = 3
    """The next frame breaks the specification."""


_INCOMPLETE, _OTHER, _FULL, _MALFORMED = (int(stop) for stop in Stop)


@subkernel
def _variable_integer(data: NDArray[np.uint8], start: int, end: int) -> tuple[int, int]:
    """Value and end of a variable byte integer (section 1.5.5); end 0 where it is cut off, -1 where over four bytes."""
    value = 0
    for i in range(4):
        at = start + i
        if at >= end:
            return 0, 0
        value |= (int(data[at]) & 0x7F) << (7 * i)
        if data[at] < 0x80:
            return value, at + 1
    return 0, -1


@njit(nogil=True)
def split_publishes(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    version_5: bool,
    row: int,
    spans: NDArray[np.int32],
    flags: NDArray[np.uint8],
    packet_ids: NDArray[np.uint16],
    cut: bool,
) -> tuple[int, int, int, int]:
    """Split the complete PUBLISH frames at the front of `data[start:end]` into rows, from `row` on.

    `data` uint8 (m,); `spans` int32 (n, 4), `flags` uint8 (n,) and `packet_ids` uint16 (n,) are written: topic start
    and end, payload start and end; QoS, retain and duplicate bits; the packet identifier, 0 at QoS 0. Properties are
    skipped.

    Returns the next row, where the first frame not taken begins, a `Stop`, and that frame's length (0 where it is not
    known yet). With `cut`, a PUBLISH that goes on past `end` is taken as if it ended there. Reads nothing outside
    `data[start:end]`.
    """
    position = start
    while True:
        if position >= end:
            return row, position, _INCOMPLETE, 0
        first = data[position]
        remaining, body = _variable_integer(data, position + 1, end)
        if body < 0:
            return row, position, _MALFORMED, 0
        if body == 0:
            return row, position, _INCOMPLETE, 0
        stop = body + remaining
        if stop > end:
            if not cut:
                return row, position, _INCOMPLETE, stop - position
            stop = end
        if first >> 4 != 3:
            return row, position, _OTHER, stop - position
        if row >= len(flags):
            return row, position, _FULL, stop - position

        quality = (first >> 1) & 3
        if quality == 3 or body + 2 > stop:
            return row, position, _MALFORMED, stop - position
        topic = body + 2
        at = topic + ((int(data[body]) << 8) | int(data[body + 1]))
        topic_end = at
        packet_id = 0
        if quality > 0:
            at += 2
            if at <= stop:
                packet_id = (int(data[at - 2]) << 8) | int(data[at - 1])
                if packet_id == 0:
                    return row, position, _MALFORMED, stop - position
        if version_5 and at <= stop:
            properties, properties_start = _variable_integer(data, at, stop)
            if properties_start <= 0:
                return row, position, _MALFORMED, stop - position
            at = properties_start + properties
            if cut and at > stop:
                at = stop
        if at > stop:
            return row, position, _MALFORMED, stop - position

        spans[row, 0] = topic
        spans[row, 1] = topic_end
        spans[row, 2] = at
        spans[row, 3] = stop
        flags[row] = quality | (FLAG_RETAIN if first & 1 else 0) | (FLAG_DUPLICATE if first & 8 else 0)
        packet_ids[row] = packet_id
        row += 1
        position = stop


def encode_acknowledgements(kind: int, packet_ids: NDArray[np.uint16]) -> bytes:
    """A run of PUBACK or PUBREC frames (`kind`), one for each packet identifier of uint16 (n,), reason "success"."""
    frames = np.empty((len(packet_ids), 4), np.uint8)
    frames[:, 0] = kind
    frames[:, 1] = 2
    frames[:, 2] = packet_ids >> 8
    frames[:, 3] = packet_ids & 0xFF
    return frames.tobytes()


@dataclass(frozen=True, slots=True)
class Group:
    """Messages to be journaled together, and what is then to be acknowledged on the connection that brought them.

    `packet_ids` uint16 (n,), 0 where there is nothing to acknowledge.
    """

    chunk: MessageChunk
    packet_ids: NDArray[np.uint16]
    connection: int

    @property
    def pending(self) -> int:
        """Acknowledgements that wait for the group to be on disk."""
        return int(np.count_nonzero(self.packet_ids))


class ReceiveBuffer:
    """One group of messages as it comes in: the socket's bytes, and the rows split from them, in preallocated arrays.

    Bytes before `_split` have been gone through; from there to `_filled` they wait for the rest of their frame. When
    the group is taken, its bytes are copied once and become the chunk's `data`.

    A frame too long for the buffer keeps `max_payload + 1` bytes of its payload: memory stays bounded, and the decoder,
    which refuses the payload for its length, still counts it. Such messages are counted in `truncated`.
    """

    def __init__(self, *, group_bytes: int, max_payload: int) -> None:
        self.rows = 0
        self.truncated = 0
        self.longest_frame = max_payload + 1 + _HEADER_ROOM
        self._group_bytes = group_bytes
        self._max_payload = max_payload
        self._bytes = bytearray(group_bytes + self.longest_frame)
        self._view = memoryview(self._bytes)
        self._array = np.frombuffer(self._bytes, np.uint8)
        self._spans = np.empty((MAX_ROWS, 4), np.int32)
        self._flags = np.empty(MAX_ROWS, np.uint8)
        self._packet_ids = np.empty(MAX_ROWS, np.uint16)
        self._arrival = np.empty(MAX_ROWS, np.int64)
        self._split = 0
        self._filled = 0
        self._frame_bytes = 0
        self._to_skip = 0

    @property
    def is_full(self) -> bool:
        """The group is to be taken before more is read."""
        return self._split >= self._group_bytes or self.rows >= MAX_ROWS

    @property
    def group_bytes(self) -> int:
        """Bytes that the group holds so far."""
        return self._split

    def warm_up(self) -> None:
        """Compile or load the splitter, so that the first message does not wait for it."""
        self.split(version_5=True)

    def fill(self, receive: Callable[[memoryview], int]) -> tuple[int, bool]:
        """Read once with `receive` (as `socket.recv_into`), no more than the group has room for.

        Returns the bytes read, and whether that was all that there was room for.
        """
        wanted = max(_FIXED_HEADER, min(self._frame_bytes, self.longest_frame))
        limit = max(self._group_bytes, self._split + wanted)
        room = limit - self._filled
        count = receive(self._view[self._filled : limit])
        if count > 0:
            skipped = min(count, self._to_skip)
            if skipped:
                kept = bytes(self._view[self._filled + skipped : self._filled + count])
                self._view[self._filled : self._filled + len(kept)] = kept
                self._to_skip -= skipped
            self._filled += count - skipped
        return count, count == room

    def split(self, version_5: bool) -> Stop:
        """Split what can be split into rows. `frame()` then gives the frame that stopped it, where that is whole."""
        stop = self._advance(version_5, cut=False)
        if stop == Stop.INCOMPLETE and self._frame_bytes > self.longest_frame:
            held = self._filled - self._split
            if held >= self.longest_frame:
                whole = self._frame_bytes
                stop = self._advance(version_5, cut=True)
                if stop == Stop.OTHER:
                    return Stop.MALFORMED
                if stop == Stop.INCOMPLETE:
                    self._spans[self.rows - 1, 3] = min(
                        self._filled, self._spans[self.rows - 1, 2] + self._max_payload + 1
                    )
                    self._to_skip = whole - held
                    self.truncated += 1
        return stop

    def _advance(self, version_5: bool, *, cut: bool) -> Stop:
        self.rows, self._split, stop, self._frame_bytes = split_publishes(
            self._array,
            self._split,
            self._filled,
            version_5,
            self.rows,
            self._spans,
            self._flags,
            self._packet_ids,
            cut,
        )
        return Stop(stop)

    def frame(self) -> bytes:
        """The whole frame that stopped the splitter, which goes on behind it."""
        frame = bytes(self._view[self._split : self._split + self._frame_bytes])
        self._split += self._frame_bytes
        self._frame_bytes = 0
        if self.rows == 0:
            self._rewind()
        return frame

    def add(self, topic: bytes, payload: bytes, flags: int, packet_id: int, properties: bytes = b"") -> None:
        """Add a message that was split elsewhere, with its encoded properties, of which 32 kB are the most that are
        kept. The group must not be full.
        """
        if len(payload) > self._max_payload:
            payload = payload[: self._max_payload + 1]
            self.truncated += 1
        if len(properties) > _HEADER_ROOM - LONGEST_TOPIC - _FIXED_HEADER:
            properties = b"\0"
        between = (packet_id.to_bytes(2) if packet_id else b"") + properties
        start, middle = self._split, self._split + len(topic)
        begin = middle + len(between)
        end = begin + len(payload)
        self._view[start:end] = topic + between + payload
        self._spans[self.rows] = (start, middle, begin, end)
        self._flags[self.rows] = flags
        self._packet_ids[self.rows] = packet_id
        self.rows += 1
        self._split = self._filled = end

    def flags(self, first_row: int) -> NDArray[np.uint8]:
        """QoS, retain, duplicate and redelivered bits of each message from `first_row` on, uint8; may be written to."""
        return self._flags[first_row : self.rows]

    def packet_ids(self, first_row: int) -> NDArray[np.uint16]:
        """Packet identifier of each message from `first_row` on, uint16; 0 where nothing is to be acknowledged."""
        return self._packet_ids[first_row : self.rows]

    def message(self, row: int) -> tuple[bytes, bytes]:
        """Topic and payload of one message."""
        start, middle, begin, end = self._spans[row].tolist()
        return bytes(self._view[start:middle]), bytes(self._view[begin:end])

    def stamp(self, first_row: int, arrival: int) -> None:
        """Give the messages from `first_row` on the arrival times `arrival`, `arrival + 1`, ... (ns since 1970)."""
        self._arrival[first_row : self.rows] = np.arange(arrival, arrival + self.rows - first_row)

    def disconnect(self) -> None:
        """Forget the half frame that the lost connection leaves, and the identifiers that mean nothing on the next."""
        self._packet_ids[: self.rows] = 0
        self._filled = self._split
        self._to_skip = self._frame_bytes = 0

    def take(self) -> tuple[MessageChunk, NDArray[np.uint16]]:
        """The group as a chunk, with the packet identifiers; bytes not yet split stay for the next group.

        Needs at least one stamped message.
        """
        rows = self.rows
        arrival = self._arrival[:rows].copy()
        chunk = MessageChunk(
            bytes(self._view[: self._split]),
            self._spans[:rows].copy(),
            arrival,
            self._flags[:rows].copy(),
            int(arrival[-1]),
        )
        packet_ids = self._packet_ids[:rows].copy()
        self.rows = 0
        self._rewind()
        return chunk, packet_ids

    def _rewind(self) -> None:
        """Move the bytes that were not split yet to the front."""
        waiting = self._filled - self._split
        self._view[:waiting] = bytes(self._view[self._split : self._filled])
        self._split, self._filled = 0, waiting
