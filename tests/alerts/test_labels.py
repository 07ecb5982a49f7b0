"""Stretches that people mark: what is marked last counts, and nothing overlaps."""

from __future__ import annotations

import json

from alerts.actions import Label, decode, encode
from alerts.labels import Labels


def mark(label: str, start: int, end: int, metric: str = "flow") -> Label:
    return Label.model_validate(
        {"by": "Ana", "at": 1, "device": "pump", "metric": metric, "start": start, "end": end, "label": label}
    )


def stretches(labels: Labels) -> list[tuple[str, int, int, str]]:
    return [(each.metric, each.start, each.end, each.label) for each in labels.of("pump")]


def test_a_later_mark_takes_the_place_of_the_part_that_it_covers() -> None:
    labels = Labels()
    for action in decode(encode([mark("normal", 0, 100), mark("fault", 40, 60), mark("fault", 10, 20, "level")])):
        assert isinstance(action, Label)
        labels.put(action)
    assert stretches(labels) == [
        ("flow", 0, 40, "normal"),
        ("level", 10, 20, "fault"),
        ("flow", 40, 60, "fault"),
        ("flow", 60, 100, "normal"),
    ]
    labels.put(mark("none", 0, 50))
    again = Labels()
    again.load(json.loads(json.dumps(labels.state())))
    assert stretches(again) == [("level", 10, 20, "fault"), ("flow", 50, 60, "fault"), ("flow", 60, 100, "normal")]
    assert again.of("other") == []
