"""Work at run time that is done now and then in a thread of its own, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable


class BackgroundJob:
    """Work that `begin` starts; the service goes on meanwhile. It belongs to the thread that looks for work."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the work that was begun last is under way."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, work: Callable[[], None]) -> None:
        """Begin, once `is_running` says that nothing is under way; returns at once."""
        self._thread = threading.Thread(target=work, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait for the work that is under way."""
        if self._thread is not None:
            self._thread.join()
