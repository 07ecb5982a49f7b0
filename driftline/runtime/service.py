"""The service: its stages opened, looked after, given another configuration, and closed so that nothing is lost."""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from driftline.config import Config, changed_for_next_start, load_config
from driftline.config_errors import ConfigError
from driftline.config_files import check_files
from driftline.config_warnings import changed_tables, config_warnings, no_longer_heard
from driftline.runtime.demo import with_demo_route
from driftline.runtime.leaving import end_in_time
from driftline.runtime.live_line import LiveLine
from driftline.runtime.notice_desk import with_secrets
from driftline.runtime.recovery import new_engine, say_anew
from driftline.runtime.stages import Stages
from driftline.runtime.warm_start import warm_start
from ingest.receiver_state import ReceiverState
from ingest.subscriptions import check_filters
from streams.definitions import table_columns

log = logging.getLogger(__name__)

_RELOAD_CHECK_SECONDS = 1.0
_BACKLOG_SHARE = 0.8
_CATCH_UP_SECONDS = 5.0
_END_WITHIN_SECONDS = 9.0


class Service(Stages):
    """Driftline on one machine. `start` opens everything, `stop` closes it; `run` does both around a signal."""

    def __init__(
        self,
        config: Config,
        *,
        var_dir: Path,
        config_file: Path | None = None,
        demo: bool = False,
        console: Console | None = None,
        clock: Callable[[], int] = time.time_ns,
        adjust: Callable[[Config], Config] = lambda config: config,
    ) -> None:
        super().__init__(
            config,
            var_dir=var_dir,
            config_file=config_file,
            demo=demo,
            console=console or Console(stderr=True),
            clock=clock,
        )
        self._adjust = adjust
        self._stop_asked = threading.Event()
        self._failing: dict[str, str] = {}
        self._refused: list[str] = []
        self._config_stamp = self._read_config_stamp()

    def start(self) -> None:
        """Open all stages, last one first, so that nothing arrives before its consumer is ready.

        Raises ConfigError, FolderInUseError, StorageCorruptError, PortTakenError or OSError; what was opened is
        closed again.
        """
        check_files(self.config)
        try:
            self.open_all()
        except BaseException:
            self.stop()
            raise
        # What is there by now stays: looking through it again would hold every thread up for some tenths of a second.
        gc.freeze()

    def _say_what_holds(self) -> None:
        what = f"closing the {self._closing}" if self._closing else "the start"
        self._warn(f"{what} is not done: ended as it is; what is journaled is stored at the next start")

    def run(self) -> int:
        """Run until SIGINT or SIGTERM, showing a line of counts. Returns the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop_asked.set())
        end_in_time(_END_WITHIN_SECONDS, self._say_what_holds)
        self.start()
        try:
            self.say_what_runs()
            failed = self._look_after_all()
        finally:
            self._say("stopping: finishing what has been received")
            self.stop()
            self._say("stopped")
        return 1 if failed else 0

    def _look_after_all(self) -> bool:
        """Until the service is asked to stop, or a stage has stopped by itself: then True."""
        with LiveLine(self.status, self._console) as line:
            while not self._stop_asked.wait(_RELOAD_CHECK_SECONDS):
                for look in (
                    line.refresh,
                    self.reload_if_changed,
                    self._backups.look,
                    self._reports.look,
                    self._back_up_when_due,
                    self._look_after_clock,
                    self._note_filters,
                    self._balance,
                ):
                    self._attempt(look)
                if self._stopped_by_itself():
                    return True
        return False

    def _back_up_when_due(self) -> None:
        self._scheduled.look(self.config.backup)

    def _attempt(self, look: Callable[[], None]) -> None:
        """Do it; what goes wrong, as on a full disk, is logged once and tried again the next time round.

        What a full disk means for messages is decided by the journal and the store alone.
        """
        name = look.__name__
        try:
            look()
        except Exception as error:
            if self._failing.get(name) != str(error):
                log.exception("looking after the service: %s failed; it is tried again", name.strip("_"))
            self._failing[name] = str(error)
        else:
            self._failing.pop(name, None)

    def request_stop(self) -> None:
        """Ask `run` to end. Any thread may call it."""
        self._stop_asked.set()

    def reload(self, config: Config) -> None:
        """Put a checked configuration in place between two engine steps, keeping the state of unchanged detectors.

        The new engine is made, and its filters are checked, before anything of the old one is let go: what is raised
        until then leaves the configuration in force as it was.
        """
        check_files(config)
        filters = self._session_filters(new_engine(config, []).router.filters)
        channels = with_secrets(config.notices)
        if later := changed_for_next_start(self.config, config):
            self._warn(f"changed settings of {', '.join(later)} take effect at the next start")

        tables = changed_tables(self.config, config)
        lost = no_longer_heard(self._engine.engine.router.filters, filters)

        def swap() -> None:
            old = self._engine.engine
            new = new_engine(config, old.registry.all_known())
            arrays, rest = old.state()
            anew = new.load(old.position, arrays, rest)
            if anew:
                self._await_stored(old.position)
            warm_start(new, anew, arrays, self._store, self._say)
            self._engine.engine = new
            # Queued before anything that is scored under the new settings: a restart reads them from the snapshot.
            self._engine.snapshot()
            say_anew(anew, self._say)
            for line in tables:
                self._say(f"{line}, in force from journal position {old.position}")

        self._store.declare_streams(table_columns(config.streams, config.stream_tables))
        self._engine.between_steps(swap)
        self.config = self.status.config = config
        self._remember_all_filters(filters)
        self._session.resubscribe(filters)
        self._notices.configure(channels, config.maintenance)
        self._functions.configure(config)
        self._workflows.configure(config)
        if lost:
            self._warn(lost)

    def _session_filters(self, filters: dict[str, int]) -> dict[str, int]:
        """Filters as the running session can take them: one that the broker forgets has QoS 0 until the next start.

        Raises ValueError for a filter that is none.
        """
        clean = self._session.settings.clean_session
        wanted = {name: 0 if clean else quality for name, quality in filters.items()}
        check_filters(wanted, clean_session=clean)
        return wanted

    def _await_stored(self, position: int) -> None:
        """Let the database catch up with the engine, for as long as the engine may stand still."""
        until = time.monotonic() + _CATCH_UP_SECONDS
        while self._store.position < position and time.monotonic() < until:
            time.sleep(0.01)

    def say_what_runs(self) -> None:
        """Tell where broker, database and page are, and what the configuration is warned of."""
        say = self._say
        say(f"broker    {self._broker.url} ({self._broker.kind})")
        if self._demo:
            say(f"fleet     {self._fleet.description}")
        say(f"topics    {', '.join(self._engine.engine.router.filters)}{self._from_file}")
        say(f"database  {self.folder.database}")
        for sink in self.config.sinks:
            say(f"sink      {sink.name}: {sink.url}")
        say(f"page      {self.url or 'not served (http.enabled = false)'}")
        self._warn_of_configuration()

    @property
    def _from_file(self) -> str:
        if self._config_file is None:
            return ""
        there = self._config_file.exists()
        return f", by the routes of {self._config_file}" if there else f"; there is no {self._config_file} yet"

    def _warn_of_configuration(self) -> None:
        for line in config_warnings(self.config):
            self._warn(f"warning   {line}")

    def reload_if_changed(self) -> None:
        """Put the configuration file in force where it has changed; one that is refused leaves all as it was."""
        stamp = self._read_config_stamp()
        if stamp == self._config_stamp or self._config_file is None:
            return
        self._config_stamp, files = stamp, self._table_files()
        try:
            config = self._adjust(load_config(self._config_file))
            self.reload(with_demo_route(config) if self._demo else config)
        except ConfigError as error:
            # Editors write a file more than once: the same errors are told once.
            if error.errors != self._refused:
                for one in error.errors:
                    self._fail(one)
                self._say("the configuration in force stays as it was")
            self._refused = error.errors
        except Exception:
            log.exception("the configuration %s could not be put in force", self._config_file)
            self._fail("the configuration could not be put in force: it stays as it was")
        else:
            self._refused = []
            if self._table_files() != files:
                self._config_stamp = self._read_config_stamp()
            self._say(f"configuration {self._config_file} is in force")
            self._warn_of_configuration()

    def _read_config_stamp(self) -> list[tuple[int, int] | None]:
        """Time of change and size of the configuration file, and of the tables that its streams join."""
        return [_stamp_of(path) for path in (self._config_file, *self._table_files()) if path is not None]

    def _table_files(self) -> list[Path]:
        folder = Path() if self._config_file is None else self._config_file.parent
        return [folder / file for stream in self.config.streams for file in stream.tables.values()]

    def _balance(self) -> None:
        """Let the broker wait where the journal fills faster than the engine empties it."""
        full = self._journal.size_bytes > _BACKLOG_SHARE * self.config.journal.max_bytes
        refusing = self._receiver.statistics().state is ReceiverState.JOURNAL_FULL
        if full or refusing:
            # The journal reaches back to the oldest snapshot: newer ones let go of its old part.
            self._engine.request_snapshot()
            self._housekeeping.ask()
        if full and self._engine.backlog:
            self._receiver.pause()
        else:
            self._receiver.resume()

    def _stopped_by_itself(self) -> bool:
        for stage in self.status.health().stages:
            if stage.message.startswith("stopped:"):
                self._fail(f"{stage.stage} {stage.message}")
                return True
        return False


def _stamp_of(path: Path) -> tuple[int, int] | None:
    try:
        known = path.stat()
    except OSError:
        return None
    return known.st_mtime_ns, known.st_size
