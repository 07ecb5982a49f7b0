"""The sentence of a device's alarm: the largest contributors first, in shares of a hundred."""

from __future__ import annotations

import math
import re

from alerts.reasons import ChannelReason, device_sentence
from devices.records import SeriesRecord


def channel(metric: str, share: float) -> ChannelReason:
    band = (math.nan, math.nan, math.nan)
    return ChannelReason(SeriesRecord(0, "pump", metric, "A"), 3.0, band, share, math.nan)


def test_the_largest_contributors_are_named_with_their_shares_and_the_others_counted() -> None:
    channels = [channel("a", 4.0), channel("b", 2.0), channel("c", 1.0), channel("d", 0.5), channel("e", 0.5)]
    text = device_sentence("joint", 8.0, channels)
    assert re.findall(r"(\w+) 3 A \((\d+)%\)", text) == [("a", "50"), ("b", "25"), ("c", "12")]
    assert text.endswith(" and 2 more")
