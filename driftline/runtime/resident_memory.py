"""Memory that is given back to the machine: parts of libraries that were needed once.

LLVM's code runs while kernels are loaded, most of DuckDB's while the database is opened. The pages stay in the
process until the machine is short of memory, and count as its own. They are whole on disk: what is needed again is
mapped again out of the page cache, 64 KiB at a time.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

_MADV_DONTNEED = 4
_LIBRARIES = ("libllvmlite", "_duckdb")
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +(/.*)$")
_OWN_PAGES = ("Anonymous", "Swap")


class UnusedCode:
    """The pages of libraries whose file's name begins with one of `libraries`, but for those that were written to."""

    def __init__(self, libraries: Sequence[str] = _LIBRARIES) -> None:
        self._libraries = libraries
        self._mappings: list[tuple[int, int]] | None = None

    def give_back(self) -> None:
        """Drop them. The libraries have to be there at the first call, and to stay. On Linux alone; elsewhere nothing
        happens.
        """
        if sys.platform != "linux":
            return
        if self._mappings is None:
            # Once: it looks through all of the process' memory.
            with suppress(OSError):
                self._mappings = list(unchanged_mappings(self._libraries, Path("/proc/self/smaps").read_text()))
        c_library = ctypes.CDLL(None)
        c_library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for start, end in self._mappings or ():
            c_library.madvise(start, end - start, _MADV_DONTNEED)


def unchanged_mappings(libraries: Sequence[str], smaps: str) -> Iterator[tuple[int, int]]:
    """Start and end of each mapping of these libraries that cannot be written to and is as it is in the file.

    Addresses that the loader has put in lie in mappings that may only be read, too: those have pages of their own,
    in memory or in swap. `smaps` is the text of `/proc/PID/smaps`.
    """
    found: tuple[int, int] | None = None
    own = 0
    for line in smaps.splitlines():
        key, _, value = line.partition(":")
        if key in _OWN_PAGES:
            own += int(value.split()[0])
        elif key == "VmFlags":  # The last line of each mapping.
            if found is not None and own == 0:
                yield found
            found, own = None, 0
        elif mapping := _MAPPING.match(line):
            start, end, access, path = mapping.groups()
            if "w" not in access and path.rpartition("/")[2].startswith(tuple(libraries)):
                found = int(start, 16), int(end, 16)
