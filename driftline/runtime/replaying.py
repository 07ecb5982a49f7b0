"""Replay, which publishes recorded data through the broker as devices would.

A recording (CSV, Parquet) becomes one device named after its file; a Driftline journal, and a file that `driftline
record` wrote, their messages as they were.
Event time stays that of the recording.
"""

from __future__ import annotations

import heapq
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isnan
from pathlib import Path
from threading import Event
from typing import Protocol

import numpy as np
import orjson
from firmware_sim.publisher import BrokerAddress, DescribedMessage, Message, Publisher, StoppedError
from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from devices.message_properties import encode_properties
from devices.messages import FLAG_REDELIVERED, MessageChunk
from driftline.traffic.traffic_file import TrafficMessage, is_traffic, read_traffic
from storage.journal.sqlite_journal import SqliteJournal
from tuning.recordings import Recording, RecordingError, open_recording

TIME_KEY = "timestamp"
CHUNK_ROWS = 1000
SQLITE_MAGIC = b"SQLite format 3\x00"
SILENCE_SECONDS = 60.0

_NOT_IN_A_DEVICE = re.compile(r"[/+#\x00-\x1f\x7f]")


class ReplaySettings(BaseModel):
    """How recordings are read and published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    speed: float | None = Field(None, gt=0, description="Times as fast as it happened; none for as fast as possible")
    qos: int = Field(1, ge=0, le=2, description="MQTT quality of service")
    in_flight: int = Field(1000, ge=1, le=60_000, description="Messages on their way without acknowledgement, at most")
    device: str = Field(
        "{stem}", description="Device of a file: {stem} is its name without endings, {folder} its folder"
    )
    prefix: str = Field("replay", min_length=1, pattern="^[^+#\x00]+$", description="Topic before the device's name")
    time_column: str | None = Field(None, description="Column of times; none to find it")
    value_columns: tuple[str, ...] = Field((), description="Columns of numbers; none for all")
    ignore: tuple[str, ...] = Field((), description="Columns to leave out, such as labels")


@dataclass(slots=True)
class ReplayCounts:
    """What became of one file.

    `rows` were read (of a journal: messages); `published` of them were sent; `acknowledged` of those the broker has
    confirmed; `skipped` were not sent: rows without any number, or broker-internal topics of a journal. `missing`
    counts single cells without a number in rows that were sent.
    """

    file: Path
    topic: str
    rows: int = 0
    published: int = 0
    acknowledged: int = 0
    skipped: int = 0
    missing: int = 0


Sent = Message | DescribedMessage
Timed = tuple[int, Sent]
"""Time in ns, and the message."""


class _Source(Protocol):
    """A file as runs of timed messages, counted in `counts` as they are read."""

    counts: ReplayCounts
    topic: bytes | None
    """The topic of every message; None where each has its own."""
    has_properties: bool
    """Whether messages may have properties of MQTT 5."""

    def total(self) -> int:
        """How many rows or messages there are."""
        ...

    def runs(self) -> Iterator[list[Timed]]:
        """The messages in file order, some at a time."""
        ...


class _RecordingSource:
    """A recording as one device: JSON with the time as written and each column that has a number."""

    has_properties = False

    def __init__(self, recording: Recording, device: str, settings: ReplaySettings) -> None:
        if TIME_KEY in recording.value_columns:
            raise RecordingError(
                f"{recording.path}: column {TIME_KEY!r} holds numbers beside the times in {recording.time_column!r}; "
                "ignore it, or name it as the time column"
            )
        self._recording = recording
        self.topic: bytes | None = (topic := f"{settings.prefix}/{device}".encode())
        self._topic = topic
        self.counts = ReplayCounts(recording.path, topic.decode())

    def total(self) -> int:
        """Rows of the file."""
        return self._recording.rows

    def runs(self) -> Iterator[list[Timed]]:
        """One message for each row that has a number."""
        columns = self._recording.value_columns
        names = (TIME_KEY, *columns)
        for chunk in self._recording.chunks(rows=CHUNK_ROWS):
            gaps = np.isnan(chunk.values)
            timed: list[Timed] = []
            for moment, written, values, gap_count in zip(
                chunk.time.tolist(), chunk.time_written, chunk.values.tolist(), gaps.sum(axis=1).tolist(), strict=True
            ):
                if gap_count == len(columns):
                    continue
                row = dict(zip(names, (written, *values), strict=True))
                if gap_count:
                    row = {TIME_KEY: written} | {k: v for k, v in zip(columns, values, strict=True) if not isnan(v)}
                    self.counts.missing += gap_count
                timed.append((moment, (self._topic, orjson.dumps(row))))
            self.counts.rows += len(chunk)
            self.counts.skipped += len(chunk) - len(timed)
            yield timed


class _JournalSource:
    """A journal's messages, topic, payload and properties as they were, timed by their arrival."""

    has_properties = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self.topic: bytes | None = None
        self.counts = ReplayCounts(path, "as recorded")

    def total(self) -> int:
        """Messages that the journal still holds."""
        with SqliteJournal(self._path, read_only=True) as journal:
            first = next(iter(journal.read(journal.first_position)), None)
            return journal.next_offset - first.offset if first is not None else 0

    def runs(self) -> Iterator[list[Timed]]:
        """The messages of one journal entry at a time, each as often as it was delivered to us anew."""
        with SqliteJournal(self._path, read_only=True) as journal:
            for entry in journal.read(journal.first_position):
                chunk = entry.chunk
                messages = [_journaled(chunk, i) for i in range(len(chunk))]
                again = (chunk.flags & FLAG_REDELIVERED).tolist()
                timed: list[Timed] = [
                    (moment, message)
                    for moment, message, known in zip(chunk.arrival.tolist(), messages, again, strict=True)
                    if not known and not message[0].startswith(b"$")
                ]
                self.counts.rows += len(chunk)
                self.counts.skipped += len(chunk) - len(timed)
                yield timed


class _TrafficSource:
    """A file of recorded messages, topic, payload and properties as they were, timed by their arrival."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.topic: bytes | None = None
        self.counts = ReplayCounts(path, "as recorded")
        self._total, self.has_properties = 0, False
        for message in read_traffic(path):
            self._total += 1
            self.has_properties |= bool(message.content_type or message.user)

    def total(self) -> int:
        """Messages of the file."""
        return self._total

    def runs(self) -> Iterator[list[Timed]]:
        """The messages, some at a time."""
        messages = read_traffic(self._path)
        while part := list(islice(messages, CHUNK_ROWS)):
            timed: list[Timed] = [(one.time, _recorded(one)) for one in part if not one.topic.startswith("$")]
            self.counts.rows += len(part)
            self.counts.skipped += len(part) - len(timed)
            yield timed


def _journaled(chunk: MessageChunk, index: int) -> DescribedMessage:
    # Of the properties what says something of the readings: others are of the connection that brought the message.
    told = chunk.properties(index)
    return chunk.topic(index), chunk.payload(index), encode_properties(told.content_type, list(told.user.items()))


def _recorded(message: TrafficMessage) -> DescribedMessage:
    return message.topic.encode(), message.payload, encode_properties(message.content_type, message.user)


def replay(
    files: Sequence[Path],
    url: str,
    settings: ReplaySettings | None = None,
    *,
    console: Console | None = None,
    stop: Event | None = None,
    say: Callable[[str], None] = print,
) -> list[ReplayCounts]:
    """Publish each file as a device, and wait until the broker has acknowledged every message.

    The rows of a file keep their order. At the highest speed the files take turns; at a given speed they run side by
    side, each from its own first row, and a row that is out of order is sent with the one before it. Progress is shown
    on `console` where one is given. Setting `stop` ends it early: the counts then say how far it came.

    Raises RecordingError, StorageCorruptError, OSError (BrokerUnreachableError among them) before anything is sent,
    where that can be known; RecordingError later, at a row that cannot be read, once all before it are acknowledged.
    """
    settings = settings or ReplaySettings()
    sources = _sources(files, settings)
    stop = stop or Event()
    publisher = Publisher(
        BrokerAddress.parse(url),
        client_id=f"driftline-replay-{os.getpid()}",
        qos=settings.qos,
        in_flight=settings.in_flight,
        say=say,
        stop=stop,
        properties=any(source.has_properties for source in sources),
    )
    publisher.open()
    try:
        with _Progress(sources, console) as progress:
            paced = _at_speed(sources, settings.speed, publisher, stop) if settings.speed else _in_turns(sources)
            try:
                for source, messages in paced:
                    before = publisher.sent
                    try:
                        publisher.send(messages)
                    finally:
                        source.counts.published += publisher.sent - before
                    progress.update()
            finally:
                publisher.drain(SILENCE_SECONDS)
    except StoppedError:
        pass
    finally:
        _count_acknowledged(sources, publisher.unacknowledged_topics())
        publisher.close()
    return [source.counts for source in sources]


def _sources(files: Sequence[Path], settings: ReplaySettings) -> list[_Source]:
    """Every file looked at, so that a wrong one is found before anything is sent."""
    for path in files:
        if is_traffic(path) and len(files) > 1:
            raise RecordingError(f"{path}: recorded messages are replayed alone; {len(files)} files were given")
    if len(files) == 1 and is_traffic(files[0]):
        return [_TrafficSource(files[0])]
    journals = [path for path in files if _is_journal(path)]
    if journals and len(files) > 1:
        raise RecordingError(f"{journals[0]}: a journal is replayed alone; {len(files)} files were given")
    if journals:
        return [_JournalSource(journals[0])]
    sources: list[_Source] = []
    owners: dict[str, Path] = {}
    for path in files:
        recording = open_recording(
            path, time_column=settings.time_column, value_columns=settings.value_columns, ignore=settings.ignore
        )
        device = _device_name(recording, settings.device)
        if (owner := owners.setdefault(device, path)) is not path:
            raise RecordingError(
                f"{path}: would be device {device!r}, as is {owner}; name devices apart, by '{{folder}}-{{stem}}' say"
            )
        sources.append(_RecordingSource(recording, device, settings))
    return sources


def _device_name(recording: Recording, template: str) -> str:
    try:
        name = template.format(stem=recording.stem, folder=recording.path.resolve().parent.name)
    except (KeyError, IndexError, ValueError) as error:
        raise RecordingError(f"device template {template!r}: {error}; expected {{stem}} and {{folder}}") from error
    return _NOT_IN_A_DEVICE.sub("_", name)


def _is_journal(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def _in_turns(sources: list[_Source]) -> Iterator[tuple[_Source, list[Sent]]]:
    """The runs of all files, one of each in turn."""
    running = [(source, source.runs()) for source in sources]
    while running:
        for source, runs in list(running):
            timed = next(runs, None)
            if timed is None:
                running.remove((source, runs))
            else:
                yield source, [message for _, message in timed]


def _at_speed(
    sources: list[_Source], speed: float, publisher: Publisher, stop: Event
) -> Iterator[tuple[_Source, list[Sent]]]:
    """Each message when it is due, the files side by side."""
    begun = time.monotonic()
    for due, place, message in heapq.merge(*(_due(source, i) for i, source in enumerate(sources))):
        while (left := due / 1e9 / speed - (time.monotonic() - begun)) > 0:
            publisher.pump(left)
            if stop.is_set():
                raise StoppedError
        yield sources[place], [message]


def _due(source: _Source, place: int) -> Iterator[tuple[int, int, Sent]]:
    """Each message with its time after the file's first one, never going back."""
    first: int | None = None
    due = 0
    for timed in source.runs():
        for moment, message in timed:
            first = moment if first is None else first
            due = max(due, moment - first)
            yield due, place, message


def _count_acknowledged(sources: list[_Source], unacknowledged: Counter[bytes]) -> None:
    for source in sources:
        waiting = unacknowledged.total() if source.topic is None else unacknowledged[source.topic]
        source.counts.acknowledged = source.counts.published - waiting


class _Progress:
    """A bar a file, on a console; nothing without one."""

    def __init__(self, sources: list[_Source], console: Console | None) -> None:
        self._sources = sources
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=console is None)
        self._tasks: list[TaskID] = []

    def __enter__(self) -> _Progress:
        self._progress.start()
        self._tasks = [
            self._progress.add_task(source.counts.file.name, total=source.total()) for source in self._sources
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self.update()
        self._progress.stop()

    def update(self) -> None:
        """Show how far each file is."""
        for task, source in zip(self._tasks, self._sources, strict=True):
            self._progress.update(task, completed=source.counts.rows)
