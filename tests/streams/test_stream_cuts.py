"""The same messages give the same rows of streams, however the journal is cut and wherever the service starts again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_steps import SECOND, START, Message, counted, engine_with, message, results, run, shown, stream, tick

from devices.messages import FLAG_DUPLICATE, FLAG_REDELIVERED, FLAG_RETAIN
from storage.store import StepOutput

ALL = (
    stream("texts", "readings", "select device, os, count(*) as n, sum(m0) as s from window group by all"),
    stream("hops", "points",
           "select metric, count(*) as n, max(score) as worst, sum(value) as s from window group by all",
           window={"type": "hopping", "size": "4s", "hop": "2s"}, lateness="500ms"),
    stream("corrected", "readings", "select count(*) as n, max(time) as newest from window",
           window={"type": "tumbling", "size": "3s"}, lateness="0s", corrections="6s", early="1s"),
    stream("changes", "alarms", "select state, count(*) as n, max(peak_score) as worst from window group by state",
           window={"type": "tumbling", "size": "5s"}),
    stream("letters", "dead_letters", "select reason, count(*) as n from window group by reason"),
    stream("new", "devices", "select device, change from window", window={"type": "tumbling", "size": "2s"}),
    stream("visits", "readings", "select count(*) as n from window", window={"type": "session", "gap": "3s"},
           by=["device"], max_keys=2),
    stream("slide", "readings", "select count(*) as n from window", window={"type": "sliding", "size": "3s"},
           max_rows=4),
    stream("of_texts", "texts", "select os, sum(n) as n, count(*) as devices from window group by os",
           window={"type": "tumbling", "size": "4s"}),
)  # fmt: skip

TOPICS = ("slow/pump", "slow/fan", "rest/press", "rest/mill", "no\x00topic")
FLAGS = (0, 1, FLAG_RETAIN, 1 | FLAG_DUPLICATE | FLAG_REDELIVERED)
messages = st.lists(
    st.tuples(
        st.sampled_from(TOPICS),
        st.integers(-1, 8),
        st.lists(st.integers(0, 100), min_size=1, max_size=3),
        st.sampled_from(FLAGS),
        st.integers(1, 3 * SECOND),
    ),
    min_size=1,
    max_size=40,
)


def encoded(drawn: Sequence[tuple[str, int, list[int], int, int]]) -> list[Message]:
    rows, arrival = [], START
    for topic, behind, values, flags, gap in drawn:
        arrival += gap
        fields: dict[str, Any] = {f"m{number}": value for number, value in enumerate(values)}
        fields |= {"os": "Android" if values[0] % 2 else "iOS"} if values[0] % 3 else {}
        fields |= {"ts": (arrival // SECOND - behind) * 1000} if behind >= 0 else {}
        body = b"broken" if values[0] == 13 else json.dumps(fields).encode()
        rows.append((topic.encode(), body, arrival, flags))
    return rows


def everything(outputs: Sequence[StepOutput]) -> dict[str, Any]:
    return {
        each.name: (
            [repr(result) for result in results(outputs, each.name)],
            counted(outputs, each.name),
        )
        for each in ALL
    }


@settings(max_examples=20, deadline=None)
@given(messages, st.sets(st.integers(1, 39), max_size=10))
def test_other_cuts_of_the_journal_give_the_same_rows(
    drawn: list[tuple[str, int, list[int], int, int]], cuts: set[int]
) -> None:
    rows = encoded(drawn)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    pieces = [rows[start:end] for start, end in pairwise(bounds)]
    found = []
    for parts in ([rows], pieces, [[row] for row in rows]):
        engine = engine_with(*ALL)
        outputs = run(engine, parts)
        outputs.append(tick(engine, (rows[-1][2] - START) / SECOND + 60, len(rows)))
        found.append(everything(outputs))
    assert found[1] == found[0]
    assert found[2] == found[0]


@settings(max_examples=10, deadline=None)
@given(messages, st.integers(1, 39))
def test_a_restart_in_between_gives_the_same_rows_and_every_count_closes(
    drawn: list[tuple[str, int, list[int], int, int]], cut: int
) -> None:
    rows = encoded(drawn)
    whole, first, second = engine_with(*ALL), engine_with(*ALL), engine_with(*ALL)
    expected = run(whole, [rows[:cut], rows[cut:]])
    outputs = run(first, [rows[:cut]])
    arrays, rest = first.state()
    second.registry.load(first.registry.records)
    second.load(first.position, arrays, orjson.loads(orjson.dumps(rest)))
    outputs += run(second, [rows[cut:]], cut)
    last = (rows[-1][2] - START) / SECOND + 60
    expected.append(tick(whole, last, len(rows)))
    outputs.append(tick(second, last, len(rows)))
    assert everything(outputs) == everything(expected)
    for each in ALL:
        counts = counted(outputs, each.name)
        assert counts.get("received", 0) == sum(counts.get(name, 0) for name in ("taken", "late", "over_limit"))


def test_a_state_of_another_version_lets_streams_begin_anew_and_nothing_else() -> None:
    one = stream("count", "readings", "select count(*) as n from window")
    before, after = engine_with(one), engine_with(one)
    run(before, [[message("ann", 0.4, heat=1.0)]])
    arrays, rest = before.state()
    after.registry.load(before.registry.records)
    after.load(before.position, arrays, {**rest, "streams": {"streams": [{"settings": {}}]}})
    assert after.position == 1
    assert shown(results([*run(after, [[message("ann", 1.4, heat=1.0)]], 1), tick(after, 9, 2)])) == [
        (1, 2, "final", [(1,)])
    ]
