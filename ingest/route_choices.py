"""Beside route: which route and which of its overrides decide on each series; kept, so that restarts change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.growth import grown
from detectors.detector import State
from detectors.knowledge import Knowledge
from devices.kinds import Kind
from devices.series_registry import SeriesRegistry
from ingest.knowledge_settings import KnowledgeSettings, SeriesSettings, of_series
from ingest.route_entry import Route

_NONE = -1


class RouteChoices:
    """Per series the number of its route and of the override that its metric matches, -1 where there is none."""

    def __init__(
        self, routes: Sequence[Route], registry: SeriesRegistry, series: Sequence[SeriesSettings] = ()
    ) -> None:
        self._routes = routes
        self._registry = registry
        self._series = series
        self._route = np.empty(0, np.int32)
        self._override = np.empty(0, np.int32)

    def take(self, series: int, route: int, override: int) -> bool:
        """Note a topic's choice for a series; False where an earlier topic has chosen already."""
        if series >= len(self._route):
            self._route, self._override = (grown(array, series + 1, _NONE) for array in (self._route, self._override))
        if self._route[series] != _NONE:
            return False
        self._route[series], self._override[series] = route, override
        return True

    def chosen(self) -> list[int]:
        """Every series that a route has been chosen for."""
        return np.flatnonzero(self._route != _NONE).tolist()

    def detectors(self, series: int) -> list[str]:
        """The detectors that score the series: those that its own settings name, else its route's."""
        own = self._own(series)
        if own is not None and own.detectors is not None:
            return own.detectors
        return self._routes[int(self._route[series])].detectors_at(int(self._override[series]))

    def knowledge(self, series: int) -> Knowledge:
        """What the settings say of the series; what its own leave out is its route's. A name tells a battery."""
        facts = self.facts(series)
        if facts.signal is None and self._registry.records[series].kind == Kind.BATTERY:
            facts = facts.model_copy(update={"signal": Kind.BATTERY.value})
        return facts.knowledge()

    def facts(self, series: int) -> KnowledgeSettings:
        """The same as settings, in which what nobody says is None."""
        facts: KnowledgeSettings = KnowledgeSettings()
        if series < len(self._route) and self._route[series] != _NONE:
            facts = self._routes[int(self._route[series])].facts_at(int(self._override[series]))
        own = self._own(series)
        return facts if own is None else own.over(facts)

    def _own(self, series: int) -> SeriesSettings | None:
        if not self._series:
            return None
        record = self._registry.records[series]
        return of_series(self._series, record.device, record.metric)

    def state(self) -> State:
        """A copy of the whole state."""
        return {"route": self._route.copy(), "override": self._override.copy()}

    @property
    def any_knowledge(self) -> bool:
        """Whether the settings say more of any series than nothing."""
        return bool(self._series) or any(route.knows for route in self._routes)

    @property
    def any_warning(self) -> bool:
        """Whether the settings ask for a warning ahead of a limit of any series."""
        return any(each.warn_ahead for each in self._series) or any(route.warns for route in self._routes)

    def load(self, state: Mapping[str, NDArray[Any]]) -> bool:
        """Take over a state that `state` returned under the same routes; False where it is of an older version."""
        if "override" not in state:
            return False
        self._route, self._override = (np.array(state[name], np.int32) for name in ("route", "override"))
        return True
