"""Score: all configured detectors, those of single series and those of devices' rows, behind one host."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors import detector_registry as detectors
from detectors.detector import State
from detectors.knowledge import Knowledge
from devices.batch import NO_TIME
from devices.series_registry import SeriesRegistry
from ingest.ingest_settings import ComponentSettings
from ingest.order import Ordered
from ingest.rows import DeviceScores, DeviceSlots
from ingest.score import SeriesScores, SeriesSlots, score_series
from ingest.slots import NONE, DetectorSlots, History

log = logging.getLogger(__name__)

_UNFIT = (ValueError, KeyError, IndexError, TypeError, AttributeError)
"""What a detector may raise on a state that is not its own: some of them are users' files, or read pickles."""


@dataclass(frozen=True, slots=True)
class HostScores:
    """What all detectors made of n readings: the readings' own scores, and those of the rows that they completed."""

    readings: SeriesScores
    devices: DeviceScores


class DetectorHost:
    """Every configured detector with the state of the series that routes give to it."""

    def __init__(self, settings: Mapping[str, ComponentSettings], registry: SeriesRegistry) -> None:
        self._settings = settings
        self._registry = registry
        self._slots: dict[str, DetectorSlots] = {}
        self._single: dict[str, SeriesSlots] = {}
        self._together: dict[str, DeviceSlots] = {}
        self._named_as_left_out: set[str] = set()
        for name in settings:
            self._begin(name)

    @property
    def names(self) -> list[str]:
        """All configured detectors."""
        return list(self._slots)

    def slots(self, name: str) -> DetectorSlots:
        """One configured detector and its series."""
        return self._slots[name]

    def assign(self, series: int, names: Sequence[str], knowledge: Knowledge, arrival: int) -> None:
        """Let the named detectors and no others score the series, from the message of this arrival (ns) on.

        What is learned already is kept.
        """
        for name, slots in self._slots.items():
            if name not in names:
                slots.drop(series)
            elif not slots.assign(series, knowledge, arrival):
                self._report_left_out(series, name)

    def drop(self, series: int) -> None:
        """Let no detector score the series any more."""
        for slots in self._slots.values():
            slots.drop(series)

    def assigned(self, series: int) -> list[str]:
        """The detectors that score the series now."""
        return [name for name, slots in self._slots.items() if slots.has(series)]

    def step(self, ordered: Ordered, learn: NDArray[np.bool_], taken_up: NDArray[np.bool_] | None = None) -> HostScores:
        """Score readings that are not late against what their detectors know, then learn each where `learn` (n,).

        Then the same with the rows that they complete. Those that are not `taken_up` (n,) came before their series had
        its detectors.
        """
        readings = score_series(self._single.values(), ordered.batch, learn, taken_up)
        if not len(ordered.batch):
            return HostScores(readings, DeviceScores.of([]))
        made = [slots.step(ordered, readings.score, learn, taken_up) for slots in self._together.values()]
        return HostScores(readings, DeviceScores.of([part for part in made if part is not None]))

    def is_replaced(self, series: int, at: int) -> bool:
        """Whether the device's alarm takes the place of one of this series, as of reading `at` of the newest step."""
        return any(slots.is_replaced(series, at) for slots in self._together.values())

    def replaced(self, series: NDArray[np.int32]) -> NDArray[np.bool_]:
        """The same of each reading of the newest step, (n,); `series` are their series."""
        found = np.zeros(len(series), np.bool_)
        for slots in self._together.values():
            found |= slots.replaced(series)
        return found

    def adopt(self, series: int, channel: str) -> dict[str, dict[str, list[float]]]:
        """Let the detectors of a series take its present level for normal; `channel` is what raised the alarm.

        Returns what was normal before, by the detector's key; empty where none of them has a level to adopt.
        """
        found = {
            _key(slots): slots.detector.adopt(int(slots.slot_of_series()[series]), channel)
            for slots in self._single.values()
            if slots.has(series)
        }
        return {key: before for key, before in found.items() if before}

    def restore(self, series: int, before: Mapping[str, Mapping[str, list[float]]]) -> bool:
        """Take for normal again what `adopt` returned; False where none of these detectors is there any more."""
        done = False
        for slots in self._single.values():
            saved = before.get(_key(slots))
            if saved is not None and slots.has(series):
                slots.detector.restore(int(slots.slot_of_series()[series]), saved)
                done = True
        return done

    def learning(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of every series: readings, or a device's rows, learned, and needed before the first score.

        Of several detectors it is the one that is nearest to its first score, since a series is scored from then on; 0
        and 0 where no detector is set.
        """
        count = len(self._registry)
        seen, needed = np.zeros((2, count), np.int64)
        left = np.full(count, np.iinfo(np.int64).max)
        for slots in self._slots.values():
            slot = slots.slot_of_series()[:count]
            series = np.flatnonzero(slot != NONE)
            own_seen, own_needed = (column[slot[series]] for column in slots.detector.warming())
            nearer = np.maximum(own_needed - own_seen, 0) < left[series]
            chosen = series[nearer]
            seen[chosen], needed[chosen] = own_seen[nearer], own_needed[nearer]
            left[chosen] = np.maximum(own_needed - own_seen, 0)[nearer]
        return seen, needed

    def state(self) -> dict[str, State]:
        """A copy of every detector's state, by its name and the key of its fingerprint."""
        return {_key(slots): slots.state() for slots in self._slots.values()}

    def fingerprints(self) -> dict[str, dict[str, str]]:
        """Every detector's fingerprint, as JSON."""
        return {name: slots.fingerprint.to_json() for name, slots in self._slots.items()}

    def load(self, state: Mapping[str, State], fingerprints: Mapping[str, dict[str, str]]) -> dict[str, str]:
        """Take over the states that fit; returns the detectors that start anew, and why.

        `fingerprints` are those of the detectors that saved the state.
        """
        anew = {}
        for name, slots in list(self._slots.items()):
            saved = state.get(_key(slots))
            if saved is None:
                anew[name] = slots.fingerprint.changed_from(fingerprints.get(name))
                continue
            try:
                slots.load(saved)
            except _UNFIT as error:
                self._begin(name)
                anew[name] = f"its saved state does not fit: {error}"
        return anew

    def _begin(self, name: str) -> None:
        """Make the detector afresh, in its place."""
        chosen = self._settings[name]
        if detectors.scores_rows(chosen.type):
            self._slots[name] = self._together[name] = DeviceSlots(name, chosen, self._registry)
        else:
            self._slots[name] = self._single[name] = SeriesSlots(name, chosen)

    def _report_left_out(self, series: int, name: str) -> None:
        if name not in self._named_as_left_out:
            self._named_as_left_out.add(name)
            record = self._registry.records[series]
            log.warning(
                'metric "%s" of device "%s" has no place in the rows of detector "%s", whose `channels` or a limit on '
                "series is reached: it is scored alone; not said again for others",
                record.metric,
                record.device,
                name,
            )


def _key(slots: DetectorSlots) -> str:
    return f"{slots.name}|{slots.fingerprint.key}"


def warm(host: DetectorHost, name: str, histories: Sequence[History], knowledge: Mapping[int, Knowledge]) -> None:
    """Let one detector learn earlier readings of all series of a group; `knowledge` is what is known of each."""
    slots = host.slots(name)
    for series, _, _ in histories:
        slots.assign(series, knowledge[series], NO_TIME)
    slots.warm(histories)
