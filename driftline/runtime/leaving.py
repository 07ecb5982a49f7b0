"""After everything: the process ends in time, whatever still runs in it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress


def end_in_time(seconds: float, last_word: Callable[[], None]) -> None:
    """From the first signal that Python handles on, give the process so many seconds; then it ends as by a kill.

    `last_word` is called before. A kill loses nothing: what is journaled is scored and stored at the next start. The
    signal is seen although the main thread is within a long call of a library. Main thread only.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)

    def watch() -> None:
        with reading:
            reading.recv(1)
        time.sleep(seconds)
        last_word()
        leave(0)

    threading.Thread(target=watch, name="end in time", daemon=True).start()


def leave(code: int) -> None:
    """End the process at once, its output written: libraries are not torn down under threads that are within them."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    logging.shutdown()
    os._exit(code)
