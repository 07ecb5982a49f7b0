"""The fleet, which turns ticks into what each device reports, faults included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from common.durations import parse_duration
from firmware_sim.faults import ActiveFault, Fault, FaultKind
from firmware_sim.models import MODELS, Channel, DeviceModel, Surroundings
from firmware_sim.plans import FaultPlan, Targets
from firmware_sim.simulation_settings import SimulatorSettings

PATTERN = ("press", "pump", "tank", "room", "motor", "meter", "press", "counter", "pump", "weather")
"""Kinds of the devices, over and over."""

SLOT_NS = 50_000_000
MOST_SLOTS = 20

Carried = dict[str, dict[str, list[float]]]
"""What each kind's model remembers, by kind and name."""


@dataclass(frozen=True, slots=True)
class GroupBlock:
    """What the devices of one kind report over some ticks.

    `times` int64 ns (ticks, devices); `values` (channels, ticks, devices), quantised, NaN where the channel is missing;
    `present` bool (ticks, devices), false where the device is silent.
    """

    devices: list[str]
    topics: list[bytes]
    channels: tuple[Channel, ...]
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    present: NDArray[np.bool_]


@dataclass(slots=True)
class _Group:
    model: DeviceModel
    devices: list[str]
    topics: list[bytes]
    phases: NDArray[np.int64]
    newest: NDArray[np.int64]


class Fleet:
    """Devices of several kinds that read their sensors at every tick.

    Tick `k` is the time `k * interval`; each device reads a constant fraction of the interval later, in whole
    milliseconds, so that a fleet does not speak all at once. The same settings, start and plan give the same readings,
    in whatever blocks they are taken. Nothing is reported at or before a device's time in `newest` (ns).
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        *,
        start_tick: int,
        newest: Mapping[str, int] | None = None,
        carried: Carried | None = None,
    ) -> None:
        self.interval = settings.interval_ns
        self._seed = settings.seed
        self._plan: FaultPlan | None = None
        self._active: list[ActiveFault] = []
        self._begun: list[Fault] = []
        self._groups = self._build(settings, start_tick, newest or {}, carried or {})
        self._place = {name: (group, column) for group in self._groups for column, name in enumerate(group.devices)}

    @property
    def targets(self) -> Targets:
        """The channels of each device, the first device of the fleet first."""
        return {name: group.model.channels for name, (group, _) in self._place.items()}

    def topic(self, device: str) -> bytes:
        """The topic that a device publishes on."""
        group, column = self._place[device]
        return group.topics[column]

    def follow(self, plan: FaultPlan) -> None:
        """Let the faults of `plan` happen from the next block on."""
        self._plan = plan

    def begun_faults(self) -> list[Fault]:
        """The faults that began in the blocks taken since the last call."""
        begun, self._begun = self._begun, []
        return begun

    def newest(self, until: int) -> dict[str, int]:
        """Time of each device's latest reading at or before `until`, ns; devices that never read are left out."""
        newest: dict[str, int] = {}
        for group in self._groups:
            beyond = np.maximum(group.newest - until, 0)
            times = group.newest - -(-beyond // self.interval) * self.interval
            newest.update((name, time) for name, time in zip(group.devices, times.tolist(), strict=True) if time > 0)
        return newest

    def carried(self) -> Carried:
        """What the models remember, to go on from after a restart."""
        return {group.model.kind: group.model.carried() for group in self._groups}

    def block(self, first_tick: int, ticks: int) -> list[GroupBlock]:
        """What every device reports in `ticks` ticks from `first_tick` on, by kind."""
        end = (first_tick + ticks) * self.interval
        if self._plan is not None:
            begun = self._plan.until(end)
            self._begun += begun
            self._active += [ActiveFault(fault, interval=self.interval, seed=self._seed) for fault in begun]
        blocks = [self._group_block(group, first_tick, ticks) for group in self._groups]
        self._active = [active for active in self._active if active.fault.end > end]
        return blocks

    def _group_block(self, group: _Group, first_tick: int, ticks: int) -> GroupBlock:
        starts = (first_tick + np.arange(ticks, dtype=np.int64)) * self.interval
        times = starts[:, None] + group.phases[None, :]
        values = group.model.block(times / 1e9)
        present = times > group.newest
        channels = group.model.channels
        for active in self._active:
            owner, column = self._place[active.fault.device]
            if owner is group:
                _distort(active, channels, times[:, column], values[:, :, column], present[:, column])
        for channel, plane in zip(channels, values, strict=True):
            np.round(np.clip(plane, channel.low, channel.high, out=plane), channel.decimals, out=plane)
        group.newest = np.maximum(group.newest, times[-1])
        return GroupBlock(group.devices, group.topics, channels, times, values, present)

    def _build(
        self, settings: SimulatorSettings, start_tick: int, newest: Mapping[str, int], carried: Carried
    ) -> list[_Group]:
        kinds = [PATTERN[i % len(PATTERN)] for i in range(settings.devices)]
        slots = int(min(max(self.interval // SLOT_NS, 1), MOST_SLOTS))
        phases = [i % slots * self.interval // slots // 1_000_000 * 1_000_000 for i in range(settings.devices)]
        seed = settings.seed
        surroundings = Surroundings(
            interval=self.interval / 1e9,
            day=parse_duration(settings.day) / 1e9,
            constants=lambda name: np.random.default_rng([seed, crc32(name.encode())]),
            noise=lambda name: np.random.default_rng([seed, crc32(name.encode()), start_tick]),
        )
        groups: list[_Group] = []
        for model in MODELS:
            members = [i for i, kind in enumerate(kinds) if kind == model.kind]
            if not members:
                continue
            width = max(2, len(str(len(members))))
            names = [f"{model.kind}-{number:0{width}}" for number in range(1, len(members) + 1)]
            built = model(len(members), surroundings)
            built.resume(carried.get(model.kind, {}))
            groups.append(
                _Group(
                    built,
                    names,
                    [f"{settings.prefix}/{model.area}/{name}".encode() for name in names],
                    np.array([phases[i] for i in members], np.int64),
                    np.array([newest.get(name, 0) for name in names], np.int64),
                )
            )
        return groups


def _distort(
    active: ActiveFault,
    channels: tuple[Channel, ...],
    times: NDArray[np.int64],
    values: NDArray[np.float64],
    present: NDArray[np.bool_],
) -> None:
    """Apply one fault to its device's columns (channels, ticks), in place."""
    fault = active.fault
    during = slice(*np.searchsorted(times, (fault.start, fault.end)).tolist())
    if fault.kind is FaultKind.DROPOUT:
        present[during] = False
        return
    for channel, column in zip(channels, values, strict=True):
        if channel.name == fault.metric:
            column[during] = active.distort(times[during], column[during], channel)
