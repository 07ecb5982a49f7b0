"""What the HTTP API asks of the running service: one protocol, and the records that it answers with.

The service implements `ServiceView`; tests implement it over a store of their own. All methods may be called from any
thread, at any time between the service's start and its stop, and give a picture as of now without waiting for the
engine. Steps are published to the live feed once they are in the store, so that the feed never runs ahead of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alerts.actions import Action
from alerts.alarm_settings import AlarmSettings
from alerts.marked_stretches import MarkedStretch
from alerts.notices.notifier import Notifier
from devices.records import ActionRecord, SeriesRecord
from driftline.http.events import Subscription
from driftline.http.part_views import FunctionView, SimulatorView, TraceView, WorkflowView
from driftline.runtime.letter_desk import Retried
from ingest.ingest_settings import ComponentSettings
from ingest.knowledge_settings import SeriesSettings
from storage.embedded.database import EmbeddedStore


class Status(StrEnum):
    """How well a stage works, best first."""

    GREEN = "green"
    """Works as it should."""
    YELLOW = "yellow"
    """Works, but a person should look: retrying, falling behind, degraded."""
    RED = "red"
    """Does not work."""


@dataclass(frozen=True, slots=True)
class StageHealth:
    """One stage's state: `stage` is its name ("broker", "journal", "engine", "store"), `message` one sentence."""

    stage: str
    status: Status
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """The service's state, stage by stage in flow order."""

    stages: tuple[StageHealth, ...]

    @property
    def status(self) -> Status:
        """The worst stage's."""
        order = list(Status)
        return max((stage.status for stage in self.stages), key=order.index, default=Status.GREEN)


@dataclass(frozen=True, slots=True)
class SinkCounts:
    """Points of one external database: `written` there, `waiting` in the spool, `dropped` because that was full.

    `refused` counts lines that the database would not take.
    """

    written: int = 0
    waiting: int = 0
    refused: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """The ledger: every reading ends in exactly one counted place.

    `received` counts readings, and one for each message that was rejected whole or redelivered, and for each row of a
    device as a whole that was scored; it equals `stored` + `late` + `duplicates` + the sums of `rejected` and `dropped`
    + `in_flight`. `late` points are stored too, behind newer ones. `redelivered` messages are among the duplicates: the
    broker sent them again although they were journaled already. `upstream_dropped` stands outside the sum: messages
    that the broker says it lost before they came here.
    `conflicts`, among the stored and late, met another value at their time and stand a nanosecond apart; `odd` counts
    readings kept at their arrival, and what else was odd about messages, by kind.
    `anomalies` counts points found anomalous, `alarms` alarms opened. Of those not cleared now, `shelved_alarms` are
    set aside (shelved, of a muted device, or opened under maintenance), and `open_alarms` are the others.
    `lag_messages` and `lag_seconds` tell how far the stores are behind what has arrived. `time` is the clock (ns) at
    which this was taken: rates are differences of two.
    """

    time: int
    messages: int = 0
    received: int = 0
    stored: int = 0
    late: int = 0
    duplicates: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    conflicts: int = 0
    odd: Mapping[str, int] = field(default_factory=dict)
    redelivered: int = 0
    upstream_dropped: int = 0
    in_flight: int = 0
    anomalies: int = 0
    alarms: int = 0
    open_alarms: int = 0
    shelved_alarms: int = 0
    lag_messages: int = 0
    lag_seconds: float = 0.0
    sinks: Mapping[str, SinkCounts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class About:
    """What runs here: version, where devices publish, the topic filters listened to, the configuration file if any."""

    version: str
    broker: str
    filters: list[str]
    config_file: str | None


class DeviceLife(StrEnum):
    """Whether a device is heard from.

    `offline` was said to be gone, by it or the broker. `silent` has sent nothing for longer than it ever does, `quiet`
    for far longer than it took so far, though too little is known of how often it sends to call it silent. Of a device
    that is `refused` no message can be read. `new` has hardly sent yet. `retired` was taken out of service by a person,
    whatever it sends.
    """

    ONLINE = "online"
    SILENT = "silent"
    QUIET = "quiet"
    REFUSED = "refused"
    NEW = "new"
    OFFLINE = "offline"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class DeviceState:
    """One device as the service sees it: `last_event` in the device's own time, `last_arrival` by our clock (ns).

    `clock` says what is wrong with its clock, `refusal` what of its messages is refused, with the remedy; empty where
    nothing is. `refused` of `messages` were refused whole. `name` is what it is shown as, `first_seen` the arrival of
    its first message, None where that was not noted; since `muted_at` nobody is told of its alarms. Alarms that are not
    cleared are `open_alarms`, or `shelved_alarms` where they are set aside.
    """

    device: str
    last_event: int | None
    last_arrival: int | None
    life: DeviceLife
    open_alarms: int
    clock: str = ""
    refusal: str = ""
    refused: int = 0
    messages: int = 0
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    first_seen: int | None = None
    muted_at: int | None = None
    shelved_alarms: int = 0


@dataclass(frozen=True, slots=True)
class DevicePage:
    """Some of the `total` devices, in order of first sight, and the series of each that are there."""

    total: int
    states: list[DeviceState]
    series: list[list[SeriesRecord]]


@dataclass(frozen=True, slots=True)
class Learning:
    """Of every series, all (series,): readings `seen` of those `needed` before its first score, int64, 0 and 0 where
    there is nothing to learn; and the score that raises an alarm, float64, NaN where it is not known yet.
    """

    seen: NDArray[np.int64]
    needed: NDArray[np.int64]
    threshold: NDArray[np.float64]


class ServiceView(Protocol):
    """The running service, as far as the API shows it."""

    @property
    def store(self) -> EmbeddedStore:
        """Where points, alarms and dead letters are read from."""
        ...

    @property
    def notifier(self) -> Notifier | None:
        """Who is told of alarms; None before it has started."""
        ...

    @property
    def simulator(self) -> SimulatorView | None:
        """The simulated devices on the broker; None before the service has one."""
        ...

    @property
    def functions(self) -> FunctionView | None:
        """The functions; None before they have started."""
        ...

    @property
    def workflows(self) -> WorkflowView | None:
        """The workflows; None before they have started."""
        ...

    @property
    def traces(self) -> TraceView | None:
        """The traces; None where no message is traced."""
        ...

    def health(self) -> Health:
        """The state of every stage."""
        ...

    def counts(self) -> Counts:
        """The ledger as of now."""
        ...

    def device_states(self) -> list[DeviceState]:
        """Every device known, in any order."""
        ...

    def device_page(self, start: int, most: int, *, retired: bool) -> DevicePage:
        """At most so many devices from a place on; with `retired` those too that are out of service."""
        ...

    def learning(self) -> Learning:
        """How far every series has warmed up, and its threshold: one call for all, however many there are."""
        ...

    def threshold(self, series: int) -> float | None:
        """The score that raises an alarm for the series; None where it is not known yet."""
        ...

    def minimum(self, series: int) -> float:
        """The least score that raises an alarm of the series by what people have said of its alarms; 0 for none."""
        ...

    def series_settings(self, series: int) -> SeriesSettings:
        """What is known of the series and what scores it, in force now."""
        ...

    def marked_stretches(self, device: str) -> list[MarkedStretch]:
        """Stretches of the device that people have marked, in order of time."""
        ...

    def detectors(self) -> Mapping[str, ComponentSettings]:
        """The detectors in force, by name."""
        ...

    def subscribe(self, wake: Callable[[], None]) -> Subscription:
        """Follow the live feed (`LiveFeed.subscribe`)."""
        ...

    def act(self, actions: Sequence[Action]) -> list[ActionRecord]:
        """Do what a person asks, and tell what came of each. Raises ActionError where that cannot be told now."""
        ...

    def kept_elsewhere(self) -> str:
        """What of a merged device stays as it was elsewhere, and what to do about it; empty where nothing does."""
        ...

    def take(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        """Journal messages, each topic and payload. Raises ActionError where that cannot be done now."""
        ...

    def retry(self, offsets: Sequence[int], reason: str) -> Retried:
        """Read rejected messages again. Raises ActionError where what came of it cannot be told now."""
        ...

    def is_muted(self, device: str) -> bool:
        """Whether nobody is told of the device's alarms."""
        ...

    def maintenance(self, device: str, time: int) -> str:
        """The name of the maintenance that the device is under at the time (ns); "" where it is under none."""
        ...

    def alarm_settings(self) -> AlarmSettings:
        """The alarm settings in force."""
        ...

    def editable_config(self) -> Path:
        """The configuration file, which may not exist yet."""
        ...

    def about(self) -> About:
        """What runs here."""
        ...

    def configuration(self) -> Mapping[str, object]:
        """The effective settings, JSON types only."""
        ...
