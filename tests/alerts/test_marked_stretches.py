"""Stretches that people mark: what is marked last counts, and nothing overlaps."""

from __future__ import annotations

import json

from alerts.actions import MarkStretch, decode, encode
from alerts.marked_stretches import MarkedStretches


def mark(how: str, start: int, end: int, metric: str = "flow") -> MarkStretch:
    return MarkStretch.model_validate(
        {"by": "Ana", "at": 1, "device": "pump", "metric": metric, "start": start, "end": end, "mark": how}
    )


def stretches(marked: MarkedStretches) -> list[tuple[str, int, int, str]]:
    return [(each.metric, each.start, each.end, each.mark) for each in marked.of("pump")]


def test_a_later_mark_takes_the_place_of_the_part_that_it_covers() -> None:
    marked = MarkedStretches()
    for action in decode(encode([mark("normal", 0, 100), mark("fault", 40, 60), mark("fault", 10, 20, "level")])):
        assert isinstance(action, MarkStretch)
        marked.put(action)
    assert stretches(marked) == [
        ("flow", 0, 40, "normal"),
        ("level", 10, 20, "fault"),
        ("flow", 40, 60, "fault"),
        ("flow", 60, 100, "normal"),
    ]
    marked.put(mark("none", 0, 50))
    again = MarkedStretches()
    again.load(json.loads(json.dumps(marked.state())))
    assert stretches(again) == [("level", 10, 20, "fault"), ("flow", 50, 60, "fault"), ("flow", 60, 100, "normal")]
    assert again.of("other") == []
