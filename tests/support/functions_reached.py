"""A pytest plugin: which functions of the project each test calls, and how long it takes. `mutants.py` asks it.

What runs before the first test, such as what makes tables at import, stands under `COLLECTED`.
Calls made by other processes, by compiled kernels and by fixtures of a wider scope than the test are not seen.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import pytest

TARGET_VARIABLE = "DRIFTLINE_FUNCTIONS_REACHED"
"""Environment variable that names the file written at the end."""

COLLECTED = ""
"""In place of a test: what runs before the first one."""

_reached: set[CodeType] = set()
_tests: dict[str, tuple[float, list[str]]] = {}


def _note(frame: FrameType, event: str, _: object) -> None:
    if event == "call":
        _reached.add(frame.f_code)


@contextmanager
def _watched(root: Path, name: str) -> Iterator[None]:
    _reached.clear()
    started = time.perf_counter()
    threading.setprofile(_note)
    sys.setprofile(_note)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        within = f"{root}{os.sep}"
        places = {
            f"{code.co_filename.removeprefix(within)}:{code.co_firstlineno}"
            for code in _reached.copy()
            if code.co_filename.startswith(within)
        }
        before, known = _tests.get(name, (0.0, []))
        _tests[name] = (before + time.perf_counter() - started, sorted(places.union(known)))


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    with _watched(early_config.rootpath, COLLECTED):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    with _watched(session.config.rootpath, COLLECTED):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    with _watched(item.config.rootpath, item.nodeid):
        return (yield)


def pytest_sessionfinish() -> None:
    Path(os.environ[TARGET_VARIABLE]).write_text(json.dumps(_tests))
