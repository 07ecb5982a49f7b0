"""The stages of the service: each is opened on what was opened before it, and says how it is closed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from alerts.actions import Action
from alerts.notices.outbox import Outbox
from common.durations import parse_duration
from devices.records import ActionRecord
from driftline.access.accounts import AccountBook
from driftline.access.gate import Gate
from driftline.access.identity import Role
from driftline.cluster.kafka_intake import KafkaIntake
from driftline.compile.kernel_compiler import KernelCompiler, steps_for
from driftline.config import Config
from driftline.http.app import create_app
from driftline.http.events import LiveFeed
from driftline.http.server import HttpServer
from driftline.runtime.broker import LARGEST_PACKET, BrokerHandle, start_broker
from driftline.runtime.broker_losses import BrokerLosses
from driftline.runtime.demo import DemoFleet, with_demo_route
from driftline.runtime.engine_worker import EngineWorker
from driftline.runtime.function_actions import FunctionActions, MessagePublisher
from driftline.runtime.function_desk import FunctionDesk
from driftline.runtime.home_assistant_desk import HomeAssistantDesk
from driftline.runtime.notice_desk import NoticeDesk, broker_publisher
from driftline.runtime.recovery import restored_engine
from driftline.runtime.report_desk import ReportDesk
from driftline.runtime.simulator_desk import simulator_desk
from driftline.runtime.sink_worker import Sinks
from driftline.runtime.sparkplug_host import SparkplugHost, births_needed_by
from driftline.runtime.status import ServiceStatus
from driftline.runtime.storage_stages import StorageStages
from driftline.runtime.store_worker import StoreWorker
from driftline.runtime.stream_publisher import StreamPublisher
from driftline.runtime.workflow_desk import WorkflowDesk
from driftline.tracing.trace_export import NoExporter, TraceExporter
from driftline.tracing.tracer import Tracer
from functions.function_queue import FunctionQueue
from ingest.broker_settings import BrokerSettings, is_websocket, read_password
from ingest.receive import Receiver
from ingest.session import MqttSession
from storage.journal.kafka_journal import KafkaJournal
from storage.journal.kafka_settings import read_kafka_password

log = logging.getLogger(__name__)


class Stages(StorageStages):
    """What a running service consists of. A stage is opened by its own method, in the order of the methods below."""

    def __init__(
        self,
        config: Config,
        *,
        var_dir: Path,
        config_file: Path | None,
        demo: bool,
        console: Console,
        clock: Callable[[], int],
    ) -> None:
        chosen = with_demo_route(config) if demo else config
        super().__init__(chosen, var_dir=var_dir, config_file=config_file, console=console, clock=clock)
        self._demo = demo
        self._session: MqttSession | KafkaIntake
        self._receiver: Receiver | KafkaIntake

    def open_all(self) -> None:
        """Open all stages, last one first, so that nothing arrives before its consumer is ready."""
        self._compile_kernels()
        self._open_storage()
        self._open_gate()
        self._open_tracer()
        self._open_engine()
        self._open_http()
        self._open_broker()
        self._open_session()
        self._open_sparkplug()
        self._open_notices()
        self._open_home_assistant()
        self._open_stream_publisher()
        self._functions.start()
        self._closers.append(("functions", self._functions.stop))
        self._workflows.start()
        self._closers.append(("workflows", self._workflows.stop))
        if self._demo:
            self._open_demo()

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
        config = self.config
        names = {name for route in config.routes for name in route.detectors}
        names |= {name for route in config.routes for metric in route.metrics for name in metric.detectors or ()}
        names |= {name for series in config.series for name in series.detectors or ()}
        types = [detector.type for name, detector in config.detectors.items() if name in names]
        self._kernels = KernelCompiler(steps_for(types), lambda step: self._say(f"compiling {step} (once)"))
        self._kernels.start()
        self._closers.append(("compiler", self._kernels.stop))

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

    def _open_tracer(self) -> None:
        settings = self.config.tracing
        self._tracer: Tracer | None = None
        if settings is not None:
            url = settings.traces_url
            self._tracer = Tracer(settings, TraceExporter(url) if url else NoExporter(), clock=self._clock)
            self._closers.append(("traces", self._tracer.close))

    def _open_engine(self) -> None:
        self._feed = LiveFeed(first=self._clock() // 1_000_000)
        self._compare_parts()
        engine = restored_engine(self.config, self._store, self._journal, self._snapshots, self._warn)
        self._queue = FunctionQueue(self.folder.functions).open()
        self._closers.append(("queue of functions", self._queue.close))
        self._queue.begin_at(self._journal.next_position)
        self._sinks = Sinks(
            self.folder.spool,
            self.config.sinks,
            spool=self.config.spool,
            say=self._warn,
            clock=self._clock,
            tracer=self._tracer,
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
            tracer=self._tracer,
        )
        self._make_functions()
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
            tracer=self._tracer,
        )
        self._closers.append(("engine", self._engine.stop))

    def _make_functions(self) -> None:
        """Before the store, which fills their queue; they are called once all else runs."""

        def publish(topic: str, payload: bytes, *, retain: bool) -> None:
            self._messages(topic, payload, retain=retain)

        def act(wanted: Sequence[Action]) -> list[ActionRecord]:
            return self.status.act(wanted)

        def begin(workflow: str, value: object, key: str) -> str:
            return self._workflows.begin_for(workflow, value, key)

        actions = FunctionActions(self._store, act, publish, begin, clock=self._clock)
        self._functions = FunctionDesk(self._queue, self.config, actions, clock=self._clock, tracer=self._tracer)
        self._workflows = WorkflowDesk(
            self.folder.workflows, self.config, self._functions.invoke, actions, clock=self._clock
        )
        self._stores.ahead = self._functions.take
        self._stores.on_function_events = self._functions.wake

    def _request_tick(self) -> None:
        self._receiver.request_tick()

    def _open_http(self) -> None:
        self.status = ServiceStatus(
            self.config,
            self._store,
            self._journal,
            self._engine,
            self._stores,
            self._feed,
            self._clock,
            self._sinks,
        )
        self.status.workflows = self._workflows
        self.status.traces = self._tracer
        self.status.clock_watch = self._clock_watch
        self.status.losses = lambda: self.folder.losses
        self.status.backup_health = lambda: self._scheduled.health(self.config.backup)
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
        if not is_websocket(settings.url):  # the simulators do not speak it
            self.status.simulator = simulator_desk(settings, read_password(settings, os.environ), self.folder.simulator)
        self.folder.announce(url=self.url, broker=self._broker.url, token=self._gate.local_token)

    def _open_session(self) -> None:
        filters = self._engine.engine.router.filters
        settings = self._broker.resolve(self.config.broker)
        if not settings.client_id:
            settings = settings.model_copy(update={"client_id": self.folder.client_id()})
        self.status.broker_losses = BrokerLosses(
            settings,
            read_password(settings, os.environ),
            saved=self.folder.broker_losses_before(),
            remember=self.folder.remember_broker_losses,
            clock=self._clock,
        )
        self.status.broker_losses.start()
        self._closers.append(("watch of the broker's losses", self.status.broker_losses.stop))
        if isinstance(self._journal, KafkaJournal):
            self._session = self._receiver = self._kafka_intake(self._journal, settings, filters)
        else:
            self._session = self._mqtt_session(settings, filters)
            self._receiver = self._mqtt_receiver(self._session)
        self.status.receiver = self._receiver
        self._remember_all_filters(filters)
        self._engine.start()
        self._receiver.start()
        self._closers.append(("session", self._receiver.stop))

    def _mqtt_session(self, settings: BrokerSettings, filters: dict[str, int]) -> MqttSession:
        return MqttSession(
            settings,
            filters,
            group_bytes=self.config.journal.group_bytes,
            max_payload=self.config.limits.max_payload,
            previous_filters=self.folder.subscribed(),
            password=read_password(settings, os.environ),
        )

    def _mqtt_receiver(self, session: MqttSession) -> Receiver:
        return Receiver(
            session,
            self._journal,
            self._clock,
            self.config.journal,
            on_append=self._engine.offer,
            on_written=None if self._tracer is None else self._tracer.journaled,
        )

    def _kafka_intake(self, journal: KafkaJournal, broker: BrokerSettings, filters: dict[str, int]) -> KafkaIntake:
        return KafkaIntake(
            self.config.kafka,
            broker,
            journal,
            self._clock,
            filters=filters,
            group_bytes=self.config.journal.group_bytes,
            on_append=self._engine.offer,
            on_written=None if self._tracer is None else self._tracer.journaled,
            password=read_kafka_password(self.config.kafka, os.environ),
        )

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

    def _open_sparkplug(self) -> None:
        broker = self._broker.resolve(self.config.broker)
        host = SparkplugHost(
            self.config.sparkplug,
            broker,
            read_password(broker, os.environ),
            births_needed_by(self._engine),
            lambda: self._session.subscribed,
            clock=self._clock,
        )
        host.start()
        self._closers.append(("Sparkplug host application", host.stop))

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
            act=self.status.act,
            muted=lambda: self._engine.engine.book.muted,
        )
        self._notices.start()
        self._closers.append(("notices", self._notices.stop))
        self.status.notifier = self._notices.notifier
        self.status.functions = self._functions
        self._reports = ReportDesk(
            self.folder.path, self._store, lambda: self.config, lambda: self.status.notifier, self._clock
        )
        self._closers.append(("report", self._reports.stop))

    def _open_home_assistant(self) -> None:
        if not self.config.home_assistant.enabled:
            return
        broker = self._broker.resolve(self.config.broker)
        desk = HomeAssistantDesk(
            self.config.home_assistant,
            broker,
            read_password(broker, os.environ),
            self._store,
            self._feed.subscribe,
            self.status.devices_in_service,
            page_url=self.config.http.page_url or self.url,
        )
        desk.start()
        self._closers.append(("alarms for Home Assistant", desk.stop))

    def _open_stream_publisher(self) -> None:
        broker = self._broker.resolve(self.config.broker)
        self._publisher = StreamPublisher(self._store, broker, read_password(broker, os.environ))
        self._stores.on_stream_results = self._publisher.wake
        self._messages = MessagePublisher(broker, read_password(broker, os.environ))
        self._closers.append(("publisher of functions", self._messages.close))
        self._publisher.start()
        self._closers.append(("publisher of streams", self._publisher.stop))
        self.status.stream_problem = lambda: self._publisher.problem

    def _open_demo(self) -> None:
        demo = DemoFleet(self._broker.url, self.folder.simulator)
        demo.start()
        self._closers.append(("simulated fleet", demo.stop))
        self._fleet = demo
