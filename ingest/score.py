"""Stage 5 of 7: every reading to the detectors of its series, and their scores back as one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.compiled import njit
from common.growth import grown
from detectors import detector_registry as detectors
from detectors.detector import Detector, Scores, State
from devices.batch import Batch
from ingest.ingest_settings import ComponentSettings

_UNASSIGNED = -1
_ALL_ROWS = np.empty(0, np.intp)


@dataclass(frozen=True, slots=True)
class FleetScores:
    """Scores of n readings over all their detectors: the highest wins; the band is the first detector's that has one.

    `by_detector` keeps each detector's own part for reasons: name, rows (m,), its Scores of those rows.
    """

    score: NDArray[np.float64]
    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    by_detector: list[tuple[str, NDArray[np.intp] | None, Scores]]

    def parts(self, row: int) -> dict[str, float]:
        """What contributed to the score of one row: "detector" or "detector.part" to decades, largest first."""
        found: dict[str, float] = {}
        for name, rows, scores in self.by_detector:
            at = row if rows is None else int(np.searchsorted(rows, row))
            if rows is not None and (at == len(rows) or rows[at] != row):
                continue
            if scores.parts is None:
                found[name] = float(scores.score[at])
            else:
                found.update({part: float(v) for part, v in zip(scores.part_names, scores.parts[at], strict=True)})
        positive = {name: round(value, 3) for name, value in found.items() if value > 0}
        return dict(sorted(positive.items(), key=lambda item: -item[1]))


class _Assigned:
    """One configured detector and the slots that its series have in it."""

    def __init__(self, name: str, settings: ComponentSettings) -> None:
        self.name = name
        self.settings = settings
        self.fingerprint = json.dumps([settings.type, settings.parameters], sort_keys=True, default=str)
        self.detector: Detector = detectors.create(settings.type, settings.parameters)
        if self.detector.version:
            self.fingerprint += f" {self.detector.version}"
        self.slot_of = np.empty(0, np.int32)
        self.slots = 0

    def assign(self, series: int) -> None:
        """Give the series a slot, if it has none."""
        self.slot_of = grown(self.slot_of, series + 1, _UNASSIGNED)
        if self.slot_of[series] == _UNASSIGNED:
            self.slot_of[series] = self.slots
            self.slots += 1
            self.detector.grow(self.slots)


class Fleet:
    """All configured detectors of single series, each with the state of the series assigned to it."""

    def __init__(self, settings: Mapping[str, ComponentSettings]) -> None:
        self._assigned = {
            name: _Assigned(name, chosen) for name, chosen in settings.items() if not detectors.scores_rows(chosen.type)
        }

    def assign(self, series: int, names: list[str]) -> None:
        """Let the named detectors and no others score this series from now on; state that is there already is kept."""
        for name, assigned in self._assigned.items():
            if name in names:
                assigned.assign(series)
            elif series < len(assigned.slot_of):
                assigned.slot_of[series] = _UNASSIGNED

    def step(self, batch: Batch, learn: NDArray[np.bool_]) -> FleetScores:
        """Score each reading against what its series' detectors know, then learn it where `learn`."""
        n = len(batch)
        score, expected, lower, upper = np.full((4, n), np.nan)
        merged = FleetScores(score, expected, lower, upper, [])
        for assigned in self._assigned.values():
            if not assigned.slots or not n:
                continue
            assigned.slot_of = grown(assigned.slot_of, int(batch.series.max()) + 1, _UNASSIGNED)
            slot = assigned.slot_of[batch.series]
            if slot.min() >= 0:
                scores = assigned.detector.step(slot, batch.time, batch.value, learn)
                if len(self._assigned) == 1:
                    return FleetScores(
                        scores.score, scores.expected, scores.lower, scores.upper, [(assigned.name, None, scores)]
                    )
                _merge(merged, None, scores)
                merged.by_detector.append((assigned.name, None, scores))
            elif slot.max() >= 0:
                rows = np.flatnonzero(slot >= 0)
                scores = assigned.detector.step(slot[rows], batch.time[rows], batch.value[rows], learn[rows])
                _merge(merged, rows, scores)
                merged.by_detector.append((assigned.name, rows, scores))
        return merged

    def warm(self, name: str, series: int, time: NDArray[np.int64], value: NDArray[np.float64]) -> None:
        """Let one detector learn earlier readings of a series, (n,) each, in time order."""
        assigned = self._assigned[name]
        assigned.assign(series)
        slot = np.full(len(time), assigned.slot_of[series], np.int32)
        assigned.detector.step(slot, time, value, np.ones(len(time), np.bool_))

    def needed(self, name: str) -> int:
        """Readings that one detector needs before its first score."""
        settings = self._assigned[name].settings
        fresh = detectors.create(settings.type, settings.parameters)
        fresh.grow(1)
        return int(fresh.warming()[1][0])

    def warming(self, series: int) -> tuple[int, int]:
        """Readings learned and readings needed before the first score of this series; of its slowest detector."""
        slowest = (0, 0)
        for assigned in self._assigned.values():
            if series < len(assigned.slot_of) and assigned.slot_of[series] >= 0:
                seen, needed = assigned.detector.warming()
                slot = assigned.slot_of[series]
                one = (int(seen[slot]), int(needed[slot]))
                slowest = max(slowest, one, key=lambda pair: pair[1] - pair[0])
        return slowest

    def state(self) -> dict[str, State]:
        """A copy of every detector's state and slots, by "name|fingerprint"."""
        saved: dict[str, State] = {}
        for a in self._assigned.values():
            own = {f"state.{name}": array for name, array in a.detector.state().items()}
            slots: State = {"slot_of": a.slot_of.copy(), "slots": np.array([a.slots])}
            saved[f"{a.name}|{a.fingerprint}"] = {**slots, **own}
        return saved

    def load(self, state: Mapping[str, State]) -> list[str]:
        """Take over the states of detectors whose parameters are unchanged; returns the names of those that start anew.

        Raises ValueError where a state does not fit its detector.
        """
        anew = []
        for assigned in self._assigned.values():
            saved = state.get(f"{assigned.name}|{assigned.fingerprint}")
            if saved is None:
                anew.append(assigned.name)
                continue
            assigned.slot_of = np.array(saved["slot_of"], np.int32)
            assigned.slots = int(saved["slots"][0])
            assigned.detector.grow(assigned.slots)
            assigned.detector.load({k.removeprefix("state."): v for k, v in saved.items() if k.startswith("state.")})
        return anew


def _merge(into: FleetScores, rows: NDArray[np.intp] | None, scores: Scores) -> None:
    own = (scores.score, scores.expected, scores.lower, scores.upper)
    merged = (into.score, into.expected, into.lower, into.upper)
    _merge_rows(_ALL_ROWS if rows is None else rows, rows is None, own, merged)


@njit(nogil=True)
def _merge_rows(rows: NDArray[np.intp], all_rows: bool, own: Any, merged: Any) -> None:
    for i in range(len(own[0])):
        row = i if all_rows else rows[i]
        if not own[0][i] <= merged[0][row] and not np.isnan(own[0][i]):
            merged[0][row] = own[0][i]
        if np.isnan(merged[1][row]) and np.isnan(merged[2][row]) and np.isnan(merged[3][row]):
            for column in range(1, 4):
                merged[column][row] = own[column][i]
