"""What the engine makes of messages does not depend on how the journal was cut into entries."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from journal_cuts import ALARM, DETECTORS, SECOND, START, Message, encoded, stored_tables

from alerts.alarm_settings import AlarmSettings
from devices.messages import FLAG_DUPLICATE, FLAG_REDELIVERED, FLAG_RETAIN, MessageChunk
from devices.records import AlarmState
from ingest.ingest_settings import LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput

ROUTES = (
    RouteSettings(filter="slow/#", reorder_window="4s", detectors=["default", "joint"]),
    RouteSettings(filter="plain/#", codec="plain", detectors=["default", "limits", "joint"]),
    RouteSettings(filter="#", detectors=["limits", "joint"]),
)


def make() -> Engine:
    return Engine(ROUTES, DETECTORS, ALARM, LimitSettings(max_series=14, max_series_per_device=5))


def run(engine: Engine, pieces: Sequence[Sequence[Message]]) -> list[StepOutput]:
    outputs, offset = [], 0
    for piece in pieces:
        outputs.append(engine.step(JournalEntry(engine.position, offset, MessageChunk.of(list(piece)))))
        offset += len(piece)
    return outputs


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


def assert_cuts_change_nothing(rows: list[Message], cuts: set[int]) -> dict[str, object]:
    bounds = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    pieces = [rows[start:end] for start, end in pairwise(bounds)]
    whole, cut, single = make(), make(), make()
    expected = stored_tables(run(whole, [rows]))
    assert stored_tables(run(cut, pieces)) == expected
    assert stored_tables(run(single, [[row] for row in rows])) == expected
    for other in (cut, single):
        for part, state in whole.state()[0].items():
            for name, array in other.state()[0][part].items():
                assert array.tobytes() == state[name].tobytes(), (part, name)
    return expected


@settings(max_examples=80, deadline=None)
@given(messages, st.sets(st.integers(1, 79), max_size=12))
def test_the_same_messages_in_other_entries_give_the_same_tables(
    drawn: list[tuple[str, int, list[int], int, int]], cuts: set[int]
) -> None:
    assert_cuts_change_nothing(encoded(drawn), cuts)


STEADY = [
    (topic, 0, [20, 21, 22], 0, SECOND // 3) for _ in range(22) for topic in ("slow/pump", "rest/press", "rest/mill")
]
"""Three devices that have shown how often they send."""
later = st.lists(
    st.tuples(
        st.sampled_from(("rest/press", "rest/press", "slow/pump", "rest/mill", "rest/new", "plain/oven/heat")),
        st.sampled_from((0, 0, 40)),
        st.lists(st.sampled_from((20, 21, 90)), min_size=1, max_size=4),
        st.sampled_from((0, 0, 0, FLAG_RETAIN)),
        st.sampled_from((SECOND // 1000, SECOND // 3, 2 * SECOND, 7 * SECOND, 11 * SECOND, 26 * SECOND)),
    ),
    min_size=8,
    max_size=60,
)


@settings(max_examples=80, deadline=None)
@given(later, st.sets(st.integers(1, len(STEADY) + 59), max_size=12))
def test_silences_too_are_the_same_however_the_journal_was_cut(
    drawn: list[tuple[str, int, list[int], int, int]], cuts: set[int]
) -> None:
    assert_cuts_change_nothing(encoded([*STEADY, *drawn]), cuts)


def test_silences_within_one_entry_are_told_as_they_come_among_other_alarms() -> None:
    """Pump and mill stop at 22 s; the press sends on without a third metric until 80 s, and is too hot in between."""
    press = [("rest/press", 0, [90 if i in (8, 40) else 20, 21], 0, SECOND) for i in range(58)]
    back = [("rest/press", 0, [20, 21, 22], 0, SECOND), ("slow/pump", 0, [20, 21, 22], 0, 1)]
    rows = encoded([*STEADY, *press, *back])
    assert_cuts_change_nothing(rows, {70, 100})
    engine = make()
    alarms = [alarm for output in run(engine, [rows]) for alarm in output.alarms]
    names = [f"{record.device} {record.metric}" for record in engine.registry.records]
    told = [(a.alarm, names[a.series], a.state.value, ((a.cleared or a.opened) - START) // SECOND) for a in alarms]
    assert told == [
        (1, "rest/press device:joint", "open", 30),
        (1, "rest/press device:joint", "cleared", 35),
        (2, "slow/pump device:silent", "open", 52),
        (3, "rest/mill device:silent", "open", 52),
        (4, "rest/press m2", "open", 52),
        (5, "rest/press device:joint", "open", 62),
        (5, "rest/press device:joint", "cleared", 68),
        (4, "rest/press m2", "cleared", 80),
        (2, "slow/pump device:silent", "cleared", 80),
    ]
    assert [a.reason.partition(";")[0] for a in alarms[2:5]] == [
        "the device has been silent for 31 s",
        "the device has been silent for 30 s",
        "m2 has not come for 30 s, though its device sends",
    ]


def alarms_of(values: Sequence[float], size: int) -> list[tuple[int, AlarmState, str, float]]:
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
