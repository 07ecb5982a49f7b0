"""A made-up plant for tests of the API and the page: what its devices have said, and what they say on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from demo_service import NEEDED, SECOND, THRESHOLD, DemoService
from letters import letter
from numpy.typing import NDArray

from devices.batch import Batch, ScoredBatch
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from driftline.http.view import StageHealth, Status


@dataclass(slots=True)
class DemoMetric:
    """A signal with a daily and a short swing, noise, and faults as (start share, end share, offset in sigmas)."""

    name: str
    unit: str
    level: float
    swing: float
    noise: float
    faults: list[tuple[float, float, float]] = field(default_factory=list)

    def points(self, series: int, times: NDArray[np.int64], random: np.random.Generator) -> ScoredBatch:
        share = np.linspace(0, 1, len(times))
        expected = self.level + self.swing * np.sin(share * 9 + series) + 0.3 * self.swing * np.sin(share * 47)
        value = expected + self.noise * random.standard_normal(len(times))
        for start, end, offset in self.faults:
            value += self.noise * offset * ((share >= start) & (share < end))
        forecast = expected + 0.15 * self.noise * random.standard_normal(len(times))
        sigmas = np.abs(value - forecast) / self.noise
        score = np.minimum(12.0, 0.22 * sigmas**2)
        warm = np.arange(len(times)) >= NEEDED
        band = 3.2 * self.noise
        gaps = np.where(warm, 0.0, np.nan)
        return ScoredBatch(
            np.full(len(times), series, np.int32),
            times,
            value,
            score + gaps,
            forecast + gaps,
            forecast - band + gaps,
            forecast + band + gaps,
            warm & (score >= THRESHOLD),
            np.zeros(len(times), np.bool_),
        )


_KINDS: dict[str, list[DemoMetric]] = {
    "pump": [
        DemoMetric("temperature", "°C", 54.0, 4.0, 0.5),
        DemoMetric("vibration", "mm/s", 2.4, 0.3, 0.12),
        DemoMetric("flow", "m³/h", 118.0, 9.0, 1.6),
    ],
    "compressor": [
        DemoMetric("pressure", "bar", 7.2, 0.3, 0.04),
        DemoMetric("motor_current", "A", 41.0, 5.0, 0.7),
        DemoMetric("temperature", "°C", 71.0, 3.0, 0.6),
    ],
    "tank": [DemoMetric("level", "%", 62.0, 18.0, 0.4), DemoMetric("temperature", "°C", 18.0, 1.5, 0.15)],
    "meter": [DemoMetric("power", "kW", 310.0, 90.0, 6.0), DemoMetric("cos_phi", "", 0.94, 0.02, 0.004)],
}
_FAULTS = {
    1: (0.96, 1.01, 9.0),
    6: (0.62, 0.64, -8.0),
    9: (0.9, 0.912, 7.0),
    14: (0.975, 1.01, -7.5),
    22: (0.5, 0.505, 11.0),
}


def fill_with_plant(
    service: DemoService,
    *,
    devices: int = 48,
    points: int = 900,
    spacing: int = 4 * SECOND,
    names: list[str] | None = None,
) -> list[tuple[SeriesRecord, DemoMetric]]:
    """Store a plant's last `points` readings of every series; returns what continues it. `names` come first."""
    random = np.random.default_rng(7)
    now = service.clock()
    plant: list[tuple[SeriesRecord, DemoMetric]] = []
    batches: list[ScoredBatch] = []
    alarms: list[AlarmRecord] = []
    kinds = list(_KINDS.items())
    for i in range(devices):
        kind, metrics = kinds[i % len(kinds)]
        device = names[i] if names and i < len(names) else f"plant/hall-{1 + i // 12}/{kind}-{i:02d}"
        silent = i % 17 == 16
        fresh = i % 23 == 20
        count = NEEDED // 2 if fresh else points
        last = now - (1_900 * SECOND if silent else i * SECOND // devices)
        times = last - spacing * np.arange(count - 1, -1, -1, dtype=np.int64)
        if silent:
            service.silent.add(device)
        for j, metric in enumerate(metrics):
            record = SeriesRecord(len(plant), device, metric.name, metric.unit)
            signal = replace(metric, faults=[_FAULTS[i]] if i in _FAULTS and j == i % len(metrics) else [])
            batch = signal.points(record.series, times, random)
            plant.append((record, signal))
            batches.append(batch)
            alarms += _alarms_of(record, signal, batch, len(alarms))
    batch = ScoredBatch.concatenate(batches)
    letters = [
        letter(17 + i, now - (9 - i) * 40 * SECOND, f"plant/hall-1/{topic}", payload, reason, detail)
        for i, (topic, payload, reason, detail) in enumerate(_BAD)
    ]
    service.step(
        batch.take(np.argsort(batch.time, kind="stable")),
        series=[record for record, _ in plant],
        alarms=alarms,
        dead_letters=letters,
    )
    service.stages[2] = StageHealth("engine", Status.GREEN, f"{len(plant)} series")
    return plant


_BAD = [
    ("pump-00", b'{"temperature": 21.', "malformed", "unexpected end of the JSON text at byte 19"),
    ("tank-02", b'{"level": "1,234"}', "malformed", 'level: "1,234" may have a decimal comma'),
    ("meter-03", b"\xff\xfe\x00", "malformed", "byte 0xff at 0 begins no JSON value"),
]


def _alarms_of(record: SeriesRecord, signal: DemoMetric, batch: ScoredBatch, known: int) -> list[AlarmRecord]:
    alarms: list[AlarmRecord] = []
    for start, end, _ in signal.faults:
        odd = np.flatnonzero(batch.anomaly)
        if not len(odd):
            continue
        first = int(odd[np.searchsorted(odd, int(start * len(batch)))])
        is_open = end > 1
        low, high, value = batch.lower[first], batch.upper[first], batch.value[first]
        reason = (
            f"{record.metric} is {value:.3g} {record.unit}, outside the expected {low:.3g} to {high:.3g} {record.unit}"
        )
        alarms.append(
            AlarmRecord(
                known + len(alarms) + 1,
                record.series,
                AlarmState.OPEN if is_open else AlarmState.CLEARED,
                int(batch.time[first]),
                None if is_open else int(batch.time[min(len(batch) - 1, int(end * len(batch)) + 10)]),
                "critical" if batch.score[first] > 10 else "warning",
                float(np.nanmax(batch.score)),
                float(value),
                float(batch.expected[first]),
                reason,
                {"zscore": float(batch.score[first])},
            )
        )
    return alarms


def continue_plant(service: DemoService, plant: list[tuple[SeriesRecord, DemoMetric]], tick: int) -> None:
    """One more reading of every series that is not silent."""
    random = np.random.default_rng(1_000 + tick)
    now = service.clock()
    batches = []
    for record, signal in plant:
        if record.device not in service.silent:
            times = np.linspace(now - 900 * SECOND, now, NEEDED + 1).astype(np.int64)
            offset = next((offset for _, end, offset in signal.faults if end > 1), 0.0)
            last = replace(signal, faults=[(0.99, 1.01, offset)] if offset else [])
            point = last.points(record.series, times, random).take(np.array([NEEDED]))
            if service.seen[record.series] < NEEDED:
                point = ScoredBatch.unscored(Batch(point.series, point.time, point.value), late=False)
            batches.append(point)
    service.step(ScoredBatch.concatenate(batches))
