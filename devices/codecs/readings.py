"""Decode, shared by the codecs: growing name tables and the rows of one decode call."""

from __future__ import annotations

from collections import Counter
from math import inf, isfinite

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from common.excerpts import shortened
from devices.batch import NO_TIME
from devices.codec import Decoded, MetricName, Note, Rejected, Role
from devices.numbers import MOST_EXACT
from devices.quantities import canonical
from devices.rejection_reasons import Reason

_MOST_NAME_BYTES = 16 << 20
MAX_NAMES = 100_000
"""Default bound of a codec's metric and device name tables."""


MOST_NAMED = 20
"""Rejected readings of one message that are named one by one; those beyond are counted by reason."""

NOTHING = "expected at least one number in the fields taken, found none"
"""The detail of a payload that is well formed but holds no reading."""


class CodecParameters(BaseModel):
    """What every codec can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_names: int = Field(
        default=MAX_NAMES, ge=1, le=10_000_000, description="Most metric names, and most device names, ever taken."
    )


class TooManyNamesError(Exception):
    """The table of metric or device names is full."""


class Names:
    """A table of names that only grows: the code of a name is its place in `items` and never changes."""

    def __init__(self, kind: str, most: int) -> None:
        self.items: list[str] = []
        self.codes: dict[str, int] = {}
        self._kind = kind
        self._most = most
        self._bytes = 0

    def code(self, name: str) -> int:
        """The code of `name`, given at first sight. Raises TooManyNamesError at the bound."""
        code = self.codes.get(name)
        if code is None:
            code = len(self.items)
            if code >= self._most:
                raise TooManyNamesError(f"{self._kind} {excerpt(name)}: {self._most} names are the limit")
            if self._bytes + len(name) > _MOST_NAME_BYTES:
                most = f"{_MOST_NAME_BYTES >> 20} MiB"
                raise TooManyNamesError(f"{self._kind} {excerpt(name)}: {most} of names are the limit")
            self._bytes += len(name)
            self.codes[name] = code
            self.items.append(name)
        return code


class MetricNames:
    """A table of metrics that only grows; one name has a code for each unit and role that it is told in."""

    def __init__(self, most: int) -> None:
        self.items: list[MetricName] = []
        self.has_roles = False
        """Whether any metric is other than numbers."""
        self._codes: dict[tuple[str, str, Role], int] = {}
        self._most = most

    def code(self, name: str, unit: str = "", role: Role = Role.VALUE) -> int:
        """The code of a metric, given at first sight; `unit` is as the payload writes it.

        Raises TooManyNamesError at the bound.
        """
        key = (name, canonical(unit) if unit else "", role)
        code = self._codes.get(key)
        if code is None:
            code = len(self.items)
            if code >= self._most:
                raise TooManyNamesError(f"metric {excerpt(name)}: {self._most} names are the limit")
            self._codes[key] = code
            self.items.append(MetricName(*key))
            self.has_roles |= role not in (Role.VALUE, Role.TRUTH)
        return code


class Rows:
    """Readings of one decode call, gathered row by row and handed over as columns."""

    def __init__(self) -> None:
        self.message: list[int] = []
        self.metric: list[int] = []
        self.device: list[int] = []
        self.time: list[int] = []
        self.value: list[float] = []
        self.rejected: list[Rejected] = []
        self._more: list[tuple[int, Reason]] = []
        self._pairs: dict[tuple[int, Reason], tuple[int, Reason]] = {}
        self.notes: list[Note] = []

    def add(self, message: int, metric: int, value: float, device: int = -1, time: int = NO_TIME) -> None:
        """Take one reading; `value` must be finite."""
        self.message.append(message)
        self.metric.append(metric)
        self.device.append(device)
        self.time.append(time)
        self.value.append(value)

    def mark(self) -> tuple[int, int, int]:
        """Where the rows and rejections stand, for `rewind` and `reject_if_empty`."""
        return len(self.message), len(self.rejected), len(self._more)

    def rewind(self, mark: tuple[int, int, int]) -> None:
        """Forget what came after `mark`."""
        for column in (self.message, self.metric, self.device, self.time, self.value):
            del column[mark[0] :]
        del self.rejected[mark[1] :]
        del self._more[mark[2] :]

    def reject(self, message: int, reason: Reason, detail: str, *, whole: bool = True) -> None:
        """Name a message, or one reading of it, as not decodable. Messages are decoded in order."""
        if len(self.rejected) >= MOST_NAMED and self.rejected[-MOST_NAMED].message == message:
            pair = (message, reason)
            self._more.append(self._pairs.setdefault(pair, pair))
        else:
            self.rejected.append(Rejected(message, reason, detail, whole))

    def refuse(self, message: int, path: str, number: float, value: object, *, whole: bool = False) -> None:
        """Name a value that cannot be stored: infinite, or the device's way to say that it has none."""
        if number in (inf, -inf):
            self.reject(message, Reason.NOT_FINITE, f"{_place(path)}{excerpt(value)} is no finite value", whole=whole)
        else:
            self.reject(
                message, Reason.NO_VALUE, f"{_place(path)}{excerpt(value)} says that there is no value", whole=whole
            )

    def note(self, message: int, kind: str, detail: str) -> None:
        """Say what is odd about a message whose readings are taken all the same."""
        self.notes.append(Note(message, kind, detail))

    def note_rounded(self, message: int, path: str, value: object) -> None:
        """Say so where a whole number is beyond what a float64 holds exactly."""
        if isinstance(value, int) and abs(value) > MOST_EXACT and int(float(value)) != value:
            self.note(
                message,
                "rounded",
                f"{path}: {value} is stored as {float(value):.0f}: whole numbers beyond 2^53 are rounded",
            )

    def reject_if_empty(self, message: int, mark: tuple[int, int, int], detail: str) -> None:
        """Account for a message that was decoded from `mark` on: reject it whole where nothing came of it."""
        if mark == self.mark():
            self.reject(message, Reason.NO_READING, detail)

    def decoded(self) -> Decoded:
        """The rows as columns."""
        return Decoded(
            np.array(self.message, np.int32),
            np.array(self.metric, np.int32),
            np.array(self.device, np.int32),
            np.array(self.time, np.int64),
            np.array(self.value, np.float64),
            self.rejected + self._counted(),
            self.notes,
        )

    def _counted(self) -> list[Rejected]:
        """The rejected readings that are not named, as one for each message and reason."""
        return [
            Rejected(message, reason, f"{count:,} readings more", whole=False, count=count)
            for (message, reason), count in Counter(self._more).items()
        ]


def _place(path: str) -> str:
    return f"{path}: " if path else ""


def excerpt(value: object, most: int = 60) -> str:
    """A value as it can stand in a sentence, cut to `most` characters: bytes as the text that they are, else in hex."""
    return shortened(value, most)


def finite(value: float, error_values: frozenset[float]) -> bool:
    """Whether a value is one that can be stored: finite, and not one of the device's error codes."""
    return isfinite(value) and value not in error_values
