"""Between two configurations: a detector that starts anew learns from stored history, so that it need not warm up live.

What is stored up to the position where the new configuration begins is settled by the journal and the configurations
before, so what is learned from it is, too. It is in the snapshot that is taken right after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping

import numpy as np

from detectors.detector import State
from devices.records import SeriesRecord
from devices.topics import matches
from ingest.detector_host import DetectorHost, warm
from ingest.pipeline import Engine
from ingest.route_entry import Route
from ingest.rows import PREFIX
from ingest.slots import History
from storage.embedded.database import EmbeddedStore

Say = Callable[[str], None]

_ROOMS = ("detectors", "fleet", "rows")
"""Where a state keeps what its detectors have learned; the last two in states of older versions."""

_LEAST, _MOST = 1_000, 20_000
_PER_NEEDED = 4


def warm_start(
    engine: Engine, anew: Collection[str], before: Mapping[str, State], store: EmbeddedStore, say: Say
) -> None:
    """Let the detectors named `anew` learn the last stored points of their series; no score of it is judged or stored.

    `before` are the arrays of the state that the engine has taken over. A series is a detector's where a detector of
    that name had it before, and, for a name that is new, where its route can be told from the device's name, which is
    the topic where no template says otherwise. Other series warm up with their next readings.
    """
    if not anew:
        return
    if store.position != engine.position:
        say(f"nothing is learned from stored history: the database stands at {store.position}, not {engine.position}")
        return
    had = {name: _series_of(before, name) for name in anew}
    records = engine.registry.records
    wanted = {record.series: _names(engine.router.routes, record, had) for record in records}
    groups = _Groups(engine, wanted)
    warmed: set[int] = set()
    missing = ""
    for series, points in store.history(_history(engine, anew)):
        names = wanted.get(series, [])
        missing = points.missing if names and points.missing else missing
        for name in names:
            groups.add(name, (series, points.time, points.value))
        if names:
            warmed.add(series)
    groups.learn_rest()
    if missing:
        say(f"learned from the embedded database alone: {missing}")
    if warmed:
        say(f"learned from stored history: {', '.join(sorted(anew))}, on {len(warmed):,} series")


class _Groups:
    """Histories of series that are learned together, gathered until all of a group's are there."""

    def __init__(self, engine: Engine, wanted: Mapping[int, list[str]]) -> None:
        self._host: DetectorHost = engine.host
        self._knowledge = {series: engine.choices.knowledge(series) for series, names in wanted.items() if names}
        self._gathered: dict[tuple[str, int], list[History]] = {}
        self._expected = Counter(
            (name, self._host.slots(name).group(series)) for series, names in wanted.items() for name in names
        )

    def add(self, name: str, history: History) -> None:
        """One more series of a group; the last of them lets the detector learn."""
        key = (name, self._host.slots(name).group(history[0]))
        self._gathered.setdefault(key, []).append(history)
        if len(self._gathered[key]) == self._expected[key]:
            warm(self._host, name, self._gathered.pop(key), self._knowledge)

    def learn_rest(self) -> None:
        """Let the detectors learn the groups of which a series has no history."""
        while self._gathered:
            (name, _), histories = self._gathered.popitem()
            warm(self._host, name, histories, self._knowledge)


def _history(engine: Engine, anew: Collection[str]) -> int:
    """Points a series that are read: several times what the slowest of the detectors needs."""
    needed = max(engine.host.slots(name).needed for name in anew)
    return min(max(_LEAST, _PER_NEEDED * needed), _MOST)


def _series_of(before: Mapping[str, State], name: str) -> set[int] | None:
    """The series that a detector of this name had, None where there was none."""
    for key, state in before.items():
        if key.startswith(tuple(f"{room}/{name}|" for room in _ROOMS)):
            return set(np.flatnonzero(np.asarray(state["slot_of"], np.int32) >= 0).tolist())
    return None


def _names(routes: list[Route], record: SeriesRecord, had: Mapping[str, set[int] | None]) -> list[str]:
    if record.metric.startswith(PREFIX):
        return []
    route = next((route for route in routes if matches(route.settings.filter, record.device)), None)
    by_topic = (
        route.detectors_at(route.override_of(record.metric)) if route is not None and route.device is None else []
    )
    return [name for name, series in had.items() if (name in by_topic if series is None else record.series in series)]
