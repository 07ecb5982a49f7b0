"""Before stage 1: compile every kernel into numba's cache, so that the first messages do not wait for the compiler.

`python -m driftline.compile` does it, with a line for each step.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from alerts.settings import AlarmSettings
from detectors.compile import compile_all as compile_detectors
from devices.codecs.compile import compile_all as compile_codecs
from devices.messages import MessageChunk
from driftline.kernel_cache import drop_stale_kernels
from ingest.frames import ReceiveBuffer
from ingest.pipeline import Engine
from ingest.settings import DEFAULT_DETECTORS, LimitSettings, RouteSettings
from storage.base import JournalEntry
from storage.embedded import EmbeddedStore

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
MESSAGES = 8


def compile_all(on_progress: Callable[[str], None] | None = None) -> None:
    """Put a few messages through every stage and every detector; `on_progress` gets each step's name before it."""
    say = on_progress or (lambda _: None)
    say("receiving")
    ReceiveBuffer(group_bytes=1 << 16, max_payload=1 << 16).warm_up()
    say("decoding")
    compile_codecs()
    compile_detectors(lambda name: say(f"detector {name}"))
    say("the whole way")
    _run_engine()


def _run_engine() -> None:
    routes = [
        RouteSettings(filter="slow/#", reorder_window="10s"),
        RouteSettings(filter="#", detectors=["default", "joint"]),
    ]
    engine = Engine(routes, DEFAULT_DETECTORS, AlarmSettings(), LimitSettings())
    with tempfile.TemporaryDirectory() as folder, EmbeddedStore(Path(folder) / "points.duckdb") as store:
        for position in range(2):
            chunk = MessageChunk.of([_message(position * MESSAGES + number) for number in range(MESSAGES)])
            store.commit(engine.step(JournalEntry(position, position * MESSAGES, chunk)))


def _message(number: int) -> tuple[bytes, bytes, int, int]:
    time = START + number * SECOND
    payload = b'{"ts": %d, "a": %d.5, "b": 2}' % (time // SECOND, number)
    return (b"slow/a" if number % 2 else b"fast/b"), payload, time, 0


if __name__ == "__main__":
    drop_stale_kernels()
    compile_all(lambda step: print(f"  {step}", flush=True))
