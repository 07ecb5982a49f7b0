"""The engine's ledger: every reading ends in one counted place, once, whatever is sent again or restored."""

from __future__ import annotations

import json

from fed_engine import DETECTORS, SECOND, START, Feeder, at, ledger_closes, make_engine, names
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.alarm_settings import AlarmSettings
from devices.batch import ScoredBatch
from devices.messages import FLAG_DUPLICATE, FLAG_REDELIVERED, FLAG_RETAIN
from ingest.ingest_settings import LimitSettings, RouteSettings
from ingest.pipeline import Engine


def test_a_redelivered_message_is_counted_and_neither_stored_nor_learned_again() -> None:
    once, again = Feeder(make_engine()), Feeder(make_engine())
    messages = [("d", {"x": n, "ts": at(n - 60)}) for n in range(30)]
    for message in messages:
        once(message)
    for message in messages:
        again(message)
    same = [(topic, body, 1 | FLAG_DUPLICATE | FLAG_REDELIVERED) for topic, body in messages[-3:]]
    output = again(same[0], ("d", b"{"), *same[1:], ("e", {"y": 1, "ts": at(-1)}))
    assert output.counts["messages"] == 5
    assert output.counts["received"] == 5
    assert output.counts["duplicates"] == output.counts["redelivered"] == 3
    assert len(output.points) == 1
    assert [letter.offset for letter in output.dead_letters] == [31]
    once(("d", b"{"), ("e", {"y": 1, "ts": at(-1)}))
    left, right = (feed.engine.state()[0] for feed in (once, again))
    for part in (name for name in left if name.startswith(("detectors/", "alarm"))):
        assert all(left[part][name].tobytes() == right[part][name].tobytes() for name in left[part])
    assert names(again.engine) == [("d", "x"), ("e", "y")]
    wholly = again(*same)
    assert (len(wholly.points), wholly.counts["received"], wholly.counts["duplicates"]) == (0, 3, 3)


payloads = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda t, x: json.dumps({"ts": START // SECOND - t, "x": x}).encode(),
        st.integers(0, 50),
        st.floats(allow_nan=True, allow_infinity=True),
    ),
    st.builds(lambda x: json.dumps({"x": x, "y": [x, "off"]}).encode(), st.floats(-1e6, 1e6)),
)
FLAGS = [0, 1, FLAG_RETAIN, 1 | FLAG_DUPLICATE, 1 | FLAG_DUPLICATE | FLAG_REDELIVERED]
messages = st.lists(
    st.tuples(st.sampled_from(["a", "b/c", "b/\udcff", "x/y/z"]), payloads, st.sampled_from(FLAGS)),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, max_size=5))
def test_every_reading_ends_in_one_counted_place(chunks: list[list[tuple[str, bytes, int]]]) -> None:
    feed = Feeder(make_engine(RouteSettings(filter="b/#", reorder_window="5s"), RouteSettings(filter="+")))
    outputs = [feed(*chunk) for chunk in chunks]
    assert ledger_closes(outputs)
    assert sum(sum(d.rejected.values()) for o in outputs for d in o.dead_letters) == sum(
        c for o in outputs for name, c in o.counts.items() if name.startswith("rejected.")
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(messages, min_size=2, max_size=6), st.data())
def test_a_restored_engine_goes_on_bit_for_bit(chunks: list[list[tuple[str, bytes, int]]], data: st.DataObject) -> None:
    route = RouteSettings(filter="#", reorder_window="3s")
    whole = Feeder(make_engine(route))
    cut = data.draw(st.integers(0, len(chunks)))
    outputs = [whole(*chunk) for chunk in chunks[:cut]]
    arrays, rest = whole.engine.state()
    known = {record.series: record for output in outputs for record in output.series}
    restored = Engine((route,), DETECTORS, AlarmSettings(threshold=5.0), LimitSettings(), list(known.values()))
    assert restored.load(cut, arrays, json.loads(json.dumps(rest))) == {}
    second = Feeder(restored)
    second.offset, second.arrival = whole.offset, whole.arrival
    for chunk in chunks[cut:]:
        one, other = whole(*chunk), second(*chunk)
        assert one.counts == other.counts
        assert one.series == other.series
        assert one.alarms == other.alarms
        for name in ScoredBatch.__slots__:
            left, right = getattr(one.points, name), getattr(other.points, name)
            assert left.tobytes() == right.tobytes(), name
