"""Runs `driftline` and kills it, as by `kill -9`, when it comes to a named point for the n-th time.

    python killed_at.py POINT N ARGUMENTS...

The points stand where a kill would hurt: between two writes that belong together, or within one.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

POINTS = {
    "journaled, not acknowledged": ("ingest.session", "MqttSession.acknowledge", "before"),
    "acknowledged, not scored": ("ingest.session", "MqttSession.acknowledge", "after"),
    "within a commit": ("storage.embedded.database", "write_rows", "after"),
    "behind a commit": ("storage.embedded.database", "EmbeddedStore.commit", "after"),
    "within a snapshot": ("storage.snapshots", "_remove_all_but", "before"),
    "behind a snapshot": ("storage.snapshots", "SnapshotStore.save", "after"),
    "within the journal's compaction": ("storage.journal.sqlite_journal", "SqliteJournal._removable", "statement"),
    "within the database's compaction": ("storage.embedded.old_points", "move_sorted", "after"),
    "reload, before its snapshot": ("driftline.runtime.service", "warm_start", "after"),
    "reload, behind its snapshot": ("driftline.runtime.engine_worker", "EngineWorker.between_steps", "after"),
    "start-up, storage open": ("driftline.runtime.stages", "restored_engine", "before"),
    "start-up, state restored": ("driftline.runtime.stages", "restored_engine", "after"),
    "start-up, page open": ("driftline.runtime.stages", "start_broker", "before"),
    "start-up under a changed configuration": ("driftline.runtime.recovery", "_step_to", "after"),
}
"""Module, name in it, and whether the kill comes before it, after it, or within the SQL statement that follows it."""


def die() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def arm(point: str, times: int) -> None:
    """Replace the named function by one that ends the process."""
    module, name, when = POINTS[point]
    owner: Any = importlib.import_module(module)
    *path, attribute = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original: Callable[..., Any] = getattr(owner, attribute)
    calls: Iterator[int] = iter(range(1, times + 1))
    lock = threading.Lock()

    def is_time() -> bool:
        with lock:
            return next(calls, times) >= times

    def replacement(*arguments: Any, **named: Any) -> Any:
        if when == "before" and is_time():
            die()
        result = original(*arguments, **named)
        if when == "after" and is_time():
            die()
        if when == "statement" and result and is_time():
            here = threading.get_ident()
            arguments[0]._writer.set_progress_handler(lambda: die() if threading.get_ident() == here else 0, 20)
        return result

    setattr(owner, attribute, replacement)


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    from driftline.cli.command_line import main

    sys.exit(main(sys.argv[3:]))
