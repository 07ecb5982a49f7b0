"""Which route takes a topic, which topics are refused with the reason, and what is remembered of them."""

from __future__ import annotations

import numpy as np
import pytest

from devices.message_properties import encode_properties
from devices.messages import MessageChunk
from devices.rejection_reasons import Reason
from ingest.ingest_settings import RouteSettings
from ingest.series_table import UNKNOWN, SeriesTable
from ingest.topic_routes import IGNORED, TopicRouter


def router(*routes: RouteSettings, max_topics: int = 100) -> TopicRouter:
    return TopicRouter(routes or (RouteSettings(filter="#"),), ["default"], max_topics=max_topics)


def chunk(*topics: bytes, payload: bytes = b"1") -> MessageChunk:
    return MessageChunk.of([(topic, payload, at, 0) for at, topic in enumerate(topics, 1)])


def refusal(made: TopicRouter, topic: bytes) -> tuple[Reason, str] | None:
    found, refused = made.topics(chunk(topic))
    assert (found[0] < 0) == (0 in refused)
    return (refused[0].reason, refused[0].detail) if refused else None


@pytest.mark.parametrize(
    ("topic", "detail"),
    [
        (b"a\xffb", r"topic 'a\xffb': expected UTF-8, byte 1 is not"),
        (b"", "topic '': expected no control character, + or #"),
        (b"a\x1fb", r"topic 'a\x1fb': expected no control character, + or #"),
        (b"a\x7f", r"topic 'a\x7f': expected no control character, + or #"),
        (b"a/+", "topic 'a/+': expected no control character, + or #"),
        (b"#", "topic '#': expected no control character, + or #"),
        (b"x" * 1_025, f'topic "{"x" * 80}..." of 1025 bytes and 1 levels: expected at most 1024 bytes and 32 levels'),
        (b"/" * 32, f'topic "{"/" * 32}..." of 32 bytes and 33 levels: expected at most 1024 bytes and 32 levels'),
    ],
)
def test_a_topic_that_cannot_be_remembered_is_refused_with_the_reason(topic: bytes, detail: str) -> None:
    assert refusal(router(), topic) == (Reason.BAD_TOPIC, detail)


@pytest.mark.parametrize("topic", [b"a b", "ä".encode(), b"x" * 1_024, b"/" * 31, b"\x20", b"~"])
def test_a_topic_up_to_the_bounds_is_taken(topic: bytes) -> None:
    assert refusal(router(), topic) is None


def test_a_topic_without_a_route_and_one_beyond_the_most_are_refused_and_those_known_go_on() -> None:
    made = router(RouteSettings(filter="a/#"), max_topics=2)
    assert refusal(made, b"b") == (Reason.NO_ROUTE, 'topic "b": no route\'s filter matches it')
    found, refused = made.topics(chunk(b"a/1", b"a/2", b"a/3", b"a/1", b"a/3"))
    assert found.tolist() == [0, 1, -1, 0, -1]
    assert [(message, each.reason, each.detail) for message, each in refused.items()] == [
        (message, Reason.TOO_MANY_SERIES, 'topic "a/3": 2 topics are known already') for message in (2, 4)
    ]
    assert made.topics(chunk(b"a/2"))[0].tolist() == [1]
    assert (made.levels(1), made.taken(2)) == (["a", "2"], None)


def test_the_first_route_whose_filter_matches_takes_a_topic_and_what_it_ignores_is_told_apart() -> None:
    made = router(
        RouteSettings(filter="a/+", ignore=["a/x"]), RouteSettings(filter="a/#"), RouteSettings(filter="driftline/#")
    )
    found, refused = made.topics(chunk(b"a/1", b"a/x", b"a/b/c", b"driftline/alarms/x"))
    assert (found.tolist(), refused) == ([0, 1, 2, 3], {})
    assert made.route_of(found).tolist()[:3] == [0, IGNORED, 1]
    assert made.route_of(np.array([0, -1, 1], np.int32)).tolist() == [0, -1, IGNORED]
    assert [made.is_ignored(topic) for topic in range(3)] == [False, True, False]
    taken = [made.taken(topic) for topic in range(3)]
    assert [each.settings.filter for each in taken if each is not None] == ["a/+", "a/+", "a/#"]
    assert [made.owner(topic) for topic in (0, 1)] == ["a/1", "a/x"]


def test_a_filter_within_a_wider_one_is_subscribed_where_its_quality_is_higher_alone() -> None:
    made = router(
        RouteSettings(filter="a/b", qos=1), RouteSettings(filter="a/c", qos=2), RouteSettings(filter="a/+", qos=1),
        RouteSettings(filter="a/b", qos=0), RouteSettings(filter="d", qos=0), RouteSettings(filter="d", qos=1),
    )  # fmt: skip
    assert made.filters == {"a/c": 2, "a/+": 1, "d": 1}


def with_property(value: str, *, name: str = "serial", content_type: str = "") -> MessageChunk:
    return MessageChunk.of([(b"a/b", b"1", 1, 0)], properties=[encode_properties(content_type, [(name, value)])])


def test_a_topic_has_a_number_for_each_set_of_the_properties_that_its_route_asks_for() -> None:
    made = router(RouteSettings(filter="#", device="{topic[0]}/{property:serial}"), max_topics=3)
    numbers = [int(made.topics(with_property(value))[0][0]) for value in ("x", "y", "x")]
    assert numbers == [1, 2, 1]
    assert made.topics(with_property("z", name="other"))[0].tolist() == [0]
    assert [made.owner(number) for number in (1, 2)] == ["a/x", "a/y"]
    found, refused = made.topics(with_property("z"))
    assert (found.tolist(), refused[0].reason, refused[0].detail) == (
        [-1], Reason.TOO_MANY_SERIES, 'topic "a/b": 3 topics, and properties on them, are known already',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "is_good"),
    [
        ("", False),
        (" ", False),
        ("x" * 1_024, True),
        ("x" * 1_025, False),
        ("a\x1f", False),
        ("a\x7f", False),
        ("a b", True),
    ],
)
def test_a_property_that_cannot_name_a_device_is_refused(value: str, is_good: bool) -> None:
    made = router(RouteSettings(filter="#", device="{property:serial}"))
    found, refused = made.topics(with_property(value))
    detail = (
        f'user property "serial": {value[:80]!r}: expected text of at most 1024 characters, without control characters'
    )
    expected = [] if is_good else [(Reason.BAD_TOPIC, detail)]
    assert (found.tolist(), [(each.reason, each.detail) for each in refused.values()]) == (
        [1 if is_good else -1],
        expected,
    )


def test_pairs_of_topic_and_metric_are_found_again_however_many_there_are() -> None:
    table = SeriesTable()
    pairs = [(topic, metric) for topic in range(60) for metric in range(11)]
    for series, pair in enumerate(pairs):
        assert table.get(*pair) == UNKNOWN
        table.put(*pair, series)
    table.put(0, 0, 7_000)
    assert len(table) == len(pairs)
    topic, metric = (np.array(column, np.int32) for column in zip(*pairs, (60, 0), (0, 11), strict=True))
    device = np.full(len(topic), -1, np.int32)
    found, unknown, names_device = table.find(topic, metric, device)
    assert found.tolist() == [7_000, *range(1, len(pairs)), UNKNOWN, UNKNOWN]
    assert (unknown, names_device) == (2, False)
    device[3] = 0
    assert table.find(topic, metric, device)[1:] == (2, True)
    table.clear()
    assert (len(table), table.get(5, 5), table.find(topic, metric, device)[1]) == (0, UNKNOWN, len(topic))
