"""Beside the pipeline: where every message and reading of a step went, as counts and dead letters."""

from __future__ import annotations

from collections import Counter

import numpy as np

from devices.messages import FLAG_REDELIVERED, MessageChunk
from devices.records import MOST_PAYLOAD_KEPT, DeadLetter
from ingest.decoded import Readings, Rejection
from storage.store import JournalEntry

_MOST_DETAIL = 300
"""Characters of one reason: a name in it may be as long as a payload."""


def without_redelivered(chunk: MessageChunk) -> MessageChunk:
    """The chunk without messages that stand earlier in the journal: they were scored there."""
    again = chunk.flags & FLAG_REDELIVERED
    return chunk.take(np.flatnonzero(again == 0)) if again.any() else chunk


def dead_letters_of(readings: Readings, entry: JournalEntry, whole: JournalEntry) -> list[DeadLetter]:
    """One a message. `whole` is the entry with its redelivered messages, in which a message is found by its arrival."""
    chunk = entry.chunk
    of_message: dict[int, list[Rejection]] = {}
    for rejection in readings.rejections:
        of_message.setdefault(rejection.message, []).append(rejection)
    letters = []
    for message, rejections in of_message.items():
        rejected: Counter[str] = Counter()
        for each in rejections:
            rejected[each.reason.value] += each.count
        start, end = chunk.spans[message, 2:4].tolist()
        letters.append(
            DeadLetter(
                offset=whole.offset + int(np.searchsorted(whole.chunk.arrival, chunk.arrival[message])),
                arrival=int(chunk.arrival[message]),
                topic=chunk.topic(message).decode("utf-8", "backslashreplace"),
                payload=chunk.data[start : min(end, start + MOST_PAYLOAD_KEPT)],
                payload_bytes=end - start,
                reason=rejections[0].reason.value,
                detail="\n".join(each.detail[:_MOST_DETAIL] for each in rejections),
                rejected=dict(rejected),
                properties=chunk.encoded_properties(message),
            )
        )
    return letters


def counts_of(
    readings: Readings,
    entry: JournalEntry,
    whole: JournalEntry,
    *,
    anomalies: int,
    alarms_opened: int,
    waiting: int,
    device_rows: int,
    conflicts: int,
    deleted: int,
) -> dict[str, int]:
    """Ledger increments. `received` counts readings; a message that could not be decoded at all counts as one, and so
    do a redelivered one, which is not decoded again, and a device's row that was scored, since it becomes a point.

    `whole` is the entry with its redelivered messages, `waiting` how many more readings than before wait in the reorder
    buffer, `deleted` how many that waited there went with their device.
    """
    counts: Counter[str] = Counter()
    counts["messages"] = len(whole.chunk)
    counts["redelivered"] = counts["duplicates"] = len(whole.chunk) - len(entry.chunk)
    taken = len(readings.series) + sum(each.count for each in readings.rejections) + readings.ignored
    states = len(readings.states) + readings.repeated_states
    taken += states + readings.no_data.total()
    counts["received"] = taken + counts["redelivered"] + device_rows
    for rejection in readings.rejections:
        counts[f"rejected.{rejection.reason.value}"] += rejection.count
    counts["dropped.ignored"] = readings.ignored
    for reason, count in readings.no_data.items():
        counts[f"dropped.{reason.value}"] = count
    counts["dropped.state"] = states
    for odd in readings.odd:
        counts[f"odd.{odd.kind}"] += odd.readings
    counts["dropped.deleted"] = deleted
    counts["conflicts"] = conflicts
    counts["waiting"] = waiting
    counts["anomalies"] = anomalies
    counts["alarms_opened"] = alarms_opened
    counts["undecoded_messages"] = sum(r.whole for r in readings.rejections)
    return {name: count for name, count in counts.items() if count}
