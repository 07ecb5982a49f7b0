"""The contracts of storage: the journal before the engine, the stores behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from devices.batch import Batch, ScoredBatch
from devices.messages import MessageChunk
from devices.records import (
    ActionRecord,
    AlarmRecord,
    AlarmState,
    DeadLetter,
    DeviceRecord,
    PointsMark,
    SeriesMove,
    SeriesRecord,
    SeverityRise,
    StateRecord,
)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One chunk in the journal: its position, and the offset of its first message."""

    position: int
    offset: int
    chunk: MessageChunk


class MessageLog(Protocol):
    """What a receiver writes: a durable log of message chunks. One thread appends."""

    @property
    def next_offset(self) -> int:
        """The offset that the next message will get: messages appended since the log began."""
        ...

    @property
    def last_arrival(self) -> int:
        """The newest arrival or tick, ns since the epoch; 0 in an empty log."""
        ...

    def append(self, chunk: MessageChunk) -> int:
        """Write the chunk and return its position; it is durable when this returns.

        A tick (no messages) advances arrival time alone. Raises StorageFullError, OSError.
        """
        ...

    def newest_first(self) -> Iterator[MessageChunk]:
        """The chunks from the end backwards, as far as they are there. Raises StorageCorruptError."""
        ...


class Journal(MessageLog, Protocol):
    """A durable, ordered, replayable log of message chunks.

    A chunk's place is its `position`, counted 0, 1, 2, ... and never reused; a message's place is its `offset`, which
    counts messages. Both survive compaction. One thread appends; others may read or compact meanwhile.
    """

    @property
    def place(self) -> str:
        """Where it is, for messages to people."""
        ...

    def open(self) -> Self:
        """Open or create it, and find its end. Raises StorageCorruptError, OSError."""
        ...

    def close(self) -> None:
        """Let go of it. What was appended is durable already; closing twice does nothing."""
        ...

    @property
    def first_position(self) -> int:
        """The oldest position that is still here; `next_position` in an empty journal."""
        ...

    @property
    def next_position(self) -> int:
        """The position that the next chunk will get."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes that the chunks take."""
        ...

    def read(self, position: int) -> Iterator[JournalEntry]:
        """Entries in order from `position` to the end at the time of the call.

        Raises StorageCorruptError where an entry between is damaged or gone.
        """
        ...

    def go_on_from(self, position: int, offset: int) -> None:
        """Go on at a later position and offset, for a journal that has lost its tail.

        Raises ValueError where `position` is not ahead, StorageFullError.
        """
        ...

    def compact(self, before_position: int, now: int) -> int:
        """Remove the oldest chunks before `before_position` that need not stay at `now` (ns); returns how many went."""
        ...


@dataclass(frozen=True, slots=True)
class DevicePresence:
    """A device as of `time` (ns, the service's clock): whether it is heard from, and how many alarms of it are open."""

    device: str
    time: int
    online: bool
    open_alarms: int


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What a stream's SQL gave for one window, from `window_start` up to and without `window_end` (event time, ns).

    `key` are the columns that split its rows, as JSON, "" where there are none. A result takes the place of the one
    before it of the same window and key: `kind` is "early", "final" or "correction", and `revision` counts them from 0.
    `journal_offset` is the message that it came with. `columns` are names and DuckDB types, `rows` their values as JSON
    holds them. `complete` is False where rows of the window were left out for a limit. It is kept where `in_table`,
    published to `topic` where that is not empty, and goes to the external databases that `sinks` names.
    """

    stream: str
    window_start: int
    window_end: int
    key: str
    kind: str
    revision: int
    journal_offset: int
    columns: tuple[tuple[str, str], ...]
    rows: list[tuple[Any, ...]]
    complete: bool = True
    in_table: bool = True
    topic: str = ""
    sinks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamProgress:
    """How far a stream has come: increments of its counts, its watermark (event time, ns; None before the first row),
    and what failed last, empty where nothing did."""

    stream: str
    counts: dict[str, int]
    watermark: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FunctionEvent:
    """Something that a function is to be called for, once: `key` names it among those of the function.

    `position` is the journal position that it comes from, -1 where it comes from elsewhere, `time` when it came (ns).
    Events of one `shard` stay in order where the function takes them so. `trigger` and `content` (JSON) are what the
    function is told.
    """

    function: str
    key: str
    shard: int
    position: int
    time: int
    trigger: dict[str, Any]
    content: bytes


def _no_points() -> ScoredBatch:
    return ScoredBatch.unscored(Batch.empty(), late=False)


@dataclass(frozen=True, slots=True)
class StepOutput:
    """All that the engine made of one journal chunk, or of several in a row: what one store transaction holds.

    `position` to `next_position` (exclusive) is the run of the journal that it stands for.
    `counts` are increments to the ledger ("received", "rejected.malformed", ...), stored in the same transaction.
    `devices` are changes of device states; only external databases take them. `actions` is what people did.
    `registered` are records of devices that are new or changed, `forgotten` devices whose records go. `moved` and
    `deleted` are series that end here: whatever there is of them, in these points too, moves or goes.
    `marked` points are excluded, or included again; `excluded` are further points, in stretches that are. `rises` are
    the severities of open alarms that rose.
    """

    position: int
    next_position: int
    points: ScoredBatch
    series: list[SeriesRecord] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    alarms: list[AlarmRecord] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    devices: list[DevicePresence] = field(default_factory=list)
    actions: list[ActionRecord] = field(default_factory=list)
    states: list[StateRecord] = field(default_factory=list)
    registered: list[DeviceRecord] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    moved: list[SeriesMove] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    stream_results: list[StreamResult] = field(default_factory=list)
    stream_progress: list[StreamProgress] = field(default_factory=list)
    marked: list[PointsMark] = field(default_factory=list)
    excluded: ScoredBatch = field(default_factory=_no_points)
    function_events: list[FunctionEvent] = field(default_factory=list)
    rises: list[SeverityRise] = field(default_factory=list)

    @classmethod
    def merged(cls, outputs: list[StepOutput]) -> StepOutput:
        """Outputs of consecutive runs of the journal as one. Needs at least one."""
        counts: Counter[str] = Counter()
        for output in outputs:
            counts.update(output.counts)
        return cls(
            position=outputs[0].position,
            next_position=outputs[-1].next_position,
            points=ScoredBatch.concatenate([output.points for output in outputs]),
            series=[record for output in outputs for record in output.series],
            dead_letters=[letter for output in outputs for letter in output.dead_letters],
            alarms=[alarm for output in outputs for alarm in output.alarms],
            counts=dict(counts),
            devices=[device for output in outputs for device in output.devices],
            actions=[action for output in outputs for action in output.actions],
            states=[state for output in outputs for state in output.states],
            **_of_devices(outputs),
            stream_results=[result for output in outputs for result in output.stream_results],
            stream_progress=[progress for output in outputs for progress in output.stream_progress],
            function_events=[event for output in outputs for event in output.function_events],
            rises=[rise for output in outputs for rise in output.rises],
        )


def _of_devices(outputs: list[StepOutput]) -> dict[str, Any]:
    """What outputs say of devices, as one; a record that a later output forgets, or notes anew, is as that says."""
    registered: dict[str, DeviceRecord] = {}
    forgotten: dict[str, None] = {}
    for output in outputs:
        for device in output.forgotten:
            registered.pop(device, None)
            forgotten[device] = None
        for record in output.registered:
            forgotten.pop(record.device, None)
            registered[record.device] = record
    return {
        "registered": list(registered.values()),
        "forgotten": list(forgotten),
        "moved": [move for output in outputs for move in output.moved],
        "deleted": [series for output in outputs for series in output.deleted],
        "marked": [mark for output in outputs for mark in output.marked],
        "excluded": ScoredBatch.concatenate([output.excluded for output in outputs]),
    }


@dataclass(frozen=True, slots=True)
class CommitResult:
    """Where the points of a commit went: they sum to the points given. `late` are stored too, behind newer ones.

    `conflicts`, among the stored and late ones, are those that met another value at their time and were moved.
    """

    stored: int
    duplicates: int
    late: int
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class SeriesPoints:
    """Points of one series in time order, as columns; fewer than `total` rows where they were thinned for a chart.

    `missing` says what could not be read; empty where nothing is missing. `novelty` is NaN throughout where left out.
    """

    time: NDArray[np.int64]
    value: NDArray[np.float64]
    score: NDArray[np.float64]
    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    anomaly: NDArray[np.bool_]
    total: int
    missing: str = ""
    novelty: NDArray[np.float64] = None  # type: ignore[assignment]  # made by __post_init__

    def __post_init__(self) -> None:
        if self.novelty is None:
            object.__setattr__(self, "novelty", np.full(len(self.time), np.nan))


class Store(Protocol):
    """A place where results land. Every write is confirmed before it returns, and idempotent on (series, time)."""

    @property
    def position(self) -> int:
        """The journal position up to which everything is stored; kept in the same transaction as the data."""
        ...

    def commit(self, output: StepOutput) -> CommitResult:
        """Store one output durably. Output wholly before `position` is ignored. Raises StorageFullError, OSError."""
        ...


class Reader(Protocol):
    """Reads of a store in its own language; the embedded database, VictoriaMetrics and InfluxDB each have one."""

    def series(self) -> list[SeriesRecord]:
        """Every known series, in order of its index."""
        ...

    def points(
        self, series: int, start: int | None = None, end: int | None = None, max_points: int | None = None
    ) -> SeriesPoints:
        """Points of one series from `start` up to and without `end` (ns since the epoch), in time order.

        More than `max_points` are thinned to the extremes of equal stretches of time, beside every anomaly.
        """
        ...

    def latest(self, series: Sequence[int] | None = None) -> ScoredBatch:
        """The newest point of each of `series` (of all by default) that has any, in order of series."""
        ...

    def history(self, n: int) -> Iterator[tuple[int, SeriesPoints]]:
        """The last `n` points of each series in time order, series by series: what detectors warm up on."""
        ...

    def alarms(
        self, state: AlarmState | None = None, series: int | None = None, limit: int = 200, open_only: bool = False
    ) -> list[AlarmRecord]:
        """Alarms, the newest first; `open_only` leaves out those that are cleared."""
        ...
