"""Housekeeping beside the way of a message: the journal's and the database's old and unsorted parts, in a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.durations import parse_duration
from common.storage_errors import StorageCorruptError, StorageFullError
from driftline.runtime.resident_memory import UnusedCode
from storage.embedded.database import EmbeddedStore
from storage.embedded.priority import HOUSEKEEPING, give_way
from storage.snapshots import SnapshotStore
from storage.store import Journal

log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 30.0


class Housekeeping:
    """Removes what is past its keeping and sorts what was stored, now and then and when asked."""

    def __init__(
        self, store: EmbeddedStore, journal: Journal, snapshots: SnapshotStore, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._journal = journal
        self._snapshots = snapshots
        self._clock = clock
        self._wanted = threading.Event()
        self._stopping = False
        self._archive_at = 0
        self._unused_code = UnusedCode()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ask(self) -> None:
        """Do a round soon."""
        self._wanted.set()

    def stop(self) -> None:
        """End after the round that is under way."""
        self._stopping = True
        self._wanted.set()
        self._thread.join()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is removed or sorted while this is entered."""
        with self._lock:
            yield

    def _run(self) -> None:
        give_way(HOUSEKEEPING)
        while not self._stopping:
            self._wanted.wait(_INTERVAL_SECONDS)
            self._wanted.clear()
            if not self._stopping:
                with self._lock:
                    self._round()
                self._unused_code.give_back()

    def _archive(self) -> None:
        archive = self._store.archive
        if archive is None or self._clock() < self._archive_at:
            return
        self._store.move_to_archive(self._clock())
        self._archive_at = self._clock() + parse_duration(archive.settings.every)

    def _round(self) -> None:
        try:
            # Every snapshot kept may be needed, should the newer ones turn out damaged: the journal reaches back to it.
            positions = self._snapshots.positions
            if positions:
                self._journal.compact(min(*positions, self._store.position), self._clock())
            self._archive()
            self._store.apply_retention(self._clock())
            self._store.compact()
        except (StorageFullError, StorageCorruptError, OSError) as error:
            log.warning("housekeeping: %s; trying again in %.0f s", error, _INTERVAL_SECONDS)
