from __future__ import annotations

from driftline.runtime.broker_losses import DroppedCount


def told(count: DroppedCount, *words: tuple[str, int]) -> tuple[int, int]:
    """What is known as lost after one connection on which the broker said these words."""
    count.connected()
    for name, number in words:
        getattr(count, name)(number)
    return count.dropped, count.since_start


def test_what_was_dropped_before_the_first_look_is_not_ours() -> None:
    count = DroppedCount()
    assert told(count, ("count", 40), ("started", 100), ("count", 45)) == (5, 5)
    assert count.state() == {"dropped": 5, "broker_started": 100, "count": 45}


def test_a_count_goes_on_over_connections() -> None:
    count = DroppedCount()
    told(count, ("started", 100), ("count", 3))
    assert told(count, ("count", 7), ("started", 101)) == (4, 4)
    assert told(count, ("started", 100), ("count", 7), ("count", 8)) == (5, 5)


def test_a_broker_that_started_anew_counts_from_nought() -> None:
    """Also where it has dropped as many by now as the one before, and whichever word comes first."""
    for words in ((("started", 200), ("count", 3)), (("count", 3), ("started", 200))):
        count = DroppedCount()
        told(count, ("started", 100), ("count", 3))
        assert told(count, *words) == (3, 3)


def test_without_a_start_a_smaller_count_is_a_new_one() -> None:
    count = DroppedCount()
    told(count, ("count", 30), ("count", 30))
    assert told(count, ("count", 4), ("count", 6)) == (6, 6)


def test_what_was_dropped_while_the_service_was_down_is_seen_at_its_start() -> None:
    before = DroppedCount()
    told(before, ("started", 100), ("count", 3), ("count", 5))
    after = DroppedCount(before.state())
    assert told(after, ("started", 101), ("count", 105)) == (102, 100)
