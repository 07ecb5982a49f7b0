"""The queue and who is called from it: retries, what is set aside, poison rows, order, schedules, each event once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from functions.dispatcher import Dispatcher
from functions.function_queue import FunctionQueue
from functions.function_settings import FunctionSettings
from storage.store import FunctionEvent

SECOND = 1_000_000_000
NOW = 1_772_366_400 * SECOND
WaitUntil = Callable[..., None]


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


class Pump:
    """An action that refuses the events that it is told to, and keeps those that it takes, in order."""

    def __init__(self) -> None:
        self.refused: set[int] = set()
        self.taken: list[int] = []
        self.tried: list[int] = []
        self._lock = threading.Lock()

    def act(self, *_: object, event: Any, **__: object) -> Any:
        number = event.get("n", -1)
        with self._lock:
            self.tried.append(number)
            if number in self.refused:
                raise ValueError(f"{number} is refused")
            self.taken.append(number)


def function(kind: str, *, shards: int = 1, **more: Any) -> FunctionSettings:
    of_trigger: dict[str, Any] = {"readings": {"topics": ["a/#"], "shards": shards}, "schedule": {"cron": "0 * * * *"}}
    return FunctionSettings.model_validate(
        {
            "name": "f",
            "action": "label",
            "with": {"labels": {"a": "b"}},
            "trigger": {"type": kind, **of_trigger.get(kind, {})},
            **more,
        }
    )


def events(numbers: range, *, position: int = 0, shards: int = 1) -> list[FunctionEvent]:
    return [
        FunctionEvent("f", f"{position}/{n}", n % shards, position, NOW, {"type": "device"}, orjson.dumps({"n": n}))
        for n in numbers
    ]


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[FunctionQueue]:
    with FunctionQueue(tmp_path / "functions.db") as queue:
        yield queue


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pump() -> Pump:
    return Pump()


@pytest.fixture
def run(queue: FunctionQueue, clock: Clock, pump: Pump) -> Iterator[Callable[[FunctionSettings], Dispatcher]]:
    started: list[Dispatcher] = []

    def start(settings: FunctionSettings) -> Dispatcher:
        dispatcher = Dispatcher(queue, [settings], pump, clock=clock)
        dispatcher.start()
        started.append(dispatcher)
        return dispatcher

    yield start
    for each in started:
        each.stop()


def closed(queue: FunctionQueue) -> bool:
    counts = queue.counts("f")
    waiting, _ = queue.waiting("f")
    return counts["events"] == counts["done"] + counts["failed"] + counts["dropped"] + waiting


def test_what_was_taken_from_the_journal_is_not_taken_again(queue: FunctionQueue) -> None:
    queue.take(events(range(3), position=4), 5, {"f": 100})
    queue.take(events(range(3), position=4) + events(range(2), position=5), 6, {"f": 100})
    assert [(each.key, each.content["n"]) for each in queue.due("f", NOW, 10)] == [
        ("4/0", 0), ("4/1", 1), ("4/2", 2), ("5/0", 0), ("5/1", 1)
    ]  # fmt: skip
    queue.begin_at(2)
    queue.take(events(range(1), position=2), 3, {"f": 100})
    assert queue.counts("f")["events"] == 6, "a journal that was begun anew is taken from its own positions on"


def test_beyond_the_bound_the_oldest_are_dropped_and_counted(queue: FunctionQueue) -> None:
    queue.take(events(range(10)), 1, {"f": 4})
    assert [each.content["n"] for each in queue.due("f", NOW, 10)] == [6, 7, 8, 9]
    assert queue.counts("f") | {"milliseconds": 0} == dict.fromkeys(queue.counts("f"), 0) | {"events": 10, "dropped": 6}
    assert closed(queue)


def test_an_event_that_fails_is_tried_again_after_pauses_set_aside_and_taken_by_hand(
    queue: FunctionQueue, clock: Clock, pump: Pump, run: Callable[[FunctionSettings], Dispatcher], wait_until: WaitUntil
) -> None:
    pump.refused = {1}
    queue.take(events(range(3)), 1, {"f": 100})
    dispatcher = run(function("device", retries=2, backoff="10s"))
    wait_until(lambda: [each.tries for each in queue.due("f", clock() + 10 * SECOND, 9)] == [1])
    assert sorted(pump.taken) == [0, 2]
    assert queue.due("f", clock() + 9 * SECOND, 9) == [], "its pause is ten seconds"
    clock.now += 10 * SECOND
    dispatcher.wake()
    wait_until(lambda: [each.tries for each in queue.due("f", clock() + 20 * SECOND, 9)] == [2])
    assert queue.due("f", clock() + 19 * SECOND, 9) == [], "the second is twice as long"
    clock.now += 20 * SECOND
    dispatcher.wake()
    wait_until(lambda: queue.counts("f")["failed"] == 1)
    (aside,) = queue.failed("f")
    assert (aside.content, aside.tries, aside.error) == ({"n": 1}, 3, "1 is refused")
    assert closed(queue)
    pump.refused = set()
    assert dispatcher.retry("f") == 1
    wait_until(lambda: queue.counts("f")["done"] == 3)
    assert (queue.counts("f")["failed"], queue.counts("f")["calls"], closed(queue)) == (0, 6, True)


def test_an_event_beyond_its_age_is_set_aside_untried(
    queue: FunctionQueue, clock: Clock, pump: Pump, run: Callable[[FunctionSettings], Dispatcher], wait_until: WaitUntil
) -> None:
    clock.now += 7 * 3600 * SECOND
    queue.take(events(range(1)), 1, {"f": 100})
    run(function("device"))
    wait_until(lambda: queue.counts("f")["failed"] == 1)
    assert ([each.error for each in queue.failed("f")], pump.tried) == (["older than 6h, its max_age"], [])


def test_poison_rows_are_found_and_set_aside_and_the_rest_goes_on_in_order(
    queue: FunctionQueue, pump: Pump, run: Callable[[FunctionSettings], Dispatcher], wait_until: WaitUntil
) -> None:
    pump.refused = {5, 11}
    queue.take(events(range(16)), 1, {"f": 100})
    run(function("readings", batch=16, retries=0))
    wait_until(lambda: queue.counts("f")["done"] == 14)
    assert sorted(each.content["n"] for each in queue.failed("f")) == [5, 11]
    # Rows before a poison one in its batch are done again with it: at least once, and never out of order.
    newest = list(dict.fromkeys(reversed(pump.taken)))[::-1]
    assert newest == [n for n in range(16) if n not in pump.refused]
    assert closed(queue)


def test_a_lane_waits_for_its_batch_and_the_other_lane_goes_on(
    queue: FunctionQueue, clock: Clock, pump: Pump, run: Callable[[FunctionSettings], Dispatcher], wait_until: WaitUntil
) -> None:
    pump.refused = {0}
    queue.take(events(range(8), shards=2), 1, {"f": 100})
    dispatcher = run(function("readings", shards=2, batch=2, retries=1, backoff="10s"))
    wait_until(lambda: queue.waiting("f")[0] == 4)
    assert pump.taken == [1, 3, 5, 7], "the even ones wait behind 0"
    pump.refused = set()
    clock.now += 10 * SECOND
    dispatcher.wake()
    wait_until(lambda: queue.waiting("f")[0] == 0)
    assert pump.taken == [1, 3, 5, 7, 0, 2, 4, 6]


def test_a_schedule_fires_at_its_times_and_makes_up_for_what_it_missed_once(
    queue: FunctionQueue, clock: Clock, pump: Pump, run: Callable[[FunctionSettings], Dispatcher], wait_until: WaitUntil
) -> None:
    settings = function("schedule")
    first = run(settings)
    first.stop()
    assert queue.counts("f")["events"] == 0, "a new schedule makes up for nothing"
    clock.now += 5 * 3600 * SECOND + 60 * SECOND
    run(settings)
    wait_until(lambda: queue.counts("f")["done"] == 1)
    (record,) = queue.calls("f")
    assert (record.trigger, record.key) == ("schedule", "schedule-2026-03-01T17:00:00.000Z")
    assert pump.taken == [-1]
