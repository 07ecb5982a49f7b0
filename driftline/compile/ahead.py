"""Compile every kernel into numba's cache, so that the first messages do not wait for the compiler.

`python -m driftline.compile` does it, two steps at a time in processes of their own, with a line for each step;
`python -m driftline.compile STEP...` runs the steps named, one after the other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from alerts.alarm_settings import AlarmSettings
from common.extras import is_installed
from common.time_units import SECOND
from detectors.compile_detectors import compile_detector
from detectors.detector_registry import DETECTORS, ROW_DETECTORS, scores_rows
from devices.codecs.compile_codecs import compile_all as compile_codecs
from devices.messages import MessageChunk
from driftline.compile.kernel_cache import drop_stale_kernels
from driftline.compile.kernel_compiler import DECODING, DETECTOR, RECEIVING, WHOLE_WAY, KernelCompiler
from ingest.frames import ReceiveBuffer
from ingest.ingest_settings import DEFAULT_DETECTORS, ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.store import JournalEntry

START = 1_700_000_000 * SECOND
MESSAGES = 8

STEPS = (RECEIVING, DECODING, *(DETECTOR + detector.name for detector in (*DETECTORS, *ROW_DETECTORS)), WHOLE_WAY)


_OF_EXTRAS = {"river": "river"}
"""Detectors whose library may not be installed, and that library."""


def compile_steps(steps: Iterable[str], on_progress: Callable[[str], None] = lambda _: None) -> None:
    """Put a few readings through each step in this process; `on_progress` gets its name before.

    Raises ValueError for a step that is unknown.
    """
    for step in steps:
        if step not in STEPS:
            raise ValueError(f'step "{step}" of compiling: expected one of {", ".join(STEPS)}')
        on_progress(step)
        if step == RECEIVING:
            ReceiveBuffer(group_bytes=1 << 16, max_payload=1 << 16).warm_up()
        elif step == DECODING:
            compile_codecs()
        elif step == WHOLE_WAY:
            _run_engine()
        else:
            name = step.removeprefix(DETECTOR)
            if name in _OF_EXTRAS and not is_installed(_OF_EXTRAS[name]):
                continue
            compile_detector(name)
            if scores_rows(name):
                _run_engine(name)


def _run_engine(*row_detectors: str) -> None:
    routes = [
        RouteSettings(filter="slow/#", reorder_window="10s"),
        RouteSettings(filter="#", detectors=["default", *row_detectors]),
    ]
    # Which detector scores a series does not matter: each is a step of its own.
    scored_by = {
        **DEFAULT_DETECTORS,
        "default": ComponentSettings.model_validate({"type": "threshold", "upper": 100.0}),
        **{name: ComponentSettings.model_validate({"type": name}) for name in row_detectors},
    }
    engine = Engine(routes, scored_by, AlarmSettings(), LimitSettings())
    with tempfile.TemporaryDirectory() as folder, EmbeddedStore(Path(folder) / "points.duckdb") as store:
        for position in range(2):
            chunk = MessageChunk.of([_message(position * MESSAGES + number) for number in range(MESSAGES)])
            store.commit(engine.step(JournalEntry(position, position * MESSAGES, chunk)))


def _message(number: int) -> tuple[bytes, bytes, int, int]:
    time = START + number * SECOND
    payload = b'{"ts": %d, "a": %d.5, "b": 2}' % (time // SECOND, number)
    return (b"slow/a" if number % 2 else b"fast/b"), payload, time, 0


def main(steps: Sequence[str]) -> None:
    """Run the steps named, here; without any, all that are missing, in two processes."""

    def say(step: str) -> None:
        print(f"  {step}" if not steps else step, flush=True)

    if steps:
        compile_steps(steps, say)
        return
    drop_stale_kernels()
    compiler = KernelCompiler(STEPS, say)
    compiler.start()
    compiler.wait()
