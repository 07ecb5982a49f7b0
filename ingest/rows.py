"""Stage 5 of 7: a device's metrics together: rows to the detectors of rows, and their scores as series of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from alerts.reasons import ChannelReason
from detectors import detector_registry as detectors
from detectors.detector import State
from detectors.multivariate.row_detector import BAND, RowDetector, RowScores
from devices.batch import Batch
from devices.records import SeriesRecord
from devices.series_registry import SeriesRegistry, TooManySeriesError
from ingest.assemble import Assembler, Rows
from ingest.ingest_settings import ComponentSettings

PREFIX = "device:"
"""Before a detector's name in the metric of the series that holds its scores of a device."""

UNIT = "decades"

_NONE = -1

History = tuple[int, NDArray[np.int64], NDArray[np.float64]]
"""A series, and times and values of earlier readings of it, in time order."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """What one detector made of its rows, those without a score left out."""

    owner: _RowAssigned
    rows: Rows
    scores: RowScores
    kept: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class DeviceScores:
    """Scores of devices as a whole, as readings of series of their own: the value is the score, in decades."""

    batch: Batch
    at: NDArray[np.intp]
    """The reading that completed each row, by its place in the batch that it came in."""
    parts: Sequence[_Scored] = ()

    def channels(self, row: int, registry: SeriesRegistry) -> list[ChannelReason]:
        """The channels that speak in the score of a row, largest share first."""
        for scored in self.parts:
            if row < len(scored.kept):
                return _channels(scored, int(scored.kept[row]), registry)
            row -= len(scored.kept)
        raise IndexError(f"row {row} is beyond the last")


_NOTHING = DeviceScores(Batch.empty(), np.empty(0, np.intp))


class _RowAssigned:
    """One configured detector of rows, the devices that have a slot in it, and the series that are their channels.

    A device has a slot from its second metric on; until then its first one is among `alone`.
    """

    def __init__(self, name: str, settings: ComponentSettings, detector: RowDetector) -> None:
        self.name = name
        self.fingerprint = json.dumps([settings.type, settings.parameters], sort_keys=True, default=str)
        self.detector = detector
        self.assembler = Assembler(detector.channels)
        self.replaces = detector.takes_channel_scores and not getattr(detector.parameters, "channel_alarms", False)
        self.alone = np.empty(0, np.int32)
        self.slot_of_device = np.empty(0, np.int32)
        self.slot_of = np.empty(0, np.int32)
        self.channel_of = np.empty(0, np.int32)
        self.slots = 0
        self.series_at = np.empty((0, detector.channels), np.int32)
        self.derived = np.empty(0, np.int32)

    def drop(self, series: int) -> None:
        """The series is no channel any more; its place is kept for it."""
        if series < len(self.slot_of) and self.slot_of[series] >= 0:
            self.assembler.drop(int(self.slot_of[series]), int(self.channel_of[series]))
            self.slot_of[series] = _NONE

    def take(self, series: int, device: int, derive: Callable[[], int | None]) -> bool:
        """Make the series a channel of its device's rows; `derive` finds the series of the device's scores.

        Returns False where the rows, or the limits on series, have no place left for it.
        """
        self.fit(series + 1)
        if device >= len(self.slot_of_device):
            self.alone, self.slot_of_device = (
                _extended(array, max(64, device + 1, 2 * len(array))) for array in (self.alone, self.slot_of_device)
            )
        if self.slot_of_device[device] == _NONE:
            first = int(self.alone[device])
            if first in (_NONE, series):
                self.alone[device] = series
                return True
            derived = derive()
            if derived is None:
                return False
            slot = self.slots
            self.slots += 1
            if slot == len(self.derived):
                room = max(16, 2 * slot)
                self.derived, self.series_at = _extended(self.derived, room), _extended(self.series_at, room)
            self.slot_of_device[device] = slot
            self.derived[slot] = derived
            self.detector.grow(self.slots)
            self.assembler.grow(self.slots)
            self._place(first, slot)
        return self._place(series, int(self.slot_of_device[device]))

    def _place(self, series: int, slot: int) -> bool:
        if self.channel_of[series] == _NONE:
            free = np.flatnonzero(self.series_at[slot] == _NONE)
            if not len(free):
                return False
            self.channel_of[series] = free[0]
            self.series_at[slot, free[0]] = series
        self.slot_of[series] = slot
        self.assembler.take(slot, int(self.channel_of[series]))
        return True

    def slot(self, series: int) -> int:
        """The slot of the device that the series is a channel of, else -1."""
        return int(self.slot_of[series]) if series < len(self.slot_of) else _NONE

    def fit(self, series: int) -> None:
        """Make room for series 0 to `series` - 1."""
        if series > len(self.slot_of):
            room = max(64, series, 2 * len(self.slot_of))
            self.slot_of, self.channel_of = _extended(self.slot_of, room), _extended(self.channel_of, room)

    def step(self, batch: Batch, score: NDArray[np.float64]) -> _Scored | None:
        """Rows that the batch completes, scored, then learned; None where none has a score."""
        self.fit(int(batch.series.max()) + 1)
        slot = self.slot_of[batch.series]
        if slot.max() < 0:
            return None
        rows = self.assembler.step(slot, self.channel_of[batch.series], batch.time, batch.value, score)
        if not len(rows.slot):
            return None
        learn = np.ones(len(rows.slot), np.bool_)
        scores = self.detector.step(rows.slot, rows.time, rows.value, learn, rows.score)
        kept = np.flatnonzero(~np.isnan(scores.score))
        return _Scored(self, rows, scores, kept) if len(kept) else None

    def state(self) -> State:
        """A copy of the whole state."""
        own: State = {
            "alone": self.alone.copy(),
            "slot_of_device": self.slot_of_device.copy(),
            "slot_of": self.slot_of.copy(),
            "channel_of": self.channel_of.copy(),
            "series_at": self.series_at[: self.slots].copy(),
            "derived": self.derived[: self.slots].copy(),
        }
        own.update({f"rows.{name}": array for name, array in self.assembler.state().items()})
        own.update({f"state.{name}": array for name, array in self.detector.state().items()})
        return own

    def load(self, state: State) -> None:
        """Take over a state that `state` returned."""
        for name in ("alone", "slot_of_device", "slot_of", "channel_of", "series_at", "derived"):
            setattr(self, name, np.array(state[name], np.int32))
        self.slots = len(self.derived)
        self.assembler.load({k.removeprefix("rows."): v for k, v in state.items() if k.startswith("rows.")})
        self.detector.load({k.removeprefix("state."): v for k, v in state.items() if k.startswith("state.")})


class RowFleet:
    """All configured detectors of rows, each with the devices whose routes name it.

    The scores of a device become points of a series of their own, `PREFIX` and the detector's name, which the registry
    numbers like any other and `new_series` collects.
    """

    def __init__(
        self, settings: Mapping[str, ComponentSettings], registry: SeriesRegistry, new_series: list[SeriesRecord]
    ) -> None:
        self._registry = registry
        self._new_series = new_series
        self._assigned: dict[str, _RowAssigned] = {}
        for name, chosen in settings.items():
            if detectors.scores_rows(chosen.type):
                detector = detectors.create(chosen.type, chosen.parameters)
                assert isinstance(detector, RowDetector)
                self._assigned[name] = _RowAssigned(name, chosen, detector)

    @property
    def names(self) -> list[str]:
        """The configured detectors of rows."""
        return list(self._assigned)

    def assign(self, series: int, names: Sequence[str]) -> list[str]:
        """Let the series be a channel in the rows of the named detectors and no others; what is learned is kept.

        Returns the detectors whose rows have no place left for it.
        """
        left_out = []
        for name, assigned in self._assigned.items():
            if name in names:
                device = int(self._registry.device_of()[series])
                if not assigned.take(series, device, partial(self._derive, device, name)):
                    left_out.append(name)
            else:
                assigned.drop(series)
        return left_out

    def _derive(self, device: int, name: str) -> int | None:
        """The series of a device's scores by a detector; None where a limit on series leaves no room for it."""
        try:
            series, record = self._registry.find_or_add(self._registry.device_names[device], PREFIX + name, UNIT)
        except TooManySeriesError:
            return None
        if record is not None:
            self._new_series.append(record)
        return series

    def step(self, batch: Batch, score: NDArray[np.float64]) -> DeviceScores:
        """The scores of the rows that a batch completes; `score` (n,) is what the readings' own detectors gave."""
        if not len(batch) or not self._assigned:
            return _NOTHING
        parts = [part for each in self._assigned.values() if (part := each.step(batch, score)) is not None]
        if not parts:
            return _NOTHING
        scored = Batch(
            np.concatenate([part.owner.derived[part.rows.slot[part.kept]] for part in parts]),
            np.concatenate([part.rows.time[part.kept] for part in parts]),
            np.concatenate([part.scores.score[part.kept] for part in parts]),
        )
        return DeviceScores(scored, np.concatenate([part.rows.at[part.kept] for part in parts]), parts)

    def stands_for(self, series: int) -> bool:
        """Whether the series is a channel of a device whose alarm is to stand for its own."""
        return any(each.slot(series) >= 0 for each in self._assigned.values() if each.replaces)

    def speaks_for(self, series: int) -> bool:
        """As `stands_for`, and the device's rows have warmed up by now."""
        for each in self._assigned.values():
            if each.replaces and (slot := each.slot(series)) >= 0:
                learned, needed = each.detector.warming_of(slot)
                if learned >= needed:
                    return True
        return False

    def warming(self, series: int) -> tuple[int, int] | None:
        """Rows learned and rows needed, of a series of a device's scores; None for any other."""
        for assigned in self._assigned.values():
            found = np.flatnonzero(assigned.derived == series)
            if len(found):
                return assigned.detector.warming_of(int(found[0]))
        return None

    def needed(self, name: str) -> int:
        """Rows that one detector needs before its first score."""
        return self._assigned[name].detector.warmup

    def warm(self, name: str, history: Sequence[History]) -> None:
        """Let one detector learn earlier readings of all series of a device; one of a single metric has no rows."""
        assigned = self._assigned[name]
        for series, _, _ in history:
            self.assign(series, [*self._names_of(series), name])
        batch = Batch(
            np.concatenate([np.full(len(time), series, np.int32) for series, time, _ in history]),
            np.concatenate([time for _, time, _ in history]),
            np.concatenate([value for _, _, value in history]),
        )
        if len(batch):
            batch = batch.take(np.argsort(batch.time, kind="stable"))
            assigned.step(batch, np.full(len(batch), np.nan))

    def _names_of(self, series: int) -> list[str]:
        return [name for name, each in self._assigned.items() if each.slot(series) >= 0]

    def state(self) -> dict[str, State]:
        """A copy of every detector's state, by "name|fingerprint"."""
        return {f"{each.name}|{each.fingerprint}": each.state() for each in self._assigned.values()}

    def load(self, state: Mapping[str, State]) -> list[str]:
        """Take over the states of detectors whose parameters are unchanged; returns the names of those that start anew.

        Raises ValueError or KeyError where a state does not fit its detector.
        """
        anew = []
        for assigned in self._assigned.values():
            saved = state.get(f"{assigned.name}|{assigned.fingerprint}")
            if saved is None:
                anew.append(assigned.name)
            else:
                assigned.load(saved)
        return anew


def _channels(scored: _Scored, row: int, registry: SeriesRegistry) -> list[ChannelReason]:
    scores, rows = scored.scores, scored.rows
    assert scores.parts is not None
    shares = scores.parts[row]
    found = []
    for channel in np.argsort(-shares, kind="stable").tolist():
        if not shares[channel] > 0.0:
            break
        series = int(scored.owner.series_at[rows.slot[row], channel])
        usual, reach = float(scores.usual[row, channel]), BAND * float(scores.deviation[row, channel])
        found.append(
            ChannelReason(
                registry.records[series],
                float(rows.value[row, channel]),
                (usual, usual - reach, usual + reach),
                float(shares[channel]),
                float(scores.distance[row, channel]),
            )
        )
    return found


def _extended(array: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    grown = np.full((size, *array.shape[1:]), _NONE, np.int32)
    grown[: len(array)] = array
    return grown
