"""A control group of limited memory for a service under test, below the group that the tests run in."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path]:
    """A group whose processes together may take so much; skips the test where none may be made."""
    own = _own_group()
    if own is None:
        pytest.skip("no control group of memory (version 1) to make another one in")
    group = own / f"driftline-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no control group may be made here: {error}")
    try:
        yield group
    finally:
        _remove(group)


def peak_bytes(pid: int) -> int:
    """The most resident memory that the process has had so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no VmHWM")


def _own_group() -> Path | None:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory") / path.lstrip("/")
    return None


def _remove(group: Path) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)  # the kernel lets go of a group a moment after its last process
