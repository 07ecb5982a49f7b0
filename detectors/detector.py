"""The contract of a detector: plain arrays in and out, the state of a whole fleet behind one object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from detectors.knowledge import Knowledge

MAX_SCORE = 12.0
"""Highest score given: a probability of 1e-12, beyond what any history can support. Rule detectors give it outright."""

State = dict[str, NDArray[np.generic]]
"""A detector's whole state: named arrays whose first axis is the slot, so that it can be cut by shard of series."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a detector makes of n readings; all arrays (n,) float64 unless said otherwise.

    `score`: rarity in decades, -log10 of the probability of a reading this odd, in [0, MAX_SCORE]; NaN while the slot
    is warming up or the reading is not finite. `expected`, `lower`, `upper`: the forecast and its band in the
    reading's unit, NaN where the detector has none. `parts` (n, k) float32: what each of `part_names` contributed to
    the score, or None. `channel` int8: the index in `part_names` of the part that gave the score, -1 where none did;
    None where the detector has no parts. `novelty`: the second answer, in decades too: how new the reading is to its
    series, whether or not it is a fault; None where the detector does not say.
    """

    score: NDArray[np.float64]
    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    parts: NDArray[np.float32] | None = None
    part_names: tuple[str, ...] = ()
    channel: NDArray[np.int8] | None = None
    novelty: NDArray[np.float64] | None = None


class BaseDetector(ABC):
    """What detectors of single series and of devices' rows share: a name, parameters, and a state by slot.

    A slot is the dense index of a series, or of a device, within this detector. State depends on the readings and the
    parameters alone: the same seed gives the same scores.
    """

    name: ClassVar[str]
    """The word in the configuration's `type`."""
    Parameters: ClassVar[type[BaseModel]]
    """Frozen pydantic model, extra fields forbidden, every field with description, bounds and default."""

    version: str = ""
    """What a state depends on beside the parameters and its layout: raised by one where the same arrays come to mean
    something else; of a detector that reads a user's file, the file's content."""

    @classmethod
    def examples(cls) -> tuple[Mapping[str, object], ...]:
        """Parameters that work as they stand, a set for each variant: for checks, documentation, compiling ahead."""
        return ({},)

    def __init__(self, parameters: BaseModel) -> None:
        self.parameters = parameters
        self.size = 0

    @abstractmethod
    def grow(self, size: int) -> None:
        """Make room for slots 0 to `size` - 1; existing state is kept. Smaller than now does nothing."""

    @abstractmethod
    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Per slot (size,): readings learned so far, and readings needed before the first score."""

    @property
    @abstractmethod
    def bytes_per_slot(self) -> int:
        """Bytes of state that one series takes, for a memory plan; an estimate where the objects are not ours."""

    @property
    def layout_text(self) -> str:
        """What the saved arrays look like; part of a fingerprint."""
        return ""

    @abstractmethod
    def state(self) -> State:
        """A copy of the whole state; `load` of it gives bit-identical scores from here on."""

    @abstractmethod
    def load(self, state: State) -> None:
        """Replace the state by one that `state` returned under the same parameters.

        Raises ValueError where names, types or shapes do not fit, naming what was expected.
        """


class Detector(BaseDetector):
    """An online detector for many series at once.

    `step` scores each reading against the state left by the readings before it, then learns it, in row order; a slot
    may occur several times in one batch, and cutting a batch anywhere gives the same scores. No look at the future, at
    the series' length or its range.
    """

    def describe(self, slot: int, knowledge: Knowledge) -> None:
        """Take what a person knows of one series; called after `grow`, before readings, and again on a change.

        It is configuration, not state: `state` leaves it out, so it is said again after `load`. A detector without
        use for it does nothing.
        """

    def adopt(self, slot: int, channel: str) -> dict[str, list[float]]:
        """Take the level that a slot shows now for normal; `channel` is the part that raised the alarm.

        Returns what was normal before, by array, for `restore`. A detector without a level of its own, or an alarm that
        is not of a level, adopts nothing: then it is empty.
        """
        del slot, channel
        return {}

    def restore(self, slot: int, before: Mapping[str, list[float]]) -> None:
        """Take for normal again what `adopt` returned."""

    @abstractmethod
    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Score each reading, then learn it where `learn`. All arrays (n,); times in ns, ascending within a slot.

        A reading that is NaN or infinite gets a NaN score and is not learned. With `learn` all False, no state changes.
        """

    def compile_alone(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> None:
        """Compile the kernels that no other detector has, by a few readings; the scores do not matter."""
        self.step(slot, time, value, learn)
