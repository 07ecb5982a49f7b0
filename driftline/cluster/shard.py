"""A shard of the engine: some devices' messages and the state before them give their points, alarms and the state
after them, wherever it runs.

A device is in one shard with all its messages. What the shards make of them together is what one engine makes of all
messages, series for series and bit for bit, but for what `limits` stop: they hold for each shard by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from common.time_units import SECOND
from devices.batch import Batch, ScoredBatch
from devices.messages import MessageChunk
from devices.records import SeriesRecord
from driftline.cluster.state_blob import decode_state, encode_state
from driftline.config import Config
from driftline.own_topics import routes_in_force
from driftline.runtime.recovery import engine_of_settings, say_anew
from driftline.runtime.store_worker import flattened, unflattened
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput

log = logging.getLogger(__name__)

HELD_UP = 60 * SECOND
"""Receivers' clocks differ, and what one was held up with stands behind what others wrote meanwhile: what arrived
before the record before it, by so much (ns) at most, is taken to have arrived just behind that one. Further back a
clock was set."""
_NO_POINTS = ScoredBatch.unscored(Batch.empty(), late=False)
_RECORD_FIELDS = tuple(each.name for each in fields(SeriesRecord))
_MOST_MESSAGES = 20_000
_MOST_BYTES = 64 << 20
"""Of one step of the engine."""


@dataclass(frozen=True, slots=True)
class Record:
    """A message of a shard's log: its MQTT topic and payload, arrival (ns since the epoch) and flags as the journal
    keeps them. One without a topic is a tick: it says that arrival time has come so far."""

    topic: bytes
    payload: bytes
    arrived: int
    flags: int = 0


def shard_settings(config: Config) -> Mapping[str, Any]:
    """What of a configuration a shard goes by, as JSON. Streams and functions are no part of it."""
    return Engine(
        routes_in_force(config),
        config.detectors,
        config.alarm,
        config.limits,
        (),
        config.series,
        device_labels=config.device_labels,
        profiles=config.own_profiles,
    ).settings


def step_shard(settings: Mapping[str, Any], records: Sequence[Record], state: bytes | None) -> tuple[StepOutput, bytes]:
    """What follows from a shard's next records, and its state after them; `state` is that before them, None at first.

    Raises ValueError where the settings, or the state, cannot be read.
    """
    shard = Shard(settings, state)
    output = shard.step(records)
    return output, shard.state()


class Shard:
    """A shard's engine, kept from one batch to the next: the same as `step_shard`, without reading the state each time.

    Raises ValueError where the settings, or the state, cannot be read.
    """

    def __init__(self, settings: Mapping[str, Any], state: bytes | None = None) -> None:
        parts, rest = ({}, {"records": [], "count": 0, "arrived": 0}) if state is None else decode_state(state)
        engine = engine_of_settings(settings, [SeriesRecord(*record) for record in rest["records"]])
        if engine is None:
            raise ValueError("the settings of a shard are of a version that this one cannot read")
        self._engine = engine
        if state is not None:
            say_anew(engine.load(rest["position"], unflattened(parts), rest["engine"]), log.warning)
        self.count = int(rest["count"])
        """Records so far: the offset of the next one in dead letters."""
        self._arrived = int(rest["arrived"])

    def step(self, records: Iterable[Record]) -> StepOutput:
        """What follows from the next records, in their order.

        Series are numbered within the output, which holds a record of each: it says all by itself.
        """
        outputs = []
        for chunk, count in self._chunks(records):
            outputs.append(self._engine.step(JournalEntry(self._engine.position, self.count, chunk)))
            self.count += count
        if not outputs:
            return StepOutput(self._engine.position, self._engine.position, _NO_POINTS)
        return self_contained(StepOutput.merged(outputs), self._engine.registry.records)

    def state(self) -> bytes:
        """The state after all records so far."""
        arrays, rest = self._engine.state()
        known = self._engine.registry.all_known()
        return encode_state(
            flattened(arrays),
            {
                "position": self._engine.position,
                "engine": rest,
                "records": [[getattr(record, name) for name in _RECORD_FIELDS] for record in known],
                "count": self.count,
                "arrived": self._arrived,
            },
        )

    def _chunks(self, records: Iterable[Record]) -> Iterator[tuple[MessageChunk, int]]:
        """The records as entries of a journal, and how many each of them is: arrivals strictly increase in it."""
        waiting: list[tuple[bytes, bytes, int, int]] = []
        size = 0
        for record in records:
            arrived = record.arrived
            is_set_back = arrived < self._arrived - HELD_UP
            if waiting and (is_set_back or not record.topic or len(waiting) >= _MOST_MESSAGES or size >= _MOST_BYTES):
                yield MessageChunk.of(waiting), len(waiting)
                waiting, size = [], 0
            moment = arrived if is_set_back else max(arrived, self._arrived + 1)
            if record.topic:
                waiting.append((record.topic, record.payload, moment, record.flags))
                size += len(record.topic) + len(record.payload)
                self._arrived = moment
            else:
                self._arrived = moment - 1  # a message of that very moment may follow
                yield MessageChunk.of([], ticked_at=moment), 1
        if waiting:
            yield MessageChunk.of(waiting), len(waiting)


def self_contained(output: StepOutput, known: Sequence[SeriesRecord]) -> StepOutput:
    """The output with its series numbered from 0, and a record of each of them; `known` are those of the engine."""
    rows = (output.alarms, output.states, output.rises, output.series)
    named = {record.series for each in rows for record in each}
    numbers = np.union1d(output.points.series, np.array(sorted(named), np.int32)).astype(np.int32)
    new = {old: number for number, old in enumerate(numbers.tolist())}
    points = replace(output.points, series=np.searchsorted(numbers, output.points.series).astype(np.int32))
    return replace(
        output,
        points=points,
        series=[replace(known[old], series=number) for old, number in new.items()],
        alarms=[replace(alarm, series=new[alarm.series]) for alarm in output.alarms],
        states=[replace(state, series=new[state.series]) for state in output.states],
        rises=[replace(rise, series=new[rise.series]) for rise in output.rises],
    )
