"""Beside score: devices that have fallen silent, and metrics that a device sends no longer, as arrival time passes.

Nothing arrives of what is silent, so this is driven by the arrivals of everything else, and by ticks where nothing
comes at all. While nothing was listened to nobody was heard: after such a gap everybody has their time anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_life import HEARD_AGAIN, SILENT, Alarms, Opening
from common.durations import spoken_duration
from common.growth import grown
from detectors.detector import State
from devices.records import AlarmRecord
from devices.series_registry import SeriesRegistry, TooManySeriesError
from ingest.liveness import Liveness

LISTENS_EVERY = 10_000_000_000
"""While a device is known a tick comes at least so often (ns) where no message does."""
_DEAF = 25_000_000_000
"""A longer time between two arrivals says that nothing was listened to."""
_LOOKS_EVERY = 1_000_000_000
_NOT_SILENT = -1


@dataclass(frozen=True, slots=True)
class Silence:
    """What begins or ends at `time` (arrival, ns): the silence of a whole device, or of one metric (`series`, else -1).

    `last` is when it was heard last, `usual` the longest that keeps coming between two signs of life, ns.
    """

    device: int
    series: int
    begins: bool
    time: int
    last: int
    usual: float

    def sentence(self, metric: str) -> str:
        """What a person reads."""
        lasted, usual = spoken_duration(self.time - self.last), spoken_duration(round(self.usual))
        if self.series < 0:
            return f"the device has been silent for {lasted}; it is heard from at least every {usual} otherwise"
        return f"{metric} has not come for {lasted}, though its device sends; it comes at least every {usual} otherwise"


DEVICE_METRIC = "device:silent"
"""The name of the series that the alarm of a silent device belongs to, as `ingest.rows` names those of devices."""


class SilenceWatch:
    """Who is silent now. A function of the arrivals alone; `devices` and `metrics` are heard by their own cadence."""

    def __init__(self) -> None:
        self.devices, self.metrics = Liveness(), Liveness()
        self._silent_devices, self._silent_metrics = np.zeros((2, 0), np.int64)
        self._moment = self._looked = self._listens_from = self._received = 0

    def grow(self, devices: int, series: int) -> None:
        """Make room for so many."""
        self.devices.grow(devices)
        self.metrics.grow(series)
        self._silent_devices = grown(self._silent_devices, len(self.devices.last_arrival), _NOT_SILENT)
        self._silent_metrics = grown(self._silent_metrics, len(self.metrics.last_arrival), _NOT_SILENT)

    def wants_tick(self, now: int) -> bool:
        """Whether nothing has arrived for so long that a tick is to say how late it is."""
        return bool((self.devices.last_arrival >= 0).any()) and now - self._moment >= LISTENS_EVERY

    def step(
        self,
        device: NDArray[np.int32],
        series: NDArray[np.int32],
        time: NDArray[np.int64],
        arrival: NDArray[np.int64],
        moments: NDArray[np.int64],
        device_of: NDArray[np.int32],
        is_watched: Callable[[int], bool],
        *,
        after_gap: bool = False,
    ) -> list[Silence]:
        """Take note of live readings (n,) and of all arrivals `moments` (m,); what begins and ends by the last of them.

        `device_of` gives the device of each series; `is_watched` says of a series whether its silence matters.
        `after_gap` says that nothing was received before the moment, which is one then.
        """
        self._listen(moments, after_gap)
        self.devices.observe(device, time, arrival)
        self.metrics.observe(series, time, arrival)
        changes = list(self._heard_again())
        if self._moment // _LOOKS_EVERY != self._looked:
            self._looked = self._moment // _LOOKS_EVERY
            changes += [*self._fallen_silent(), *self._missing(device_of, is_watched)]
        return changes

    def _listen(self, moments: NDArray[np.int64], after_gap: bool) -> None:
        if not len(moments):
            return
        gaps = np.diff(moments, prepend=self._received if after_gap else self._moment)
        deaf = np.flatnonzero((gaps > _DEAF) | (gaps < -_DEAF))
        if len(deaf):
            self._listens_from = int(moments[deaf[-1]])
        self._moment = int(moments[-1])
        self._received = self._received if after_gap else self._moment

    def _heard_again(self) -> Iterator[Silence]:
        for which, (silent, liveness) in enumerate(self._both()):
            for one in np.flatnonzero(silent != _NOT_SILENT).tolist():
                last = int(liveness.last_arrival[one])
                if last > silent[one]:
                    silent[one] = _NOT_SILENT
                    yield Silence(*((one, -1) if which == 0 else (-1, one)), False, last, last, 0.0)

    def _fallen_silent(self) -> Iterator[Silence]:
        last = self.devices.last_arrival
        since = np.maximum(last, self._listens_from)
        due = (self._moment - since > self.devices.patience()) & (last >= 0) & ~self.devices.new()
        for one in np.flatnonzero(due & (self._silent_devices[: len(due)] == _NOT_SILENT)).tolist():
            self._silent_devices[one] = self._moment
            yield Silence(one, -1, True, self._moment, int(last[one]), float(self.devices.longest[one]))

    def _missing(self, device_of: NDArray[np.int32], is_watched: Callable[[int], bool]) -> Iterator[Silence]:
        """Metrics that come steadily otherwise, of devices that send without them."""
        last = self.metrics.last_arrival[: len(device_of)]
        since = np.maximum(last, self._listens_from)
        late = self.devices.last_arrival[device_of] - since > self.metrics.patience()[: len(device_of)]
        due = late & (last >= 0) & self.metrics.known()[: len(device_of)] & ~self.metrics.on_change()[: len(device_of)]
        for one in np.flatnonzero(due & (self._silent_metrics[: len(due)] == _NOT_SILENT)).tolist():
            if is_watched(one):
                self._silent_metrics[one] = self._moment
                longest = float(self.metrics.longest[one])
                yield Silence(int(device_of[one]), one, True, self._moment, int(last[one]), longest)

    def _both(self) -> tuple[tuple[NDArray[np.int64], Liveness], tuple[NDArray[np.int64], Liveness]]:
        return (self._silent_devices, self.devices), (self._silent_metrics, self.metrics)

    def adopt(self, devices: Iterable[int], series: Iterable[int]) -> None:
        """Let exactly these be silent now."""
        for (silent, liveness), which in zip(self._both(), (devices, series), strict=True):
            silent[:] = _NOT_SILENT
            for one in which:
                silent[one] = max(int(liveness.last_arrival[one]), 0)

    def state(self) -> State:
        """A copy of the whole state."""
        return {
            **{f"devices.{name}": array for name, array in self.devices.state().items()},
            **{f"metrics.{name}": array for name, array in self.metrics.state().items()},
            "silent_devices": self._silent_devices.copy(),
            "silent_metrics": self._silent_metrics.copy(),
            "times": np.array([self._moment, self._looked, self._listens_from, self._received]),
        }

    def load(self, state: State) -> None:
        """Take over a state that `state` returned, by this version or one before it, which knew devices alone."""
        if "times" not in state:
            self.devices.load(state)
            return
        for name, liveness in (("devices.", self.devices), ("metrics.", self.metrics)):
            liveness.load({key.removeprefix(name): value for key, value in state.items() if key.startswith(name)})
        self._silent_devices = np.array(state["silent_devices"], np.int64)
        self._silent_metrics = np.array(state["silent_metrics"], np.int64)
        times = [int(time) for time in state["times"]]
        self._moment, self._looked, self._listens_from = times[:3]
        self._received = times[3] if len(times) > 3 else self._moment


def alarms_of_silence(
    changes: Iterable[Silence],
    registry: SeriesRegistry,
    alarms: Alarms,
    in_service: Callable[[NDArray[np.int32]], NDArray[np.bool_]],
) -> list[AlarmRecord]:
    """Open and end alarms by what has fallen silent and what is heard from again; where no series is left, none.

    `in_service` tells of series (n,) which may raise one.
    """
    records: list[AlarmRecord] = []
    for change in changes:
        series = change.series
        if series < 0:
            try:
                series, _ = registry.find_or_add(registry.device_names[change.device], DEVICE_METRIC)
            except TooManySeriesError:
                continue
            alarms.grow(registry.records)
        if change.begins and not in_service(np.array([series], np.int32))[0]:
            continue
        if change.begins:
            opening = Opening(
                (change.time - change.last) / 1e9,
                change.usual / 1e9,
                change.sentence(registry.records[series].metric),
                {SILENT: alarms.threshold(series)},
            )
            record = alarms.begin(series, change.time, "major" if change.series < 0 else "minor", opening)
        else:
            record = alarms.over(series, change.time, HEARD_AGAIN)
        if record is not None:
            records.append(record)
    return records


def adopt_silences(open_alarms: Iterable[AlarmRecord], registry: SeriesRegistry, watch: SilenceWatch) -> None:
    """Let those be silent whose alarms say so."""
    silent = [alarm.series for alarm in open_alarms if SILENT in alarm.parts]
    of_devices = {series for series in silent if registry.records[series].metric == DEVICE_METRIC}
    watch.adopt({int(registry.device_of()[series]) for series in of_devices}, set(silent) - of_devices)
