"""Runs `driftline` on a wall clock that a test sets: the nanoseconds in a file are added to the host's.

    python jumping_clock.py FILE ARGUMENTS...

The clock that counts from the machine's start, and the monotonic one, stay as they are.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from pathlib import Path

_OFFSET = struct.Struct("<q")


def set_offset(file: Path, seconds: float) -> None:
    """Let the clock of the process that runs on `file` be so many seconds ahead from now on."""
    target = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(target, _OFFSET.pack(int(seconds * 10**9)), 0)
    os.close(target)


def follow(file: Path) -> None:
    """Replace the wall clock of this process."""
    true_ns = time.time_ns
    with file.open("rb") as opened:
        offset = mmap.mmap(opened.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)

    def time_ns() -> int:
        return true_ns() + int(_OFFSET.unpack_from(offset)[0])

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


if __name__ == "__main__":
    follow(Path(sys.argv[1]))
    from driftline.cli.command_line import main

    del sys.argv[1]
    sys.exit(main())
