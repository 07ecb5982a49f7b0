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


def test_three_are_named_without_others_and_what_is_known_of_each_is_told() -> None:
    known = ChannelReason(SeriesRecord(0, "pump", "flow"), 3.14159265, (2.0, 1.5, 2.5), 3.0, 4.567)
    text = device_sentence("joint", 8.04, [known, channel("b", 2.0), channel("c", 1.0)])
    assert text == (
        "the device's metrics are odd together, score 8.0 by joint: "
        "flow 3.14159 (50%; expected 2, 1.5 to 2.5; 4.57 times as far off as usual), b 3 A (33%), c 3 A (17%)"
    )
