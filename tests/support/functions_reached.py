"""A pytest plugin: which functions of the project each test calls, and how long it takes. `mutants.py` asks it.

Calls made by other processes, by compiled kernels and by fixtures of a wider scope than the test are not seen.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import pytest

TARGET_VARIABLE = "DRIFTLINE_FUNCTIONS_REACHED"
"""Environment variable that names the file written at the end."""

_reached: set[CodeType] = set()
_tests: dict[str, tuple[float, list[str]]] = {}


def _note(frame: FrameType, event: str, _: object) -> None:
    if event == "call":
        _reached.add(frame.f_code)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _reached.clear()
    started = time.perf_counter()
    threading.setprofile(_note)
    sys.setprofile(_note)
    try:
        return (yield)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        root = f"{item.config.rootpath}{os.sep}"
        places = {
            f"{code.co_filename.removeprefix(root)}:{code.co_firstlineno}"
            for code in _reached.copy()
            if code.co_filename.startswith(root)
        }
        _tests[item.nodeid] = (time.perf_counter() - started, sorted(places))


def pytest_sessionfinish() -> None:
    Path(os.environ[TARGET_VARIABLE]).write_text(json.dumps(_tests))
