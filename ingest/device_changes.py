"""Beside the pipeline: what people do with devices, carried through every stage that knows of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NoReturn

from alerts.actions import ActionError
from alerts.alarm_life import Alarms
from common.suggestions import did_you_mean
from devices.device_actions import (
    DeleteDevice,
    DeviceAction,
    ExcludePoints,
    LabelDevice,
    MergeDevice,
    MuteDevice,
    PointsAction,
    RenameDevice,
    RestoreDevice,
    RetireDevice,
    UnmuteDevice,
)
from devices.device_book import DeviceBook
from devices.quantities import conversion
from devices.records import AlarmRecord, PointsMark, SeriesMove
from devices.series_registry import SeriesRegistry, TooManySeriesError
from ingest.admission import Admission
from ingest.detector_host import DetectorHost
from ingest.excluded_stretches import ExcludedStretches
from ingest.observed import Observer
from ingest.order import Orderer
from ingest.route import Router

MOST_LABELS = 50


@dataclass(slots=True)
class Changed:
    """What follows for the store: alarms that changed, and how many of them opened; series whose points become
    another's or are deleted, and how many readings that waited were dropped; points excluded, or included again.
    """

    alarms: list[AlarmRecord] = field(default_factory=list)
    alarms_opened: int = 0
    moved: list[SeriesMove] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    dropped: int = 0
    marked: list[PointsMark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DeviceChanges:
    """The stages that know of devices and series."""

    book: DeviceBook
    registry: SeriesRegistry
    router: Router
    orderer: Orderer
    host: DetectorHost
    admission: Admission
    alarms: Alarms
    observer: Observer
    excluded: ExcludedStretches

    def act(self, action: DeviceAction, position: int, changed: Changed) -> None:
        """Do it, as of a journal position. Raises ActionError where it cannot be done."""
        device = action.device
        record = self.book.get(device)
        if record.merged_into:
            raise ActionError(f'device "{device}": it was merged into "{record.merged_into}", which has its readings')
        if not self._is_known(device):
            self._unknown(device)
        match action:
            case RenameDevice():
                # The identity said outright, so that no description gives the device another name again.
                self.book.put(replace(record, name=action.name or device))
            case LabelDevice():
                self._label(action)
            case RetireDevice():
                changed.alarms += self.alarms.end(self.registry.series_of(device), f"retired by {action.by}")
                self.book.put(replace(record, retired_at=action.at))
            case RestoreDevice():
                self.book.put(replace(record, retired_at=None))
            case MuteDevice():
                self.book.put(replace(record, muted_at=action.at))
            case UnmuteDevice():
                self.book.put(replace(record, muted_at=None))
            case MergeDevice():
                self._merge(action, position, changed)
            case DeleteDevice():
                self._delete(device, position, changed)

    def mark(self, action: PointsAction, changed: Changed) -> None:
        """Exclude points, or include them again. Raises ActionError where there is no such metric."""
        device = self.book.current(action.device)
        series = self.registry.find(device, action.metric)
        if series is None:
            if not self._is_known(device):
                self._unknown(device)
            metrics = [self.registry.records[each].metric for each in self.registry.series_of(device)]
            meant = did_you_mean(action.metric, metrics)
            raise ActionError(f'metric "{action.metric}": device "{device}" has no such metric{meant}')
        mark = PointsMark(series, action.start, action.end, isinstance(action, ExcludePoints))
        self.excluded.mark(mark)
        changed.marked.append(mark)

    def _is_known(self, device: str) -> bool:
        return self.registry.knows_device(device) or self.observer.statuses.get(device) is not None

    def _unknown(self, device: str) -> NoReturn:
        known = [name for name, there in zip(self.registry.device_names, self.registry.there(), strict=True) if there]
        raise ActionError(f'device "{device}": there is no such device{did_you_mean(device, known)}')

    def _label(self, action: LabelDevice) -> None:
        record = self.book.get(action.device)
        labels = {name: value for name, value in {**record.labels, **action.labels}.items() if value is not None}
        if len(labels) > MOST_LABELS:
            raise ActionError(f'device "{action.device}": {len(labels)} labels, expected at most {MOST_LABELS}')
        self.book.put(replace(record, labels=labels))

    def _merge(self, action: MergeDevice, position: int, changed: Changed) -> None:
        device, into = action.device, self.book.current(action.into)
        if into == device:
            raise ActionError(f'device "{device}": "{action.into}" was merged into it')
        if not self._is_known(into):
            self._unknown(into)
        try:
            moved = [self._moved(series, into) for series in self.registry.series_of(device)]
        except TooManySeriesError as error:
            raise ActionError(f'device "{device}" cannot be merged: {error}') from None
        moves = {move.source: move.target for move in moved}
        changed.alarms += self.alarms.end(list(moves), f"merged into {into} by {action.by}")
        self.alarms.forget(list(moves))
        self.orderer.move(moves)
        self.excluded.move(moves)
        self._let_go(device, position)
        self.book.put(replace(self.book.get(device), merged_into=into, merged_at=position))
        changed.moved += moved

    def _moved(self, series: int, into: str) -> SeriesMove:
        """Where a series' points go: the metric of the same name, or one of its own where the units do not fit."""
        known = self.registry.records[series]
        target, _ = self.registry.find_or_add(into, known.metric, known.unit, known.kind)
        unit = self.registry.records[target].unit
        carried = conversion(known.unit, unit) if known.unit and unit else (1.0, 0.0)
        if carried is None:
            target, _ = self.registry.find_or_add(into, f"{known.metric} ({known.unit})", known.unit, known.kind)
        return SeriesMove(series, target, *(carried or (1.0, 0.0)))

    def _delete(self, device: str, position: int, changed: Changed) -> None:
        series = self.registry.series_of(device)
        self.alarms.forget(series)
        changed.dropped += self.orderer.drop(series)
        self.excluded.drop(series)
        self._let_go(device, position)
        self.book.forget(device)
        for record in self.book:
            if record.merged_into == device:
                self.book.forget(record.device)
        changed.deleted += series

    def _let_go(self, device: str, position: int) -> None:
        gone = self.registry.remove(device, position)
        self.observer.forget(device, gone)
        for series in gone:
            self.host.drop(series)
        self.admission.let_go(gone)
        self.router.resolve_anew()
