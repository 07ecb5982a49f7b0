"""Beside score: what a saved state of a detector depends on, said in one place for all detectors."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

from detectors.detector import BaseDetector

NEW = "nothing is saved of it"
"""Why a detector begins that was not in the configuration before."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A detector's type, its parameters, its version and the layout of its arrays, each as text.

    A state fits a detector where all four are the same; else the detector starts anew.
    """

    type: str
    parameters: str
    version: str
    layout: str

    @classmethod
    def of(cls, detector: BaseDetector, *, layout: str = "") -> Fingerprint:
        """The fingerprint of a detector; `layout` is that of what is kept beside its own arrays."""
        whole = hashlib.sha256(f"{detector.layout_text}; {layout}".encode()).hexdigest()[:16]
        parameters = detector.parameters.model_dump_json(by_alias=True)
        return cls(detector.name, parameters, detector.version, whole)

    @property
    def key(self) -> str:
        """A short name of it, the same for equal fingerprints only."""
        text = "\n".join((self.type, self.parameters, self.version, self.layout))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, str]:
        """As a snapshot keeps it."""
        return asdict(self)

    def changed_from(self, saved: dict[str, str] | None) -> str:
        """Why a state with this saved fingerprint does not fit, as the end of a sentence: "its parameters changed"."""
        if saved is None:
            return NEW
        if saved["type"] != self.type:
            return f'its type changed from "{saved["type"]}" to "{self.type}"'
        if saved["parameters"] != self.parameters:
            return "its parameters changed"
        if saved["version"] != self.version:
            return "its version changed"
        return "this version of Driftline keeps its state in another layout"
