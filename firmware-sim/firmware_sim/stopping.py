"""What ends a simulator: a signal, or the end of the process that started it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def stopped_by_signals(stop: Callable[[], None], parent: int | None) -> Iterator[None]:
    """Call `stop` at SIGINT, SIGTERM, and when the process `parent` has ended."""
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop())
    if parent is not None:
        Thread(target=_watch_parent, args=(parent, stop, ended), name="parent watch", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _watch_parent(parent: int, stop: Callable[[], None], ended: Event) -> None:
    is_own_parent = os.getppid() == parent
    while not ended.wait(1.0):
        if os.getppid() != parent if is_own_parent else not _exists(parent):
            stop()
            return


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
