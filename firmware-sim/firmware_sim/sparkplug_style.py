"""As Sparkplug B edge nodes write: protobuf, a birth that names the metrics, data under aliases, a death as the will.

Source: Sparkplug 3.0.0, sections 4 (topics), 5.2 and 5.4 (sequence of messages) and 6 (payloads).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from firmware_sim.firmware.device import Encoder
from firmware_sim.payload_style import DeviceIdentity, PayloadStyle
from firmware_sim.samples import Presence, Sample

_MILLISECOND = 1_000_000
_DOUBLE, _INT64, _STRING = 10, 4, 12
_VARINT, _FIXED64, _BYTES = 0, 1, 2


class SparkplugStyle(PayloadStyle):
    """Sparkplug B: an edge node a device, born anew with each connection and each metric that it did not have."""

    name = "sparkplug"
    carries_time = True

    def topic(self, identity: DeviceIdentity) -> str:
        """`spBv1.0/plant/NDATA/motor-01`."""
        return _topic(identity, "NDATA")

    def presence(self, identity: DeviceIdentity) -> Presence | None:
        """A death, which the broker publishes; that the device is there is told by its birth."""
        return Presence(_topic(identity, "NDEATH"), None, _message(2, _metric(name="bdSeq", number=0)))

    def encoder(self, identity: DeviceIdentity) -> Encoder:
        """An encoder that knows which metrics were born, and counts its messages."""
        return _NodeEncoder(identity)

    def messages(self, identity: DeviceIdentity, samples: Sequence[Sample]) -> list[tuple[str, bytes]]:
        """Samples of a device that has just connected: its birth comes first."""
        return self.encoder(identity).messages(list(samples))


class _NodeEncoder:
    """One edge node."""

    def __init__(self, identity: DeviceIdentity) -> None:
        self._identity = identity
        self._aliases: dict[str, int] = {}
        self._newest: dict[str, float] = {}
        self._born: set[str] = set()
        self._sequence = 0

    def announcements(self) -> list[tuple[str, bytes]]:
        """Nothing now: the birth follows with the first values."""
        self._born.clear()
        return []

    def messages(self, samples: list[Sample]) -> list[tuple[str, bytes]]:
        """A message a sample: a birth where it holds a metric that was not born yet, else data."""
        found = []
        for sample in samples:
            self._newest |= sample.values
            is_birth = not self._born or not sample.values.keys() <= self._born
            found.append(self._birth(sample.time) if is_birth else self._data(sample))
        return found

    def _birth(self, time: int) -> tuple[str, bytes]:
        self._born = set(self._newest)
        self._sequence = 0
        metrics = [_metric(name="bdSeq", number=0)]
        for name, value in self._newest.items():
            alias = self._aliases.setdefault(name, len(self._aliases) + 1)
            metrics.append(_metric(name, alias, time, value=value, unit=self._identity.units.get(name, "")))
        return self._payload("NBIRTH", time, metrics)

    def _data(self, sample: Sample) -> tuple[str, bytes]:
        metrics = [_metric("", self._aliases[name], sample.time, value=value) for name, value in sample.values.items()]
        return self._payload("NDATA", sample.time, metrics)

    def _payload(self, kind: str, time: int, metrics: list[bytes]) -> tuple[str, bytes]:
        body = _number(1, time // _MILLISECOND) + b"".join(_message(2, each) for each in metrics)
        body += _number(3, self._sequence)
        self._sequence = (self._sequence + 1) % 256
        return _topic(self._identity, kind), body


def _topic(identity: DeviceIdentity, kind: str) -> str:
    return f"spBv1.0/{identity.prefix}/{kind}/{identity.device}"


def _metric(
    name: str, alias: int = 0, time: int = 0, *, value: float | None = None, number: int | None = None, unit: str = ""
) -> bytes:
    """A metric that is a number with a fraction, `value`, or a whole one, `number`."""
    parts = [_message(1, name.encode()) if name else b""]
    if alias:
        parts.append(_number(2, alias))
    if time:
        parts.append(_number(3, time // _MILLISECOND))
    parts.append(_number(4, _DOUBLE if value is not None else _INT64))
    if unit:
        text = _number(1, _STRING) + _message(8, unit.encode())
        parts.append(_message(9, _message(1, b"engUnit") + _message(2, text)))
    if value is not None:
        parts.append(_key(13, _FIXED64) + struct.pack("<d", value))
    if number is not None:
        parts.append(_number(11, number))
    return b"".join(parts)


def _key(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _number(field: int, value: int) -> bytes:
    return _key(field, _VARINT) + _varint(value)


def _message(field: int, content: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
