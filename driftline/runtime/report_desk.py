"""Makes the reports that are due, in a thread, each once: as a file of the data folder, and through notice channels."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from alerts.notices.notifier import Notifier
from common.time_units import DAY
from driftline.config import Config
from driftline.report.report_making import kept_for, make_report
from driftline.report.report_text import report_json, report_message, report_text
from driftline.runtime.background_job import BackgroundJob
from storage.embedded.queries import StoreQueries

log = logging.getLogger(__name__)

_KEPT = 120


class ReportDesk:
    """`look` is called now and then. A report that was due while the service was down is made up for, for half its
    time. Its file says that it is done: after a kill before that it is made again, and sent no second time."""

    def __init__(
        self,
        folder: Path,
        store: StoreQueries,
        config: Callable[[], Config],
        notifier: Callable[[], Notifier | None],
        clock: Callable[[], int],
    ) -> None:
        self._folder = folder
        self._store = store
        self._config = config
        self._notifier = notifier
        self._clock = clock
        self._job = BackgroundJob("report")

    def look(self) -> None:
        """Begin the report that is due, where one is."""
        settings, now = self._config().report, self._clock()
        due = settings.last_due(now)
        is_late = due is not None and now - due > settings.days * DAY // 2
        if due is None or is_late or self.path(due).exists() or self._job.is_running:
            return
        self._job.begin(partial(self._make, self._config(), due))

    def stop(self) -> None:
        """End after the report that is being made."""
        self._job.stop()

    def path(self, due: int) -> Path:
        """The file of the report that was due then."""
        return self._folder / "reports" / f"{datetime.fromtimestamp(due / 1e9, UTC):%Y-%m-%dT%H%MZ}.md"

    def _make(self, config: Config, due: int) -> None:
        settings = config.report
        try:
            kept = kept_for(config.store, config.archive)
            report = make_report(self._store, config.alarm, self._folder, due - settings.days * DAY, due, kept=kept)
            notifier = self._notifier()
            if settings.notices and notifier is not None:
                for name in notifier.send(report_message(report, settings.time_zone), settings.notices):
                    log.warning('report: there is no notice channel "%s"', name)
            path = self.path(due)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.with_suffix(".json").write_text(json.dumps(report_json(report), indent=2) + "\n")
            unfinished = path.with_suffix(".partial")
            unfinished.write_text(report_text(report, settings.time_zone))
            unfinished.replace(path)
            for old in sorted(path.parent.glob("*.md"))[:-_KEPT]:
                old.with_suffix(".json").unlink(missing_ok=True)
                old.unlink()
        except Exception:
            log.exception("the report could not be made; it is tried again")
