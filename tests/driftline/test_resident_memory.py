"""Pages of libraries that are not needed any more are given back, and come again when they are."""

import re
import sys
from pathlib import Path

import duckdb
import pytest

from driftline.runtime.resident_memory import UnusedCode, unchanged_mappings

_SMAPS = """\
7f0000000000-7f0000004000 r--p 00000000 fe:00 11                         /opt/a folder/libcode.so
Rss:                  16 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me
7f0000004000-7f0000008000 r-xp 00004000 fe:00 11                         /opt/a folder/libcode.so
Rss:                  16 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
7f0000008000-7f000000a000 r--p 00008000 fe:00 11                         /opt/a folder/libcode.so
Rss:                   8 kB
Anonymous:             8 kB
Swap:                  0 kB
VmFlags: rd mr mw me
7f000000a000-7f000000c000 r--p 0000a000 fe:00 11                         /opt/a folder/libcode.so
Rss:                   0 kB
Anonymous:             0 kB
Swap:                  8 kB
VmFlags: rd mr mw me
7f000000c000-7f000000e000 rw-p 0000c000 fe:00 11                         /opt/a folder/libcode.so
Rss:                   0 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd wr mr mw me
7f000000e000-7f0000010000 r-xp 00000000 fe:00 12                         /opt/libother.so
Rss:                   8 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
7f0000010000-7f0000012000 r--p 00000000 00:00 0
Rss:                   8 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me
"""


def test_what_was_or_may_be_written_to_is_kept() -> None:
    found = list(unchanged_mappings(["libcode"], _SMAPS))

    assert found == [(0x7F0000000000, 0x7F0000004000), (0x7F0000004000, 0x7F0000008000)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what memory consists of")
def test_a_library_goes_on_after_its_code_was_given_back() -> None:
    query = "select sum(n * n) from range(1000) t(n)"
    assert duckdb.sql(query).fetchall() == [(332833500,)]
    before = _resident_code("_duckdb")

    UnusedCode(["_duckdb"]).give_back()

    assert before > 1_000
    assert _resident_code("_duckdb") < before / 2
    assert duckdb.sql(query).fetchall() == [(332833500,)]


def _resident_code(library: str) -> int:
    """Resident kilobytes of the mappings of a library that can be run."""
    text = Path("/proc/self/smaps").read_text()
    sizes = re.findall(rf"^\S+ r-xp .*/{library}[^\n]*\nSize:[^\n]*\n(?:[^\n]*\n)*?Rss: +(\d+) kB", text, re.MULTILINE)
    return sum(map(int, sizes))
