"""What all devices of a site share: grid of times, calendar, weather, sources of chance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from common.time_units import HOUR
from firmware_sim.worlds.recursion import recursion

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SECONDS_A_DAY = 86_400
_MINUTE = 60.0


@dataclass(frozen=True)
class Surroundings:
    """A regular grid of `rows` times from `start` (ns) on, `step` seconds apart, in a time zone, under one seed.

    The site keeps local time, daylight saving included, and the public holidays of Germany that fall on fixed days or
    around Easter. Its weather is that of 49 degrees north.
    """

    start: int
    step: float
    rows: int
    seed: int
    zone: str = "Europe/Berlin"

    @property
    def end(self) -> int:
        """When the grid is over, ns."""
        return self.start + round(self.rows * self.step * 1e9)

    @cached_property
    def time(self) -> NDArray[np.int64]:
        """Times of the grid, int64 ns, (rows,)."""
        return self.start + np.round(np.arange(self.rows) * (self.step * 1e9)).astype(np.int64)

    @cached_property
    def seconds(self) -> Floats:
        """Times of the grid in seconds since the epoch, (rows,)."""
        seconds: Floats = self.time / 1e9
        return seconds

    def random(self, name: str) -> np.random.Generator:
        """The generator of a named stream: the same for the same name, whatever else was drawn."""
        return np.random.default_rng([self.seed, crc32(name.encode())])

    @cached_property
    def local(self) -> Floats:
        """Seconds of local time since the epoch, (rows,)."""
        hours = np.arange(self.time[0] // HOUR, self.time[-1] // HOUR + 1)
        zone = ZoneInfo(self.zone)
        offsets = np.array(
            [(datetime.fromtimestamp(int(h) * 3600, UTC).astimezone(zone).utcoffset() or timedelta()).total_seconds()
             for h in hours]
        )  # fmt: skip
        local: Floats = self.seconds + offsets[self.time // HOUR - hours[0]]
        return local

    @cached_property
    def hour(self) -> Floats:
        """Hour of the local day, 0 to 24, (rows,)."""
        hour: Floats = (self.local % SECONDS_A_DAY) / 3600.0
        return hour

    @cached_property
    def day_of_year(self) -> Floats:
        """Days since the first of January, (rows,), to a quarter of a day."""
        return (self.local / SECONDS_A_DAY) % 365.2425

    @cached_property
    def weekday(self) -> NDArray[np.int64]:
        """0 for Monday to 6 for Sunday, (rows,). Day 0 of the epoch was a Thursday."""
        return (self.local // SECONDS_A_DAY + 3).astype(np.int64) % 7

    @cached_property
    def holiday(self) -> Flags:
        """Where the day is a public holiday from Monday to Friday, (rows,)."""
        days = (self.local // SECONDS_A_DAY).astype(np.int64)
        first = int(days[0])
        table = np.array([_is_holiday(date(1970, 1, 1) + timedelta(int(d))) for d in range(first, int(days[-1]) + 1)])
        return table[days - first]

    @cached_property
    def workday(self) -> Flags:
        """Where the day is one of work, (rows,)."""
        return (self.weekday < 5) & ~self.holiday

    @cached_property
    def sun(self) -> Floats:
        """Share of the full sun that a clear sky lets through, 0 to 1, by the sun's height at 49 degrees north."""
        declination = np.radians(-23.44) * np.cos(2 * np.pi * (self.day_of_year + 10) / 365.2425)
        hour_angle = np.radians(15.0) * ((self.seconds / 3600.0 + 0.75) % 24 - 12.0)
        latitude = np.radians(49.0)
        height = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
        sun: Floats = np.clip(height, 0.0, 1.0)
        return sun

    @cached_property
    def cloud(self) -> Floats:
        """Share of the sky that clouds cover, 0 to 1: fronts of days, and clouds of minutes."""
        fronts = self.wander("weather.fronts", sigma=1.0, hours=40.0)
        passing = self.wander("weather.clouds", sigma=0.5, hours=0.4)
        return 1 / (1 + np.exp(-1.6 * (fronts + passing * (np.abs(fronts) < 1.2))))

    @cached_property
    def outdoor(self) -> Floats:
        """Air temperature outside, °C: the season, the day's sun, and fronts that last some days."""
        season = 9.5 - 10.0 * np.cos(2 * np.pi * (self.day_of_year - 20) / 365.2425)
        warmth = self.lagged(self.sun * (1 - 0.75 * self.cloud), hours=3.0)
        return season - 4.0 + 18.0 * warmth + self.wander("weather.air", sigma=2.5, hours=60.0)

    def wander(self, name: str, *, sigma: float, hours: float) -> Floats:
        """Gaussian noise with memory, stationary: correlation falls to 1/e after `hours`. (rows,)."""
        noise = self.random(name).standard_normal(self.rows)
        keep = float(np.exp(-self.step / (3600.0 * hours)))
        noise[1:] *= np.sqrt(1 - keep * keep)
        return recursion(noise, sigma, keep, 0.0)

    def lagged(self, inputs: Floats, *, hours: float) -> Floats:
        """What follows `inputs` with the time constant `hours`, as heat follows load; settled at the start."""
        gain = 1 - float(np.exp(-self.step / (3600.0 * hours)))
        settled = np.ascontiguousarray(inputs, np.float64)
        return recursion(settled, gain, 1 - gain, float(settled[0]))

    def between(self, first: float, last: float, *, soft: float = 0.25) -> Floats:
        """1 between two local hours, 0 outside, with edges of about `soft` hours. (rows,)."""
        rise, fall = ((self.hour - edge) / (2 * soft) for edge in (first, last))
        inside: Floats = 0.25 * (1 + np.tanh(rise)) * (1 - np.tanh(fall))
        return inside

    def events(self, name: str, rate: Floats) -> NDArray[np.int64]:
        """Random counts a grid step, Poisson with `rate` events an hour, (rows,)."""
        return self.random(name).poisson(np.maximum(rate, 0.0) * self.step / 3600.0)

    def spells(self, name: str, rate: Floats, *, minutes: tuple[float, float]) -> Floats:
        """1 during spells that begin at `rate` an hour and last between `minutes`, uniform; they may touch. (rows,)."""
        starts = np.flatnonzero(self.events(name, rate))
        lengths = self.random(f"{name}.length").uniform(*minutes, len(starts)) * _MINUTE / self.step
        edges = np.zeros(self.rows + 1)
        np.add.at(edges, starts, 1.0)
        np.add.at(edges, np.minimum(starts + np.maximum(np.round(lengths), 1).astype(np.int64), self.rows), -1.0)
        return (np.cumsum(edges[:-1]) > 0).astype(np.float64)


def _is_holiday(day: date) -> bool:
    if day.weekday() > 4:
        return False
    easter = _easter(day.year)
    movable = {easter + timedelta(n) for n in (-2, 1, 39, 50)}
    return (day.month, day.day) in {(1, 1), (5, 1), (10, 3), (12, 24), (12, 25), (12, 26), (12, 31)} or day in movable


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar, by the anonymous algorithm (Nature, 20 April 1876)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    l_ = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * l_) // 451
    month, day = divmod(h + l_ - 7 * m + 114, 31)
    return date(year, month, day + 1)
