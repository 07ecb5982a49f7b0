"""What the tests of shards share: messages, each shard's part of them, and what one machine makes of all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

from journal_cuts import SECOND
from journal_cuts import encoded as encoded_messages

from devices.batch import ScoredBatch
from devices.messages import MessageChunk
from driftline.cluster.shard import Record, self_contained, shard_settings
from driftline.config import Config
from driftline.runtime.recovery import engine_of_settings
from storage.store import JournalEntry, StepOutput

PLANT = Config.model_validate(
    {
        "detectors": {
            "default": {"type": "zscore", "warmup": 5},
            "limits": {"type": "threshold", "upper": 50.0},
            "joint": {"type": "joint", "warmup": 8, "channels": 3},
        },
        "routes": [
            {"filter": "slow/#", "reorder_window": "4s", "detectors": ["default", "joint"]},
            {"filter": "plain/#", "codec": "plain", "device": "{topic[0]}/{topic[1]}", "metric": "{topic[2]}",
             "detectors": ["default", "limits", "joint"]},
            {"filter": "#", "detectors": ["limits", "joint"]},
        ],
        "alarm": {"threshold": 2.0, "clear_after": "3s", "clear_readings": 2},
    }
)  # fmt: skip
TOPICS = ("slow/pump", "slow/fan", "slow/saw", "plain/oven/heat", "plain/oven/power", "rest/press", "rest/mill", "a\0b")


def device_of(topic: bytes) -> bytes:
    """What a receiver writes as the key."""
    return b"/".join(topic.split(b"/")[:2])


def shard_of(topic: bytes, shards: int) -> int:
    return crc32(device_of(topic)) % shards


def logs(records: Sequence[Record], shards: int, *, ticks: bool = True) -> list[list[Record]]:
    """Each shard's own messages; and `ticks` at the first arrival of each second, and at the last of all."""
    parts: list[list[Record]] = [[] for _ in range(shards)]
    second = 0
    for record in records:
        own = shard_of(record.topic, shards)
        if ticks and (record.arrived // SECOND != second or record is records[-1]):
            second = record.arrived // SECOND
            for number, part in enumerate(parts):
                if number != own:
                    part.append(Record(b"", b"", record.arrived))
        parts[own].append(record)
    return parts


def by_one_machine(config: Config, records: Sequence[Record]) -> StepOutput:
    """All messages in one entry of a journal, and what one engine makes of it."""
    engine = engine_of_settings(shard_settings(config), [])
    assert engine is not None
    chunk = MessageChunk.of([(each.topic, each.payload, each.arrived, each.flags) for each in records])
    return self_contained(engine.step(JournalEntry(0, 0, chunk)), engine.registry.records)


def names_of(output: StepOutput) -> list[str]:
    return [f"{record.device} {record.metric}" for record in output.series]


def tables(outputs: Sequence[StepOutput]) -> dict[str, object]:
    """What a store would hold, by names of series in place of their numbers."""
    points, alarms = defaultdict(list), defaultdict(list)
    records: dict[str, tuple[str, str]] = {}
    letters: list[str] = []
    counts: Counter[str] = Counter()
    for output in outputs:
        known = {record.series: f"{record.device} {record.metric}" for record in output.series}
        records |= {known[record.series]: (record.unit, record.kind) for record in output.series}
        columns = [getattr(output.points, name).tolist() for name in ScoredBatch.__slots__]
        for series, *row in zip(*columns, strict=True):
            points[known[series]].append(repr(row))
        for alarm in output.alarms:
            alarms[known[alarm.series]].append(repr(replace(alarm, series=0, alarm=0)))
        letters += [repr(replace(letter, offset=0)) for letter in output.dead_letters]
        counts.update(output.counts)
    return {
        "points": {name: sorted(rows) for name, rows in points.items()},
        "alarms": dict(alarms),
        "series": records,
        "dead letters": sorted(letters),
        "counts": {name: count for name, count in counts.items() if count and name != "waiting"},
    }


STEADY = [
    (topic, 0, [20, 21, 22], 0, SECOND // 7)
    for _ in range(22)
    for topic in ("slow/pump", "slow/saw", "rest/press", "rest/mill", "plain/oven/heat", "slow/fan", "plain/oven/power")
]
"""All have shown how often they send, about once a second."""


def encoded(drawn: Sequence[tuple[str, int, list[int], int, int]]) -> list[Record]:
    return [Record(*message) for message in encoded_messages(drawn)]
