"""Decode, shared by the codecs: growing name tables and the rows of one decode call."""

from __future__ import annotations

from collections import Counter
from math import isfinite

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from devices.batch import NO_TIME
from devices.codec import Decoded, Rejected
from devices.rejection_reasons import Reason

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

    def code(self, name: str) -> int:
        """The code of `name`, given at first sight. Raises TooManyNamesError at the bound."""
        code = self.codes.get(name)
        if code is None:
            code = len(self.items)
            if code >= self._most:
                raise TooManyNamesError(f"{self._kind} {excerpt(name)}: {self._most} names are the limit")
            self.codes[name] = code
            self.items.append(name)
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

    def add(self, message: int, metric: int, value: float, device: int = -1, time: int = NO_TIME) -> None:
        """Take one reading; `value` must be finite."""
        self.message.append(message)
        self.metric.append(metric)
        self.device.append(device)
        self.time.append(time)
        self.value.append(value)

    def mark(self) -> tuple[int, int, int]:
        """Where the rows and rejections stand, for `rewind` and `settle`."""
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

    def settle(self, message: int, mark: tuple[int, int, int], detail: str) -> None:
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
        )

    def _counted(self) -> list[Rejected]:
        """The rejected readings that are not named, as one for each message and reason."""
        return [
            Rejected(message, reason, f"{count:,} readings more", whole=False, count=count)
            for (message, reason), count in Counter(self._more).items()
        ]


def not_finite(path: str, value: object) -> str:
    """The detail of a reading without a finite value."""
    return f"{path}: {excerpt(value)} is no finite value"


def excerpt(value: object, most: int = 60) -> str:
    """A value as it can stand in a sentence: its repr, cut to `most` characters."""
    try:
        shown = repr(value[: most + 1] if isinstance(value, (str, bytes)) else value)
    except ValueError:
        # Python refuses to write integers of more than some thousand digits.
        shown = f"a huge {type(value).__name__}"
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def finite(value: float, error_values: frozenset[float]) -> bool:
    """Whether a value is one that can be stored: finite, and not one of the device's error codes."""
    return isfinite(value) and value not in error_values
