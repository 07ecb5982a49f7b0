"""Stages 3 to 7 of 7, composed: one journal entry in, one store transaction out. A pure function of state and entry."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_settings import AlarmSettings
from alerts.policy import CLEARED, AlarmPolicy, Verdicts
from alerts.reasons import device_sentence, sentence
from common.growth import grown
from detectors.detector import State
from devices.batch import Batch, ScoredBatch
from devices.messages import FLAG_REDELIVERED, FLAG_RETAIN
from devices.records import MOST_PAYLOAD_KEPT, AlarmRecord, AlarmState, DeadLetter, SeriesRecord
from devices.series_registry import SeriesRegistry
from ingest.decode import Decoder, Readings, Rejection
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.liveness import Liveness
from ingest.order import Orderer
from ingest.route import Router
from ingest.rows import PREFIX, DeviceScores, RowFleet
from ingest.score import Fleet, FleetScores
from storage.store import JournalEntry, StepOutput

log = logging.getLogger(__name__)

_TOPICS_PER_SERIES = 2
_MOST_DETAIL = 300
"""Characters of one reason: a name in it may be as long as a payload."""


class Engine:
    """Decodes, routes, orders, scores and judges one journal entry at a time.

    No clock and no randomness of its own: the same entries under the same settings give the same outputs. `position`
    is the journal position that it stands at, `settings` all its settings as JSON, `settings_from` the position from
    which they have been in force.
    """

    def __init__(
        self,
        routes: Sequence[RouteSettings],
        detectors: Mapping[str, ComponentSettings],
        alarm: AlarmSettings,
        limits: LimitSettings,
        known_series: Sequence[SeriesRecord] = (),
    ) -> None:
        self.settings_from = 0
        self.registry = SeriesRegistry(max_series=limits.max_series, max_series_per_device=limits.max_series_per_device)
        self.registry.load(known_series)
        self.router = Router(routes, list(detectors), self.registry, max_topics=_TOPICS_PER_SERIES * limits.max_series)
        self.settings = _as_json([route.settings for route in self.router.routes], detectors, alarm, limits)
        self.fleet = Fleet(detectors)
        self.rows = RowFleet(detectors, self.registry, self.router.new_series)
        self.policy = AlarmPolicy(alarm)
        self.liveness = Liveness()
        self.position = 0
        self._decoder = Decoder(self.router, max_payload=limits.max_payload)
        self._orderer = Orderer(future_skew=max((route.future_skew for route in self.router.routes), default=0))
        self._windows = np.array([route.reorder_window for route in self.router.routes], np.int64)
        self._next_alarm = 1
        self._open_alarms: dict[int, AlarmRecord] = {}
        self._settled = np.empty(0, np.bool_)
        self._said_left_out: set[str] = set()

    @property
    def waiting(self) -> int:
        """Readings that wait in the reorder buffer: a tick may release them."""
        return self._orderer.waiting

    def step(self, entry: JournalEntry) -> StepOutput:
        """Everything that follows from one journal entry. The entry must be the one at `position`, else ValueError."""
        if entry.position != self.position:
            raise ValueError(f"journal position: expected {self.position}, got {entry.position}")
        whole, entry = entry, _without_redelivered(entry)
        readings = self._decoder.decode(entry.chunk)
        self._settle_new_series()
        waited = self._orderer.waiting
        batch, late = self._order(readings, entry)
        on_time = batch if not late.any() else batch.take(~late)
        scores = self.fleet.step(on_time, np.ones(len(on_time), np.bool_))
        verdicts = self.policy.step(on_time.series, on_time.time, scores.score)
        points = ScoredBatch(
            on_time.series,
            on_time.time,
            on_time.value,
            scores.score,
            scores.expected,
            scores.lower,
            scores.upper,
            verdicts.anomaly,
            np.zeros(len(on_time), np.bool_),
        )
        together = self.rows.step(on_time, scores.score)
        alarms = self._alarms(on_time, scores, verdicts)
        if len(together.batch):
            found = self.policy.step(together.batch.series, together.batch.time, together.batch.value)
            points = ScoredBatch.concatenate([points, _device_points(together.batch, found)])
            alarms += self._device_alarms(together, found)
        if len(on_time) < len(batch):
            points = ScoredBatch.concatenate([points, ScoredBatch.unscored(batch.take(late), late=True)])
        waiting = self._orderer.waiting - waited
        counts = _counts(readings, entry, whole, points, alarms, waiting, len(together.batch))
        output = StepOutput(
            position=entry.position,
            next_position=entry.position + 1,
            points=points,
            series=self.router.new_series[:],
            dead_letters=_dead_letters(readings, entry, whole),
            alarms=alarms,
            counts=counts,
        )
        self.router.new_series.clear()
        self.position = entry.position + 1
        return output

    def warming(self, series: int) -> tuple[int, int]:
        """Readings, or a device's rows, learned and needed before the series' first score; by its slowest detector."""
        return self.rows.warming(series) or self.fleet.warming(series)

    @property
    def open_series(self) -> NDArray[np.intp]:
        """Series with an open alarm."""
        return np.array(list(self._open_alarms), np.intp)

    def state(self) -> tuple[dict[str, State], dict[str, Any]]:
        """A copy of the state at `position`: arrays by part and name, and the rest as JSON."""
        arrays = {f"fleet/{name}": state for name, state in self.fleet.state().items()}
        arrays |= {f"rows/{name}": state for name, state in self.rows.state().items()}
        arrays["order"] = self._orderer.state()
        arrays["liveness"] = self.liveness.state()
        arrays["alarm"] = self.policy.state()
        arrays["route"] = {"settled": self._settled.copy()}
        rest = {
            "settings": self.settings,
            "settings_from": self.settings_from,
            "next_alarm": self._next_alarm,
            "open_alarms": [_alarm_to_json(record) for record in self._open_alarms.values()],
        }
        return arrays, rest

    def load(self, position: int, arrays: Mapping[str, State], rest: Mapping[str, Any]) -> list[str]:
        """Take over a saved state; returns the detectors that start anew since their parameters changed.

        Raises ValueError or KeyError where the state is not one of this engine's.
        """
        fleet, rows = (
            {name.removeprefix(room): state for name, state in arrays.items() if name.startswith(room)}
            for room in ("fleet/", "rows/")
        )
        anew = self.fleet.load(fleet) + self.rows.load(rows)
        self._orderer.load(arrays["order"])
        self.liveness.load(arrays["liveness"])
        self.policy.load(arrays["alarm"])
        self._next_alarm = int(rest["next_alarm"])
        self._open_alarms = {record.series: record for record in map(_alarm_from_json, rest["open_alarms"])}
        same = rest["settings"] == self.settings
        self.settings_from = int(rest["settings_from"]) if same else position
        self._settled = np.array(arrays["route"]["settled"], np.bool_) if same else np.empty(0, np.bool_)
        self.position = position
        self._grow()
        return anew

    def adopt_alarms(self, open_alarms: Sequence[AlarmRecord], next_alarm: int) -> None:
        """Let exactly these alarms be open, and number new ones from `next_alarm`: what a store holds, where the state
        before was lost."""
        alarm = self.policy.state()
        alarm["open"][:] = False
        for record in open_alarms:
            alarm["open"][record.series] = True
            alarm["calm"][record.series] = 0
            alarm["peak"][record.series] = record.peak_score
        self.policy.load(alarm)
        self._open_alarms = {record.series: record for record in open_alarms}
        self._next_alarm = next_alarm

    def _settle_new_series(self) -> None:
        """Give series that are met for the first time under these settings to their detectors.

        Where several topics bring one series the first of them chooses, so that it does not depend on restarts.
        """
        self._grow()
        for series, names in self.router.detectors_of.items():
            if not self._settled[series]:
                self.fleet.assign(series, names)
                for name in self.rows.assign(series, names):
                    self._say_left_out(series, name)
                self._settled[series] = True
        if self.router.detectors_of:
            # Series of devices' scores may have come with those that were settled.
            self._grow()
            self.router.detectors_of.clear()

    def _say_left_out(self, series: int, name: str) -> None:
        if name not in self._said_left_out:
            self._said_left_out.add(name)
            record = self.registry.records[series]
            log.warning(
                'metric "%s" of device "%s" has no place in the rows of detector "%s", whose `channels` or a limit on '
                "series is reached: it is scored alone; not said again for others",
                record.metric,
                record.device,
                name,
            )

    def _grow(self) -> None:
        self._settled = grown(self._settled, len(self.registry), False)
        self._orderer.grow(len(self.registry), len(self.registry.device_names))
        self.liveness.grow(len(self.registry.device_names))
        self.policy.grow(len(self.registry))

    def _order(self, readings: Readings, entry: JournalEntry) -> tuple[Batch, NDArray[np.bool_]]:
        batch = Batch(readings.series, readings.time, readings.value)
        device = self.registry.device_of()[batch.series]
        self._hear(readings, device, entry)
        window = arrival = None
        if self._windows.any() and len(batch):
            topics, _ = self.router.topics(entry.chunk.data, entry.chunk.spans)
            window = self._windows[self.router.route_of(topics)[readings.message]]
            arrival = entry.chunk.arrival[readings.message]
        return self._orderer.step(batch, device, window, arrival, entry.chunk.ticked_at)

    def _hear(self, readings: Readings, device: NDArray[np.int32], entry: JournalEntry) -> None:
        arrival = entry.chunk.arrival[readings.message]
        retained = (entry.chunk.flags & FLAG_RETAIN) != 0
        if retained.any():
            live = ~retained[readings.message]
            self.liveness.hear(device[live], readings.time[live], arrival[live])
        else:
            self.liveness.hear(device, readings.time, arrival)

    def _alarms(self, batch: Batch, scores: FleetScores, verdicts: Verdicts) -> list[AlarmRecord]:
        records = []
        for row in np.flatnonzero(verdicts.event).tolist() if verdicts.events else ():
            series, time = int(batch.series[row]), int(batch.time[row])
            if verdicts.event[row] == CLEARED:
                records += self._clear_alarm(series, time)
            elif not self.rows.speaks_for(series):
                value, score = float(batch.value[row]), float(scores.score[row])
                band = (float(scores.expected[row]), float(scores.lower[row]), float(scores.upper[row]))
                parts = scores.parts(row)
                reason = sentence(self.registry.records[series], value, score, band, parts)
                records.append(self._open_alarm(series, time, value, score, band[0], reason, parts))
        return records

    def _device_alarms(self, scores: DeviceScores, verdicts: Verdicts) -> list[AlarmRecord]:
        """Alarms of devices as a whole: their parts are the channels that contribute."""
        records = []
        for row in np.flatnonzero(verdicts.event).tolist() if verdicts.events else ():
            series, time = int(scores.batch.series[row]), int(scores.batch.time[row])
            if verdicts.event[row] == CLEARED:
                records += self._clear_alarm(series, time)
                continue
            score = float(scores.batch.value[row])
            channels = scores.channels(row, self.registry)
            detector = self.registry.records[series].metric.removeprefix(PREFIX)
            reason = device_sentence(detector, score, channels)
            parts = {channel.series.metric: round(channel.share, 3) for channel in channels}
            records.append(self._open_alarm(series, time, score, score, math.nan, reason, parts))
        return records

    def _open_alarm(
        self, series: int, time: int, value: float, score: float, expected: float, reason: str, parts: dict[str, float]
    ) -> AlarmRecord:
        record = AlarmRecord(
            alarm=self._next_alarm,
            series=series,
            state=AlarmState.OPEN,
            opened=time,
            cleared=None,
            severity="major" if score >= 1.5 * self.policy.threshold(series) else "minor",
            peak_score=score,
            value=value,
            expected=expected,
            reason=reason,
            parts=parts,
        )
        self._next_alarm += 1
        self._open_alarms[series] = record
        return record

    def _clear_alarm(self, series: int, time: int) -> list[AlarmRecord]:
        """The alarm's last record; none where the device's alarm stood for this one."""
        was = self._open_alarms.pop(series, None)
        if was is None:
            return []
        peak = self.policy.peak(series)
        return [replace(was, state=AlarmState.CLEARED, cleared=time, peak_score=peak)]


def _device_points(batch: Batch, verdicts: Verdicts) -> ScoredBatch:
    none = np.full(len(batch), np.nan)
    late = np.zeros(len(batch), np.bool_)
    return ScoredBatch(batch.series, batch.time, batch.value, batch.value, none, none, none, verdicts.anomaly, late)


def _as_json(
    routes: Sequence[RouteSettings],
    detectors: Mapping[str, ComponentSettings],
    alarm: AlarmSettings,
    limits: LimitSettings,
) -> dict[str, Any]:
    return {
        "routes": [route.model_dump(mode="json") for route in routes],
        "detectors": {name: chosen.model_dump(mode="json") for name, chosen in detectors.items()},
        "alarm": alarm.model_dump(mode="json"),
        "limits": limits.model_dump(mode="json"),
    }


def _without_redelivered(entry: JournalEntry) -> JournalEntry:
    """The entry without messages that stand earlier in the journal: they were scored there."""
    again = entry.chunk.flags & FLAG_REDELIVERED
    return replace(entry, chunk=entry.chunk.take(np.flatnonzero(again == 0))) if again.any() else entry


def _dead_letters(readings: Readings, entry: JournalEntry, whole: JournalEntry) -> list[DeadLetter]:
    """One a message. `whole` is the entry with its redelivered messages, in which a message is found by its arrival."""
    chunk = entry.chunk
    of_message: dict[int, list[Rejection]] = {}
    for rejection in readings.rejections:
        of_message.setdefault(rejection.message, []).append(rejection)
    letters = []
    for message, rejections in of_message.items():
        rejected: Counter[str] = Counter()
        for each in rejections:
            rejected[each.reason.value] += each.count
        start, end = chunk.spans[message, 2:4].tolist()
        letters.append(
            DeadLetter(
                offset=whole.offset + int(np.searchsorted(whole.chunk.arrival, chunk.arrival[message])),
                arrival=int(chunk.arrival[message]),
                topic=chunk.topic(message).decode("utf-8", "backslashreplace"),
                payload=chunk.data[start : min(end, start + MOST_PAYLOAD_KEPT)],
                payload_bytes=end - start,
                reason=rejections[0].reason.value,
                detail="\n".join(each.detail[:_MOST_DETAIL] for each in rejections),
                rejected=dict(rejected),
            )
        )
    return letters


def _counts(
    readings: Readings,
    entry: JournalEntry,
    whole: JournalEntry,
    points: ScoredBatch,
    alarms: Sequence[AlarmRecord],
    waiting: int,
    device_rows: int,
) -> dict[str, int]:
    """Ledger increments. `received` counts readings; a message that could not be decoded at all counts as one, and so
    do a redelivered one, which is not decoded again, and a device's row that was scored, since it becomes a point.

    `whole` is the entry with its redelivered messages, `waiting` how many more readings than before wait in the reorder
    buffer.
    """
    counts: Counter[str] = Counter()
    counts["messages"] = len(whole.chunk)
    counts["redelivered"] = counts["duplicates"] = len(whole.chunk) - len(entry.chunk)
    taken = len(readings.series) + sum(each.count for each in readings.rejections) + readings.ignored
    counts["received"] = taken + counts["redelivered"] + device_rows
    for rejection in readings.rejections:
        counts[f"rejected.{rejection.reason.value}"] += rejection.count
    counts["dropped.ignored"] = readings.ignored
    counts["waiting"] = waiting
    counts["anomalies"] = int(np.count_nonzero(points.anomaly))
    counts["alarms_opened"] = sum(record.state is AlarmState.OPEN for record in alarms)
    counts["undecoded_messages"] = sum(r.whole for r in readings.rejections)
    return {name: count for name, count in counts.items() if count}


def _alarm_to_json(record: AlarmRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in AlarmRecord.__slots__} | {"state": record.state.value}


def _alarm_from_json(saved: Mapping[str, Any]) -> AlarmRecord:
    # JSON has no NaN: where nothing was expected it says null.
    expected = math.nan if saved["expected"] is None else saved["expected"]
    return AlarmRecord(**{**saved, "state": AlarmState(saved["state"]), "expected": expected})
