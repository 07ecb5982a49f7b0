"""The live feed: what each engine step made, handed to those who listen, without ever holding the engine up.

The engine publishes columns by reference; each listener has a bounded queue and takes from it at its own pace.
One that is too slow loses the oldest steps and is told how many. With no listener a step costs one increment.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from devices.batch import ScoredBatch
from devices.records import AlarmRecord


@dataclass(frozen=True, slots=True)
class LiveStep:
    """What one engine step made: its points as columns, and the alarms that it changed. `number` counts steps."""

    number: int
    points: ScoredBatch
    alarms: tuple[AlarmRecord, ...]


@dataclass(frozen=True, slots=True)
class LiveSteps:
    """What a listener takes at once: steps in order, and how many before them it was too slow for.

    `number` is the newest step that the listener has now been told of, by its contents or as missed.
    """

    steps: list[LiveStep]
    missed: int
    number: int


class Subscription:
    """One listener's queue. `wake` is called by the publishing thread after each step and must return at once."""

    def __init__(
        self, feed: LiveFeed, wake: Callable[[], None], *, first: int, number: int, max_steps: int, max_points: int
    ) -> None:
        self.first = first
        """The number before the feed's first step."""
        self.number = number
        """The newest step at the time of subscribing: the first one delivered is the next."""
        self.alarms_only = False
        """Leave out steps without alarms, so that this listener is woken for each alarm and for nothing else."""
        self._feed = feed
        self._wake = wake
        self._max_steps = max_steps
        self._max_points = max_points
        self._lock = threading.Lock()
        self._steps: deque[LiveStep] = deque()
        self._points = 0
        self._missed = 0
        self._newest = number

    def offer(self, step: LiveStep) -> None:
        """Queue a step, dropping the oldest while the queue is over its bounds. Called by the feed."""
        if self.alarms_only and not step.alarms:
            self._newest = step.number
            return
        with self._lock:
            self._steps.append(step)
            self._points += len(step.points)
            self._newest = step.number
            while len(self._steps) > self._max_steps or (self._points > self._max_points and len(self._steps) > 1):
                self._points -= len(self._steps.popleft().points)
                self._missed += 1
        self._wake()

    def take(self) -> LiveSteps:
        """Everything queued, which is then empty; no steps where nothing is queued."""
        with self._lock:
            steps, missed = list(self._steps), self._missed
            self._steps.clear()
            self._points = self._missed = 0
            return LiveSteps(steps, missed, self._newest)

    def close(self) -> None:
        """Stop listening; closing twice is allowed."""
        self._feed.unsubscribe(self)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class LiveFeed:
    """Hands engine steps to any number of listeners. One thread publishes; listeners live in any.

    A listener's queue holds at most `max_steps` steps and about `max_points` points. `first` is the number before the
    first step's: milliseconds of the clock at start put it beyond any number of an earlier run, so that a client that
    reconnects after a restart is told of the gap.
    """

    def __init__(self, *, first: int = 0, max_steps: int = 1_024, max_points: int = 50_000) -> None:
        if max_steps < 1 or max_points < 1:
            raise ValueError(f"live feed: max_steps {max_steps} and max_points {max_points} must be at least 1")
        self._max_steps = max_steps
        self._max_points = max_points
        self._lock = threading.Lock()
        self._first = first
        self._number = first
        self._listeners: tuple[Subscription, ...] = ()

    @property
    def number(self) -> int:
        """The newest step's number."""
        return self._number

    @property
    def listening(self) -> bool:
        """Whether anyone listens."""
        return bool(self._listeners)

    def publish(self, points: ScoredBatch, alarms: Sequence[AlarmRecord] = ()) -> None:
        """Hand one step to every listener. The arrays must not be changed afterwards."""
        with self._lock:
            self._number += 1
            if not self._listeners:
                return
            step = LiveStep(self._number, points, tuple(alarms))
            for listener in self._listeners:
                listener.offer(step)

    def subscribe(self, wake: Callable[[], None]) -> Subscription:
        """Listen from the next step on; `wake` is called by the publishing thread after each."""
        with self._lock:
            listener = Subscription(
                self,
                wake,
                first=self._first,
                number=self._number,
                max_steps=self._max_steps,
                max_points=self._max_points,
            )
            self._listeners = (*self._listeners, listener)
            return listener

    def unsubscribe(self, listener: Subscription) -> None:
        """Forget the listener; one that is not known is ignored."""
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each is not listener)
