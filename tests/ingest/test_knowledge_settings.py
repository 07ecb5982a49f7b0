"""What a person says of a series in the configuration, as its detectors get it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pydantic import ValidationError

from alerts.alarm_settings import AlarmSettings
from detectors.knowledge import Knowledge
from devices.messages import MessageChunk
from ingest.ingest_settings import ComponentSettings, LimitSettings, MetricSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
DETECTORS = {"default": ComponentSettings(type="zscore", warmup=5)}
ROUTE = RouteSettings(
    filter="#",
    direction="above",
    smallest_deviation=0.5,
    plant_time_zone="Europe/Berlin",
    metrics=[MetricSettings(match="press*", direction="below", shortest_duration="90s", ignored_hours=[(22, 6)])],
)


class Listening(Engine):
    """An engine that keeps what its detector is told."""

    def __init__(self, route: RouteSettings) -> None:
        self.told: dict[int, Knowledge] = {}
        super().__init__([route], DETECTORS, AlarmSettings(), LimitSettings())
        detector = self.host.slots("default").detector
        detector.describe = self.told.__setitem__  # type: ignore[attr-defined]


def step(engine: Engine) -> None:
    chunk = MessageChunk.of([(b"pump", b'{"flow": 1, "pressure": 2}', START + engine.position, 0)])
    engine.step(JournalEntry(engine.position, engine.position, chunk))


def test_an_override_says_what_differs_and_its_route_the_rest() -> None:
    engine = Listening(ROUTE)
    step(engine)
    assert engine.told == {
        0: Knowledge(direction="above", smallest_deviation=0.5, time_zone="Europe/Berlin"),
        1: Knowledge(
            direction="below",
            smallest_deviation=0.5,
            time_zone="Europe/Berlin",
            shortest_duration=90.0,
            ignored_hours=((22.0, 6.0),),
        ),
    }


def test_it_is_told_again_after_a_restart_since_it_is_no_part_of_the_state() -> None:
    engine, again = Listening(ROUTE), Listening(ROUTE)
    step(engine)
    again.registry.load(engine.registry.records)
    arrays, rest = engine.state()
    assert again.load(engine.position, arrays, json.loads(json.dumps(rest))) == {}
    assert again.told == engine.told


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"direction": "sideways"}, "Input should be 'both', 'above' or 'below'"),
        ({"smallest_deviation": -1}, "greater than or equal to 0"),
        ({"lower_limit": 5, "upper_limit": 5}, "expected less than upper_limit 5.0, got 5.0"),
        ({"plant_time_zone": "Mars/Olympus"}, "expected a name such as Europe/Berlin"),
        ({"plant_time_zone": "Europe"}, "expected a name such as Europe/Berlin"),
        ({"ignored_hours": [[22, 25]]}, "less than or equal to 24"),
        ({"upper_limit": 1, "metrics": [{"match": "x", "lower_limit": 2}]}, 'metrics that match "x": lower_limit'),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(given: dict[str, Any], error: str) -> None:
    with pytest.raises(ValidationError, match=error):
        RouteSettings.model_validate({"filter": "#", **given})


def test_a_limit_of_one_side_leaves_the_other_open() -> None:
    found = MetricSettings(match="*", upper_limit=100).knowledge()
    assert (found.lower_limit, found.upper_limit) == (-math.inf, 100.0)
