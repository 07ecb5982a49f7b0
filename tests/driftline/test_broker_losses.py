from __future__ import annotations

from collections.abc import Mapping

from paho.mqtt.client import MQTTMessage

from driftline.runtime.broker_losses import DROPPED, UPTIME, BrokerLosses, DroppedCount
from ingest.broker_settings import BrokerSettings


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


def test_what_could_not_be_written_is_written_at_the_next_word_of_the_broker() -> None:
    """A full disk neither ends the watch nor makes it forget."""
    written: list[int] = []
    full = True

    def remember(state: Mapping[str, int]) -> None:
        if full:
            raise OSError(28, "No space left on device")
        written.append(state["count"])

    losses = BrokerLosses(BrokerSettings(url="mqtt://127.0.0.1:1"), remember=remember, clock=lambda: 100 * 10**9)

    def says(topic: str, payload: bytes) -> None:
        message = MQTTMessage(topic=topic.encode())
        message.payload = payload
        losses._on_message(losses._client, None, message)

    for topic, payload in ((UPTIME, b"50 seconds"), (DROPPED, b"3"), (DROPPED, b"5")):
        says(topic, payload)
    assert (losses.dropped, written) == (2, [])
    full = False
    says(UPTIME, b"50 seconds")
    says(UPTIME, b"50 seconds")
    assert (losses.dropped, written) == (2, [5])
    says(DROPPED, b"6")
    assert (losses.dropped, written) == (3, [5, 6])
