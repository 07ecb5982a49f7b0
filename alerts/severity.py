"""Alarm: how bad it is, from how far the readings are off, for how long, and how many of them say so.

| | not far | far: 1.5 decades over the threshold, or 6 times | very far: 4 decades over, or 15 times |
|---|---|---|---|
| **not long** | minor | minor | major |
| **long**: 5 minutes and 5 readings | minor | major | critical |
| **very long**: 4 hours and 20 readings | major | critical | critical |

One step right says that the peak was that much rarer than what the budget allows, or that a value was so many times as
far off as nearly all readings. The second counts beside the first since a score grows with the logarithm of the
distance, and the threshold with the rate of readings: at a reading a second what is off by 74 usual errors
passes it by little.
One step down says that so many readings have reached the threshold, the last of them so long after the first. What is
slight is minor, however long it lasts. A severity never falls while its alarm is open.
"""

from __future__ import annotations

from common.compiled import subkernel

MINOR, MAJOR, CRITICAL = 0, 1, 2

SEVERITIES = ("minor", "major", "critical")
"""The names of the numbers above."""

_FAR, _VERY_FAR = 1.5, 4.0
_FAR_TIMES, _VERY_FAR_TIMES = 6.0, 15.0
SLIGHT = -1.0
"""How far a value is off that has moved by a hundredth or two from what had never moved: a battery that is at 99 %."""
_LONG, _VERY_LONG = 300.0, 14_400.0
_SOME, _MANY = 5, 20


@subkernel
def severity_of(excess: float, times: float, seconds: float, readings: int) -> int:
    """MINOR, MAJOR or CRITICAL.

    `excess`: decades by which the highest score exceeds the threshold; `times`: how many times as far off as nearly all
    readings the furthest value was, 0 where that is not known, or `SLIGHT`. `readings` have reached the threshold since
    the alarm opened, the last of them `seconds` after the first.
    """
    if times == SLIGHT:
        return MINOR
    steps = max((excess >= _FAR) + (excess >= _VERY_FAR), (times >= _FAR_TIMES) + (times >= _VERY_FAR_TIMES))
    if seconds >= _LONG and readings >= _SOME:
        steps += 1
    if seconds >= _VERY_LONG and readings >= _MANY:
        steps += 1
    return max(MINOR, min(CRITICAL, steps - 1))
