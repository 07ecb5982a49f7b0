"""Receive: one thread waits for a socket, and any other thread can end the wait."""

from __future__ import annotations

import contextlib
import select
import socket
import threading


class SocketWait:
    """Waits for one socket at a time. `open` it before the first wait."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._registered: tuple[int, int] | None = None
        self._wake_in: socket.socket | None = None
        self._wake_out: socket.socket | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Make ready to wait and to be woken."""
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._poll.register(self._wake_in, select.POLLIN)

    def close(self) -> None:
        """Let go of everything. It may be opened again."""
        with self._lock:
            for end in (self._wake_in, self._wake_out):
                if end is not None:
                    end.close()
            self._wake_in = self._wake_out = None
        self._poll = select.poll()
        self._registered = None

    def wake(self) -> None:
        """End a wait early. Any thread may call it."""
        with self._lock:
            if self._wake_out is not None:
                with contextlib.suppress(BlockingIOError):
                    self._wake_out.send(b"\0")

    def drain(self) -> None:
        """Forget that somebody called `wake`."""
        if self._wake_in is not None:
            with contextlib.suppress(BlockingIOError):
                self._wake_in.recv(4096)

    def watch(self, descriptor: int, *, reading: bool, writing: bool) -> None:
        """From now on wait for the socket of this descriptor, until it can be read or written."""
        wanted = descriptor, (select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0)
        if self._registered == wanted:
            return
        self.forget()
        if wanted[1]:
            self._poll.register(*wanted)
            self._registered = wanted

    def forget(self) -> None:
        """Wait for no socket any more. It may be closed already."""
        if self._registered is not None:
            self._poll.unregister(self._registered[0])
            self._registered = None

    def wait(self, seconds: float) -> tuple[bool, bool]:
        """Wait at most so long: whether the socket can be read, or has ended, and whether it can be written."""
        readable = writable = False
        for descriptor, events in self._poll.poll(max(seconds, 0.0) * 1000):
            if self._wake_in is not None and descriptor == self._wake_in.fileno():
                self.drain()
                continue
            writable = bool(events & select.POLLOUT)
            readable = bool(events & ~select.POLLOUT)
        return readable, writable
