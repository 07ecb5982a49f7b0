"""Alarm: how bad it is, from how far the readings are off, for how long, and how many of them say so.

| | not far | far: 1.5 decades over the threshold | very far: 4 decades over |
|---|---|---|---|
| **not long** | minor | minor | major |
| **long**: 5 minutes and 5 readings | minor | major | critical |
| **very long**: 1 hour and 20 readings | major | critical | critical |

One step right says that the peak was that much rarer than what the budget allows. One step down says that so many
readings have reached the threshold, the last of them so long after the first. A severity never falls while its alarm
is open.
"""

from __future__ import annotations

from common.compiled import subkernel

MINOR, MAJOR, CRITICAL = 0, 1, 2

SEVERITIES = ("minor", "major", "critical")
"""The names of the numbers above."""

_FAR, _VERY_FAR = 1.5, 4.0
_LONG, _VERY_LONG = 300.0, 3600.0
_SOME, _MANY = 5, 20


@subkernel
def severity_of(excess: float, seconds: float, readings: int) -> int:
    """MINOR, MAJOR or CRITICAL.

    `excess`: decades by which the highest score exceeds the threshold. `readings` have reached the threshold since the
    alarm opened, the last of them `seconds` after the first.
    """
    steps = (excess >= _FAR) + (excess >= _VERY_FAR)
    if seconds >= _LONG and readings >= _SOME:
        steps += 1
    if seconds >= _VERY_LONG and readings >= _MANY:
        steps += 1
    return max(MINOR, min(CRITICAL, steps - 1))
