"""Decode, codec `packed`: numbers of fixed width one after the other, as small devices send them."""

from __future__ import annotations

import struct
from typing import Any, ClassVar

from pydantic import BaseModel, Field, field_validator, model_validator

from devices.codec import UNNAMED, Decoded
from devices.codecs.readings import CodecParameters, MetricNames, Rows, TooManyNamesError, excerpt, finite
from devices.messages import Payloads
from devices.rejection_reasons import Reason


class PackedParameters(CodecParameters):
    """What stands where in the payload."""

    format: str = Field(
        default="<f", description="Order and types of the numbers, in the letters of Python's struct: <hH, >f, <3f."
    )
    names: tuple[str, ...] = Field(
        default=(),
        description="Metric of each number in order; empty for one number that the topic names, or 0, 1, ...",
    )
    scales: tuple[float, ...] = Field(default=(), description="What each number is multiplied by; empty leaves them.")
    error_values: tuple[float, ...] = Field(
        default=(), description="Numbers as sent by which a device says that it has no value, such as 65535."
    )

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        try:
            values: tuple[Any, ...] = struct.unpack(value, bytes(struct.calcsize(value)))
        except struct.error as error:
            raise ValueError(f"{value!r} is no format of struct: {error}; expected letters such as <hHf") from None
        if not values or any(isinstance(each, bytes) for each in values):
            raise ValueError(f"{value!r} holds text or nothing: expected numbers alone, such as <hHf")
        return value

    @model_validator(mode="after")
    def _as_many(self) -> PackedParameters:
        count = len(struct.unpack(self.format, bytes(struct.calcsize(self.format))))
        for name in ("names", "scales"):
            given = len(getattr(self, name))
            if given not in (0, count):
                raise ValueError(f"{name}: {given} are given, expected {count} as in the format {self.format!r}")
        return self


class PackedCodec:
    """Reads payloads of one fixed layout; any other length is malformed."""

    name: ClassVar[str] = "packed"
    Parameters: ClassVar[type[BaseModel]] = PackedParameters

    def __init__(self, parameters: PackedParameters) -> None:
        self.parameters = parameters
        self._struct = struct.Struct(parameters.format)
        count = len(self._struct.unpack(bytes(self._struct.size)))
        self._names = parameters.names or ((UNNAMED,) if count == 1 else tuple(map(str, range(count))))
        self._scales = parameters.scales or (1.0,) * count
        self._error_values = frozenset(parameters.error_values)
        self._metrics = MetricNames(parameters.max_names)
        self.metrics = self._metrics.items
        self.devices: list[str] = []
        self.words: list[str] = []

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        rows = Rows()
        for i, payload in enumerate(payloads.to_list()):
            self._decode_one(i, payload, rows)
        return rows.decoded()

    def _decode_one(self, message: int, payload: bytes, rows: Rows) -> None:
        if not payload:
            rows.reject(message, Reason.CLEARED, "an empty payload: the topic's retained message is cleared")
            return
        if len(payload) != self._struct.size:
            expected = f"expected the {self._struct.size} of {self.parameters.format!r}"
            detail = f"{len(payload)} bytes {excerpt(payload)}: {expected}"
            rows.reject(message, Reason.MALFORMED, detail)
            return
        for name, scale, number in zip(self._names, self._scales, self._struct.unpack(payload), strict=True):
            if not finite(float(number), self._error_values):
                rows.refuse(message, name, float(number), number)
                continue
            try:
                rows.add(message, self._metrics.code(name), float(number) * scale)
            except TooManyNamesError as error:
                rows.reject(message, Reason.TOO_MANY_SERIES, str(error), whole=False)
