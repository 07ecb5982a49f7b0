"""The service: every stage opened in order, run in its thread, and closed in the order that loses nothing."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from alerts.notices.outbox import Outbox
from common.durations import parse_duration
from common.visible import visible, without_secrets
from driftline.access.accounts import AccountBook
from driftline.access.gate import Gate
from driftline.access.identity import Role
from driftline.compile.kernel_compiler import KernelCompiler, steps_for
from driftline.config import Config, changed_for_next_start, load_config
from driftline.config_errors import ConfigError
from driftline.config_files import check_files
from driftline.config_warnings import config_warnings
from driftline.http.app import create_app
from driftline.http.events import LiveFeed
from driftline.http.server import HttpServer
from driftline.runtime.broker import LARGEST_PACKET, BrokerHandle, start_broker
from driftline.runtime.broker_losses import BrokerLosses
from driftline.runtime.clock_watch import ClockWatch, boot_identity
from driftline.runtime.confirmations import Confirmations
from driftline.runtime.data_backup import BackupDesk
from driftline.runtime.data_folder import DataFolder
from driftline.runtime.demo import DemoFleet, with_demo_route
from driftline.runtime.engine_worker import EngineWorker
from driftline.runtime.housekeeping import Housekeeping
from driftline.runtime.leaving import end_in_time
from driftline.runtime.live_line import LiveLine
from driftline.runtime.notice_desk import NoticeDesk, broker_publisher, with_secrets
from driftline.runtime.parts import what_is_lost
from driftline.runtime.recovery import new_engine, restored_engine, say_anew
from driftline.runtime.simulator_desk import simulator_desk
from driftline.runtime.sink_worker import Sinks
from driftline.runtime.status import ServiceStatus
from driftline.runtime.store_worker import StoreWorker
from driftline.runtime.warm_start import warm_start
from ingest.broker_settings import read_password
from ingest.receive import Receiver, ReceiverState
from ingest.session import MqttSession
from ingest.subscriptions import check_filters
from storage.archive.parquet_archive import Archive
from storage.embedded.database import EmbeddedStore
from storage.external.reader_parts import ExternalReader
from storage.external.sink_registry import external_reader
from storage.journal.journal_registry import make_journal
from storage.snapshots import SnapshotStore
from storage.storage_settings import read_token

log = logging.getLogger(__name__)

_RELOAD_CHECK_SECONDS = 1.0
_BACKLOG_SHARE = 0.8
_CATCH_UP_SECONDS = 5.0
_END_WITHIN_SECONDS = 9.0


class Service:
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
        self._adjust = adjust
        self.config = with_demo_route(config) if demo else config
        self.folder = DataFolder(var_dir)
        self._config_file = config_file
        self._demo = demo
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._stop_asked = threading.Event()
        self._failing: dict[str, str] = {}
        self._closers: list[tuple[str, Callable[[], object]]] = []
        self._closing = ""
        self._config_stamp = self._read_config_stamp()

    def start(self) -> None:
        """Open all stages, last one first, so that nothing arrives before its consumer is ready.

        Raises ConfigError, FolderInUseError, StorageCorruptError, PortTakenError or OSError; what was opened is
        closed again.
        """
        check_files(self.config)
        try:
            self._compile_kernels()
            self._open_storage()
            self._open_gate()
            self._open_engine()
            self._open_http()
            self._open_broker()
            self._open_session()
            self._open_notices()
            if self._demo:
                self._open_demo()
        except BaseException:
            self.stop()
            raise
        # What is there by now stays: looking through it again would hold every thread up for some tenths of a second.
        gc.freeze()

    def stop(self) -> None:
        """Close all stages, first one first: receive no more, finish what is journaled, store it, save the state."""
        while self._closers:
            self._closing, close = self._closers.pop()
            try:
                close()
            except Exception:
                log.exception("closing the %s failed", self._closing)

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
        return 1 if failed else 0

    def _look_after_all(self) -> bool:
        """Until the service is asked to stop, or a stage has stopped by itself: then True."""
        with LiveLine(self.status, self._console) as line:
            while not self._stop_asked.wait(_RELOAD_CHECK_SECONDS):
                for look in (
                    line.refresh,
                    self.reload_if_changed,
                    self._backups.look,
                    self._look_after_clock,
                    self._note_filters,
                    self._balance,
                ):
                    self._attempt(look)
                if self._stopped_by_itself():
                    return True
        return False

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

        self._engine.between_steps(swap)
        self.config = self.status.config = config
        self._remember_all_filters(filters)
        self._session.resubscribe(filters)
        self._notices.configure(channels, config.maintenance)

    def _session_filters(self, filters: dict[str, int]) -> dict[str, int]:
        """Filters as the running session can take them: one that the broker forgets has QoS 0 until the next start.

        Raises ValueError for a filter that is none.
        """
        clean = self._session.settings.clean_session
        wanted = {name: 0 if clean else quality for name, quality in filters.items()}
        check_filters(wanted, clean_session=clean)
        return wanted

    @property
    def url(self) -> str:
        """Where the page is; empty where it is not served."""
        return self._http.url

    @property
    def broker_url(self) -> str:
        """Where devices publish."""
        return self._broker.url

    def _compile_kernels(self) -> None:
        """Beside everything else: messages are received and journaled meanwhile."""
        types = [chosen.type for chosen in self.config.detectors.values()]
        self._kernels = KernelCompiler(steps_for(types), lambda step: self._say(f"compiling {step} (once)"))
        self._kernels.start()
        self._closers.append(("compiler", self._kernels.stop))

    def _open_storage(self) -> None:
        self.folder.lock()
        self._closers.append(("data folder", self.folder.release))
        chosen = self.config.archive
        archive = Archive(chosen) if chosen.folder else None
        older = self._older_reader()
        self._store = EmbeddedStore(self.folder.database, self.config.store, archive=archive, older=older)
        self._store.open()
        self._closers.append(("database", self._store.close))
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

    def _open_gate(self) -> None:
        accounts = AccountBook(self.folder.accounts, clock=self._clock).open()
        self._closers.append(("accounts", accounts.close))
        settings = self.config.http
        if settings.admin_password_file is not None and not accounts.has_users:
            accounts.add_user("admin", Role.ADMIN, settings.admin_password_file.read_text().rstrip("\r\n"))
            accounts.log("service", "", "user added", "admin, with the password of http.admin_password_file")
        self._gate = Gate(settings, accounts)
        self._gate.check()
        if self._gate.needs_sign_in and not (settings.on_loopback or settings.tls_certificate or settings.proxies):
            self._warn(
                "http.host: passwords and readings cross the network unencrypted; set http.tls_certificate and "
                "http.tls_key, or put a proxy with HTTPS in front"
            )

    def _open_engine(self) -> None:
        self._feed = LiveFeed(first=self._clock() // 1_000_000)
        self._compare_parts()
        engine = restored_engine(self.config, self._store, self._journal, self._snapshots, self._warn)
        self._sinks = Sinks(
            self.folder.spool, self.config.sinks, spool=self.config.spool, say=self._warn, clock=self._clock
        )
        self._closers.append(("sinks", self._sinks.stop))
        lost = self._sinks.open(
            self._store.all_series(),
            stored=self._store.position,
            journal_end=self._journal.next_position,
            before=self.folder.sinks_before(),
        )
        self._remember_lost([lost] if lost else [])
        self.folder.remember_sinks([sink.name for sink in self.config.sinks])
        self._stores = StoreWorker(
            self._store,
            self._snapshots,
            flush_seconds=parse_duration(self.config.store.flush_interval) / 1e9,
            sinks=self._sinks,
        )
        self._stores.start()
        self._closers.append(("store", self._stores.stop))
        self._engine = EngineWorker(
            engine,
            self._journal,
            self._stores,
            self._feed,
            clock=self._clock,
            snapshot_every=parse_duration(self.config.snapshot.every),
            need_tick=self._request_tick,
            kernels=self._kernels,
        )
        self._closers.append(("engine", self._engine.stop))

    def _older_reader(self) -> ExternalReader | None:
        chosen = next((sink for sink in self.config.sinks if sink.name == self.config.store.read_older_from), None)
        if chosen is None:
            return None
        reader = external_reader(chosen, token=read_token(chosen, os.environ))
        self._closers.append(("reader of older points", reader.close))
        return reader

    def _await_stored(self, position: int) -> None:
        """Let the database catch up with the engine, for as long as the engine may stand still."""
        until = time.monotonic() + _CATCH_UP_SECONDS
        while self._store.position < position and time.monotonic() < until:
            time.sleep(0.01)

    def _say(self, word: str) -> None:
        self._console.print(without_secrets(visible(word)), highlight=False, markup=False)

    def _warn(self, word: str) -> None:
        self._console.print(without_secrets(visible(word)), style="yellow", highlight=False, markup=False)

    def _fail(self, word: str) -> None:
        self._console.print(without_secrets(visible(word)), style="red", highlight=False, markup=False)

    def _request_tick(self) -> None:
        self._receiver.request_tick()

    def _open_http(self) -> None:
        # The receiver comes later in the order of opening; health reads it through this service until then.
        self.status = ServiceStatus(
            self.config,
            self._store,
            self._journal,
            self._engine,
            self._stores,
            lambda: getattr(self, "_receiver", None),
            self._feed,
            self._clock,
            self._sinks,
        )
        self.status.clock_watch = self._clock_watch
        self.status.losses = lambda: self.folder.losses
        self._sinks.watch(self.status.presence)
        self.status.config_file = self._config_file
        # It closes after the page, which shows how the notices do until its end.
        self._outbox = Outbox(self.folder.notices).open()
        self._closers.append(("outbox of notices", self._outbox.close))
        self._http = HttpServer(create_app(self.status, self.config.http, self._gate), self.config.http)
        if self.config.http.enabled:
            self._http.start()
        self._closers.append(("page", self._http.stop))

    def _open_broker(self) -> None:
        largest = max(LARGEST_PACKET, 2 * self.config.limits.max_payload)
        self._broker: BrokerHandle = start_broker(self.config.broker.url, self.folder.broker, largest_packet=largest)
        self._closers.append(("broker", self._broker.stop))
        self.status.broker_url = self._broker.url
        settings = self._broker.resolve(self.config.broker)
        self.status.simulator = simulator_desk(settings, read_password(settings, os.environ), self.folder.simulator)
        self.folder.announce(url=self.url, broker=self._broker.url, token=self._gate.local_token)

    def _open_session(self) -> None:
        filters = self._engine.engine.router.filters
        settings = self._broker.resolve(self.config.broker)
        if not settings.client_id:
            settings = settings.model_copy(update={"client_id": self.folder.client_id()})
        self._session = MqttSession(
            settings,
            filters,
            group_bytes=self.config.journal.group_bytes,
            max_payload=self.config.limits.max_payload,
            previous_filters=self.folder.subscribed(),
            password=read_password(settings, os.environ),
        )
        self.status.broker_losses = BrokerLosses(
            settings,
            read_password(settings, os.environ),
            saved=self.folder.broker_losses_before(),
            remember=self.folder.remember_broker_losses,
            clock=self._clock,
        )
        self.status.broker_losses.start()
        self._closers.append(("watch of the broker's losses", self.status.broker_losses.stop))
        self._receiver = Receiver(
            self._session, self._journal, self._clock, self.config.journal, on_append=self._engine.offer
        )
        self._remember_all_filters(filters)
        self._engine.start()
        self._receiver.start()
        self._closers.append(("session", self._receiver.stop))

    def _remember_all_filters(self, filters: dict[str, int]) -> None:
        """Old and new, so that a kill before the broker has taken the old ones back leaves none behind for good."""
        self._filters_noted = False
        try:
            self.folder.remember_subscribed({**self.folder.subscribed(), **filters})
        except OSError as error:
            log.warning("the topic filters cannot be written down yet: %s", error)

    def _note_filters(self) -> None:
        if not self._filters_noted and self._session.subscribed:
            self.folder.remember_subscribed(self._session.filters)
            self._filters_noted = True

    def _open_notices(self) -> None:
        broker = self._broker.resolve(self.config.broker)
        self._notices = NoticeDesk(
            self._outbox,
            self.config.notices,
            self.config.maintenance,
            self._store,
            self._feed.subscribe,
            clock=self._clock,
            publish=broker_publisher(broker, read_password(broker, os.environ)),
            page_url=self.config.http.page_url or self.url,
        )
        self._notices.start()
        self._closers.append(("notices", self._notices.stop))
        self.status.notifier = self._notices.notifier

    def _open_demo(self) -> None:
        demo = DemoFleet(self._broker.url, self.folder.simulator)
        demo.start()
        self._closers.append(("simulated fleet", demo.stop))
        self._fleet = demo

    def say_what_runs(self) -> None:
        """Tell where broker, database and page are, and what the configuration is warned of."""
        say = self._say
        say(f"broker    {self._broker.url} ({self._broker.kind})")
        if self._demo:
            say(f"fleet     {self._fleet.description}")
        say(f"database  {self.folder.database}")
        for sink in self.config.sinks:
            say(f"sink      {sink.name}: {sink.url}")
        say(f"page      {self.url or 'not served (http.enabled = false)'}")
        self._warn_of_configuration()

    def _warn_of_configuration(self) -> None:
        for line in config_warnings(self.config):
            self._warn(f"warning   {line}")

    def reload_if_changed(self) -> None:
        """Put the configuration file in force where it has changed; one that is refused leaves all as it was."""
        stamp = self._read_config_stamp()
        if stamp == self._config_stamp or self._config_file is None:
            return
        self._config_stamp = stamp
        try:
            config = self._adjust(load_config(self._config_file))
            self.reload(with_demo_route(config) if self._demo else config)
        except ConfigError as error:
            for one in error.errors:
                self._fail(one)
            self._say("the configuration in force stays as it was")
        except Exception:
            log.exception("the configuration %s could not be put in force", self._config_file)
            self._fail("the configuration could not be put in force: it stays as it was")
        else:
            self._say(f"configuration {self._config_file} is in force")
            self._warn_of_configuration()

    def _read_config_stamp(self) -> tuple[int, int] | None:
        try:
            known = self._config_file.stat() if self._config_file else None
        except OSError:
            return None
        return (known.st_mtime_ns, known.st_size) if known else None

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
