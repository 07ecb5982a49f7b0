"""Score: every reading to the detectors of its series, and their scores back as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_step import Opening
from alerts.detector_words import LIMITS
from alerts.reasons import sentence
from common.compiled import njit
from common.growth import grown
from detectors import detector_registry as detectors
from detectors.detector import Detector, Scores, State
from detectors.fingerprint import Fingerprint
from detectors.knowledge import Knowledge
from devices.batch import Batch
from devices.records import SeriesRecord
from ingest.ingest_settings import ComponentSettings
from ingest.slots import NONE, DetectorSlots, History, with_prefix, without_prefix

_ALL_ROWS = np.empty(0, np.intp)


@dataclass(frozen=True, slots=True)
class DetectorScores:
    """What one detector gave: its name and type, its rows (m,), or None for all, and its Scores of those rows."""

    name: str
    kind: str
    rows: NDArray[np.intp] | None
    scores: Scores

    def at(self, row: int) -> int | None:
        """Where a row of the batch is among its own; None where it did not score it."""
        if self.rows is None:
            return row
        at = int(np.searchsorted(self.rows, row))
        return at if at < len(self.rows) and self.rows[at] == row else None

    def parts(self, at: int) -> dict[str, float]:
        """What contributed to its score, in decades, largest first; its own name where it has no parts."""
        scores = self.scores
        if scores.parts is None:
            found = {self.name: float(scores.score[at])}
        else:
            found = {part: float(v) for part, v in zip(scores.part_names, scores.parts[at], strict=True)}
        return _largest_first(found)

    def band(self, at: int) -> tuple[float, float, float]:
        """Its expected, lower and upper value, NaN where it has none."""
        return float(self.scores.expected[at]), float(self.scores.lower[at]), float(self.scores.upper[at])


def _largest_first(parts: Mapping[str, float]) -> dict[str, float]:
    positive = {name: round(value, 3) for name, value in parts.items() if value > 0}
    return dict(sorted(positive.items(), key=lambda item: -item[1]))


@dataclass(frozen=True, slots=True)
class SeriesScores:
    """Scores of n readings over all their detectors: the highest wins; the band is the first detector's that has one.

    `novelty` is the highest too. `by_detector` keeps each detector's own part for reasons.
    """

    score: NDArray[np.float64]
    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    novelty: NDArray[np.float64]
    by_detector: list[DetectorScores] = field(default_factory=list)

    @classmethod
    def empty(cls, n: int) -> SeriesScores:
        """Of n readings, without any score."""
        return cls(*np.full((5, n), np.nan))

    def parts(self, row: int) -> dict[str, float]:
        """What contributed to the score of one row: "detector" or "detector.part" to decades, largest first."""
        found: dict[str, float] = {}
        for detector in self.by_detector:
            if (at := detector.at(row)) is not None:
                found.update(detector.parts(at))
        return _largest_first(found)

    def opening(self, batch: Batch, row: int, series: SeriesRecord) -> Opening:
        """What an alarm of a series that opens at a row says: the reason is that of the detector that scored most."""
        value, score = float(batch.value[row]), float(self.score[row])
        band = (float(self.expected[row]), float(self.lower[row]), float(self.upper[row]))
        parts = self.parts(row)
        told = (series, value, score)
        if (found := self._most(row)) is None:
            return Opening(value, band[0], sentence(*told, band, parts), parts)
        detector, at = found
        own = detector.band(at)
        # One that has no band is read against that of the others, but a limit is not.
        shown = band if np.isnan(own).all() and detector.kind not in LIMITS else own
        return Opening(value, band[0], sentence(*told, shown, detector.parts(at), detector.kind), parts)

    def _most(self, row: int) -> tuple[DetectorScores, int] | None:
        """The detector with the highest score of a row, of equal ones that of a limit, and where it has the row."""
        scored = [(each, at) for each in self.by_detector if (at := each.at(row)) is not None]
        scored = [(each, at) for each, at in scored if not np.isnan(each.scores.score[at])]
        return max(scored, key=lambda each: (each[0].scores.score[each[1]], each[0].kind in LIMITS), default=None)


class SeriesSlots(DetectorSlots):
    """A detector of single series: each series has a slot of its own."""

    def __init__(self, name: str, settings: ComponentSettings) -> None:
        self.name = name
        self._detector: Detector = detectors.create(settings.type, settings.parameters)
        self.fingerprint = Fingerprint.of(self._detector)
        self._slot_of = np.empty(0, np.int32)
        self._kept_slot_of = np.empty(0, np.int32)
        self._slots = 0

    @property
    def detector(self) -> Detector:
        """The detector itself."""
        return self._detector

    def assign(self, series: int, knowledge: Knowledge, arrival: int) -> bool:
        """Give the series its slot, an earlier one where it had one; there is always room."""
        del arrival  # no reading of the series came before it
        self._fit(series + 1)
        if self._kept_slot_of[series] == NONE:
            self._kept_slot_of[series] = self._slots
            self._slots += 1
            self._detector.grow(self._slots)
        self._slot_of[series] = self._kept_slot_of[series]
        self._detector.describe(int(self._slot_of[series]), knowledge)
        return True

    def drop(self, series: int) -> None:
        """Score the series no longer."""
        if series < len(self._slot_of):
            self._slot_of[series] = NONE

    def has(self, series: int) -> bool:
        """Whether the series has a slot in use."""
        return series < len(self._slot_of) and bool(self._slot_of[series] != NONE)

    def group(self, series: int) -> int:
        """Each series learns alone."""
        return series

    def slot_of_series(self) -> NDArray[np.int32]:
        """Each series' own slot."""
        return self._slot_of

    def step(
        self, batch: Batch, learn: NDArray[np.bool_], taken_up: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.intp] | None, Scores] | None:
        """Scores of the rows whose series have a slot, and which rows these are, None for all; None without any.

        `taken_up` (n,) says which rows came once their series had it.
        """
        if not self._slots:
            return None
        self._fit(int(batch.series.max()) + 1)
        slot = self._slot_of[batch.series]
        if taken_up is not None:
            slot = np.where(taken_up, slot, np.int32(NONE))
        if slot.min() >= 0:
            return None, self._detector.step(slot, batch.time, batch.value, learn)
        if slot.max() < 0:
            return None
        rows = np.flatnonzero(slot >= 0)
        return rows, self._detector.step(slot[rows], batch.time[rows], batch.value[rows], learn[rows])

    def warm(self, histories: Sequence[History]) -> None:
        """Learn earlier readings of series that have a slot."""
        for series, time, value in histories:
            slot = np.full(len(time), self._slot_of[series], np.int32)
            self._detector.step(slot, time, value, np.ones(len(time), np.bool_))

    def state(self) -> State:
        """Slots of the series, and the detector's own state."""
        own: State = {
            "slot_of": self._slot_of.copy(),
            "kept_slot_of": self._kept_slot_of.copy(),
            "slots": np.array([self._slots]),
        }
        return {**own, **with_prefix("state.", self._detector.state())}

    def load(self, state: State) -> None:
        """Take over a state. Raises ValueError or KeyError where it does not fit."""
        self._slot_of = np.array(state["slot_of"], np.int32)
        self._kept_slot_of = np.array(state["kept_slot_of"], np.int32)
        self._slots = int(state["slots"].item())
        self._detector.grow(self._slots)
        self._detector.load(without_prefix("state.", state))
        self._detector.grow(self._slots)

    def _fit(self, series: int) -> None:
        self._slot_of, self._kept_slot_of = (
            grown(array, series, NONE) for array in (self._slot_of, self._kept_slot_of)
        )


def score_series(
    hosted: Iterable[SeriesSlots], batch: Batch, learn: NDArray[np.bool_], taken_up: NDArray[np.bool_] | None = None
) -> SeriesScores:
    """Score each reading against what its series' detectors know, then learn it where `learn`.

    Those that are not `taken_up` (n,) came before their series had detectors; None where all did.
    """
    found = [
        DetectorScores(slots.name, slots.detector.name, *made)
        for slots in hosted
        if len(batch) and (made := slots.step(batch, learn, taken_up)) is not None
    ]
    if len(found) == 1 and found[0].rows is None:
        only = found[0].scores
        novelty = only.novelty if only.novelty is not None else np.full(len(batch), np.nan)
        return SeriesScores(only.score, only.expected, only.lower, only.upper, novelty, found)
    merged = SeriesScores.empty(len(batch))
    for detector in found:
        _merge(merged, detector.rows, detector.scores)
        merged.by_detector.append(detector)
    return merged


def _merge(into: SeriesScores, rows: NDArray[np.intp] | None, scores: Scores) -> None:
    novelty = np.full(len(scores.score), np.nan) if scores.novelty is None else scores.novelty
    own = (scores.score, novelty, scores.expected, scores.lower, scores.upper)
    merged = (into.score, into.novelty, into.expected, into.lower, into.upper)
    _merge_rows(_ALL_ROWS if rows is None else rows, rows is None, own, merged)


@njit(nogil=True)
def _merge_rows(rows: NDArray[np.intp], all_rows: bool, own: Any, merged: Any) -> None:
    for i in range(len(own[0])):
        row = i if all_rows else rows[i]
        for column in range(2):
            if not own[column][i] <= merged[column][row] and not np.isnan(own[column][i]):
                merged[column][row] = own[column][i]
        if np.isnan(merged[2][row]) and np.isnan(merged[3][row]) and np.isnan(merged[4][row]):
            for column in range(2, 5):
                merged[column][row] = own[column][i]
