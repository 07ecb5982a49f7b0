"""The contract of a device model, and the noise and inertia that the models are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

VALUE_FAULTS = ("spike", "level_shift", "drift", "stuck", "noise_burst", "oscillation", "missing_channel")


@dataclass(frozen=True, slots=True)
class Channel:
    """One metric of a kind of device.

    `decimals` is the resolution it is published in, `low` and `high` what the sensor can show. `scale` is the ordinary
    spread over some minutes, in the metric's unit: faults are sized in it. `faults` are the kinds that make sense here;
    a correlation can break where the channel ordinarily moves with another one.
    """

    name: str
    unit: str
    decimals: int
    low: float
    high: float
    scale: float
    faults: tuple[str, ...] = VALUE_FAULTS


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all devices of a fleet share: seconds between readings, seconds in a day, and the sources of chance.

    `constants` gives the generator for what makes one device differ from the next; `noise` that for a named stream of
    readings. Both give the same generator for the same name each time the fleet is built with the same seed.
    """

    interval: float
    day: float
    constants: Callable[[str], np.random.Generator]
    noise: Callable[[str], np.random.Generator]


class Autoregressive:
    """Gaussian noise with memory, stationary: correlation falls to 1/e after `tau` seconds.

    `state` (devices,) is the latest value; blocks drawn one after another equal one long block.
    """

    def __init__(self, random: np.random.Generator, devices: int, *, interval: float, tau: float, sigma: float) -> None:
        self._random = random
        self._memory = float(np.exp(-interval / tau))
        self._innovation = sigma * float(np.sqrt(1 - self._memory**2))
        self.state: Floats = sigma * random.standard_normal(devices)

    def block(self, ticks: int) -> Floats:
        """The next `ticks` values, (ticks, devices)."""
        values = self._innovation * self._random.standard_normal((ticks, len(self.state)))
        state = self.state
        for i, innovation in enumerate(values):
            values[i] = state = innovation + self._memory * state
        self.state = state
        return values


class Inertia:
    """First-order lag with the time constant `tau` seconds, as heat follows load. `state` (devices,) is the output."""

    def __init__(self, devices: int, *, interval: float, tau: float) -> None:
        self._gain = 1 - float(np.exp(-interval / tau))
        self.state: Floats = np.full(devices, np.nan)

    def block(self, inputs: Floats) -> Floats:
        """The lagged `inputs`, (ticks, devices); starts settled at the first input."""
        outputs = np.empty_like(inputs)
        state = np.where(np.isnan(self.state), inputs[0], self.state)
        for i, row in enumerate(inputs):
            state = state + self._gain * (row - state)
            outputs[i] = state
        self.state = state
        return outputs


class Total:
    """A running sum. `state` (devices,) is the sum so far."""

    def __init__(self, start: Floats) -> None:
        self.state = start

    def block(self, steps: Floats) -> Floats:
        """The sum after each of `steps`, (ticks, devices)."""
        sums = self.state + np.cumsum(steps, axis=0)
        self.state = sums[-1].copy()
        return sums


class DeviceModel(ABC):
    """All devices of one kind.

    A model is a function of time plus noise; what it must remember between blocks lies in its carries, so a long block
    and the same ticks in short blocks give the same values.
    """

    kind: ClassVar[str]
    area: ClassVar[str]
    channels: ClassVar[tuple[Channel, ...]]

    def __init__(self, devices: int, surroundings: Surroundings) -> None:
        self.devices = devices
        self._surroundings = surroundings
        self._constants = surroundings.constants(self.kind)
        self._carries: dict[str, Autoregressive | Inertia | Total] = {}

    @abstractmethod
    def block(self, seconds: Floats) -> Floats:
        """Readings at `seconds` since the epoch (ticks, devices), the ticks following the last block's.

        Returns (channels, ticks, devices), before quantisation, perhaps out of the sensor's range.
        """

    def carried(self) -> dict[str, list[float]]:
        """What the model remembers between blocks, to go on from after a restart."""
        return {name: carry.state.tolist() for name, carry in self._carries.items()}

    def resume(self, carried: dict[str, list[float]]) -> None:
        """Go on from what `carried` gave; what does not fit this fleet is left alone."""
        for name, carry in self._carries.items():
            if len(values := carried.get(name, [])) == self.devices:
                carry.state = np.array(values, np.float64)

    def _each(self, low: float, high: float) -> Floats:
        """A constant per device, (devices,), uniform between `low` and `high`."""
        return self._constants.uniform(low, high, self.devices)

    def _noise(self, name: str, *, sigma: float, tau: float) -> Autoregressive:
        random = self._surroundings.noise(f"{self.kind}.{name}")
        noise = Autoregressive(
            random, self.devices, interval=self._surroundings.interval, tau=self._tau(tau), sigma=sigma
        )
        self._carries[name] = noise
        return noise

    def _inertia(self, name: str, *, tau: float) -> Inertia:
        inertia = Inertia(self.devices, interval=self._surroundings.interval, tau=self._tau(tau))
        self._carries[name] = inertia
        return inertia

    def _tau(self, seconds: float) -> float:
        """A time constant, shortened where the day is, so that the daily cycle still shows."""
        return min(seconds, self._surroundings.day / 20)

    def _day(self, seconds: Floats) -> Floats:
        """How much of the day is over: 0 at midnight UTC, 0.5 at noon."""
        return (seconds / self._surroundings.day) % 1.0

    def _workday(self, seconds: Floats) -> Floats:
        """1 from Monday to Friday, 0 at the weekend. Day 0 of the epoch was a Thursday."""
        return ((seconds // self._surroundings.day + 3) % 7 < 5).astype(np.float64)


def wave(phase: Floats) -> Floats:
    """A sine over `phase` in turns."""
    return np.sin(2 * np.pi * phase)


def office_hours(day: Floats) -> Floats:
    """How full a workplace is over the day: 0 at night, rising around 8:00, 1, falling around 17:30."""
    hours = 24 * day
    return 1 / (1 + np.exp(-2 * (hours - 8))) - 1 / (1 + np.exp(-2 * (hours - 17.5)))
