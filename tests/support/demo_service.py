"""A service for tests of the API and the page: a real embedded store behind `ServiceView`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from firmware_sim.fleet_description import DescribedDevice, FleetDescription
from firmware_sim.injection import Injection

from alerts.actions import Acknowledge, Action, ActionError, Feedback, MarkStretch, Shelve
from alerts.alarm_settings import AlarmSettings
from alerts.maintenance import MaintenanceSettings, maintenance_of
from alerts.marked_stretches import MarkedStretch, MarkedStretches
from alerts.notices.notifier import Notifier
from devices.batch import Batch, ScoredBatch
from devices.device_actions import ExcludePoints, IncludePoints, LabelDevice, MuteDevice, RenameDevice
from devices.fault_labels import FaultLabel
from devices.records import ActionRecord, AlarmRecord, AlarmState, DeadLetter, PointsMark, SeriesRecord
from driftline.http.events import LiveFeed, Subscription
from driftline.http.part_views import FunctionView, SimulatorView, TraceView
from driftline.http.view import (
    About,
    Counts,
    DeviceLife,
    DevicePage,
    DeviceState,
    Health,
    Learning,
    StageHealth,
    Status,
)
from driftline.runtime.letter_desk import Retried
from driftline.runtime.set_aside import SetAside
from ingest.ingest_settings import DEFAULT_DETECTORS, ComponentSettings
from ingest.knowledge_settings import SeriesSettings
from storage.embedded.database import EmbeddedStore
from storage.store import StepOutput

SECOND = 1_000_000_000
NEEDED = 60
THRESHOLD = 4.0


class DemoSimulator:
    """A simulator behind `SimulatorView`: one device that can be stuck, and the labels given."""

    def __init__(self, device: str, labels: Sequence[FaultLabel]) -> None:
        self._device = device
        self._labels = list(labels)
        self.asked: list[Injection] = []

    def fleets(self) -> list[FleetDescription]:
        kinds = {"stuck": ["temperature", "vibration"], "silent death": ["*"]}
        devices = [DescribedDevice(self._device, kinds, ["coolant loss"])]
        return [FleetDescription("machine-hall", 1, 1, devices, self._labels)]

    def inject(self, wanted: Injection) -> str | None:
        self.asked.append(wanted)
        if wanted.device != self._device:
            return None
        return f"{wanted.device} {wanted.metric}: {wanted.kind} until 2026-03-01T12:02:00.000Z"

    def labels(self) -> list[FaultLabel]:
        return self._labels


class DemoService:
    """Implements `driftline.http.view.ServiceView`. `step` stores and publishes points as the service would."""

    def __init__(self, path: Path, clock: Callable[[], int] = time.time_ns) -> None:
        self.store = EmbeddedStore(path).open()
        self.feed = LiveFeed(first=1_000)
        self.traces: TraceView | None = None
        self.clock = clock
        self.stages = [
            StageHealth("broker", Status.GREEN, "connected to mqtt://127.0.0.1:1883 as driftline"),
            StageHealth("journal", Status.GREEN, "12.4 MiB on disk"),
            StageHealth("engine", Status.GREEN, "0 series"),
            StageHealth("store", Status.GREEN, "everything that was scored is stored"),
        ]
        self.counted = Counts(time=0)
        self.silent: set[str] = set()
        self.refused: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.taken: list[tuple[bytes, bytes]] = []
        self.full = False
        self.labels: dict[str, dict[str, str]] = {}
        self.acted: list[Action] = []
        self.marked = MarkedStretches()
        self.windows: list[MaintenanceSettings] = []
        self.config_path = path.with_name("driftline.toml")
        self.notifier: Notifier | None = None
        self.simulator: SimulatorView | None = None
        self.functions: FunctionView | None = None
        self.workflows = None
        self.seen: dict[int, int] = {}
        self.subscribed = 0
        self.settings: dict[str, object] = {"http": {"host": "127.0.0.1"}, "streams": []}
        self._newest: dict[str, int] = {}
        self._position = 0
        self.muted: set[str] = set()
        self.kept = ""
        self.behind = False
        self._records: dict[int, SeriesRecord] = {}
        self._alarms: dict[int, AlarmRecord] = {}

    def close(self) -> None:
        self.store.close()

    def step(
        self,
        points: ScoredBatch | None = None,
        *,
        series: list[SeriesRecord] | None = None,
        alarms: list[AlarmRecord] | None = None,
        dead_letters: list[DeadLetter] | None = None,
    ) -> None:
        points = points if points is not None else ScoredBatch.unscored(Batch.empty(), late=False)
        self._records |= {record.series: record for record in series or []}
        self._alarms |= {alarm.alarm: alarm for alarm in alarms or []}
        output = StepOutput(
            self._position,
            self._position + 1,
            points,
            series=series or [],
            dead_letters=dead_letters or [],
            alarms=alarms or [],
        )
        result = self.store.commit(output)
        self._position += 1
        for number in np.unique(points.series).tolist():
            mine = points.time[points.series == number]
            device = self._records[number].device
            self._newest[device] = max(self._newest.get(device, 0), int(mine.max()))
            self.seen[number] = self.seen.get(number, 0) + len(mine)
        before = self.counted
        rejected = dict(before.rejected)
        for each in dead_letters or []:
            rejected[each.reason] = rejected.get(each.reason, 0) + 1
        self.counted = replace(
            before,
            messages=before.messages + len(points) // 3 + len(dead_letters or []),
            received=before.received + len(points) + len(dead_letters or []),
            stored=before.stored + result.stored,
            late=before.late + result.late,
            duplicates=before.duplicates + result.duplicates,
            rejected=rejected,
            anomalies=before.anomalies + int(points.anomaly.sum()),
            alarms=len(self._alarms),
        )
        self.feed.publish(points, alarms or [])

    def health(self) -> Health:
        return Health(tuple(self.stages))

    def counts(self) -> Counts:
        aside = [is_aside for _, is_aside in self._not_cleared()]
        return replace(
            self.counted, time=self.clock(), open_alarms=aside.count(False), shelved_alarms=aside.count(True)
        )

    def _not_cleared(self) -> list[tuple[str, bool]]:
        """The device of each alarm that is not cleared, and whether it is set aside."""
        alarms = [alarm for alarm in self._alarms.values() if alarm.state is not AlarmState.CLEARED]
        devices = [self._records[alarm.series].device for alarm in alarms]
        aside = SetAside().of(alarms, devices, now=self.clock(), muted=self.muted, windows=self.windows)
        return list(zip(devices, aside, strict=True))

    def device_states(self) -> list[DeviceState]:
        alarms = Counter(self._not_cleared())
        names = dict.fromkeys(record.device for record in self._records.values())
        return [
            DeviceState(
                name,
                self._newest.get(name),
                self._newest.get(name),
                DeviceLife.SILENT if name in self.silent else DeviceLife.ONLINE,
                alarms[name, False],
                shelved_alarms=alarms[name, True],
                name=self.names.get(name, name),
                labels=self.labels.get(name, {}),
                muted_at=self.clock() if name in self.muted else None,
            )
            for name in names
        ] + [
            DeviceState(name, None, None, DeviceLife.REFUSED, 0, name=name, refusal=why)
            for name, why in self.refused.items()
        ]

    def device_page(self, start: int, most: int, *, retired: bool) -> DevicePage:
        states = [each for each in self.device_states() if retired or each.life is not DeviceLife.RETIRED]
        shown = states[start : start + most]
        series = self.store.series()
        of = [[record for record in series if record.device == state.device] for state in shown]
        return DevicePage(len(states), shown, of)

    def learning(self) -> Learning:
        count = max(self._records, default=-1) + 1
        seen = np.array([min(self.seen.get(series, 0), NEEDED) for series in range(count)], np.int64)
        threshold = np.array([self.threshold(series) or np.nan for series in range(count)])
        return Learning(seen, np.full(count, NEEDED), threshold)

    def threshold(self, series: int) -> float | None:
        return THRESHOLD if self.seen.get(series, 0) >= NEEDED else None

    def minimum(self, series: int) -> float:
        del series
        return 0.0

    def series_settings(self, series: int) -> SeriesSettings:
        record = self._records[series]
        return SeriesSettings(device=record.device, metric=record.metric, detectors=["default"])

    def marked_stretches(self, device: str) -> list[MarkedStretch]:
        return self.marked.of(device)

    def detectors(self) -> Mapping[str, ComponentSettings]:
        return DEFAULT_DETECTORS

    def subscribe(self, wake: Callable[[], None]) -> Subscription:
        subscription = self.feed.subscribe(wake)
        self.subscribed += 1
        return subscription

    def act(self, actions: Sequence[Action]) -> list[ActionRecord]:
        """Keep what was asked, and do the little of it that tests look at."""
        self.acted.extend(actions)
        done = []
        for number, action in enumerate(actions):
            alarm = getattr(action, "alarm", None)
            if isinstance(action, MarkStretch):
                self.marked.put(action)
            if isinstance(action, ExcludePoints | IncludePoints):
                self._mark_points(action)
            if isinstance(action, RenameDevice):
                self.names[action.device] = action.name
            if isinstance(action, MuteDevice):
                self.muted.add(action.device)
            if isinstance(action, LabelDevice):
                self.labels[action.device] = {k: v for k, v in action.labels.items() if v is not None}
            if alarm is not None:
                record = self._alarms[alarm]
                if isinstance(action, Acknowledge):
                    record = replace(record, state=AlarmState.ACKNOWLEDGED, acknowledged_by=action.by)
                elif isinstance(action, Shelve):
                    record = replace(record, shelved_until=action.until)
                elif isinstance(action, Feedback):
                    record = replace(record, feedback=action.verdict)
                self.step(alarms=[replace(record, note=action.note or record.note)])
            at = (self._position, number, alarm, action.kind, action.by, action.at)
            done.append(ActionRecord(*at, "", waits=self.behind))
        return done

    def _mark_points(self, action: ExcludePoints | IncludePoints) -> None:
        named = (action.device, action.metric)
        for record in self._records.values():
            if (record.device, record.metric) == named:
                out = isinstance(action, ExcludePoints)
                mark = PointsMark(record.series, action.start, action.end, excluded=out)
                nothing = ScoredBatch.unscored(Batch.empty(), late=False)
                self.store.commit(StepOutput(self._position, self._position + 1, nothing, marked=[mark]))
                self._position += 1

    def kept_elsewhere(self) -> str:
        return self.kept

    def is_muted(self, device: str) -> bool:
        return device in self.muted

    def take(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        if self.full:
            raise ActionError("nothing can be journaled now: the journal is full")
        self.taken.extend(messages)

    def retry(self, offsets: Sequence[int], reason: str) -> Retried:
        found = self.store.find_dead_letters(offsets, reason=reason)
        self.store.remove_dead_letters([letter.offset for letter in found])
        return Retried(len(found), len(found))

    def maintenance(self, device: str, time: int) -> str:
        return maintenance_of(self.windows, device, time)

    def alarm_settings(self) -> AlarmSettings:
        return AlarmSettings()

    def editable_config(self) -> Path:
        return self.config_path

    def about(self) -> About:
        return About("0.1.0", "mqtt://127.0.0.1:1883", ["#"], None)

    def configuration(self) -> Mapping[str, object]:
        return self.settings


def scored(series: list[int], times: list[int], values: list[float], anomaly: list[bool] | None = None) -> ScoredBatch:
    """Points with a band of +-1 about the value."""
    value = np.array(values, np.float64)
    return ScoredBatch(
        np.array(series, np.int32),
        np.array(times, np.int64),
        value,
        np.full(len(value), 0.5),
        value + 0.25,
        value - 1,
        value + 1,
        np.array(anomaly or [False] * len(value), np.bool_),
        np.zeros(len(value), np.bool_),
    )
