"""Beside score: a device's metrics together: aligned rows to the multivariate detectors, and their scores as series."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_step import Opening
from alerts.reasons import ChannelReason, device_sentence
from common.growth import grown
from detectors import detector_registry as detectors
from detectors.detector import State
from detectors.fingerprint import Fingerprint
from detectors.knowledge import Knowledge
from detectors.multivariate.row_detector import BAND, RowDetector, RowScores
from devices.batch import NO_TIME, Batch
from devices.records import SeriesRecord
from devices.series_registry import SeriesRegistry, TooManySeriesError
from ingest.align import Aligner, Rows
from ingest.ingest_settings import ComponentSettings
from ingest.order import Ordered
from ingest.slots import NONE, DetectorSlots, History, with_prefix, without_prefix

PREFIX = "device:"
"""Before a detector's name in the metric of the series that holds its scores of a device."""

UNIT = "decades"

_ALWAYS = np.iinfo(np.int64).max

_ARRAYS = ("alone", "slot_of_device", "slot_of", "channel_of", "series_at", "derived")


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """What one detector made of its rows, those without a score left out."""

    owner: DeviceSlots
    rows: Rows
    scores: RowScores
    kept: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class DeviceScores:
    """Scores of devices as a whole, as readings of series of their own: the value is the score, in decades.

    `at` is the reading that completed each row, by its place in the batch that it came in.
    """

    batch: Batch
    at: NDArray[np.intp]
    parts: Sequence[ScoredRows] = ()

    @classmethod
    def of(cls, parts: Sequence[ScoredRows]) -> DeviceScores:
        """All detectors' scores, one detector after the other."""
        if not parts:
            return cls(Batch.empty(), np.empty(0, np.intp))
        scored = Batch(
            np.concatenate([part.owner.derived[part.rows.slot[part.kept]] for part in parts]),
            np.concatenate([part.rows.time[part.kept] for part in parts]),
            np.concatenate([part.scores.score[part.kept] for part in parts]),
        )
        return cls(scored, np.concatenate([part.rows.at[part.kept] for part in parts]), parts)

    def channels(self, row: int, record_of: Callable[[int], SeriesRecord]) -> list[ChannelReason]:
        """The channels that contribute to the score of a row, largest share first. `record_of` tells of a series."""
        for scored in self.parts:
            if row < len(scored.kept):
                return _channels(scored, int(scored.kept[row]), record_of)
            row -= len(scored.kept)
        raise IndexError(f"row {row} is beyond the last")

    def opening(self, row: int, record_of: Callable[[int], SeriesRecord]) -> Opening:
        """What an alarm that opens at a row says: its parts are the channels that contribute."""
        score = float(self.batch.value[row])
        channels = self.channels(row, record_of)
        detector = record_of(int(self.batch.series[row])).metric.removeprefix(PREFIX)
        parts = {channel.series.metric: round(channel.share, 3) for channel in channels}
        return Opening(score, math.nan, device_sentence(detector, score, channels), parts)


class DeviceSlots(DetectorSlots):
    """A multivariate detector: each device has a slot, and its series are the channels of the device's rows.

    A device has a slot from its second metric on; until then its first one is among `alone`. The scores of a device
    become points of a series of its own, `PREFIX` and the detector's name, which the registry numbers like any other.
    """

    def __init__(self, name: str, settings: ComponentSettings, registry: SeriesRegistry) -> None:
        self.name = name
        self._registry = registry
        self._detector: RowDetector = detectors.create_multivariate(settings.type, settings.parameters)
        self._aligner = Aligner(self._detector.channels)
        self.fingerprint = Fingerprint.of(self._detector, layout=self._aligner.layout_text)
        self.alone = np.empty(0, np.int32)
        self.slot_of_device = np.empty(0, np.int32)
        self.slot_of = np.empty(0, np.int32)
        self.channel_of = np.empty(0, np.int32)
        self.series_at = np.empty((0, self._detector.channels), np.int32)
        self.derived = np.empty(0, np.int32)
        self._slots = 0
        self._scored = np.empty(0, np.bool_)
        self._first_score_at: dict[int, int] = {}
        self._begun = np.empty(0, np.int64)
        self._begins = False

    @property
    def detector(self) -> RowDetector:
        """The detector itself."""
        return self._detector

    def assign(self, series: int, knowledge: Knowledge, arrival: int) -> bool:
        """Make the series a channel of its device's rows.

        Returns False where the rows, or the limits on series, have no place left for it.
        """
        del knowledge
        device = int(self._registry.device_of()[series])
        self._fit(series + 1)
        self.alone, self.slot_of_device = (
            grown(array, device + 1, NONE) for array in (self.alone, self.slot_of_device)
        )
        if self.slot_of_device[device] == NONE:
            first = int(self.alone[device])
            if first in (NONE, series):
                self.alone[device] = series
                return True
            derived = self._derive(device)
            if derived is None:
                return False
            self._place(first, self._add_slot(device, derived, arrival))
        return self._place(series, int(self.slot_of_device[device]))

    def drop(self, series: int) -> None:
        """The series is no channel any more; its place is kept for it."""
        if self.has(series):
            self._aligner.drop(int(self.slot_of[series]), int(self.channel_of[series]))
            self.slot_of[series] = NONE

    def has(self, series: int) -> bool:
        """Whether the series is a channel now."""
        return series < len(self.slot_of) and bool(self.slot_of[series] != NONE)

    def has_place(self, series: int) -> bool:
        """Whether the series is a channel, or the one metric of its device so far."""
        device = self.group(series)
        return self.has(series) or (device < len(self.alone) and bool(self.alone[device] == series))

    def group(self, series: int) -> int:
        """The series of a device are learned together."""
        return int(self._registry.device_of()[series])

    def slot_of_series(self) -> NDArray[np.int32]:
        """The slot of the device whose scores the series holds."""
        found = np.full(len(self._registry), NONE, np.int32)
        found[self.derived[: self._slots]] = np.arange(self._slots, dtype=np.int32)
        return found

    def step(
        self,
        ordered: Ordered,
        score: NDArray[np.float64],
        learn: NDArray[np.bool_],
        taken_up: NDArray[np.bool_] | None = None,
    ) -> ScoredRows | None:
        """Rows that the batch completes, scored, then learned where `learn`; None where none has a score.

        `score` (n,) is what the readings' own detectors gave; those that are not `taken_up` (n,) are of no row.
        """
        batch = ordered.batch
        self._first_score_at.clear()
        self._fit(int(batch.series.max()) + 1)
        slot = self.slot_of[batch.series]
        if taken_up is not None:
            slot = np.where(taken_up, slot, np.int32(NONE))
        if slot.max() < 0:
            return None
        if self._begins:
            # A device's first metric is a channel from the message on that brought the second one, not earlier.
            slot = np.where((slot >= 0) & (ordered.released < self._begun[slot]), np.int32(NONE), slot)
            self._begins = False
        rows = self._aligner.step(slot, self.channel_of[batch.series], batch.time, ordered.arrival, batch.value, score)
        if not len(rows.slot):
            return None
        scores = self._detector.step(rows.slot, rows.time, rows.value, learn[rows.at], rows.score)
        kept = np.flatnonzero(~np.isnan(scores.score))
        if not len(kept):
            return None
        self._note_first_scores(rows.slot[kept], rows.at[kept])
        return ScoredRows(self, rows, scores, kept)

    def is_replaced(self, series: int, at: int) -> bool:
        """Whether the device's alarm takes the place of one of this series, as of reading `at` of the newest batch."""
        if not self._detector.replaces_channel_alarms or not self.has(series):
            return False
        slot = int(self.slot_of[series])
        return bool(self._scored[slot]) and self._first_score_at.get(slot, at) <= at

    def replaced(self, series: NDArray[np.int32]) -> NDArray[np.bool_]:
        """The same of each reading of the newest batch, (n,); `series` are their series."""
        if not self._detector.replaces_channel_alarms or not self._slots or not len(series):
            return np.zeros(len(series), np.bool_)
        self._fit(int(series.max()) + 1)
        slot = self.slot_of[series]
        found = (slot >= 0) & self._scored[slot]
        for begun, at in self._first_score_at.items():
            found[:at] &= slot[:at] != begun
        return found

    def warm(self, histories: Sequence[History]) -> None:
        """Learn earlier readings of all series of a device."""
        batch = Batch(
            np.concatenate([np.full(len(time), series, np.int32) for series, time, _ in histories]),
            np.concatenate([time for _, time, _ in histories]),
            np.concatenate([value for _, _, value in histories]),
        )
        if len(batch):
            batch = batch.take(np.argsort(batch.time, kind="stable"))
            n = len(batch)
            ordered = Ordered(batch, np.zeros(n, np.bool_), batch.time, np.full(n, _ALWAYS))
            self.step(ordered, np.full(n, np.nan), np.ones(n, np.bool_))

    def state(self) -> State:
        """Slots and channels, the aligner's state and the detector's own."""
        own: State = {name: getattr(self, name).copy() for name in _ARRAYS}
        own["series_at"], own["derived"] = own["series_at"][: self._slots], own["derived"][: self._slots]
        own["scored"] = self._scored[: self._slots].copy()
        return {
            **own,
            **with_prefix("rows.", self._aligner.state()),
            **with_prefix("state.", self._detector.state()),
        }

    def load(self, state: State) -> None:
        """Take over a state. Raises ValueError or KeyError where it does not fit."""
        for name in _ARRAYS:
            setattr(self, name, np.array(state[name], np.int32))
        self._scored = np.array(state["scored"], np.bool_)
        self._slots = len(self.derived)
        self._begun = np.full(self._slots, NO_TIME, np.int64)
        self._aligner.load(without_prefix("rows.", state))
        self._detector.load(without_prefix("state.", state))

    def _add_slot(self, device: int, derived: int, arrival: int) -> int:
        slot = self._slots
        self._slots += 1
        self.derived, self.series_at = (grown(array, slot + 1, NONE) for array in (self.derived, self.series_at))
        self._scored = grown(self._scored, slot + 1, False)
        self._begun = grown(self._begun, slot + 1, NO_TIME)
        self._begun[slot] = arrival
        self._begins = True
        self.slot_of_device[device] = slot
        self.derived[slot] = derived
        self._detector.grow(self._slots)
        self._aligner.grow(self._slots)
        return slot

    def _place(self, series: int, slot: int) -> bool:
        if self.channel_of[series] == NONE:
            free = np.flatnonzero(self.series_at[slot] == NONE)
            if not len(free):
                return False
            self.channel_of[series] = free[0]
            self.series_at[slot, free[0]] = series
        self.slot_of[series] = slot
        self._aligner.take(slot, int(self.channel_of[series]))
        return True

    def _derive(self, device: int) -> int | None:
        """The series of a device's scores; None where a limit on series leaves no room for it."""
        try:
            return self._registry.find_or_add(self._registry.device_names[device], PREFIX + self.name, UNIT)[0]
        except TooManySeriesError:
            return None

    def _note_first_scores(self, slots: NDArray[np.int32], at: NDArray[np.intp]) -> None:
        for row in np.flatnonzero(~self._scored[slots]).tolist():
            self._first_score_at.setdefault(int(slots[row]), int(at[row]))
        self._scored[slots] = True

    def _fit(self, series: int) -> None:
        self.slot_of, self.channel_of = (grown(array, series, NONE) for array in (self.slot_of, self.channel_of))


def _channels(scored: ScoredRows, row: int, record_of: Callable[[int], SeriesRecord]) -> list[ChannelReason]:
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
                record_of(series),
                float(rows.value[row, channel]),
                (usual, usual - reach, usual + reach),
                float(shares[channel]),
                float(scores.distance[row, channel]),
            )
        )
    return found
