"""Store: threads whose work can wait give way to those that a message or an alarm waits for."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

HOUSEKEEPING = 10
"""Niceness of sorting, merging and removing."""

ENGINE_THREADS = 5
"""Niceness of the database engine's own threads, which help housekeeping most, and commits and queries too."""

Made = TypeVar("Made")


def give_way(niceness: int) -> None:
    """Lower the calling thread's priority, and that of threads it starts, to `niceness` where it is higher.

    Only Linux has priorities by thread; elsewhere, and where it is forbidden, nothing happens.
    """
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    with contextlib.suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, thread) < niceness:
            os.setpriority(os.PRIO_PROCESS, thread, niceness)


def made_giving_way(make: Callable[[], Made]) -> Made:
    """What `make` returns or raises, called in a thread that gives way, so that threads which it starts do so too.

    A thread without privileges cannot raise its priority again, hence a thread of its own.
    """
    made: list[Made] = []
    errors: list[BaseException] = []

    def run() -> None:
        give_way(ENGINE_THREADS)
        try:
            made.append(make())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="opening the database")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return made[0]
