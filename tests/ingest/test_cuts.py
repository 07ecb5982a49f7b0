"""What the engine makes of messages does not depend on how the journal was cut into entries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.alarm_settings import AlarmSettings
from devices.batch import ScoredBatch
from devices.messages import FLAG_DUPLICATE, FLAG_REDELIVERED, FLAG_RETAIN, MessageChunk
from devices.records import AlarmState
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput

SECOND = 1_000_000_000
START = 1_750_000_000 * SECOND
DETECTORS = {
    "default": ComponentSettings(type="zscore", warmup=5),
    "limits": ComponentSettings(type="threshold", upper=50.0),
    "joint": ComponentSettings(type="joint", warmup=8, channels=3),
}
ROUTES = (
    RouteSettings(filter="slow/#", reorder_window="4s", detectors=["default", "joint"]),
    RouteSettings(filter="plain/#", codec="plain", detectors=["default", "limits", "joint"]),
    RouteSettings(filter="#", detectors=["limits", "joint"]),
)
ALARM = AlarmSettings(threshold=2.0, clear_after="3s", clear_readings=2)

Message = tuple[bytes, bytes, int, int]


def make() -> Engine:
    return Engine(ROUTES, DETECTORS, ALARM, LimitSettings(max_series=14, max_series_per_device=5))


def run(engine: Engine, pieces: Sequence[Sequence[Message]]) -> list[StepOutput]:
    outputs, offset = [], 0
    for piece in pieces:
        outputs.append(engine.step(JournalEntry(engine.position, offset, MessageChunk.of(list(piece)))))
        offset += len(piece)
    return outputs


def tables(outputs: list[StepOutput]) -> dict[str, object]:
    """What a store would hold of them, and the counts."""
    points = ScoredBatch.concatenate([output.points for output in outputs])
    order = np.lexsort((np.arange(len(points)), points.time, points.series))
    counts: dict[str, int] = {}
    for output in outputs:
        for name, count in output.counts.items():
            counts[name] = counts.get(name, 0) + count
    return {
        "points": [getattr(points, name)[order].tobytes() for name in ScoredBatch.__slots__],
        "series": [record for output in outputs for record in output.series],
        "alarms": [repr(record) for output in outputs for record in output.alarms],
        "dead letters": sorted(repr(letter) for output in outputs for letter in output.dead_letters),
        "counts": {name: count for name, count in counts.items() if count},
    }


TOPICS = ("slow/pump", "slow/fan", "plain/oven/heat", "plain/oven/power", "rest/press", "rest/mill", "no\x00topic")
FLAGS = (0, 1, FLAG_RETAIN, 1 | FLAG_DUPLICATE | FLAG_REDELIVERED)
messages = st.lists(
    st.tuples(
        st.sampled_from(TOPICS),
        st.integers(0, 8),
        st.lists(st.integers(0, 100), min_size=1, max_size=4),
        st.sampled_from(FLAGS),
        st.integers(1, 3 * SECOND),
    ),
    min_size=1,
    max_size=80,
)


def encoded(drawn: Sequence[tuple[str, int, list[int], int, int]]) -> list[Message]:
    rows, arrival = [], START
    for topic, behind, values, flags, gap in drawn:
        arrival += gap
        if topic.startswith("plain"):
            body = b"broken" if values[0] == 13 else b"%d" % values[0]
        else:
            metrics = {f"m{number}": value for number, value in enumerate(values)}
            body = json.dumps({"ts": (arrival // SECOND - behind) * 1000, **metrics}).encode()
        rows.append((topic.encode(), body, arrival, flags))
    return rows


@settings(max_examples=80, deadline=None)
@given(messages, st.sets(st.integers(1, 79), max_size=12))
def test_the_same_messages_in_other_entries_give_the_same_tables(
    drawn: list[tuple[str, int, list[int], int, int]], cuts: set[int]
) -> None:
    rows = encoded(drawn)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    pieces = [rows[start:end] for start, end in pairwise(bounds)]
    whole, cut, single = make(), make(), make()
    expected = tables(run(whole, [rows]))
    assert tables(run(cut, pieces)) == expected
    assert tables(run(single, [[row] for row in rows])) == expected
    for other in (cut, single):
        for part, state in whole.state()[0].items():
            for name, array in other.state()[0][part].items():
                assert array.tobytes() == state[name].tobytes(), (part, name)


def alarms_of(values: Sequence[float], size: int) -> list[tuple[object, ...]]:
    alarm = AlarmSettings(threshold=4.0, clear_after="0s", clear_readings=2)
    engine = Engine([RouteSettings(filter="#")], DETECTORS, alarm, LimitSettings())
    rows = [(b"pump/t", repr(value).encode(), START + i * SECOND, 0) for i, value in enumerate(values)]
    outputs = run(engine, [rows[i : i + size] for i in range(0, len(rows), size)])
    return [(a.alarm, a.state, a.severity, a.peak_score) for output in outputs for a in output.alarms]


def test_two_alarms_of_one_series_within_one_entry_keep_each_its_own_peak_and_severity() -> None:
    calm = [20.0 + 0.1 * (i % 5) for i in range(40)]
    values = [*calm, 20.9, *calm[:6], 90.0, *calm[:6]]
    changes = alarms_of(values, len(values))
    assert [(number, state) for number, state, _, _ in changes] == [
        (1, AlarmState.OPEN),
        (1, AlarmState.CLEARED),
        (2, AlarmState.OPEN),
        (2, AlarmState.CLEARED),
    ]
    assert changes[1][3] == changes[0][3] < changes[2][3] == changes[3][3]
    assert [severity for _, _, severity, _ in changes] == ["minor", "minor", "major", "major"]
    assert alarms_of(values, 1) == changes
