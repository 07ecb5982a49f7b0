"""When a drained socket is read again: seldom where little comes, at once where the broker may hold messages back."""

from __future__ import annotations

import pytest

from ingest.read_pace import READ_INTERVAL, ReadPace


@pytest.mark.parametrize(("messages", "seconds"), [(0, 0.2), (15, 0.2), (16, 0.1), (499, 0.1), (500, READ_INTERVAL)])
def test_fewer_messages_are_waited_for_longer(messages: int, seconds: float) -> None:
    assert ReadPace().pause(messages, unacknowledged=0) == seconds


@pytest.mark.parametrize("window", [1, 2, 20, 1000])
def test_a_broker_with_a_window_of_any_size_is_read_at_once_while_it_fills_the_window(window: int) -> None:
    pace = ReadPace()
    assert {pace.pause(window, unacknowledged=window) for _ in range(50)} == {READ_INTERVAL}


def test_reads_that_leave_most_of_the_window_free_are_calm() -> None:
    pace = ReadPace()
    pace.pause(20, unacknowledged=20)
    assert [pace.pause(count, unacknowledged=count) for count in (9, 10, 9)] == [0.2, READ_INTERVAL, 0.2]


def test_a_new_connection_has_a_window_that_nothing_is_known_of() -> None:
    pace = ReadPace()
    pace.pause(20, unacknowledged=20)
    pace.connected()
    assert pace.pause(4, unacknowledged=4) == READ_INTERVAL
