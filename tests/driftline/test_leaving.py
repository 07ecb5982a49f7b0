"""The process ends in time and with its exit code, whatever is still under way in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HELD = """
import signal, sys, threading, time
from driftline.runtime.leaving import end_in_time

signal.signal(signal.SIGTERM, lambda *_: None)
end_in_time(0.2, lambda: print("ended as it is"))
print("ready", flush=True)
if sys.argv[1] == "a call of a library":
    import ctypes
    while True:
        ctypes.CDLL(None).sleep(3600)
time.sleep(3600)
"""

LEFT_BEHIND = """
import sys, threading, time
import driftline.cli.command_line as command_line

threading.Thread(target=time.sleep, args=(3600,)).start()
sys.argv = ["driftline", "nonsense"]
sys.exit(command_line.main())
"""


@pytest.mark.parametrize("held_by", ["a call of a library", "a wait of Python's"])
def test_a_process_that_is_held_ends_some_time_after_the_signal(held_by: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", HELD, held_by], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.communicate(timeout=240)[0] == "ended as it is\n"
    assert process.returncode == 0


def test_a_command_ends_with_its_code_although_a_thread_is_left() -> None:
    done = subprocess.run([sys.executable, "-c", LEFT_BEHIND], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 2
    assert "No such command 'nonsense'" in done.stderr
