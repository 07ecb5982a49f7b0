"""Decode, its examples as data: a payload, and the readings or the rejection that it must give.

They lie in TOML beside codecs and profiles, drive the decoders' tests, and give the simulator payloads to send.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from devices.batch import NO_TIME
from devices.codec import Codec, Decoded, Role
from devices.messages import MessageChunk
from devices.rejection_reasons import Reason


class ExpectedReading(BaseModel):
    """One reading, by name. `time` is ns since the epoch; absent where there is none. A state's value is text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = ""
    metric: str
    time: int = NO_TIME
    value: float | str
    unit: str = ""


class ExpectedRejection(BaseModel):
    """One rejection; `detail` must occur in the detail given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Reason
    detail: str
    whole: bool = True


class ExpectedPresence(BaseModel):
    """What a message says of whether a device is there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str
    online: bool


class EarlierMessage(BaseModel):
    """A message that came before: a birth, a description."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str
    payload: str = ""
    payload_hex: str = ""

    @property
    def data(self) -> bytes:
        """The payload's bytes."""
        return bytes.fromhex(self.payload_hex) if self.payload_hex else self.payload.encode()


class Vector(BaseModel):
    """One payload, as text or in hexadecimal, with all that must come of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="What the vector shows.")
    topic: str = "t"
    payload: str = ""
    payload_hex: str = ""
    parameters: dict[str, Any] = {}
    readings: tuple[ExpectedReading, ...] = ()
    rejected: tuple[ExpectedRejection, ...] = ()
    before: tuple[EarlierMessage, ...] = ()
    presence: tuple[ExpectedPresence, ...] = ()

    @model_validator(mode="after")
    def _says_something(self) -> Vector:
        if self.payload and self.payload_hex:
            raise ValueError(f"vector {self.name!r}: has both payload and payload_hex, expected one")
        if not self.readings and not self.rejected and not self.presence:
            raise ValueError(f"vector {self.name!r}: expects no readings, no rejections and no presence")
        return self

    @property
    def data(self) -> bytes:
        """The payload's bytes."""
        return bytes.fromhex(self.payload_hex) if self.payload_hex else self.payload.encode()


def load_vectors(path: Path) -> list[Vector]:
    """The vectors of a TOML file of `[[vector]]` tables. Raises ValueError where they do not fit."""
    with path.open("rb") as file:
        return [Vector(**table) for table in tomllib.load(file)["vector"]]


ARRIVAL = 1_793_491_200_000_000_000
"""When the payloads of vectors arrive: 2026-11-01T00:00:00Z."""


def decode_alone(codec: Codec, payload: bytes, topic: str = "", arrival: int = ARRIVAL) -> Decoded:
    """What a codec makes of one payload alone."""
    return codec.decode(MessageChunk.of([(topic.encode(), payload, arrival, 0)]).payloads())


def named_readings(codec: Codec, decoded: Decoded) -> list[ExpectedReading]:
    """Decoded columns as readings with their names."""
    columns = (decoded.metric, decoded.device, decoded.time, decoded.value)
    found = []
    for metric, device, time, value in zip(*(column.tolist() for column in columns), strict=True):
        name = codec.metrics[metric]
        found.append(
            ExpectedReading(
                device=codec.devices[device] if device >= 0 else "",
                metric=str(name),
                time=time,
                value=codec.words[int(value)] if name.role == Role.TEXT else value,
                unit=name.unit,
            )
        )
    return found
