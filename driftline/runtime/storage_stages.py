"""The stages of the service that keep data: folder, database, journal, snapshots, the clock's watch, backups."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from common.visible import visible, without_secrets
from driftline.config import Config
from driftline.runtime.clock_watch import ClockWatch, boot_identity
from driftline.runtime.confirmations import Confirmations
from driftline.runtime.data_backup import BackupDesk
from driftline.runtime.data_folder import DataFolder
from driftline.runtime.housekeeping import Housekeeping
from driftline.runtime.parts import what_is_lost
from driftline.runtime.scheduled_backup import ScheduledBackups
from storage.archive.parquet_archive import Archive
from storage.embedded.database import EmbeddedStore
from storage.external.reader_parts import ExternalReader
from storage.external.sink_registry import external_reader
from storage.journal.journal_registry import make_journal
from storage.snapshots import SnapshotStore
from storage.storage_settings import read_token
from streams.definitions import table_columns

log = logging.getLogger(__name__)


class StorageStages:
    """What keeps a service's data, and the closing of all stages: each that is opened adds how it is closed."""

    def __init__(
        self,
        config: Config,
        *,
        var_dir: Path,
        config_file: Path | None,
        console: Console,
        clock: Callable[[], int],
    ) -> None:
        self.config = config
        self.folder = DataFolder(var_dir)
        self._config_file = config_file
        self._console = console
        self._clock = clock
        self._closers: list[tuple[str, Callable[[], object]]] = []
        self._closing = ""

    def stop(self) -> None:
        """Close all stages, first one first: receive no more, finish what is journaled, store it, save the state."""
        while self._closers:
            self._closing, close = self._closers.pop()
            try:
                close()
            except Exception:
                log.exception("closing the %s failed", self._closing)

    def _open_storage(self) -> None:
        self.folder.lock()
        self._closers.append(("data folder", self.folder.release))
        chosen = self.config.archive
        archive = Archive(chosen) if chosen.folder else None
        older = self._older_reader()
        self._store = EmbeddedStore(self.folder.database, self.config.store, archive=archive, older=older)
        self._store.open()
        self._closers.append(("database", self._store.close))
        self._store.declare_streams(table_columns(self.config.streams, self.config.stream_tables))
        self._journal = make_journal(self.folder.journal, self.config.journal)
        self._journal.open()
        self._closers.append(("journal", self._journal.close))
        self._snapshots = SnapshotStore(self.folder.snapshots)
        self._snapshots.open()
        self._closers.append(("snapshots", self._snapshots.close))
        self._watch_clock()
        self._housekeeping = Housekeeping(self._store, self._journal, self._snapshots, self._clock_watch.trusted)
        self._housekeeping.start()
        self._closers.append(("housekeeping", self._housekeeping.stop))
        self._backups = BackupDesk(self.folder, self._store, self._config_file, self._housekeeping.held)
        self._closers.append(("backup", self._backups.stop))
        self._scheduled = ScheduledBackups(
            self.folder, self._store, self._config_file, self._housekeeping.held, clock=self._clock
        )
        self._closers.append(("scheduled backup", self._scheduled.stop))

    def _compare_parts(self) -> None:
        lost = what_is_lost(
            stored=self._store.position,
            journal_first=self._journal.first_position,
            journal_next=self._journal.next_position,
            snapshots=self._snapshots.positions,
            database=str(self.folder.database),
            journal=self._journal.place,
        )
        self._remember_lost(lost)

    def _remember_lost(self, words: list[str]) -> None:
        for word in words:
            self._fail(word)
        self.folder.remember_losses(words)

    def _watch_clock(self) -> None:
        self._clock_watch = ClockWatch(
            self._clock,
            boot=boot_identity(),
            last_arrival=self._journal.last_arrival,
            saved=self.folder.clock_state(),
        )
        self._confirmations = Confirmations(
            self.folder.path, {"clock": self._clock_watch.confirm, "storage": self.folder.forget_losses}
        )
        self._look_after_clock()

    def _look_after_clock(self) -> None:
        self._confirmations.look()
        self._clock_watch.look()
        state = self._clock_watch.state()
        if state != self.folder.clock_state():
            with suppress(OSError):
                self.folder.remember_clock(state)

    def _older_reader(self) -> ExternalReader | None:
        chosen = next((sink for sink in self.config.sinks if sink.name == self.config.store.read_older_from), None)
        if chosen is None:
            return None
        reader = external_reader(chosen, token=read_token(chosen, os.environ))
        self._closers.append(("reader of older points", reader.close))
        return reader

    def _say(self, word: str) -> None:
        self._console.print(without_secrets(visible(word)), highlight=False, markup=False)

    def _warn(self, word: str) -> None:
        self._console.print(without_secrets(visible(word)), style="yellow", highlight=False, markup=False)

    def _fail(self, word: str) -> None:
        self._console.print(without_secrets(visible(word)), style="red", highlight=False, markup=False)
