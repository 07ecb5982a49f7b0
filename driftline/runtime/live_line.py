"""The live line of counts under `driftline up`: one line on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from common.visible import visible, without_secrets
from driftline.http.view import Counts, ServiceView, Status

_LOG_EVERY_SECONDS = 30.0
_COLOURS = {Status.GREEN: "green", Status.YELLOW: "yellow", Status.RED: "red"}


class LiveLine:
    """Shows messages, points, anomalies, rejects and lag, with the message rate since the last refresh."""

    def __init__(self, view: ServiceView, console: Console) -> None:
        self._view = view
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._before: Counts | None = None
        self._logged_at = 0.0

    def __enter__(self) -> LiveLine:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def refresh(self) -> None:
        """Draw the line anew; in a log, where nothing can be drawn over, once in a while."""
        if self._live is None:
            if time.monotonic() - self._logged_at < _LOG_EVERY_SECONDS:
                return
            self._logged_at = time.monotonic()
        counts = self._view.counts()
        if self._live is not None:
            self._live.update(self._line(counts), refresh=True)
        else:
            self._console.print(self._line(counts), soft_wrap=True)
        self._before = counts

    def _line(self, counts: Counts) -> Text:
        health = self._view.health()
        line = Text("● ", style=_COLOURS[health.status])
        rate = 0.0
        if self._before is not None and counts.time > self._before.time:
            rate = (counts.messages - self._before.messages) / ((counts.time - self._before.time) / 1e9)
        points = counts.stored + counts.late
        shelved = f" ({counts.shelved_alarms} shelved)" if counts.shelved_alarms else ""
        line.append(
            f"messages {counts.messages:,} ({rate:,.0f}/s)  points {points:,}  anomalies {counts.anomalies:,}  "
            f"alarms open {counts.open_alarms}{shelved}  rejected {sum(counts.rejected.values()):,}  "
            f"lag {counts.lag_seconds:.1f} s",
            style="default",
        )
        for stage in health.stages:
            if stage.status is not Status.GREEN:
                line.append(f"  {stage.stage}: {without_secrets(visible(stage.message))}", style=_COLOURS[stage.status])
        return line
