from __future__ import annotations

import os
import sys
import threading

import pytest

from storage.embedded.priority import ENGINE_THREADS, give_way, made_giving_way

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities by thread")


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def in_thread(give: int, seen: list[int]) -> None:
    def run() -> None:
        give_way(give)
        seen.append(niceness())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_a_thread_that_gives_way_leaves_the_others_as_they_are() -> None:
    before = niceness()
    seen: list[int] = []
    in_thread(min(before + 3, 19), seen)
    assert seen == [min(before + 3, 19)]
    assert niceness() == before


def test_what_is_made_giving_way_comes_from_a_thread_of_low_priority() -> None:
    before = niceness()
    assert made_giving_way(niceness) == max(before, ENGINE_THREADS)
    assert niceness() == before


def test_what_making_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        made_giving_way(lambda: 1 // 0)


def test_a_priority_that_is_low_already_stays() -> None:
    seen: list[int] = []

    def run() -> None:
        give_way(12)
        in_thread(4, seen)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [max(niceness(), 12)]
