"""Stage 5 of 7: durations in detectors' parameters, as people write them."""

from __future__ import annotations

import re

_NANOSECONDS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9, "w": 604_800 * 10**9}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)", re.ASCII)


def nanoseconds(text: str) -> int:
    """A duration such as "24h", "90s" or "1.5d" in ns. Raises ValueError naming the text and what was expected."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'expected a duration such as "90s", "24h" or "7d" (units ms, s, m, h, d, w), got "{text}"')
    length = round(float(match[1]) * _NANOSECONDS[match[2]])
    if not 0 < length < 2**62:
        raise ValueError(f'expected a duration above 0 and below 146 years, got "{text}"')
    return length
