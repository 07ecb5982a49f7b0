"""Streams, tried: what they would give over recorded messages; nothing is stored and nothing is sent."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alerts.alarm_step import OF_STREAM
from common.time_units import SECOND
from devices.messages import MessageChunk
from devices.records import AlarmRecord
from devices.times import parse_time
from driftline.config import Config
from driftline.runtime.recovery import new_engine
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput, StreamResult

_MESSAGES_A_STEP = 1_000
_MOST_TICKS = 10_000

Message = tuple[bytes, bytes, int, int]


class RecordingError(Exception):
    """A recording cannot be read; the message names the file, the line and what was expected."""


def recorded_messages(path: Path) -> list[Message]:
    """Messages of a recording in order of arrival: topic, payload, arrival (ns), flags.

    JSON lines with `topic`, `time` and `payload` (text as it is, anything else as JSON); or CSV with a column `time`,
    `topic` or `device`, and one for each field. Raises RecordingError or OSError.
    """
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = list(_of_csv(path, csv.DictReader(file)))
    else:
        with path.open(encoding="utf-8-sig") as file:
            found = [_of_line(path, number, line) for number, line in enumerate(file, start=1) if line.strip()]
    found.sort(key=lambda message: message[2])
    messages: list[Message] = []
    for topic, payload, arrival in found:
        # Arrivals differ from message to message.
        messages.append((topic, payload, max(arrival, messages[-1][2] + 1) if messages else arrival, 0))
    return messages


@dataclass(frozen=True, slots=True)
class Trial:
    """What streams gave, a line for each failure, and a line for each change of an alarm that a condition opened."""

    results: list[StreamResult]
    problems: list[str]
    alarms: list[str]


def results_over(config: Config, messages: Sequence[Message]) -> Trial:
    """What the streams of a configuration give over messages, until no window is open."""
    engine = new_engine(config, [])
    outputs = []
    for start in range(0, len(messages), _MESSAGES_A_STEP):
        chunk = MessageChunk.of(list(messages[start : start + _MESSAGES_A_STEP]))
        outputs.append(engine.step(JournalEntry(engine.position, start, chunk)))
    outputs += _until_nothing_waits(engine, len(messages))
    results = [result for output in outputs for result in output.stream_results]
    problems = [
        f"{progress.stream} failed: {progress.problem}"
        for output in outputs
        for progress in output.stream_progress
        if progress.counts.get("failed")
    ]
    alarms = [
        _alarm_line(alarm, engine.registry.records[alarm.series].device)
        for output in outputs
        for alarm in output.alarms
        if OF_STREAM in alarm.parts
    ]
    return Trial(results, problems, alarms)


def _alarm_line(alarm: AlarmRecord, device: str) -> str:
    if alarm.cleared is None:
        return f"{_moment(alarm.opened)}: {alarm.severity} alarm of {device}: {alarm.reason}"
    return f"{_moment(alarm.cleared)}: alarm of {device} cleared: {alarm.cleared_reason}"


def _moment(time: int) -> str:
    return f"{datetime.fromtimestamp(time // SECOND, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _until_nothing_waits(engine: Engine, offset: int) -> Iterable[StepOutput]:
    for _ in range(_MOST_TICKS):
        due = None if engine.streams is None else engine.streams.due
        if due is None:
            return
        yield engine.step(JournalEntry(engine.position, offset, MessageChunk.of([], ticked_at=due)))


def _of_line(path: Path, number: int, line: str) -> tuple[bytes, bytes, int]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise RecordingError(f"{path}: line {number}: no JSON: {error}") from None
    if not isinstance(entry, dict) or not isinstance(entry.get("topic"), str) or "payload" not in entry:
        raise RecordingError(f'{path}: line {number}: expected {{"topic": ..., "time": ..., "payload": ...}}')
    payload = entry["payload"]
    body = payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()
    return entry["topic"].encode(), body, _arrival(path, number, entry.get("time"))


def _of_csv(path: Path, reader: csv.DictReader[str]) -> Iterable[tuple[bytes, bytes, int]]:
    names = reader.fieldnames or []
    owner = next((name for name in ("topic", "device") if name in names), None)
    if owner is None or "time" not in names:
        raise RecordingError(f"{path}: line 1: expected a column time, and one named topic or device")
    for row in reader:
        fields = {name: _value(text) for name, text in row.items() if name not in (owner, "time", None) and text}
        yield str(row[owner]).encode(), json.dumps(fields).encode(), _arrival(path, reader.line_num, row["time"])


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _arrival(path: Path, number: int, given: object) -> int:
    if not isinstance(given, str | int | float) or isinstance(given, bool):
        raise RecordingError(f"{path}: line {number}: time: expected ISO 8601 or a number since 1970")
    try:
        return parse_time(given)
    except ValueError as error:
        raise RecordingError(f"{path}: line {number}: time: {error}") from None
