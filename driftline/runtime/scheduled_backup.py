"""Backups that make themselves: at their times, tried by a restore; the oldest go once a new one is good."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from common.time_units import HOUR, SECOND
from driftline.http.view import StageHealth, Status
from driftline.runtime.background_job import BackgroundJob
from driftline.runtime.backup_settings import BackupSettings
from driftline.runtime.backup_trial import extent_of, try_backup
from driftline.runtime.data_backup import back_up
from driftline.runtime.data_folder import DataFolder
from functions.schedule import newest_firing
from storage.embedded.database import EmbeddedStore

log = logging.getLogger(__name__)

_NAME = re.compile(r"driftline-(\d{8}T\d{6})Z")
_BAD = ".bad"
"""What the name of a backup ends with that could not be put back; the newest of them stays, to be looked at."""
_FORM = "%Y%m%dT%H%M%S"
_AGAIN_AFTER = HOUR


class ScheduledBackups:
    """Makes backups at the times of the settings, in a thread of its own; `look` begins one that is due.

    Which were made is told by the folder, so that one that was missed while nothing ran is made at the next look.
    """

    def __init__(
        self,
        folder: DataFolder,
        store: EmbeddedStore,
        config_file: Path | None,
        held: Callable[[], AbstractContextManager[object]],
        *,
        clock: Callable[[], int],
    ) -> None:
        self._folder = folder
        self._store = store
        self._config_file = config_file
        self._held = held
        self._clock = clock
        self._began = clock()
        self._failed_at = 0
        self._problem = ""
        self._newest = ""
        self._job = BackgroundJob("scheduled backup")

    def look(self, settings: BackupSettings) -> None:
        """Begin a backup that is due; returns at once."""
        if settings.folder is None or self._job.is_running:
            return
        now = self._clock()
        if self._failed_at and now - self._failed_at < _AGAIN_AFTER:
            return
        last = max((_time_of(each) for each in made_backups(settings.folder)), default=self._began)
        if newest_firing(settings.schedule, settings.time_zone, last, now) is None:
            return
        self._job.begin(partial(self._run, settings))

    def stop(self) -> None:
        """Wait for the backup that is under way."""
        self._job.stop()

    def health(self, settings: BackupSettings) -> list[StageHealth]:
        """How the newest backup is; nothing where none are asked for."""
        if settings.folder is None:
            return []
        if self._problem:
            return [StageHealth("backup", Status.YELLOW, self._problem)]
        made = made_backups(settings.folder)
        word = self._newest or (f"the newest is {made[-1].name}" if made else "none is due yet")
        return [StageHealth("backup", Status.GREEN, word)]

    def _run(self, settings: BackupSettings) -> None:
        try:
            self._newest = self._make(settings)
        except Exception as error:
            log.warning("the backup failed, and is made again in an hour: %s", error)
            self._failed_at, self._problem = self._clock(), f"failed, and is made again in an hour: {error}"
        else:
            self._failed_at, self._problem = 0, ""

    def _make(self, settings: BackupSettings) -> str:
        assert settings.folder is not None
        moment = datetime.fromtimestamp(self._clock() / SECOND, UTC)
        target = settings.folder / f"driftline-{moment.strftime(_FORM)}Z"
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in (*settings.folder.glob(".trial-*"), *settings.folder.glob("driftline-*Z.partial")):
            # Of one that a kill has cut short.
            shutil.rmtree(left, ignore_errors=True)
        least = extent_of(self._store)
        size = back_up(self._folder, self._store, self._config_file, target, held=self._held)
        word = f"{target.name}: {size / 2**20:.1f} MiB"
        if settings.check:
            try:
                found = try_backup(target, least=least, most=extent_of(self._store))
            except BaseException:
                # One that cannot be put back must not look like one that can.
                target.rename(target.with_name(f"{target.name}{_BAD}"))
                _remove(sorted(settings.folder.glob(f"driftline-*Z{_BAD}"))[:-1])
                raise
            word += f", restored on trial with {found.messages:,} messages"
        _remove(made_backups(settings.folder)[: -settings.keep])
        return word


def _remove(backups: Iterable[Path]) -> None:
    for old in backups:
        with suppress(OSError):
            shutil.rmtree(old)


def made_backups(folder: Path) -> list[Path]:
    """The backups that were made by schedule, the oldest first."""
    try:
        return sorted(each for each in folder.iterdir() if _NAME.fullmatch(each.name))
    except OSError:
        return []


def _time_of(backup: Path) -> int:
    found = _NAME.fullmatch(backup.name)
    assert found is not None
    return int(datetime.strptime(found[1], _FORM).replace(tzinfo=UTC).timestamp()) * SECOND
