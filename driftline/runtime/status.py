"""What the API, the page and the live line show of the running service, gathered without holding it up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from glob import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.actions import Action
from alerts.alarm_settings import AlarmSettings
from alerts.maintenance import maintenance_of
from alerts.marked_stretches import MarkedStretch
from alerts.notices.notifier import Notifier
from devices.batch import NO_TIME
from devices.records import ActionRecord, DeviceRecord, SeriesRecord
from driftline.config import DEFAULT_FILE, Config
from driftline.http.events import LiveFeed, Subscription
from driftline.http.part_views import SimulatorView
from driftline.http.view import (
    About,
    Counts,
    DeviceLife,
    DevicePage,
    DeviceState,
    Health,
    Learning,
    SinkCounts,
    StageHealth,
    Status,
)
from driftline.runtime.action_desk import ActionDesk
from driftline.runtime.broker_losses import BrokerLosses
from driftline.runtime.clock_watch import ClockWatch
from driftline.runtime.engine_worker import EngineWorker
from driftline.runtime.function_desk import FunctionDesk
from driftline.runtime.letter_desk import LetterDesk, Retried
from driftline.runtime.set_aside import SetAside
from driftline.runtime.sink_worker import Sinks, SinkState
from driftline.runtime.stage_health import (
    broker_health,
    engine_health,
    journal_health,
    notice_health,
    sink_health,
    store_health,
)
from driftline.runtime.store_worker import StoreWorker
from driftline.runtime.workflow_desk import WorkflowDesk
from driftline.tracing.tracer import Tracer
from ingest.device_status import DeviceStatus
from ingest.ingest_settings import ComponentSettings
from ingest.knowledge_settings import KnowledgeSettings, SeriesSettings
from ingest.receiver_state import Reception
from storage.embedded.database import EmbeddedStore
from storage.store import Journal

_NOTHING_NOTED = DeviceStatus()
_BEHIND = 5.0
"""An engine that is so many seconds behind does not tell who has fallen silent since."""


class ServiceStatus:
    """The `ServiceView` of the running service."""

    def __init__(
        self,
        config: Config,
        store: EmbeddedStore,
        journal: Journal,
        engine: EngineWorker,
        stores: StoreWorker,
        feed: LiveFeed,
        clock: Callable[[], int],
        sinks: Sinks | None = None,
    ) -> None:
        self.config = config
        self.receiver: Reception | None = None
        self.broker_losses: BrokerLosses | None = None
        self.notifier: Notifier | None = None
        self.simulator: SimulatorView | None = None
        self.functions: FunctionDesk | None = None
        self.workflows: WorkflowDesk | None = None
        self.traces: Tracer | None = None
        self.stream_problem: Callable[[], str] = str
        self.backup_health: Callable[[], list[StageHealth]] = list
        self.clock_watch: ClockWatch | None = None
        self.losses: Callable[[], list[str]] = list
        self.broker_url = ""
        self.config_file: Path | None = None
        self._store = store
        self._journal = journal
        self._engine = engine
        self._stores = stores
        self._feed = feed
        self._clock = clock
        self._sinks = sinks
        self._set_aside = SetAside()

    @property
    def store(self) -> EmbeddedStore:
        """Where points, alarms and dead letters are read from."""
        return self._store

    def counts(self) -> Counts:
        """The ledger as of now."""
        committed, pending = self._stores.ledger()
        messages = committed.get("messages", 0) + pending.get("messages", 0)
        _, set_aside = self._open_alarms()
        return Counts(
            time=self._clock(),
            messages=self._journal.next_offset,
            received=committed.get("received", 0) + pending.get("received", 0),
            stored=committed.get("stored", 0),
            late=committed.get("late", 0),
            duplicates=committed.get("duplicates", 0),
            rejected=_with_prefix(committed, "rejected."),
            dropped=_with_prefix(committed, "dropped."),
            conflicts=committed.get("conflicts", 0),
            odd=_with_prefix(committed, "odd."),
            redelivered=committed.get("redelivered", 0),
            upstream_dropped=self.broker_losses.dropped if self.broker_losses is not None else 0,
            in_flight=committed.get("waiting", 0) + pending.get("received", 0),
            anomalies=committed.get("anomalies", 0),
            alarms=committed.get("alarms_opened", 0),
            open_alarms=set_aside.count(False),
            shelved_alarms=set_aside.count(True),
            lag_messages=max(0, self._journal.next_offset - messages),
            lag_seconds=self._lag_seconds(),
            sinks={
                state.name: SinkCounts(
                    written=state.lag.written,
                    refused=state.lag.refused,
                    dropped=state.lag.dropped,
                    waiting=state.lag.points,
                )
                for state in self._sink_states()
            },
        )

    def health(self) -> Health:
        """The state of every stage."""
        stages = (
            broker_health(self.receiver, self.broker_losses),
            journal_health(self._journal, self.receiver),
            engine_health(self._engine, self._lag_seconds()),
            store_health(self._stores, self._store),
        )
        clock = self.clock_watch.problem if self.clock_watch is not None else ""
        found = {"clock": clock, "archive": self._store.archive_problem, "data": "; ".join(self.losses())}
        troubles = [StageHealth(stage, Status.RED, word) for stage, word in found.items() if word]
        if former := self.config.former_names:
            troubles.append(StageHealth("configuration", Status.YELLOW, "; ".join(former)))
        if problem := self.stream_problem():
            troubles.append(StageHealth("streams", Status.YELLOW, problem))
        functions = self.functions.health() if self.functions is not None else ()
        workflows = self.workflows.health() if self.workflows is not None else ()
        sinks = map(sink_health, self._sink_states())
        return Health(
            (*stages, *sinks, *notice_health(self.notifier), *functions, *workflows, *self.backup_health(), *troubles)
        )

    def presence(self) -> tuple[list[str], NDArray[np.bool_], NDArray[np.int64]]:
        """Devices by name, whether each is heard from, and how many of its alarms are open."""
        names, _, online, open_alarms, _ = self._present()
        in_service = [not self._engine.engine.book.is_retired(name) for name in names]
        return (
            [n for n, kept in zip(names, in_service, strict=True) if kept],
            online[in_service],
            open_alarms[in_service],
        )

    def devices_in_service(self) -> list[DeviceRecord]:
        """What is said of each device that is in service."""
        book = self._engine.engine.book
        return [book.get(name) for name in self.presence()[0]]

    def _open_alarms(self) -> tuple[list[int], list[bool]]:
        """The series of each alarm that is not cleared, and whether it is set aside."""
        engine = self._engine.engine
        alarms, records = engine.open_alarms, engine.registry.records
        devices = [records[alarm.series].device for alarm in alarms]
        set_aside = self._set_aside.of(
            alarms, devices, now=self._clock(), muted=engine.book.muted, windows=self.config.maintenance
        )
        return [alarm.series for alarm in alarms], set_aside

    def _present(
        self,
    ) -> tuple[list[str], NDArray[np.intp], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
        """Devices that are there, retired ones too: names and numbers, the rest as `presence` has it, and how many of
        their alarms are set aside."""
        engine = self._engine.engine
        # What grows last is read first, since the engine goes on meanwhile.
        alarmed, aside = self._open_alarms()
        device_of = engine.registry.device_of()
        names = engine.registry.device_names[:]
        count = min(len(names), len(engine.liveness.last_event))
        there = np.flatnonzero(engine.registry.there()[:count])
        silent = engine.liveness.silent(self._heard_by())
        alarms = np.zeros((2, len(names) + 1), np.int64)
        np.add.at(alarms, (np.array(aside, np.intp), device_of[np.array(alarmed, np.intp)]), 1)
        online = ~silent[there].astype(np.bool_)
        return [names[i] for i in there.tolist()], there, online, alarms[0, there], alarms[1, there]

    def device_states(self) -> list[DeviceState]:
        """Every device known."""
        return self.device_page(0, sys.maxsize, retired=True).states

    def device_page(self, start: int, most: int, *, retired: bool) -> DevicePage:
        """At most so many devices from a place on: those with series first, then those that have none yet."""
        names, numbers, online, open_alarms, shelved_alarms = self._present()
        engine = self._engine.engine
        book, statuses = engine.book, engine.observer.statuses
        kept = [at for at, name in enumerate(names) if retired or not book.is_retired(name)]
        known = set(names)
        others = [(n, s) for n, s in statuses if n not in known and (retired or not book.is_retired(n))]
        shown = kept[start : start + most]
        at = np.array(shown, np.intp)
        of, liveness = numbers[at], engine.liveness
        heard = (online[at], liveness.quiet(self._heard_by())[of], liveness.new()[of])
        columns = (*heard, liveness.last_event[of], liveness.last_arrival[of], open_alarms[at], shelved_alarms[at])
        states = []
        for place, (is_online, is_quiet, is_new, event, arrival, *alarms) in zip(
            shown, zip(*(column.tolist() for column in columns), strict=True), strict=True
        ):
            status = statuses.get(names[place]) or _NOTHING_NOTED
            life = _life(status, is_silent=not is_online, is_quiet=is_quiet, is_new=is_new)
            states.append(_device_state(book.get(names[place]), status, (_time(event), _time(arrival)), life, alarms))
        first_other = max(0, start - len(kept))
        for name, status in others[first_other : first_other + most - len(shown)]:
            life = _life(status, is_silent=False, is_quiet=False, is_new=True)
            states.append(_device_state(book.get(name), status, (None, status.refused_at or None), life, (0, 0)))
        series = self._series_of(of) + [[] for _ in range(len(states) - len(shown))]
        return DevicePage(len(kept) + len(others), states, series)

    def _series_of(self, numbers: NDArray[np.intp]) -> list[list[SeriesRecord]]:
        """The series of each device number that are there."""
        registry = self._engine.engine.registry
        device_of = registry.device_of()
        place = np.full(len(registry.device_names), -1, np.intp)
        place[numbers] = np.arange(len(numbers))
        places = place[device_of]
        rows = np.flatnonzero(places >= 0)
        found: list[list[SeriesRecord]] = [[] for _ in range(len(numbers))]
        for at, series in zip(places[rows].tolist(), rows.tolist(), strict=True):
            record = registry.records[series]
            if record.gone_at is None:
                found[at].append(record)
        return found

    def learning(self) -> Learning:
        """How far every series has warmed up, and its threshold."""
        engine = self._engine.engine
        seen, needed = engine.learning()
        threshold = engine.alarms.thresholds()
        # The engine goes on meanwhile: series that one of them does not know yet wait for the next look.
        known = min(len(seen), len(threshold))
        return Learning(seen[:known], needed[:known], threshold[:known])

    def threshold(self, series: int) -> float | None:
        """The score that raises an alarm for the series."""
        return self._engine.engine.alarms.threshold(series)

    def minimum(self, series: int) -> float:
        """The least score that raises an alarm of the series by what people have said of its alarms; 0 for none."""
        return self._engine.engine.alarms.minimum(series)

    def series_settings(self, series: int) -> SeriesSettings:
        """What is known of the series and what scores it, in force now."""
        engine = self._engine.engine
        record = engine.registry.records[series]
        facts = engine.choices.facts(series).model_dump(include=set(KnowledgeSettings.model_fields))
        names = {"device": escape(record.device), "metric": escape(record.metric)}
        return SeriesSettings(**names, detectors=engine.host.assigned(series), **facts)

    def marked_stretches(self, device: str) -> list[MarkedStretch]:
        """Stretches of the device that people have marked, in order of time."""
        return self._engine.engine.marked.of(device)

    def detectors(self) -> Mapping[str, ComponentSettings]:
        """The detectors in force, by name."""
        return self.config.detectors

    def act(self, actions: Sequence[Action]) -> list[ActionRecord]:
        """Do what a person asks, and tell what came of each. Raises ActionError: see `ActionDesk.act`."""
        return ActionDesk(self.receiver, self._store).act(actions)

    def kept_elsewhere(self) -> str:
        """What of a merged device stays as it was, and what to do about it; empty where nothing does."""
        places = [f'the external database "{state.name}"' for state in self._sink_states()]
        if not places:
            return ""
        return f"{' and '.join(places)}: what they hold stays under the device's former name; delete it there"

    def take(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        """Journal messages that came over HTTP. Raises ActionError: see `ActionDesk.take`."""
        ActionDesk(self.receiver, self._store).take(messages)

    def retry(self, offsets: Sequence[int], reason: str) -> Retried:
        """Read rejected messages again. Raises ActionError: see `LetterDesk.retry`."""
        return LetterDesk(self.receiver, self._store).retry(offsets, reason)

    def subscribe(self, wake: Callable[[], None]) -> Subscription:
        """Follow the live feed."""
        return self._feed.subscribe(wake)

    def is_muted(self, device: str) -> bool:
        """Whether nobody is told of the device's alarms."""
        return device in self._engine.engine.book.muted

    def maintenance(self, device: str, time: int) -> str:
        """The name of the maintenance that the device is under at the time (ns); "" where it is under none."""
        return maintenance_of(self.config.maintenance, device, time)

    def alarm_settings(self) -> AlarmSettings:
        """The alarm settings in force."""
        return self.config.alarm

    def editable_config(self) -> Path:
        """The configuration file, which may not exist yet."""
        return (self.config_file or DEFAULT_FILE).absolute()

    def about(self) -> About:
        """What runs here."""
        file = str(self.config_file) if self.config_file is not None and self.config_file.exists() else None
        return About(version("driftline"), self.broker_url, list(self._engine.engine.router.filters), file)

    def configuration(self) -> Mapping[str, object]:
        """The effective settings; they hold no secrets."""
        settings: dict[str, Any] = self.config.model_dump(mode="json")
        return settings

    def _heard_by(self) -> int:
        """The time (ns) by which nobody else was heard: earlier than now where the engine is behind what arrived."""
        return self._reached() if self._lag_seconds() > _BEHIND else self._clock()

    def _reached(self) -> int:
        """The arrival (ns) that the engine has come to, since this start or, before its first step, until then."""
        return self._engine.last_arrival or int(self._engine.engine.liveness.last_arrival.max(initial=0))

    def _lag_seconds(self) -> float:
        if not self._engine.backlog or self._reached() <= 0:
            return 0.0
        return max(0.0, (self._journal.last_arrival - self._reached()) / 1e9)

    def _sink_states(self) -> list[SinkState]:
        return self._sinks.states() if self._sinks is not None else []


def _with_prefix(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}


def _life(status: DeviceStatus, *, is_silent: bool, is_quiet: bool, is_new: bool) -> DeviceLife:
    """Whether a device in service is heard from; what says most comes first."""
    found = (
        (status.online is False, DeviceLife.OFFLINE),
        (is_silent, DeviceLife.SILENT),
        (status.is_refused, DeviceLife.REFUSED),
        (is_quiet, DeviceLife.QUIET),
        (is_new, DeviceLife.NEW),
    )
    return next((life for holds, life in found if holds), DeviceLife.ONLINE)


def _device_state(
    record: DeviceRecord,
    status: DeviceStatus,
    last: tuple[int | None, int | None],
    life: DeviceLife,
    alarms: Sequence[int],
) -> DeviceState:
    """A device as the service sees it; `alarms` are how many of its alarms are open, and how many set aside."""
    return DeviceState(
        device=record.device,
        name=record.name or record.device,
        labels=record.labels,
        first_seen=record.first_seen,
        muted_at=record.muted_at,
        last_event=last[0],
        last_arrival=last[1],
        life=DeviceLife.RETIRED if record.retired_at is not None else life,
        open_alarms=alarms[0],
        shelved_alarms=alarms[1],
        clock=status.clock,
        refusal=status.refusal,
        refused=status.refused,
        messages=status.messages,
    )


def _time(time: int) -> int | None:
    return None if time in (NO_TIME, -1) else time
