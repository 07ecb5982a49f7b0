"""Beside score: devices that have fallen silent, and metrics that a device sends no longer, as arrival time passes.

Nothing arrives of what is silent, so this is driven by the arrivals of everything else, and by ticks where nothing
comes at all. They say that time has passed, and no more: a silence begins with the whole second by which it has lasted
too long, whatever else arrives when. While nothing was listened to nobody was heard: after such a gap everybody has
their time anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_step import SILENT, Opening, SilenceChange
from common.durations import spoken_duration
from common.growth import grown
from common.time_units import SECOND
from detectors.detector import State
from devices.records import AlarmRecord
from devices.series_registry import SeriesRegistry, TooManySeriesError
from ingest.liveness import LEAST_SILENCE, Liveness

LISTENS_EVERY = 10 * SECOND
"""While a device is known a tick comes at least so often (ns) where no message does."""
_DEAF = 25
"""More seconds, each counted whole, between two arrivals say that nothing was listened to."""
_LOOKS_EVERY = SECOND
_NEVER = int(np.iinfo(np.int64).max)
_NOT_SILENT = -1
_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Silence:
    """What begins or ends at `time` (arrival, ns): the silence of a whole device, or of one metric (`series`, else -1).

    `last` is when it was heard last, `usual` the longest that keeps coming between two signs of life, or where `told`
    the longest by what describes the sensor, ns.
    """

    device: int
    series: int
    begins: bool
    time: int
    last: int
    usual: float
    told: bool = False

    def sentence(self, metric: str) -> str:
        """What a person reads."""
        lasted, usual = spoken_duration(self.time - self.last), spoken_duration(round(self.usual))
        if self.told:
            what = "the device has been silent" if self.series < 0 else f"{metric} has not come"
            return f"{what} for {lasted}; its description says that it comes at least every {usual} (expire_after)"
        if self.series < 0:
            return f"the device has been silent for {lasted}; it is heard from at least every {usual} otherwise"
        return f"{metric} has not come for {lasted}, though its device sends; it comes at least every {usual} otherwise"

    def opening(self, metric: str) -> Opening:
        """What its alarm tells."""
        return Opening(math.nan, math.nan, self.sentence(metric), {})


DEVICE_METRIC = "device:silent"
"""The name of the series that the alarm of a silent device belongs to, as `ingest.rows` names those of devices."""


class SilenceWatch:
    """Who is silent now. A function of the arrivals alone; `devices` and `metrics` are heard by their own cadence.

    Everybody is looked at by the first arrival of each second, with what was heard before it, as if each second that
    has passed had been looked at when it began: so what one device sends changes nothing of another's silence. Most
    looks are left out, since nobody can be due by then.
    """

    def __init__(self) -> None:
        self.devices, self.metrics = Liveness(), Liveness()
        self._silent_devices, self._silent_metrics = np.zeros((2, 0), np.int64)
        self._back_since = np.zeros(0, np.int64)
        """When a device was heard from again: what it sends has its time anew since then."""
        self._moment = self._listens_from = self._received = 0
        self._nobody_before = _UNKNOWN

    def grow(self, devices: int, series: int) -> None:
        """Make room for so many."""
        self.devices.grow(devices)
        self.metrics.grow(series)
        self._silent_devices = grown(self._silent_devices, len(self.devices.last_arrival), _NOT_SILENT)
        self._silent_metrics = grown(self._silent_metrics, len(self.metrics.last_arrival), _NOT_SILENT)
        self._back_since = grown(self._back_since, len(self.devices.last_arrival), 0)

    def expect(self, series: int, device: int, within: int, arrival: int, device_of: NDArray[np.int32]) -> None:
        """By what describes a series it comes at least every `within` ns (0: nothing is said), and so its device does.

        `device_of` gives the device of each series.
        """
        if not self.metrics.limit(series, within, arrival):
            return
        told = self.metrics.limits(arrival)[: len(device_of)]
        least = told.min(where=device_of[: len(told)] == device, initial=np.inf)
        self.devices.limit(device, int(least) if np.isfinite(least) else 0, arrival)
        self._nobody_before = _UNKNOWN

    def wants_tick(self, now: int) -> bool:
        """Whether nothing has arrived for so long that a tick is to say how late it is."""
        return bool((self.devices.last_arrival >= 0).any()) and now - self._moment >= LISTENS_EVERY

    def until_look(self, moments: NDArray[np.int64]) -> int:
        """How many of the arrivals `moments` (m,) are to be one step: those before the next look, else that one alone.

        Nobody can fall silent but at a look.
        """
        if len(moments) < 2:
            return len(moments)
        looks = np.flatnonzero(self._is_look(moments))
        return max(int(looks[0]), 1) if len(looks) else len(moments)

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
        """Take note of live readings (n,) and of all arrivals `moments` (m,); what begins and ends, in order.

        `moments` are as many as `until_look` says. `device_of` gives the device of each series; `is_watched` says of a
        series whether its silence matters; `after_gap` that nothing was received before the moment, which is one then.
        """
        looks = bool(len(moments)) and bool(self._is_look(moments)[-1])
        self._listen(moments, after_gap)
        changes = self._look(device_of, is_watched) if looks else []
        self.devices.observe(device, time, arrival)
        self.metrics.observe(series, time, arrival)
        return changes + self._heard_again(device, series, arrival)

    def _is_look(self, moments: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which arrivals (m,) are the first of a second by whose time somebody may be due."""
        second = moments // _LOOKS_EVERY
        begins = np.empty(len(moments), np.bool_)
        begins[0] = second[0] != self._moment // _LOOKS_EVERY
        np.not_equal(second[1:], second[:-1], out=begins[1:])
        nobody_before = _UNKNOWN if moments[0] < self._moment else self._nobody_before
        return begins & (moments > nobody_before)

    def _listen(self, moments: NDArray[np.int64], after_gap: bool) -> None:
        if not len(moments):
            return
        if moments[0] < self._moment:  # the clock was set back
            self._nobody_before = _UNKNOWN
        before = self._received if after_gap else self._moment
        gaps = np.diff(moments // SECOND, prepend=before // SECOND)
        deaf = np.flatnonzero((gaps > _DEAF) | (gaps < -_DEAF))
        if len(deaf):
            self._listens_from = int(moments[deaf[-1]])
        self._moment = int(moments[-1])
        self._received = self._received if after_gap else self._moment

    def _heard_again(
        self, device: NDArray[np.int32], series: NDArray[np.int32], arrival: NDArray[np.int64]
    ) -> list[Silence]:
        """The silences that these live readings (n,) end, each by the first of its readings."""
        found: list[tuple[int, int, int]] = []
        for which, (silent, numbers) in enumerate(((self._silent_devices, device), (self._silent_metrics, series))):
            rows = np.flatnonzero(silent[numbers] != _NOT_SILENT)
            if not len(rows):
                continue
            heard, first = np.unique(numbers[rows], return_index=True)
            silent[heard] = _NOT_SILENT
            found += zip(arrival[rows[first]].tolist(), [which] * len(heard), heard.tolist(), strict=True)
        for at, which, one in found:
            if which == 0:
                self._back_since[one] = at
        return [
            Silence(*((one, -1) if which == 0 else (-1, one)), False, at, at, 0.0) for at, which, one in sorted(found)
        ]

    def _look(self, device_of: NDArray[np.int32], is_watched: Callable[[int], bool]) -> list[Silence]:
        """Who has fallen silent by now, in order; until when nobody can be due, whoever sends, is kept for the next
        look."""
        last, now = self.devices.last_arrival, self._moment
        usual = np.where(self.devices.new(), np.inf, self.devices.patience())
        limits, limited_from = self.devices.described(len(last))
        since = np.maximum(last, self._listens_from)
        by_limit = np.maximum(_second_after(since, limits), _second_at(limited_from))
        begin = np.minimum(_second_after(since, usual), by_limit)
        begin[(last < 0) | (self._silent_devices[: len(last)] != _NOT_SILENT)] = _NEVER
        missing, missing_told, soonest = self._metrics_missing(device_of, begin)
        found: list[tuple[int, int, Silence]] = []
        for one in np.flatnonzero(begin <= now).tolist():
            self._silent_devices[one] = time = int(begin[one])
            told = bool(limits[one] <= usual[one] and by_limit[one] == begin[one])
            longest = float(limits[one] if told else self.devices.longest[one])
            found.append((time, 0, Silence(one, -1, True, time, int(last[one]), longest, told)))
        for one in np.flatnonzero(missing <= now).tolist():
            self._silent_metrics[one] = time = int(missing[one])
            if is_watched(one):
                heard, longest = int(self.metrics.last_arrival[one]), float(self.metrics.longest[one])
                told = bool(np.isfinite(missing_told[one]))
                longest = float(missing_told[one]) if told else longest
                found.append((time, 1, Silence(int(device_of[one]), one, True, time, heard, longest, told)))
        # Who sends next has the shortest patience at least.
        shortest = min(float(LEAST_SILENCE), self.devices.shortest_limit, self.metrics.shortest_limit)
        soonest = min(soonest, int(begin[begin > now].min(initial=now + int(shortest))))
        self._nobody_before = soonest - 1
        return [silence for _, _, silence in sorted(found, key=lambda each: each[:2])]

    def _metrics_missing(
        self, device_of: NDArray[np.int32], silent_from: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
        """Of each metric (series,) the second from which it is missing, and the limit of its description where that
        says so, else NaN; and the first second by which another one may be. `silent_from` is that of each device.

        A metric is missing by what its device has sent since.
        """
        count = len(device_of)
        last, heard = self.metrics.last_arrival[:count], self.devices.last_arrival[device_of]
        since = np.maximum(np.maximum(last, self._listens_from), self._back_since[device_of])
        limits, limited_from = self.metrics.described(count)
        steady = self.metrics.known()[:count] & ~self.metrics.on_change()[:count]
        usual = np.where(steady, self.metrics.patience()[:count], np.inf)
        able = (self._silent_metrics[:count] == _NOT_SILENT) & (self._silent_devices[device_of] == _NOT_SILENT)
        able &= last >= 0
        due, due_by_limit = _second_after(since, usual), _second_after(since, limits)
        next_second = _second_after(heard, np.zeros(count))
        by_habit = np.where(heard - since > usual, next_second, _NEVER)
        by_limit = np.where(heard - since > limits, np.maximum(next_second, _second_at(limited_from)), _NEVER)
        missing = np.where(able, np.minimum(by_habit, by_limit), _NEVER)
        missing[missing >= silent_from[device_of]] = _NEVER
        told = np.where((limits <= usual) & (by_limit == missing), limits, np.nan)
        soonest = np.minimum(due, np.maximum(due_by_limit, _second_at(limited_from)))
        waited_for = able & (missing > self._moment)
        return missing, told, int(soonest[waited_for].min(initial=_NEVER))

    def _both(self) -> tuple[tuple[NDArray[np.int64], Liveness], tuple[NDArray[np.int64], Liveness]]:
        return (self._silent_devices, self.devices), (self._silent_metrics, self.metrics)

    def adopt(self, devices: Iterable[int], series: Iterable[int]) -> None:
        """Let exactly these be silent now."""
        for (silent, liveness), which in zip(self._both(), (devices, series), strict=True):
            silent[:] = _NOT_SILENT
            for one in which:
                silent[one] = max(int(liveness.last_arrival[one]), 0)
        self._nobody_before = _UNKNOWN

    def state(self) -> State:
        """A copy of the whole state."""
        return {
            **{f"devices.{name}": array for name, array in self.devices.state().items()},
            **{f"metrics.{name}": array for name, array in self.metrics.state().items()},
            "silent_devices": self._silent_devices.copy(),
            "silent_metrics": self._silent_metrics.copy(),
            "back_since": self._back_since.copy(),
            "times": np.array([self._moment, self._moment // _LOOKS_EVERY, self._listens_from, self._received]),
            "nobody_before": np.array([self._nobody_before]),
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
        self._back_since = np.array(state.get("back_since", np.zeros(len(self._silent_devices))), np.int64)
        self._moment, _, self._listens_from, *received = (int(time) for time in state["times"])
        self._received = received[0] if received else self._moment
        self._nobody_before = int(state["nobody_before"].item()) if "nobody_before" in state else _UNKNOWN


def _second_at(moment: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first whole second (n,) at or after each moment, ns."""
    return -(-moment // SECOND) * SECOND


def _second_after(since: NDArray[np.int64], patience: NDArray[np.float64]) -> NDArray[np.int64]:
    """The first whole second (n,) by which more than `patience`, ns, has passed; never where that is infinite."""
    lasts = np.isfinite(patience)
    passed = np.where(lasts, patience, 0.0).astype(np.int64)
    return np.where(lasts, ((since + passed) // SECOND + 1) * SECOND, _NEVER)


def alarm_changes(
    changes: Iterable[Silence],
    registry: SeriesRegistry,
    released: NDArray[np.int64],
    in_service: Callable[[NDArray[np.int32]], NDArray[np.bool_]],
) -> list[SilenceChange]:
    """What silences mean for alarms; where a device's silence finds no series left for its alarm, nothing.

    `released` (n,) is when each reading of the step was released; `in_service` tells of series (n,) which may raise an
    alarm.
    """
    found: list[SilenceChange] = []
    for change in changes:
        series = change.series
        if series < 0:
            try:
                series, _ = registry.find_or_add(registry.device_names[change.device], DEVICE_METRIC)
            except TooManySeriesError:
                continue
        if change.begins and not in_service(np.array([series], np.int32))[0]:
            continue
        at = int(np.searchsorted(released, change.time))
        opening = change.opening(registry.records[series].metric) if change.begins else None
        found.append(SilenceChange(at, series, change.time, "major" if change.series < 0 else "minor", opening))
    return found


def adopt_silences(open_alarms: Iterable[AlarmRecord], registry: SeriesRegistry, watch: SilenceWatch) -> None:
    """Let those be silent whose alarms say so."""
    silent = [alarm.series for alarm in open_alarms if SILENT in alarm.parts]
    of_devices = {series for series in silent if registry.records[series].metric == DEVICE_METRIC}
    watch.adopt({int(registry.device_of()[series]) for series in of_devices}, set(silent) - of_devices)
