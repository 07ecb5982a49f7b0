"""Decode to alarm, composed: one journal entry in, one store transaction out. A pure function of state and entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_life import Alarms
from alerts.alarm_settings import AlarmSettings
from alerts.marked_stretches import MarkedStretches
from detectors.detector import State
from devices.batch import ScoredBatch
from devices.device_book import DeviceBook, noted
from devices.profile import Profile
from devices.recognition import Profiles
from devices.records import AlarmRecord, AlarmState, DeviceRecord, SeriesRecord
from devices.series_registry import SeriesRegistry
from ingest.action_handler import ActionHandler
from ingest.admission import Admission
from ingest.decode import Decoder
from ingest.detector_host import DetectorHost
from ingest.device_changes import DeviceChanges
from ingest.engine_settings import settings_as_json
from ingest.entry_parts import entry_parts
from ingest.followed import Followed, Incoming, RecordedRows
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.judgement import Judgement
from ingest.knowledge_settings import SeriesSettings
from ingest.label_settings import LabelSettings, rules_of
from ingest.ledger import counts_of, dead_letters_of
from ingest.liveness import Liveness
from ingest.observed import Observer
from ingest.order import Orderer
from ingest.route import Router
from ingest.route_choices import RouteChoices
from ingest.routed import RoutedChunk
from ingest.series_assignment import SeriesAssignment
from ingest.silence import adopt_silences
from ingest.stage_watch import Stage, StageWatch
from ingest.step_facts import FunctionStage, StepFacts, StreamStage
from ingest.stream_alarms import StreamAlarms
from storage.store import JournalEntry, StepOutput

_TOPICS_PER_SERIES = 2


class Engine:
    """Decodes, routes, orders, scores and judges one journal entry at a time.

    No clock and no randomness of its own: the same messages under the same settings give the same outputs, however the
    journal was cut into entries. `position` is the journal position that it stands at, `settings` all its settings as
    JSON, `settings_from` the position from which they have been in force.
    """

    def __init__(
        self,
        routes: Sequence[RouteSettings],
        detectors: Mapping[str, ComponentSettings],
        alarm: AlarmSettings,
        limits: LimitSettings,
        known_series: Sequence[SeriesRecord] = (),
        series: Sequence[SeriesSettings] = (),
        *,
        device_labels: Sequence[LabelSettings] = (),
        known_devices: Sequence[DeviceRecord] = (),
        profiles: Sequence[Profile] = (),
        streams: StreamStage | None = None,
        functions: FunctionStage | None = None,
    ) -> None:
        self.position = self.settings_from = 0
        self.registry = SeriesRegistry(max_series=limits.max_series, max_series_per_device=limits.max_series_per_device)
        self.registry.load(known_series)
        self._stored_series = len(self.registry)
        self.admission = Admission(limits)
        self.book = DeviceBook(rules_of(device_labels))
        self.book.load(noted(known_devices, known_series))
        self.router = Router(
            routes,
            list(detectors),
            self.registry,
            max_topics=_TOPICS_PER_SERIES * limits.max_series,
            waits=self.admission,
            book=self.book,
            profiles=Profiles(profiles),
        )
        self.settings = settings_as_json(self.router.settings, detectors, alarm, limits, series, device_labels)
        if profiles:
            self.settings["profiles"] = [profile.model_dump(mode="json", exclude_unset=True) for profile in profiles]
        self.streams, self.functions = streams, functions
        self.settings |= {n: s.settings for n, s in (("streams", streams), ("functions", functions)) if s is not None}
        self._decoder = Decoder(self.router, max_payload=limits.max_payload, keeps_texts=bool(streams or functions))
        self.observer = Observer(self.registry)
        self.choices = RouteChoices(self.router.first_routes, self.registry, series)
        self.host, self.alarms, self.marked = DetectorHost(detectors, self.registry), Alarms(alarm), MarkedStretches()
        first = self.router.first_routes
        orderer = Orderer(
            reorders=any(route.reorder_window for route in first),
            future_skew=max((route.future_skew for route in first), default=0),
        )
        self.judgement = judgement = Judgement(
            self.registry, self.book, self.choices, self.admission, self.host, self.alarms, orderer
        )
        self._assignment = SeriesAssignment(
            self.registry, self.choices, self.admission, self.host, self.alarms, judgement.ahead, judgement.silence
        )
        self.router.tell(self._assignment.assign, self._assignment.expect, self._assignment.heard)
        self._stream_alarms = StreamAlarms(streams, self.registry, self.alarms, self.book, judgement.in_service)
        changes = DeviceChanges(
            self.book, self.registry, self.router, orderer, self.host, self.admission, self.alarms,
            self.observer, judgement.excluded,
        )  # fmt: skip
        self._actions = ActionHandler(changes, self.alarms, self.host, judgement.not_learned, self.marked)

    @property
    def waiting(self) -> int:
        """Readings that wait in the reorder buffer: a tick may release them."""
        return self.judgement.orderer.waiting

    @property
    def liveness(self) -> Liveness:
        """Which devices are heard from."""
        return self.judgement.silence.devices

    def wants_tick(self, now: int) -> bool:
        """Whether arrival time is to be told to have come to `now` (ns), though nothing arrives."""
        return self.waiting > 0 or self.judgement.silence.wants_tick(now)

    @property
    def open_alarms(self) -> list[AlarmRecord]:
        """Alarms that are not cleared: at most one of each series."""
        return self.alarms.open_alarms

    def step(self, entry: JournalEntry, watch: StageWatch | None = None) -> StepOutput:
        """Everything that follows from one journal entry. The entry must be the one at `position`, else ValueError.

        `watch` takes the times of the stages; it changes nothing.
        """
        if entry.position != self.position:
            raise ValueError(f"journal position: expected {self.position}, got {entry.position}")
        parts = entry_parts(entry, self._until_look, self._decoder)
        outputs = [self._step(part, routed, watch) for part, routed in parts]
        self.position = entry.position + 1
        return outputs[0] if len(outputs) == 1 else StepOutput.merged(outputs)

    def _until_look(self, arrival: NDArray[np.int64]) -> int:
        """How many messages of these arrivals (n,) are stepped together: the last may be one by which somebody has
        fallen silent, or a stream's condition may have come to hold."""
        length = self.judgement.silence.until_look(arrival)
        return length if self.streams is None else self.streams.until_condition(arrival[:length])

    def _step(self, entry: JournalEntry, routed: RoutedChunk, watch: StageWatch | None) -> StepOutput:
        if watch is not None:
            watch.begin(entry)
        waited, known_devices = self.waiting, len(self.registry.device_names)
        raised = self._stream_alarms.step(entry.chunk)
        changed, actions = self._actions.act(entry)
        new = replace(entry, chunk=routed.chunk)
        readings = self._decoder.decode_routed(routed)
        states = self.observer.step(readings, new.chunk)
        if watch is not None:
            watch.passed(Stage.DECODE)
        incoming = Incoming.of(readings, routed, entry, self.router.reorder_windows)
        followed = self.judgement.follow(incoming, self.judgement.silences(incoming), watch)
        points, letters = followed.points(), dead_letters_of(readings, new, entry)
        devices, forgotten = self.book.take_changed()
        facts = StepFacts(
            entry, new.chunk, routed.topics, readings, followed, changed.alarms, letters, known_devices, self.registry,
            self.router, routed.routes, self.book, raised,
        )  # fmt: skip
        results, progress = self.streams.step(facts) if self.streams is not None else ([], [])
        events = self.functions.step(facts, results) if self.functions is not None else []
        output = StepOutput(
            position=entry.position,
            next_position=entry.position + 1,
            points=points,
            series=[*self.registry.take_changed(self._stored_series), *self.registry.records[self._stored_series :]],
            dead_letters=letters,
            alarms=[*raised, *changed.alarms, *followed.alarms.records],
            actions=actions,
            counts=counts_of(
                readings,
                new,
                entry,
                anomalies=int(np.count_nonzero(points.anomaly)),
                alarms_opened=followed.alarms.opened
                + changed.alarms_opened
                + sum(alarm.state is AlarmState.OPEN for alarm in raised),
                waiting=self.waiting - waited,
                device_rows=len(followed.scores.devices.batch) + len(followed.ahead),
                conflicts=self.judgement.orderer.conflicts,
                deleted=changed.dropped,
            ),
            states=states,
            registered=devices,
            forgotten=forgotten,
            moved=changed.moved,
            deleted=changed.deleted,
            stream_results=results,
            stream_progress=progress,
            marked=changed.marked,
            function_events=events,
            rises=followed.alarms.rises,
            excluded=ScoredBatch.unscored(followed.excluded, late=False),
        )
        self._stored_series = len(self.registry)
        return output

    def step_rows(self, rows: RecordedRows) -> Followed:
        """What follows from rows of a recording, each in the place of a message that is decoded already.

        Everything from the route on is the same as in `step`, but that nobody falls silent. Raises RouteError where the
        topic or a metric is refused.
        """
        route, series = self.router.row_series(rows.topic, rows.metrics, int(rows.arrival[0]) if len(rows) else 0)
        window = self.router.routes[route].reorder_window if route >= 0 else 0
        return self.judgement.follow(rows.incoming(series, window))

    def tick(self, moment: int) -> Followed:
        """What follows from arrival time having come to `moment` (ns), without a message."""
        return self.judgement.follow(Incoming.nothing(moment))

    def learning(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of every series: readings, or a device's rows, learned, and needed before the first score."""
        return self.host.learning()

    def warming(self, series: int) -> tuple[int, int]:
        """The same of one series."""
        seen, needed = self.host.learning()
        return int(seen[series]), int(needed[series])

    def state(self) -> tuple[dict[str, State], dict[str, Any]]:
        """A copy of the state at `position`: arrays by part and name, and the rest as JSON."""
        arrays, rest = self.judgement.state()
        arrays["route"], arrays["admission"] = self.choices.state(), self.admission.state()
        rest |= {
            "settings": self.settings,
            "settings_from": self.settings_from,
            "marked": self.marked.state(),
            "router": self.router.state(),
            "observed": self.observer.state(),
            "devices": self.book.state(),
        }
        if self.streams is not None:
            arrays["streams"], rest["streams"] = self.streams.state()
        if self.functions is not None:
            rest["functions"] = self.functions.state()
        return arrays, rest

    def load(self, position: int, arrays: Mapping[str, State], rest: Mapping[str, Any]) -> dict[str, str]:
        """Take over a saved state; returns the detectors that start anew, and why: what is saved does not fit them.

        Raises ValueError or KeyError where the state is not one of an engine's.
        """
        if "devices" in rest:
            self.book.load_state(rest["devices"])
        self.stand_at(position)
        anew = self.judgement.load(arrays, rest)
        self.marked.load(rest.get("marked", ()))
        self.router.load(rest.get("router", {}))
        self.observer.load(rest.get("observed", {}))
        if self.streams is not None and "streams" in rest:
            self.streams.load(arrays.get("streams", {}), rest["streams"])
        if self.functions is not None and "functions" in rest:
            self.functions.load(rest["functions"])
        self._stream_alarms.adopt()
        if "admission" in arrays:
            self.admission.load(arrays["admission"])
        else:
            self._assignment.admit_assigned()
        same = rest["settings"] == self.settings
        self.settings_from = int(rest["settings_from"]) if same else position
        if same and self.choices.load(arrays["route"]) and (anew or self.choices.any_knowledge):
            self._assignment.assign_again()
        self.judgement.grow()
        return anew

    def stand_at(self, position: int) -> None:
        """Go on at a journal position: devices and series are as they were there."""
        self.position = position
        self.registry.stand_at(position)
        self.book.stand_at(position)

    def adopt_alarms(
        self, open_alarms: Sequence[AlarmRecord], next_alarm: int, judged: Sequence[AlarmRecord] = ()
    ) -> None:
        """Let exactly these alarms be open, and number new ones from `next_alarm`: what a store holds, where the state
        before was lost. `judged` are those that somebody has said something of."""
        self.judgement.grow()
        self.alarms.adopt(open_alarms, next_alarm, judged)
        adopt_silences(open_alarms, self.registry, self.judgement.silence)
        self._stream_alarms.adopt()
