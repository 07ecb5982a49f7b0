"""The contract of a codec: payload bytes in, columns of readings out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from devices.messages import Payloads
from devices.rejection_reasons import Reason

UNNAMED = ""
"""The metric name of a value that its payload does not name, such as a bare number: the route names it by the topic."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One message (`whole`), or readings of it, that could not be decoded.

    `message` is the index into the payloads given. `detail` names the place, the value and what was expected. `count`
    is the number of readings that it stands for.
    """

    message: int
    reason: Reason
    detail: str
    whole: bool = True
    count: int = 1


@dataclass(frozen=True, slots=True)
class Decoded:
    """Readings of many payloads as columns, in message order.

    `message` int32 (n,) indexes the payloads given, ascending; `metric` int32 (n,) indexes the codec's `metrics` list,
    `device` int32 (n,) its `devices` list, -1 where the payload names no device and the route decides; `time` int64 ns
    (n,), `NO_TIME` where the payload has none; `value` float64 (n,), finite.
    """

    message: NDArray[np.int32]
    metric: NDArray[np.int32]
    device: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    rejected: list[Rejected] = field(default_factory=list)


@runtime_checkable
class Codec(Protocol):
    """Turns payloads into readings.

    `metrics` and `devices` are the names met so far; they only grow, so a code once given keeps its meaning for the
    life of the instance. Every payload given either yields at least one reading or is named in `rejected`, and
    nothing in a payload raises. Decoding keeps no other state, so the same payloads give the same readings.
    """

    name: ClassVar[str]
    Parameters: ClassVar[type[BaseModel]]
    metrics: list[str]
    devices: list[str]

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        ...
