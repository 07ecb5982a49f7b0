"""Order to alarm, composed: readings of a step put in order, scored and judged."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_life import Alarms
from alerts.alarm_step import NO_READING, Scored
from alerts.policy_kernels import Band
from alerts.siblings import ODD, USUAL, Siblings, beside, findings
from detectors.detector import State
from devices.device_book import DeviceBook
from devices.records import SeriesRecord
from devices.series_registry import SeriesRegistry
from ingest.admission import Admission
from ingest.ahead import AheadWatch
from ingest.ahead import points as ahead_points
from ingest.ahead import scored as ahead_scored
from ingest.detector_host import DetectorHost, HostScores
from ingest.excluded_stretches import ExcludedStretches
from ingest.followed import Followed, Incoming
from ingest.not_learned import NotLearned
from ingest.order import Arrived, Ordered, Orderer
from ingest.route_choices import RouteChoices
from ingest.silence import Silence, SilenceWatch, alarm_changes
from ingest.stage_watch import Stage, StageWatch

log = logging.getLogger(__name__)

_DETECTORS = "detectors/"
"""Before a detector's name in that of its part of the state."""


class Judgement:
    """Orders, scores and judges readings, and watches who falls silent.

    A function of the readings, their order and arrivals alone. Which detectors score a series is decided elsewhere.
    """

    def __init__(
        self,
        registry: SeriesRegistry,
        book: DeviceBook,
        choices: RouteChoices,
        admission: Admission,
        host: DetectorHost,
        alarms: Alarms,
        orderer: Orderer,
    ) -> None:
        self.registry, self._book, self._admission = registry, book, admission
        self.host, self.alarms, self.orderer = host, alarms, orderer
        self.not_learned, self.excluded = NotLearned(registry), ExcludedStretches()
        self.ahead = AheadWatch(registry, choices.facts, any_wanted=choices.any_warning)
        self.siblings, self.silence = Siblings(), SilenceWatch()

    def state(self) -> tuple[dict[str, State], dict[str, Any]]:
        """A copy of the state of all stages: arrays by part and name, and the rest as JSON."""
        arrays = {f"{_DETECTORS}{name}": state for name, state in self.host.state().items()}
        alarm_arrays, rest = self.alarms.state()
        arrays["order"] = self.orderer.state()
        arrays["liveness"] = self.silence.state()
        arrays["alarm"] = alarm_arrays
        arrays["siblings"] = self.siblings.state()
        arrays["ahead"], ahead = self.ahead.state()
        rest |= {"fingerprints": self.host.fingerprints(), "not_learned": self.not_learned.state(), "ahead": ahead}
        rest["excluded"] = self.excluded.state()
        return arrays, rest

    def load(self, arrays: Mapping[str, State], rest: Mapping[str, Any]) -> dict[str, str]:
        """Take over a saved state; returns the detectors that start anew, and why.

        Raises ValueError or KeyError where the state is not one of an engine's.
        """
        saved = {name.removeprefix(_DETECTORS): state for name, state in arrays.items() if name.startswith(_DETECTORS)}
        anew = self.host.load(saved, rest.get("fingerprints", {}))
        self.orderer.load(arrays["order"])
        self.silence.load(arrays["liveness"])
        if not self.alarms.load(arrays["alarm"], rest):
            log.warning("the cadence of every series, which its alarm threshold comes from, is learned anew")
        self.siblings.load(arrays.get("siblings", {}))
        self.not_learned.load(rest.get("not_learned", ()))
        self.excluded.load(rest.get("excluded", ()))
        self.ahead.load(arrays.get("ahead", {}), rest.get("ahead", {}))
        return anew

    def grow(self) -> None:
        """Make room for the devices and series that have been met."""
        self.orderer.grow(len(self.registry), len(self.registry.device_names))
        self.silence.grow(len(self.registry.device_names), len(self.registry))
        self.alarms.grow(self.registry.records)

    def silences(self, incoming: Incoming) -> list[Silence]:
        """What falls silent, and is heard from again. A retained message is history, and no sign of life."""
        self.grow()
        batch, live, device_of = incoming.batch, incoming.live, self.registry.device_of()
        series = batch.series[live]
        return self.silence.step(
            device_of[series], series, batch.time[live], incoming.arrival[live], incoming.moments, device_of,
            lambda series: bool(self.host.assigned(series)), after_gap=incoming.after_gap,
        )  # fmt: skip

    def follow(self, incoming: Incoming, silences: Sequence[Silence] = (), watch: StageWatch | None = None) -> Followed:
        """Order, score and judge."""
        self.grow()
        batch = incoming.batch
        device = self.registry.device_of()[batch.series]
        ordered = self.orderer.step(Arrived(batch, device, incoming.window, incoming.arrival), incoming.moments)
        ordered, excluded = self.excluded.split(ordered)
        taken = ordered.on_time()
        taken_up = self._admission.taken_up(taken.batch.series, taken.arrival)
        scores = self.host.step(taken, self.not_learned.learn(taken.batch), taken_up)
        if watch is not None:
            watch.passed(Stage.SCORE)
        changes = alarm_changes(silences, self.registry, taken.released, self.in_service)
        self.alarms.grow(self.registry.records)
        ahead = self.ahead.step(taken.batch, taken.released)
        self.siblings.grow(len(self.registry))
        sets = [*self._sets(taken, scores), ahead_scored(ahead, self.in_service)]
        verdicts, alarms = self.alarms.step(sets, changes)
        self.siblings.note(taken.batch, findings(scores.readings.score, verdicts[0].anomaly))
        if watch is not None:
            watch.passed(Stage.ALARM)
            watch.alarms_opened(taken.released[[at for at in alarms.opened_at if at != NO_READING]])
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

        own, together = self.in_service(batch.series), self.in_service(devices.batch.series)
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
        # What has an open alarm is not as usual, whatever its latest reading shows.
        told = {each: what for each, what in told.items() if what == ODD or not self.alarms.is_open(each)}
        names = {
            what: [self.registry.records[each].metric for each in told if told[each] == what] for what in (ODD, USUAL)
        }
        return beside(names[ODD], names[USUAL])

    def in_service(self, series: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of these (n,) are of devices that are not retired: the others raise no alarm."""
        retired = [each for record in self._book.retired for each in self.registry.series_of(record)]
        return ~np.isin(series, retired) if retired else np.ones(len(series), np.bool_)
