"""Alarm: what a device's other metrics showed when one of them raised an alarm, for its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from common.growth import grown
from devices.batch import Batch

UNKNOWN, USUAL, ODD = range(3)
"""What the latest reading of a series was found to be."""
_WITHIN = 600_000_000_000
"""How long before an alarm (ns) a reading tells what was at the alarm."""
_USUAL_BELOW = 2.0
"""Score up to which a reading counts as usual."""
_NAMED = 2


class Siblings:
    """The latest reading of every series: when it was, and whether it was usual.

    All depends on the readings and their order alone: `told` looks at what came before a reading, and at the rest of
    its own message.
    """

    def __init__(self) -> None:
        self._time = np.empty(0, np.int64)
        self._found = np.empty(0, np.int8)

    def grow(self, size: int) -> None:
        """Make room for series 0 to `size` - 1."""
        self._time, self._found = grown(self._time, size, 0), grown(self._found, size, UNKNOWN)

    def note(self, batch: Batch, found: NDArray[np.int8]) -> None:
        """Keep what the readings (n,) of a step were found to be, see `findings`, once its alarms are told."""
        self._time[batch.series], self._found[batch.series] = batch.time, found

    def at(
        self, batch: Batch, arrival: NDArray[np.int64], found: NDArray[np.int8], row: int, others: Sequence[int]
    ) -> dict[int, int]:
        """ODD or USUAL for each of the `others` (series) of which that is known at a row of a step."""
        time = int(batch.time[row])
        last = row + 1
        while last < len(batch) and arrival[last] == arrival[row] and batch.time[last] == time:
            last += 1
        told: dict[int, int] = {}
        for other in others:
            rows = np.flatnonzero(batch.series[:last] == other)
            if len(rows):
                when, what = int(batch.time[rows[-1]]), int(found[rows[-1]])
            else:
                when, what = int(self._time[other]), int(self._found[other])
            if what != UNKNOWN and abs(time - when) <= _WITHIN:
                told[other] = what
        return told

    def state(self) -> dict[str, NDArray[np.generic]]:
        """A copy of the whole state."""
        return {"time": self._time.copy(), "found": self._found.copy()}

    def load(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over a state that `state` returned; of a version before there is none."""
        if state:
            self._time, self._found = np.array(state["time"], np.int64), np.array(state["found"], np.int8)


def findings(score: NDArray[np.float64], anomaly: NDArray[np.bool_]) -> NDArray[np.int8]:
    """What readings of these scores and verdicts (n,) are: ODD, USUAL, or UNKNOWN in between and without a score."""
    return np.where(anomaly, ODD, np.where(score < _USUAL_BELOW, USUAL, UNKNOWN)).astype(np.int8)


def beside(odd: Sequence[str], usual: Sequence[str]) -> str:
    """What the reason of an alarm says of the device's other metrics, by their names: "" where there is nothing."""
    text = ""
    if odd:
        text += f"; {_list(odd)} {'shows' if len(odd) == 1 else 'show'} it too"
    if usual:
        text += f"; {_list(usual)} as usual"
    return text


def _list(names: Sequence[str]) -> str:
    named = list(names[:_NAMED])
    if len(names) > _NAMED:
        named.append(f"{len(names) - _NAMED} more")
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
