"""Recordings through the service's own engine: each row scored and judged as it would have been when it arrived.

A row takes the place of a decoded message on the topic that a replay of the recording publishes on. Route, order, score
and alarm are `ingest.pipeline`'s: a row is scored against the rows before it alone, then learned; nothing is known of
the file's length, range or labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_settings import AlarmSettings
from detectors.detector_registry import scores_rows
from ingest.followed import RecordedRows
from ingest.ingest_settings import (
    DEFAULT_DETECTORS,
    DEFAULT_ROUTES,
    ComponentSettings,
    LimitSettings,
    RouteSettings,
)
from ingest.knowledge_settings import SeriesSettings
from ingest.pipeline import Engine
from ingest.route_entry import RouteError
from tuning.recordings import Recording, RecordingChunk, RecordingError
from tuning.track import Track, TrackBuilder

TOGETHER = "joint"
"""The detector that scores a recording's channels together where none is named."""

REPLAY_PREFIX = "replay"
"""Topic before a recording's name, as `driftline replay` publishes it: routes are looked up by it."""

_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Plan:
    """What scores a recording: the configuration's detectors, routes and alarm settings.

    `series` is what is known of single ones. `detector` scores every channel in place of what the routes name.
    `multivariate` scores the channels together too, by `TOGETHER` where the route names no detector of rows.
    """

    detectors: Mapping[str, ComponentSettings] = field(default_factory=lambda: dict(DEFAULT_DETECTORS))
    routes: Sequence[RouteSettings] = tuple(DEFAULT_ROUTES)
    alarm: AlarmSettings = field(default_factory=AlarmSettings)
    series: Sequence[SeriesSettings] = ()
    detector: str | None = None
    multivariate: bool = False

    @property
    def settings(self) -> Mapping[str, ComponentSettings]:
        """All detectors that can be named."""
        return {TOGETHER: DEFAULT_DETECTORS[TOGETHER], **self.detectors}

    def routes_in_force(self) -> list[RouteSettings]:
        """The routes with the detectors of this plan, and one behind them that takes what none of them takes."""
        return [self._adjusted(route) for route in (*self.routes, RouteSettings(name="recordings", filter="#"))]

    def series_in_force(self) -> list[SeriesSettings]:
        """What is known of single series; a detector of this plan scores them all."""
        if self.detector is None:
            return list(self.series)
        return [each.model_copy(update={"detectors": None}) for each in self.series]

    def _adjusted(self, route: RouteSettings) -> RouteSettings:
        if self.detector is not None:
            overrides = [metric.model_copy(update={"detectors": None}) for metric in route.metrics]
            route = route.model_copy(update={"detectors": [self.detector], "metrics": overrides})
        if self.multivariate and not any(self._scores_rows(name) for name in _named(route)):
            route = _with_detector(route, TOGETHER)
        return route

    def _scores_rows(self, name: str) -> bool:
        return name in self.settings and scores_rows(self.settings[name].type)


class Backtest:
    """Scores one recording, chunk by chunk. Cutting it into other chunks gives the same track.

    Raises RecordingError where a route refuses the recording, or where it has more channels than a detector of rows
    takes.
    """

    def __init__(self, plan: Plan, stem: str, channels: Sequence[str], topic: str = "") -> None:
        self._topic = topic or f"{REPLAY_PREFIX}/{stem}"
        self._stem = stem
        self._channels = tuple(channels)
        room = 2 * len(channels) + 64
        limits = LimitSettings(max_series=room, max_series_per_device=room)
        try:
            self._engine = Engine(plan.routes_in_force(), plan.settings, plan.alarm, limits, (), plan.series_in_force())
            _, series = self._engine.router.row_series(self._topic, channels, 0)
        except RouteError as error:
            raise RecordingError(f"{stem}: {error}") from error
        self._require_places(series)
        channel_of = np.full(room, -1, np.intp)
        channel_of[series[series >= 0]] = np.flatnonzero(series >= 0)
        self._track = TrackBuilder(self._channels, channel_of, self._engine)

    def step(self, chunk: RecordingChunk) -> None:
        """Take the next rows. Rows arrive at their own times; one that goes back in time right after the one before."""
        arrival = self._track.add_rows(chunk)
        self._track.note(
            self._engine.step_rows(RecordedRows(self._topic, self._channels, chunk.time, arrival, chunk.values))
        )

    def finish(self) -> Track:
        """What became of all rows; those that still waited for earlier ones are scored now."""
        self._track.note(self._engine.tick(_LAST))
        return self._track.build()

    def _require_places(self, series: NDArray[np.int32]) -> None:
        for channel, number in zip(self._channels, series.tolist(), strict=True):
            if number < 0:
                continue
            for name in self._engine.choices.detectors(number):
                if not self._engine.host.slots(name).has_place(number):
                    wanted = f"channels = {len(self._channels)} under [detectors.{name}]"
                    raise RecordingError(f"{self._stem}: column {channel!r} finds no place in the rows: set {wanted}")


def score_columns(
    plan: Plan, stem: str, channels: Sequence[str], time: NDArray[np.int64], values: NDArray[np.float64]
) -> Track:
    """Score columns that are at hand: `time` int64 ns (n,), `values` float64 (n, channels)."""
    written: list[str | int | float] = [int(t) for t in time]
    backtest = Backtest(plan, stem, channels)
    backtest.step(RecordingChunk(1, time, written, np.ascontiguousarray(values)))
    return backtest.finish()


def score_recording(plan: Plan, recording: Recording) -> Track:
    """Score a whole recording. Raises RecordingError, OSError."""
    backtest = Backtest(plan, recording.stem, recording.value_columns, recording.topic)
    for chunk in recording.chunks():
        backtest.step(chunk)
    return backtest.finish()


def _named(route: RouteSettings) -> set[str]:
    """All detectors that a route names."""
    return {
        name for names in (route.detectors, *(metric.detectors for metric in route.metrics)) for name in names or ()
    }


def _with_detector(route: RouteSettings, name: str) -> RouteSettings:
    """The route with one more detector for every metric."""
    overrides = [
        metric if metric.detectors is None else metric.model_copy(update={"detectors": [*metric.detectors, name]})
        for metric in route.metrics
    ]
    return route.model_copy(update={"detectors": [*route.detectors, name], "metrics": overrides})
