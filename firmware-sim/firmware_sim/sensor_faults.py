"""Faults of sensors and transport, put at random into what a plant's sensors report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from common.time_units import HOUR
from devices.fault_labels import WHOLE_DEVICE, Expected, FaultLabel, Severity
from firmware_sim.fault_kinds import FAULT_KINDS
from firmware_sim.fault_kinds.fault_kind import FaultKind, Readings, Window
from firmware_sim.fault_kinds.relations import CorrelationBreak, SensorSwap
from firmware_sim.fault_kinds.silence import Dropout, SilentDeath
from firmware_sim.plant_faults import severity_of
from firmware_sim.worlds.normality import VISIBLE, hour_bins, usual_spread
from firmware_sim.worlds.sampling import Series, quantised
from firmware_sim.worlds.surroundings import Surroundings
from firmware_sim.worlds.world import Floats, Signal

DAY = 24 * HOUR
FOREVER = 2**62
TRIES = 12
SECOND_FAULT = 0.3
"""Share of the series with a fault that get another kind too."""
DROPOUTS, DEATHS = 0.25, 0.1
"""Share of the devices that fall silent for a while, and for good."""
CORRELATED = 0.6


@dataclass(frozen=True, slots=True)
class _Edit:
    first: int
    last: int
    readings: Readings
    sent: NDArray[np.int64]


@dataclass(slots=True)
class _State:
    """What is known of one series: its usual scatter, and what is to happen to it."""

    series: Series
    spread: float
    ripple: float
    cadence: int
    busy: list[tuple[int, int]]
    edits: list[_Edit]

    def free(self, start: int, end: int, margin: int) -> bool:
        return all(end + margin <= begun or start >= over + margin for begun, over in self.busy)


class SensorFaults:
    """Spreads faults over series between two times, ns; every kind about as often as the others.

    Metrics that show a fault of the plant are left alone around it.
    """

    def __init__(
        self,
        series: Sequence[Series],
        around: Surroundings,
        plant_labels: Sequence[FaultLabel],
        *,
        first: int,
        last: int,
    ) -> None:
        self._around = around
        self._first, self._last = first, last
        self._random = around.random("sensor faults")
        self._states = [_state(one, around) for one in series]
        self._given: Counter[str] = Counter()
        by_device: dict[str, list[_State]] = {}
        for state in self._states:
            by_device.setdefault(state.series.device, []).append(state)
        self._devices = by_device
        for label in plant_labels:
            for state in by_device[label.device]:
                if state.series.metric.name == label.metric:
                    state.busy.append((label.start, label.end))

    def spread(self, share: float) -> list[FaultLabel]:
        """Decide on faults for about that share of the series; returns their labels."""
        labels: list[FaultLabel] = []
        names = list(self._devices)
        silent = self._random.permutation(len(names))
        drops, deaths = (max(round(part * len(names)), 1) for part in (DROPOUTS, DEATHS))
        for number in silent[:drops]:
            labels += self._befall(Dropout(), self._devices[names[number]])
        for number in silent[drops : drops + deaths]:
            labels += self._befall(SilentDeath(), self._devices[names[number]])
        for number in self._random.permutation(len(self._states)):
            if self._random.random() > share:
                continue
            for _ in range(1 + (self._random.random() < SECOND_FAULT)):
                labels += self._one_kind(self._states[number])
        return labels

    def inject(self, kind: FaultKind, names: Sequence[str], start: int, end: int, size: float) -> FaultLabel:
        """A fault that was asked for: of the series of these names, all of one device, between two times, ns."""
        states = [state for state in self._states if state.series.name in names]
        edits = [self._apply(kind, state, (start, end), size, 1.0, 0.5) for state in states]
        for state, (edit, *_) in zip(states, edits, strict=True):
            state.edits.append(edit)
        _, unseen, effect, visible_from = edits[0]
        return self._label(kind, states[0], (start, end), unseen, effect, visible_from)

    def faulty(self) -> list[Series]:
        """The series with the faults in them."""
        return [_edited(state) for state in self._states]

    def _one_kind(self, state: _State) -> list[FaultLabel]:
        """A fault of the kind that was given least and that suits the series."""
        kinds = [kind for kind in FAULT_KINDS if not kind.whole_device and self._suits(kind, state)]
        order = self._random.permutation(len(kinds))
        for number in sorted(order, key=lambda n: self._given[kinds[n].name]):
            if labels := self._befall(kinds[number], [state]):
                return labels
        return []

    def _suits(self, kind: FaultKind, state: _State) -> bool:
        series = state.series
        if not kind.suits(series.metric):
            return False
        if kind.least_readings * state.cadence > (self._last - self._first) // 6:
            return False
        if series.metric.report_change is not None and kind.name in {"replay", "seasonal change", "sensor swap"}:
            return False
        if isinstance(kind, SensorSwap):
            return self._partner(state) is not None
        return not isinstance(kind, CorrelationBreak) or self._correlates(state)

    def _befall(self, kind: FaultKind, states: Sequence[_State]) -> list[FaultLabel]:
        """All occurrences of one fault on a series, or on all series of a device."""
        random = self._random
        size = float(np.exp(random.uniform(*np.log(kind.sizes))))
        sign = float(random.choice((-1.0, 1.0)))
        choice = float(random.random())
        count = int(random.integers(kind.occurrences[0], kind.occurrences[1] + 1))
        labels: list[FaultLabel] = []
        for _ in range(count):
            label = self._occurrence(kind, states, size, sign, choice)
            if label is not None:
                labels.append(label)
        labels.sort(key=lambda label: label.start)
        labels = [replace(label, occurrence=n) for n, label in enumerate(labels)]
        self._given[kind.name] += len(labels)
        return [*labels, *(_settling(kind, label) for label in labels if kind.settles_hours)]

    def _occurrence(
        self, kind: FaultKind, states: Sequence[_State], size: float, sign: float, choice: float
    ) -> FaultLabel | None:
        """One occurrence, at a time at which nothing else is wrong; one that can be seen if there is any."""
        lead = states[0]
        found: tuple[FaultLabel, list[tuple[_State, _Edit]]] | None = None
        for attempt in range(TRIES):
            place = self._place(kind, states)
            if place is None:
                break
            edits, unseen, effect, visible_from = [], "", 0.0, place[0]
            for state in states:
                turned = sign if attempt % 2 == 0 else -sign
                edit, why, effect, visible_from = self._apply(kind, state, place, size, turned, choice)
                edits.append((state, edit))
                unseen = why
            label = self._label(kind, lead, place, unseen, effect, visible_from)
            found = (label, edits)
            if not unseen:
                break
        if found is None:
            return None
        label, edits = found
        for state, edit in edits:
            state.edits.append(edit)
            state.busy.append((label.start, FOREVER if kind.permanent else label.end))
        return label

    def _place(self, kind: FaultKind, states: Sequence[_State]) -> tuple[int, int] | None:
        """Start and end of an occurrence, ns, or None where there is no room."""
        lead = states[0]
        time = lead.series.time
        lowest, highest = np.searchsorted(time, (self._first, self._last - DAY)).tolist()
        if kind.permanent:
            lowest += (highest - lowest) // 2
        for _ in range(TRIES):
            if highest - lowest < 2:
                return None
            row = int(self._random.integers(max(lowest, 1), highest))
            start = int(time[row])
            if kind.most_readings is not None:
                readings = int(self._random.integers(kind.least_readings, kind.most_readings + 1))
                end = int(time[min(row + readings, len(time)) - 1]) + min(lead.cadence // 2, 30 * 10**9)
            else:
                hours = float(np.exp(self._random.uniform(*np.log(kind.hours))))
                end = start + max(int(hours * HOUR), kind.least_readings * lead.cadence)
            margin = max(8 * HOUR, (end - start) // 3, 30 * lead.cadence)
            until = FOREVER if kind.permanent else end
            if end <= self._last and all(state.free(start, until, margin) for state in states):
                inside = np.searchsorted(time, end) - row
                if inside >= (1 if kind.whole_device else min(kind.least_readings, 8)):
                    return start, end
        return None

    def _apply(
        self, kind: FaultKind, state: _State, place: tuple[int, int], size: float, sign: float, choice: float
    ) -> tuple[_Edit, str, float, int]:
        """The edit, why it cannot be seen (or ""), its effect in usual scatters, and from when it is visible."""
        series = state.series
        start, end = place
        first, last = np.searchsorted(series.time, (start, end)).tolist()
        if kind.permanent:
            last = len(series.time)
        window = Window(
            series.time[first:last],
            series.value[first:last],
            float(series.value[max(first - 1, 0)]),
            series.metric,
            state.spread,
            state.ripple,
            size,
            sign,
            choice,
            self._around.random(f"{series.name}.{kind.name}.{start}"),
            _earlier(series, first, last),
            self._partner_values(state, first, last),
        )
        if not len(window.value):
            return _Edit(first, last, (window.time, window.value), window.time), "the device was off", 0.0, start
        time, value = kind.apply(window)
        time = time // 1_000_000 * 1_000_000
        if kind.keeps_limits and series.metric.signal in (Signal.MEASUREMENT, Signal.BATTERY):
            value = quantised(value, series.metric)
        unseen = "" if kind.expected is not Expected.ALARM else kind.unseen(window, (time, value))
        effect, visible_from = size, start
        if len(value) == len(window.value) and np.array_equal(time, window.time):
            stray = np.abs(value - window.value) / state.spread
            effect = float(stray.max())
            if not kind.abrupt and effect > VISIBLE:
                visible_from = int(time[int(np.argmax(stray > VISIBLE))])
        sent = window.time if len(time) == len(window.time) else time
        return _Edit(first, last, (time, value), sent), unseen, effect, visible_from

    def _label(
        self, kind: FaultKind, lead: _State, place: tuple[int, int], unseen: str, effect: float, visible_from: int
    ) -> FaultLabel:
        metric = WHOLE_DEVICE if kind.whole_device else lead.series.metric.name
        severity = Severity.CRITICAL if kind.whole_device else severity_of(effect)
        root = f"{lead.series.device}/{metric}/{kind.name}/{place[0] // 1_000_000_000}"
        return FaultLabel(
            lead.series.device,
            metric,
            kind.name,
            *place,
            severity,
            root,
            abrupt=kind.abrupt,
            expected=kind.expected,
            visible_from=visible_from if visible_from > place[0] else None,
            unseen=unseen,
        )

    def _partner(self, state: _State) -> _State | None:
        """The same metric of another device of the kind, read as often."""
        mine = state.series
        return next(
            (
                other
                for other in self._states
                if other.series.kind == mine.kind
                and other.series.device != mine.device
                and other.series.metric.name == mine.metric.name
                and len(other.series.value) == len(mine.value)
            ),
            None,
        )

    def _partner_values(self, state: _State, first: int, last: int) -> Floats | None:
        partner = self._partner(state)
        return None if partner is None else partner.series.value[first:last]

    def _correlates(self, state: _State) -> bool:
        """Whether another metric of the device moves with this one, half an hour's means against each other."""
        mine = state.series.value
        for other in self._devices[state.series.device]:
            theirs = other.series.value
            if other is state or len(theirs) != len(mine) or other.series.metric.signal is not Signal.MEASUREMENT:
                continue
            rows = len(mine) // 30 * 30
            pair = [column[:rows].reshape(-1, 30).mean(axis=1) for column in (mine, theirs)]
            if min(np.std(column) for column in pair) > 0 and abs(np.corrcoef(*pair)[0, 1]) > CORRELATED:
                return True
        return False


def _settling(kind: FaultKind, label: FaultLabel) -> FaultLabel:
    """What follows a fault that stays: not wrong any more, and not yet learned."""
    return replace(
        label,
        kind=f"after {label.kind}",
        start=label.end,
        end=label.end + int(kind.settles_hours * HOUR),
        root=f"{label.root}/after",
        expected=Expected.EITHER,
        visible_from=None,
        unseen="",
    )


def _state(series: Series, around: Surroundings) -> _State:
    row = np.clip(((series.time - around.start) / (around.step * 1e9)).astype(np.int64), 0, around.rows - 1)
    bins = hour_bins(around.local, around.workday)[row]
    spread = usual_spread(series.value, bins, series.metric.resolution)
    step = np.diff(series.value)
    ripple = max(float(np.median(np.abs(step))) / 0.6745 / 1.414 if len(step) else 0.0, series.metric.resolution / 2)
    cadence = int(np.median(np.diff(series.time))) if len(series.time) > 1 else HOUR
    return _State(series, spread, ripple, cadence, [], [])


def _earlier(series: Series, first: int, last: int) -> Floats | None:
    """The values a day before rows `first` to `last`, at like times."""
    if series.metric.report_change is not None or first == last:
        return None
    row = np.searchsorted(series.time, series.time[first:last] - DAY)
    return series.value[row] if int(row[0]) > 0 else None


def _edited(state: _State) -> Series:
    """The series with all its edits made."""
    series = state.series
    times: list[NDArray[np.int64]] = []
    values: list[Floats] = []
    sent: list[NDArray[np.int64]] = []
    at = 0
    for edit in sorted(state.edits, key=lambda edit: edit.first):
        times += [series.time[at : edit.first], edit.readings[0]]
        values += [series.value[at : edit.first], edit.readings[1]]
        sent += [series.sent[at : edit.first], edit.sent]
        at = edit.last
    times.append(series.time[at:])
    values.append(series.value[at:])
    sent.append(series.sent[at:])
    return replace(series, time=np.concatenate(times), value=np.concatenate(values), sent=np.concatenate(sent))
