"""Between journal and decode: an entry in the parts that are stepped one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ingest.decode import Decoder
from ingest.ledger import without_redelivered
from ingest.routed import RoutedChunk
from storage.store import JournalEntry


def entry_parts(
    entry: JournalEntry, until_look: Callable[[NDArray[np.int64]], int], decoder: Decoder
) -> Iterator[tuple[JournalEntry, RoutedChunk]]:
    """The entry in parts, mostly whole, and what is to be decoded of each. Each is stepped before the next is asked.

    `until_look` says how many messages of these arrivals (n,) are stepped together: a message by whose arrival somebody
    may have fallen silent is a part of its own, so that the alarms, and the series that they are of, are numbered as
    they come. A description that changes how readings are read, or what they are called, begins a part.
    """
    start, count = 0, len(entry.chunk)
    while start < count or not start:
        length = until_look(entry.chunk.arrival[start:])
        part = _part(entry, start, start + length)
        routed = decoder.route(without_redelivered(part.chunk))
        while (known := decoder.until_news(routed)) < len(routed):
            cut = int(np.searchsorted(part.chunk.arrival, routed.chunk.arrival[known]))
            yield _part(part, 0, cut), routed.part(0, known)
            part, routed = _part(part, cut, len(part.chunk)), routed.part(known, len(routed))
        yield part, routed
        start += max(length, 1)


def _part(entry: JournalEntry, start: int, end: int) -> JournalEntry:
    """The messages of an entry from `start` to `end`, exclusive; the entry itself where that is all of them."""
    if end - start == len(entry.chunk):
        return entry
    return replace(entry, offset=entry.offset + start, chunk=entry.chunk.part(start, end))
