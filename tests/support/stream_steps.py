"""An engine with streams: its steps, by messages in pieces and by the time alone, and what they give."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput, StreamResult
from streams.stream_settings import StreamSettings
from streams.stream_stage import Streams

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
Message = tuple[bytes, bytes, int, int]
DETECTORS = {
    "default": ComponentSettings(type="zscore", warmup=5),
    "joint": ComponentSettings(type="joint", warmup=8, channels=3),
}
ROUTES = (
    RouteSettings(filter="slow/#", reorder_window="4s", detectors=["default", "joint"]),
    RouteSettings(filter="#", detectors=["default", "joint"]),
)
ALARM = AlarmSettings(threshold=2.0, clear_after="3s", clear_readings=2)


def run(engine: Engine, pieces: Sequence[Sequence[Message]], offset: int = 0) -> list[StepOutput]:
    """Let the engine take each piece as one journal entry; `offset` is the first message's."""
    outputs = []
    for piece in pieces:
        outputs.append(engine.step(JournalEntry(engine.position, offset, MessageChunk.of(list(piece)))))
        offset += len(piece)
    return outputs


def tick(engine: Engine, seconds: float, offset: int = 0) -> StepOutput:
    """Let the engine see that it is so many seconds after START, without a message."""
    at = START + round(seconds * SECOND)
    return engine.step(JournalEntry(engine.position, offset, MessageChunk.of([], ticked_at=at)))


def stream(name: str, source: str, sql: str, **more: Any) -> StreamSettings:
    return StreamSettings.model_validate(
        {"name": name, "from": source, "sql": sql, "window": {"type": "tumbling", "size": "1s"}, **more}
    )


def engine_with(*streams: StreamSettings) -> Engine:
    return Engine(ROUTES, DETECTORS, ALARM, LimitSettings(), streams=Streams(streams))


def message(device: str, seconds: float, said: float | None = None, **fields: Any) -> Message:
    """A message that arrives so many seconds after the start; `said` is the time that it says itself."""
    body = fields if said is None else {"ts": round((START / SECOND + said) * 1000), **fields}
    return f"audience/{device}".encode(), json.dumps(body).encode(), START + round(seconds * SECOND), 1


def results(outputs: Sequence[StepOutput], name: str = "") -> list[StreamResult]:
    return [result for output in outputs for result in output.stream_results if name in ("", result.stream)]


def shown(found: Sequence[StreamResult]) -> list[tuple[float, float, str, list[tuple[Any, ...]]]]:
    """Of each result: start and end in seconds after the start, kind, rows."""
    return [
        ((each.window_start - START) / SECOND, (each.window_end - START) / SECOND, each.kind, each.rows)
        for each in found
    ]


def counted(outputs: Sequence[StepOutput], name: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for output in outputs:
        for progress in output.stream_progress:
            if progress.stream == name:
                for key, count in progress.counts.items():
                    counts[key] = counts.get(key, 0) + count
    return counts
