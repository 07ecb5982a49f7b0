"""Decode to alarm, composed: one journal entry in, one store transaction out. A pure function of state and entry."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.actions import ActionError, DoNotLearn, MarkStretch, ReportChannel, text_of
from alerts.actions import decode as decode_actions
from alerts.alarm_life import Alarms
from alerts.alarm_settings import AlarmSettings
from alerts.alarm_step import Scored
from alerts.channel_alarms import alarm_of_channel
from alerts.marked_stretches import MarkedStretches
from alerts.policy import Band
from alerts.series_rules import NO_RULES
from alerts.siblings import ODD, USUAL, Siblings, beside, findings
from detectors.detector import State
from devices.batch import NO_TIME, Batch, ScoredBatch
from devices.device_actions import DeviceAction, PointsAction
from devices.device_book import DeviceBook, noted
from devices.messages import FLAG_RETAIN
from devices.profile import Profile
from devices.recognition import Profiles
from devices.records import ActionRecord, AlarmRecord, AlarmState, DeviceRecord, SeriesRecord
from devices.series_registry import SeriesRegistry
from ingest.admission import Admission
from ingest.ahead import AheadWatch
from ingest.ahead import points as ahead_points
from ingest.ahead import scored as ahead_scored
from ingest.decode import Decoder
from ingest.decoded import Readings
from ingest.detector_host import DetectorHost, HostScores
from ingest.device_changes import Changed, DeviceChanges
from ingest.engine_settings import settings_as_json
from ingest.entry_parts import entry_parts
from ingest.excluded_stretches import ExcludedStretches
from ingest.followed import Followed, Incoming, RecordedRows
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.knowledge_settings import SeriesSettings
from ingest.knowledge_settings import rules_of as alarm_rules_of
from ingest.label_settings import LabelSettings, rules_of
from ingest.ledger import counts_of, dead_letters_of
from ingest.liveness import Liveness
from ingest.not_learned import NotLearned, Stretch
from ingest.observed import Observer
from ingest.order import Arrived, Ordered, Orderer
from ingest.route import Router
from ingest.route_choices import RouteChoices
from ingest.routed import RoutedChunk
from ingest.silence import Silence, SilenceWatch, adopt_silences, alarm_changes
from ingest.step_facts import FunctionStage, StepFacts, StreamStage
from ingest.stream_alarms import StreamAlarms
from storage.store import JournalEntry, StepOutput

log = logging.getLogger(__name__)

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
            assign=self._assign, expect=self._expect, heard=self._heard, waits=self.admission,
            book=self.book, profiles=Profiles(profiles),
        )  # fmt: skip
        self.settings = settings_as_json(self.router.settings, detectors, alarm, limits, series, device_labels)
        if profiles:
            self.settings["profiles"] = [profile.model_dump(mode="json", exclude_unset=True) for profile in profiles]
        self.streams, self.functions = streams, functions
        self.settings |= {n: s.settings for n, s in (("streams", streams), ("functions", functions)) if s is not None}
        self.host = DetectorHost(detectors, self.registry)
        self.choices = RouteChoices(self.router.first_routes, self.registry, series)
        self.not_learned = NotLearned(self.registry)
        self.alarms = Alarms(alarm)
        self._stream_alarms = StreamAlarms(streams, self.registry, self.alarms, self.book, self._in_service)
        self.ahead = AheadWatch(self.registry, self.choices.facts, any_wanted=self.choices.any_warning)
        self.siblings, self.silence = Siblings(), SilenceWatch()
        self.marked, self._excluded = MarkedStretches(), ExcludedStretches()
        self.observer = Observer(self.registry)
        self._decoder = Decoder(self.router, max_payload=limits.max_payload, keeps_texts=bool(streams or functions))
        first = self.router.first_routes
        self._orderer = Orderer(
            reorders=any(route.reorder_window for route in first),
            future_skew=max((route.future_skew for route in first), default=0),
        )
        self._changes = DeviceChanges(
            self.book, self.registry, self.router, self._orderer, self.host, self.admission, self.alarms,
            self.observer, self._excluded,
        )  # fmt: skip

    @property
    def waiting(self) -> int:
        """Readings that wait in the reorder buffer: a tick may release them."""
        return self._orderer.waiting

    @property
    def liveness(self) -> Liveness:
        """Which devices are heard from."""
        return self.silence.devices

    def wants_tick(self, now: int) -> bool:
        """Whether arrival time is to be told to have come to `now` (ns), though nothing arrives."""
        return self.waiting > 0 or self.silence.wants_tick(now)

    @property
    def open_series(self) -> NDArray[np.intp]:
        """Series with an open alarm."""
        return self.alarms.open_series

    def step(self, entry: JournalEntry) -> StepOutput:
        """Everything that follows from one journal entry. The entry must be the one at `position`, else ValueError."""
        if entry.position != self.position:
            raise ValueError(f"journal position: expected {self.position}, got {entry.position}")
        outputs = [self._step(part, routed) for part, routed in entry_parts(entry, self._until_look, self._decoder)]
        self.position = entry.position + 1
        return outputs[0] if len(outputs) == 1 else StepOutput.merged(outputs)

    def _until_look(self, arrival: NDArray[np.int64]) -> int:
        """How many messages of these arrivals (n,) are stepped together: the last may be one by which somebody has
        fallen silent, or a stream's condition may have come to hold."""
        length = self.silence.until_look(arrival)
        return length if self.streams is None else self.streams.until_condition(arrival[:length])

    def _step(self, entry: JournalEntry, routed: RoutedChunk) -> StepOutput:
        waited, known_devices = self.waiting, len(self.registry.device_names)
        raised = self._stream_alarms.step(entry.chunk)
        changed, actions = self._act(entry)
        new = replace(entry, chunk=routed.chunk)
        readings = self._decoder.decode_routed(routed)
        states = self.observer.step(readings, new.chunk)
        incoming = self._incoming(readings, routed, entry)
        followed = self._follow(incoming, self._silences(incoming))
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
                conflicts=self._orderer.conflicts,
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
        return self._follow(rows.incoming(series, self.router.routes[route].reorder_window if route >= 0 else 0))

    def tick(self, moment: int) -> Followed:
        """What follows from arrival time having come to `moment` (ns), without a message."""
        return self._follow(Incoming.nothing(moment))

    def learning(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of every series: readings, or a device's rows, learned, and needed before the first score."""
        return self.host.learning()

    def warming(self, series: int) -> tuple[int, int]:
        """The same of one series."""
        seen, needed = self.host.learning()
        return int(seen[series]), int(needed[series])

    def state(self) -> tuple[dict[str, State], dict[str, Any]]:
        """A copy of the state at `position`: arrays by part and name, and the rest as JSON."""
        arrays = {f"detectors/{name}": state for name, state in self.host.state().items()}
        alarm_arrays, rest = self.alarms.state()
        arrays["order"] = self._orderer.state()
        arrays["liveness"] = self.silence.state()
        arrays["alarm"] = alarm_arrays
        arrays["siblings"] = self.siblings.state()
        arrays["route"] = self.choices.state()
        arrays["admission"] = self.admission.state()
        arrays["ahead"], ahead = self.ahead.state()
        rest |= {
            "settings": self.settings,
            "settings_from": self.settings_from,
            "fingerprints": self.host.fingerprints(),
            "not_learned": self.not_learned.state(),
            "marked": self.marked.state(),
            "excluded": self._excluded.state(),
            "ahead": ahead,
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
        prefix = "detectors/"
        saved = {name.removeprefix(prefix): state for name, state in arrays.items() if name.startswith(prefix)}
        anew = self.host.load(saved, rest.get("fingerprints", {}))
        self._orderer.load(arrays["order"])
        self.silence.load(arrays["liveness"])
        if not self.alarms.load(arrays["alarm"], rest):
            log.warning("the cadence of every series, which its alarm threshold comes from, is learned anew")
        self.siblings.load(arrays.get("siblings", {}))
        self.not_learned.load(rest.get("not_learned", ()))
        self.marked.load(rest.get("marked", ()))
        self._excluded.load(rest.get("excluded", ()))
        self.ahead.load(arrays.get("ahead", {}), rest.get("ahead", {}))
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
            self.admission.admit_all([each for each in range(len(self.registry)) if self.host.assigned(each)])
        same = rest["settings"] == self.settings
        self.settings_from = int(rest["settings_from"]) if same else position
        if same and self.choices.load(arrays["route"]) and (anew or self.choices.any_knowledge):
            self._describe()
        self._grow()
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
        self._grow()
        self.alarms.adopt(open_alarms, next_alarm, judged)
        adopt_silences(open_alarms, self.registry, self.silence)
        self._stream_alarms.adopt()

    def _assign(self, series: int, route: int, override: int, arrival: int) -> None:
        """Give a series that is met for the first time under these settings to its detectors.

        Where several topics bring one series the first of them chooses, so that it does not depend on restarts.
        """
        if not self.choices.take(series, route, override):
            return
        self.ahead.meet(series)
        self._tell_alarms(series)
        names = self.choices.detectors(series)
        if not names or self.admission.admits(series, arrival):
            self.host.assign(series, names, self.choices.knowledge(series), arrival)

    def _expect(self, series: int, within: int, arrival: int) -> None:
        """A series comes at least every `within` ns by what describes it (0: nothing says so)."""
        device_of = self.registry.device_of()
        self.silence.expect(series, int(device_of[series]), within, arrival, device_of)

    def _heard(self, series: int, arrival: int) -> None:
        """Give a series that has waited to its detectors, where this reading shows that it goes on."""
        if self.admission.hears(series, arrival):
            self.host.assign(series, self.choices.detectors(series), self.choices.knowledge(series), arrival)

    def _describe(self) -> None:
        """Give every series to its detectors again: to those that start anew, and with what people know of it."""
        for series in self.choices.chosen():
            self._tell_alarms(series)
        for series in filter(self.admission.is_admitted, self.choices.chosen()):
            self.host.assign(series, self.choices.detectors(series), self.choices.knowledge(series), NO_TIME)

    def _tell_alarms(self, series: int) -> None:
        """Let the alarms of a series follow what people said of it."""
        if self.choices.any_knowledge and (rules := alarm_rules_of(self.choices.knowledge(series))) != NO_RULES:
            self.alarms.describe(series, rules)

    def _act(self, entry: JournalEntry) -> tuple[Changed, list[ActionRecord]]:
        """What people did, where the entry holds that: what follows from it, and a record of each action."""
        body = entry.chunk.actions
        changed = Changed()
        records: list[ActionRecord] = []
        for number, action in enumerate(decode_actions(body)) if body is not None else ():
            refused, outcome, alarm = "", "", None
            try:
                if isinstance(action, DoNotLearn):
                    self.not_learned.add(Stretch(action.device, action.metric, action.start, action.end))
                elif isinstance(action, MarkStretch):
                    self.marked.put(action)
                elif isinstance(action, ReportChannel):
                    self._report_channel(action, changed)
                elif isinstance(action, PointsAction):
                    self._changes.mark(action, changed)
                elif isinstance(action, DeviceAction):
                    self._changes.act(action, entry.position, changed)
                else:
                    alarm = action.alarm
                    record, outcome = self.alarms.act(action, self.host)
                    changed.alarms.append(record)
            except ActionError as error:
                refused = str(error)
            text = text_of(action, outcome)
            records.append(
                ActionRecord(entry.position, number, alarm, action.kind, action.by, action.at, text, refused)
            )
        return changed, records

    def _report_channel(self, report: ReportChannel, changed: Changed) -> None:
        record = alarm_of_channel(report, self.registry, self.alarms)
        if record is not None:
            changed.alarms.append(record)
            changed.alarms_opened += record.state is AlarmState.OPEN

    def _grow(self) -> None:
        self._orderer.grow(len(self.registry), len(self.registry.device_names))
        self.silence.grow(len(self.registry.device_names), len(self.registry))
        self.alarms.grow(self.registry.records)

    def _incoming(self, readings: Readings, routed: RoutedChunk, entry: JournalEntry) -> Incoming:
        """Decoded readings on their way; `entry` is the whole one, in which redelivered messages pass time too."""
        chunk = routed.chunk
        window = np.zeros(len(readings.series), np.int64)
        windows = np.array([route.reorder_window for route in self.router.routes], np.int64)
        if windows.any() and len(window):
            window = windows[routed.routes[readings.message]]
        return Incoming(
            Batch(readings.series, readings.time, readings.value),
            arrival=chunk.arrival[readings.message],
            window=window,
            live=((chunk.flags & FLAG_RETAIN) == 0)[readings.message],
            moments=entry.chunk.arrival if len(entry.chunk) else np.array([entry.chunk.ticked_at], np.int64),
            after_gap=entry.chunk.after_reception_gap,
        )

    def _silences(self, incoming: Incoming) -> list[Silence]:
        """What falls silent, and is heard from again. A retained message is history, and no sign of life."""
        self._grow()
        batch, live, device_of = incoming.batch, incoming.live, self.registry.device_of()
        series = batch.series[live]
        return self.silence.step(
            device_of[series], series, batch.time[live], incoming.arrival[live], incoming.moments, device_of,
            lambda series: bool(self.host.assigned(series)), after_gap=incoming.after_gap,
        )  # fmt: skip

    def _follow(self, incoming: Incoming, silences: Sequence[Silence] = ()) -> Followed:
        """Order, score and judge."""
        self._grow()
        batch = incoming.batch
        device = self.registry.device_of()[batch.series]
        ordered = self._orderer.step(Arrived(batch, device, incoming.window, incoming.arrival), incoming.moments)
        ordered, excluded = self._excluded.split(ordered)
        taken = ordered.on_time()
        taken_up = self.admission.taken_up(taken.batch.series, taken.arrival)
        scores = self.host.step(taken, self.not_learned.learn(taken.batch), taken_up)
        changes = alarm_changes(silences, self.registry, taken.released, self._in_service)
        self.alarms.grow(self.registry.records)
        ahead = self.ahead.step(taken.batch, taken.released)
        self.siblings.grow(len(self.registry))
        sets = [*self._sets(taken, scores), ahead_scored(ahead, self._in_service)]
        verdicts, alarms = self.alarms.step(sets, changes)
        self.siblings.note(taken.batch, findings(scores.readings.score, verdicts[0].anomaly))
        return Followed(
            ordered,
            taken,
            scores,
            verdicts[0],
            verdicts[1],
            alarms,
            ahead_points(ahead, verdicts[2].anomaly),
            np.array([row.at for row in ahead], np.intp),
            excluded,
        )

    def _sets(self, taken: Ordered, scores: HostScores) -> list[Scored]:
        """The readings' own scores, then those of devices as a whole, as the alarms take them."""
        batch, devices, readings = taken.batch, scores.devices, scores.readings

        def record_of(series: int, row: int) -> SeriesRecord:
            return self.registry.record_at(series, int(taken.released[row]))

        own, together = self._in_service(batch.series), self._in_service(devices.batch.series)
        return [
            Scored(
                batch.series,
                batch.time,
                np.where(own, readings.score, np.nan),
                np.arange(len(batch)),
                opening=lambda row: readings.opening(batch, row, record_of(int(batch.series[row]), row)),
                is_replaced=lambda row: self.host.is_replaced(int(batch.series[row]), row),
                band=Band(batch.value, readings.expected, readings.lower, readings.upper),
                beside=lambda row, verdicts: self._beside(taken, findings(readings.score, verdicts.anomaly), row),
            ),
            Scored(
                devices.batch.series,
                devices.batch.time,
                np.where(together, devices.batch.value, np.nan),
                devices.at,
                opening=lambda row: devices.opening(row, lambda series: record_of(series, devices.at[row])),
            ),
        ]

    def _beside(self, taken: Ordered, found: NDArray[np.int8], row: int) -> str:
        """What the other metrics of a reading's device show at that moment, for the reason of its alarm."""
        series, device_of = int(taken.batch.series[row]), self.registry.device_of()
        others = [each for each in np.flatnonzero(device_of == device_of[series]).tolist() if each != series]
        told = self.siblings.at(taken.batch, taken.arrival, found, row, others)
        names = {
            what: [self.registry.records[each].metric for each in told if told[each] == what] for what in (ODD, USUAL)
        }
        return beside(names[ODD], names[USUAL])

    def _in_service(self, series: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of these (n,) are of devices that are not retired: the others raise no alarm."""
        retired = [each for record in self.book.retired for each in self.registry.series_of(record)]
        return ~np.isin(series, retired) if retired else np.ones(len(series), np.bool_)
