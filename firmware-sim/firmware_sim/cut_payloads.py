"""Truncated payloads: a fault of the way, which no column of readings can hold; it is had by asking for it."""

from __future__ import annotations

from devices.fault_labels import WHOLE_DEVICE, Expected, FaultLabel, Severity
from firmware_sim.firmware.device import Encoder
from firmware_sim.samples import Sample

TRUNCATED = "truncated payload"


class CuttingEncoder:
    """Writes as another does; what was measured before `cut_until` (ns) leaves with the first half of its payload."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.cut_until = 0

    def announcements(self) -> list[tuple[str, bytes]]:
        """Whole: they are small."""
        return self._encoder.announcements()

    def messages(self, samples: list[Sample]) -> list[tuple[str, bytes]]:
        """Topics and payloads, cut where it is time."""
        messages = self._encoder.messages(samples)
        if not samples or samples[0].time >= self.cut_until:
            return messages
        return [(topic, payload[: len(payload) // 2]) for topic, payload in messages]


def truncation_label(device: str, start: int, end: int) -> FaultLabel:
    """Its label. The readings are refused and counted; whether an alarm follows is open."""
    root = f"{device}/{TRUNCATED}/{start}"
    return FaultLabel(device, WHOLE_DEVICE, TRUNCATED, start, end, Severity.MAJOR, root, expected=Expected.EITHER)
