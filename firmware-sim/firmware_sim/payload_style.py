"""The contract of a way of writing: topic and payload of samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from firmware_sim.firmware.device import Encoder
from firmware_sim.samples import Presence, Sample


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """What a payload may tell of its device: `units` by metric."""

    prefix: str
    kind: str
    device: str
    units: dict[str, str]


class PayloadStyle(ABC):
    """One way of writing samples. Subclasses have no state."""

    name: ClassVar[str]
    carries_time: ClassVar[bool]
    """Whether the payload says when it was measured; where not, its arrival is its time."""

    @abstractmethod
    def topic(self, identity: DeviceIdentity) -> str:
        """The topic of the device: that of its readings, or the levels above them."""

    def presence(self, identity: DeviceIdentity) -> Presence | None:
        """How the family says that a device is there."""
        return Presence(f"{self.topic(identity)}/status")

    def announcements(self, identity: DeviceIdentity) -> list[tuple[str, bytes]]:
        """What a device tells of itself, retained, each time it has connected."""
        del identity
        return []

    def encoder(self, identity: DeviceIdentity) -> Encoder:
        """What one device writes with."""
        return StyledEncoder(self, identity)

    @abstractmethod
    def messages(self, identity: DeviceIdentity, samples: Sequence[Sample]) -> list[tuple[str, bytes]]:
        """Topics and payloads, in order of time."""


class StyledEncoder:
    """A style for one device: what its firmware writes with."""

    def __init__(self, style: PayloadStyle, identity: DeviceIdentity) -> None:
        self._style = style
        self._identity = identity

    def announcements(self) -> list[tuple[str, bytes]]:
        """What the device tells of itself when it has connected."""
        return self._style.announcements(self._identity)

    def messages(self, samples: list[Sample]) -> list[tuple[str, bytes]]:
        """Topics and payloads of samples, in order."""
        return self._style.messages(self._identity, samples) if samples else []
