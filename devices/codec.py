"""The contract of a codec: payload bytes in, columns of readings out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from devices.messages import Payloads
from devices.rejection_reasons import Reason

UNNAMED = ""
"""The metric name of a value that its payload does not name, such as a bare number: the route names it by the topic."""


class Role(IntEnum):
    """What the values of a metric's rows are."""

    VALUE = 0
    """Numbers measured."""
    TEXT = 1
    """States told in words: a row's value is a code of the codec's `words`."""
    AVAILABILITY = 2
    """Whether the device is there: 1 or 0."""
    TRUTH = 3
    """Numbers told as truth values: `true`, `ON`, `closed` are 1 or 0."""


class MetricName(str):
    """A metric as a payload names it, with the unit that the payload states (empty where it states none)."""

    __slots__ = ("role", "unit")

    unit: str
    role: Role

    def __new__(cls, name: str, unit: str = "", role: Role = Role.VALUE) -> MetricName:
        """A name with its facts."""
        made = super().__new__(cls, name)
        made.unit = unit
        made.role = role
        return made


@dataclass(frozen=True, slots=True)
class Rejected:
    """One message (`whole`) or one reading of it that gave no reading.

    `message` is the index into the payloads given. `detail` names the place, the value and what was expected. Where
    the reason is among `devices.rejection_reasons.NO_DATA`, nothing was lost. `count`
    is the number of readings that it stands for.
    """

    message: int
    reason: Reason
    detail: str
    whole: bool = True
    count: int = 1


@dataclass(frozen=True, slots=True)
class Note:
    """What is odd about a message whose readings were taken all the same, as one sentence.

    `kind` is a word for counters: `time_unread` (a time whose form is not understood), `rounded` (a whole number beyond
    2^53), `gap` (messages missing before this one).
    """

    message: int
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """Readings of many payloads as columns, in message order.

    `message` int32 (n,) indexes the payloads given, ascending; `metric` int32 (n,) indexes the codec's `metrics` list,
    `device` int32 (n,) its `devices` list, -1 where the payload names no device and the route decides; `time` int64 ns
    (n,), `NO_TIME` where the payload has none; `value` float64 (n,), finite, to be read by the metric's role.
    """

    message: NDArray[np.int32]
    metric: NDArray[np.int32]
    device: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def take(self, rows: NDArray[np.bool_]) -> Decoded:
        """The readings of a mask (n,), without rejections and notes."""
        return Decoded(self.message[rows], self.metric[rows], self.device[rows], self.time[rows], self.value[rows])


@runtime_checkable
class Codec(Protocol):
    """Turns payloads into readings.

    `metrics`, `devices` and `words` are what was met so far; they only grow, so a code once given keeps its meaning for
    the life of the instance. Every payload given either yields at least one reading or is named in `rejected`, and
    nothing in a payload raises. Decoding keeps no other state, so the same payloads give the same readings; a codec
    that must (`devices.codecs.sparkplug`) has it saved and restored.
    """

    name: ClassVar[str]
    Parameters: ClassVar[type[BaseModel]]
    metrics: list[MetricName]
    devices: list[str]
    words: list[str]

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        ...


@runtime_checkable
class StatefulCodec(Codec, Protocol):
    """A codec whose readings depend on messages before: its state is saved with the engine's."""

    def state(self) -> dict[str, Any]:
        """What it has learned from messages, as JSON."""
        ...

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        ...
