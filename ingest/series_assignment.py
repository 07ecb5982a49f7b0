"""Beside route: a series that is met, or heard again, is given to its detectors and alarm rules."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.alarm_life import Alarms
from alerts.series_rules import NO_RULES
from devices.batch import NO_TIME
from devices.series_registry import SeriesRegistry
from ingest.admission import Admission
from ingest.ahead import AheadWatch
from ingest.detector_host import DetectorHost
from ingest.knowledge_settings import rules_of
from ingest.route_choices import RouteChoices
from ingest.silence import SilenceWatch


@dataclass(frozen=True, slots=True)
class SeriesAssignment:
    """The stages behind the route that a series is made known to."""

    registry: SeriesRegistry
    choices: RouteChoices
    admission: Admission
    host: DetectorHost
    alarms: Alarms
    ahead: AheadWatch
    silence: SilenceWatch

    def assign(self, series: int, route: int, override: int, arrival: int) -> None:
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

    def expect(self, series: int, within: int, arrival: int) -> None:
        """A series comes at least every `within` ns by what describes it (0: nothing says so)."""
        device_of = self.registry.device_of()
        self.silence.expect(series, int(device_of[series]), within, arrival, device_of)

    def heard(self, series: int, arrival: int) -> None:
        """Give a series that has waited to its detectors, where this reading shows that it goes on."""
        if self.admission.hears(series, arrival):
            self.host.assign(series, self.choices.detectors(series), self.choices.knowledge(series), arrival)

    def admit_assigned(self) -> None:
        """Admit the series that are scored already: a state of a version before admission knows no more."""
        self.admission.admit_all([each for each in range(len(self.registry)) if self.host.assigned(each)])

    def assign_again(self) -> None:
        """Give every series to its detectors again: to those that start anew, and with what people know of it."""
        for series in self.choices.chosen():
            self._tell_alarms(series)
        for series in filter(self.admission.is_admitted, self.choices.chosen()):
            self.host.assign(series, self.choices.detectors(series), self.choices.knowledge(series), NO_TIME)

    def _tell_alarms(self, series: int) -> None:
        """Let the alarms of a series follow what people said of it."""
        if self.choices.any_knowledge and (rules := rules_of(self.choices.knowledge(series))) != NO_RULES:
            self.alarms.describe(series, rules)
