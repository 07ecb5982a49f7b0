"""An engine of two detectors that is fed messages, each handful as one journal entry."""

from __future__ import annotations

import json
from collections.abc import Sequence

from alerts.alarm_settings import AlarmSettings
from devices.batch import ScoredBatch
from devices.messages import MessageChunk
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
DETECTORS = {
    "default": ComponentSettings(type="zscore", warmup=10),
    "limits": ComponentSettings(type="threshold", upper=50.0),
}


def make_engine(
    *routes: RouteSettings, limits: LimitSettings | None = None, alarm: AlarmSettings | None = None
) -> Engine:
    return Engine(
        routes or (RouteSettings(filter="#"),),
        DETECTORS,
        alarm or AlarmSettings(threshold=5.0),
        limits or LimitSettings(),
    )


class Feeder:
    """Hands messages to an engine as consecutive journal entries."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.offset = 0
        self.arrival = START

    def __call__(self, *messages: tuple[str, object] | tuple[str, object, int], tick: int = 0) -> StepOutput:
        rows: list[tuple[bytes, bytes, int, int]] = []
        for topic, payload, *flags in messages:
            self.arrival += 1
            data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            rows.append((topic.encode("utf-8", "surrogateescape"), data, self.arrival, flags[0] if flags else 0))
        chunk = MessageChunk.of(rows, ticked_at=self.arrival + tick)
        self.arrival += tick
        entry = JournalEntry(self.engine.position, self.offset, chunk)
        self.offset += len(rows)
        return self.engine.step(entry)


def names(engine: Engine) -> list[tuple[str, str]]:
    return [(r.device, r.metric) for r in engine.registry.records]


def columns(points: ScoredBatch) -> list[tuple[int, int, float]]:
    return list(zip(points.series.tolist(), points.time.tolist(), points.value.tolist(), strict=True))


def at(second: float) -> int:
    return START // SECOND * 1000 + int(second * 1000)


def ledger_closes(outputs: Sequence[StepOutput]) -> bool:
    """Whether every reading ended in one counted place."""
    total: dict[str, int] = {}
    for output in outputs:
        for name, count in output.counts.items():
            total[name] = total.get(name, 0) + count
    points = sum(len(output.points) for output in outputs)
    places = ("duplicates", "waiting")
    elsewhere = sum(c for name, c in total.items() if name.startswith(("rejected.", "dropped.")) or name in places)
    return total.get("received", 0) == points + elsewhere
