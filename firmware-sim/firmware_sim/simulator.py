"""The simulator, which tells the fleet's history and then lets it live, over one connection."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, inf
from pathlib import Path
from random import Random
from threading import Event, Thread

import numpy as np

from common.durations import parse_duration
from devices.fault_labels import FaultLabel, append_labels
from firmware_sim import plans
from firmware_sim.fleet_description import MOST_DEVICES, MOST_LABELS, DescribedDevice, FleetDescription
from firmware_sim.injection import Injection, InjectionListener
from firmware_sim.memory import Memory, load_memory, save_memory
from firmware_sim.payloads import array_messages, garble, single_messages, truth_message
from firmware_sim.progress import Progress
from firmware_sim.publisher import BrokerAddress, BrokerUnreachableError, Message, Publisher, StoppedError
from firmware_sim.session_publisher import FleetPublisher, SessionPublisher
from firmware_sim.simulated_fleet import Fleet
from firmware_sim.simulation_settings import SimulatorSettings

TRUTH = b"driftline/truth"
BACKLOG_TICKS = 300
READINGS_PER_MESSAGE = 60
BEHIND_SECONDS = 5
SAVE_SECONDS = 5.0
GOODBYE_SECONDS, LAST_WAIT_SECONDS = 0.4, 5.0
"""How long a broker may be silent at the end of a run, where somebody waits for it and where nobody does."""
LONGEST_WAIT_SECONDS = 1.0
"""The clock is looked at this often at least: it may leap while the simulator waits."""


@dataclass(slots=True)
class Counts:
    """What was published so far. Readings count one of a device, whatever the number of its channels."""

    messages: int = 0
    readings: int = 0
    acknowledged: int = 0
    malformed: int = 0
    faults: int = 0
    unacknowledged: int = 0


class Simulator:
    """A fleet of simulated devices publishing over MQTT.

    First every device sends its backlog of the settings' history, as JSON arrays at full speed, then it reports live,
    one message a reading. Where the broker was away or the machine slept, the devices kept their readings, and send
    them as a backlog again. Labels of faults go to `driftline/truth/<the device's topic>` as they begin, retained.

    `clock` gives the time in ns since the epoch; `say` takes the few lines a person should see, and with
    `show_progress` one every ten seconds. `run` blocks;
    `start` and `stop` do the same in a thread of its own.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        *,
        clock: Callable[[], int] = time.time_ns,
        say: Callable[[str], None] = print,
        show_progress: bool = False,
    ) -> None:
        self.settings = settings
        self.counts = Counts()
        self._progress = Progress(say) if show_progress else Progress(lambda _: None)
        self.live = Event()
        self._clock = clock
        self._say = say
        self._stop = Event()
        self._garbling = Random(settings.seed)
        self._tick = self._origin = self._wall_origin = self._sent_until = 0
        self._plan = plans.WithInjected(plans.Scheduled())
        self._saved_at = 0.0
        self._thread: Thread | None = None
        self._failure: Exception | None = None
        self._address = BrokerAddress.parse(settings.url)
        self._publisher: FleetPublisher = Publisher(
            self._address,
            client_id=f"driftline-sim-{os.getpid()}-{id(self):x}"[:40],
            qos=settings.qos,
            in_flight=settings.in_flight,
            say=say,
            stop=self._stop,
            patience=self._patience,
        )
        self._is_open = False
        self._end_at: int | None = None
        self._injections = InjectionListener(self._address, self.description)
        self._targets: plans.Targets = {}
        self._told: list[FaultLabel] = []

    def start(self) -> None:
        """Run in a thread. Raises ValueError, OSError for settings that name unusable files."""
        fleet = self._build()
        self._thread = Thread(target=self._run_in_thread, args=(fleet,), name="simulator", daemon=True)
        self._thread.start()

    def request_stop(self) -> None:
        """Let the run end soon, without waiting for it; safe in a signal handler."""
        self._stop.set()

    def stop(self, *, wait_seconds: float = 5.0) -> None:
        """End the run soon; raises what made it end before, if anything did."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(wait_seconds)
        if self._failure is not None:
            raise self._failure

    def run(self) -> None:
        """Run until `stop` or for the settings' duration. Raises ValueError, OSError for unusable files."""
        self._run(self._build())

    def description(self) -> FleetDescription:
        """What runs here, for who asks."""
        first = list(self._targets.items())[:MOST_DEVICES]
        devices = [DescribedDevice(name, plans.faults_of(channels)) for name, channels in first]
        return FleetDescription("mixed fleet", self.settings.seed, len(self._targets), devices, list(self._told))

    def _run_in_thread(self, fleet: Fleet) -> None:
        try:
            self._run(fleet)
        except Exception as error:
            self._failure = error

    def _build(self) -> Fleet:
        settings = self.settings
        now = self._clock()
        memory = load_memory(settings.state, seed=settings.seed)
        earliest = now - settings.history_ns
        first = max(earliest, min(memory.newest.values(), default=earliest)) if settings.history_ns else now
        self._tick = first // settings.interval_ns
        self._origin = first
        self._sent_until = now
        fleet = Fleet(settings, start_tick=self._tick + 1, newest=memory.newest, carried=memory.carried)
        self._plan = plans.WithInjected(self._faults(fleet, first, now))
        self._targets = fleet.targets
        fleet.follow(self._plan)
        if settings.connections == "each":
            self._publisher = SessionPublisher(
                self._address,
                [fleet.topic(name) for name in fleet.targets],
                qos=settings.qos,
                in_flight=settings.in_flight,
                say=self._say,
                stop=self._stop,
                patience=self._patience,
            )
        return fleet

    def _patience(self) -> float:
        """Seconds that the broker may be away: the duration, and of the live phase what is left of it."""
        if self.settings.duration is None:
            return inf
        if self._end_at is None:
            return parse_duration(self.settings.duration) / 1e9
        return max(self._end_at - self._clock(), 0) / 1e9

    def _faults(self, fleet: Fleet, first: int, now: int) -> plans.FaultPlan:
        settings = self.settings
        match settings.faults:
            case "none":
                return plans.Scheduled()
            case "auto":
                return plans.Random(
                    fleet.targets,
                    np.random.default_rng([settings.seed, first]),
                    first=first,
                    now=now,
                    interval=settings.interval_ns,
                    every=parse_duration(settings.fault_every),
                )
            case file:
                return plans.Scheduled(plans.read_schedule(Path(file), fleet.targets, live=now))

    def _run(self, fleet: Fleet) -> None:
        settings = self.settings
        try:
            self._publisher.open(retry=True)
            self._is_open = True
            self._injections.start()
            kinds = f"{settings.devices} devices, one reading every {settings.interval}"
            self._say(f"simulating {kinds}, to {self._publisher.address}")
            if settings.speed == 1:
                self._tell_history(fleet)
            self._live(fleet)
        except StoppedError:
            pass
        finally:
            self._end(fleet)
        if self.counts.unacknowledged and not self._stop.is_set():
            raise BrokerUnreachableError(f"broker {self._address} did not acknowledge everything in time")

    def _end(self, fleet: Fleet) -> None:
        self._injections.stop()
        try:
            if self._is_open and self._publisher.drain(GOODBYE_SECONDS if self._stop.is_set() else LAST_WAIT_SECONDS):
                self._save(fleet)
        except (StoppedError, BrokerUnreachableError):
            pass  # the broker is away: what it has not acknowledged is sent again by the next run
        self.counts.acknowledged = self._publisher.acknowledged
        self.counts.unacknowledged = self._publisher.unacknowledged if self._is_open else 0
        self._publisher.close()

    def _tell_history(self, fleet: Fleet) -> None:
        begun = time.monotonic()
        self._catch_up(fleet)
        self._await_acknowledgements()
        if self.counts.readings:
            took = f"{time.monotonic() - begun:.1f} s"
            self._say(f"history sent: {self.counts.readings} readings in {self.counts.messages} messages, {took}")
        self._save(fleet)

    def _catch_up(self, fleet: Fleet) -> None:
        """Send the ticks that are over as backlog; the one that runs is left to be told live."""
        while (ticks := min(self._device_time() // fleet.interval - 1 - self._tick, BACKLOG_TICKS)) > 0:
            messages: list[Message] = []
            for block in fleet.block(self._tick + 1, ticks):
                for readings, message in array_messages(block, readings=READINGS_PER_MESSAGE):
                    messages.append(message)
                    self.counts.readings += readings
            self._tick += ticks
            self._sent_until = (self._tick + 1) * fleet.interval
            self._publish_labels(fleet)
            self._publish(messages)
            until = datetime.fromtimestamp(self._sent_until / 1e9, UTC)
            self._progress.tell(f"history: {self.counts.readings:,} readings, until {until:%Y-%m-%d %H:%M} UTC")

    def _live(self, fleet: Fleet) -> None:
        settings = self.settings
        self._wall_origin = self._clock()
        most_behind = max(BEHIND_SECONDS, ceil(BEHIND_SECONDS * 1e9 * settings.speed / fleet.interval))
        waiting: list[tuple[int, Message]] = []
        while not self._stop.is_set() and (self._end_at is None or self._clock() < self._end_at):
            now = self._device_time()
            if not self.live.is_set() and now >= self._clock() - fleet.interval:
                self._plan.begin_live(now)
                self.live.set()
                self._end_at = now + parse_duration(settings.duration) if settings.duration else None
            behind = now // fleet.interval - self._tick
            if behind > most_behind:
                self._publish([message for _, message in waiting])
                self.counts.readings += len(waiting)
                waiting = []
                self._catch_up(fleet)
                continue
            for wanted in self._injections.take():
                self._inject(fleet, wanted, (self._tick + 1) * fleet.interval)
            if behind > 0:
                for block in fleet.block(self._tick + 1, behind):
                    waiting += single_messages(block)
                waiting.sort(key=lambda entry: entry[0])
                self._tick += behind
                self._publish_labels(fleet)
            due = [message for moment, message in waiting if moment <= now]
            waiting = waiting[len(due) :]
            self._publish(due)
            self._sent_until = now
            self.counts.readings += len(due)
            self._save_sometimes(fleet)
            counts = self.counts
            self._progress.tell(
                f"live: {counts.messages:,} messages, {counts.acknowledged:,} acknowledged, {counts.faults} faults"
            )
            following = min((self._tick + 1) * fleet.interval, waiting[0][0] if waiting else 2**63)
            self._publisher.pump(min((following - now) / 1e9 / settings.speed, LONGEST_WAIT_SECONDS))

    def _inject(self, fleet: Fleet, wanted: Injection, start: int) -> None:
        """Let a fault begin that a person asked for, and say so; a device of another simulator is its own matter."""
        channels = fleet.targets.get(wanted.device)
        if channels is None:
            return
        try:
            fault = plans.wanted_fault(wanted, channels, start)
        except ValueError as error:
            self._injections.answer(str(error))
            return
        self._plan.inject(fault)
        label = fault.label()
        self._injections.answer(f"{label.device} {label.metric}: {label.kind} until {label.fields()['end']}")

    def _device_time(self) -> int:
        """What the devices' clocks show: now, or a time on the way to it where the history is told at a speed."""
        now = self._clock()
        if self.settings.speed == 1:
            return now
        return min(now, self._origin + int((now - self._wall_origin) * self.settings.speed))

    def _publish(self, messages: list[Message]) -> None:
        if self.settings.malformed:
            messages = [
                (topic, self._garble(payload))
                if self._garbling.random() < self.settings.malformed
                else (topic, payload)
                for topic, payload in messages
            ]
        self._publisher.send(messages)
        self.counts.messages += len(messages)
        self.counts.acknowledged = self._publisher.acknowledged

    def _garble(self, payload: bytes) -> bytes:
        self.counts.malformed += 1
        return garble(payload, self._garbling)

    def _publish_labels(self, fleet: Fleet) -> None:
        faults = fleet.begun_faults()
        if not faults:
            return
        self.counts.faults += len(faults)
        self._told = [*self._told, *(fault.label() for fault in faults)][-MOST_LABELS:]
        if self.settings.labels is not None:
            append_labels(self.settings.labels, self._told[-len(faults) :])
        labels = [(TRUTH + b"/" + fleet.topic(f.device), truth_message(f)) for f in faults]
        self._publisher.send(labels, retained=True)

    def _await_acknowledgements(self) -> None:
        while self._publisher.unacknowledged:
            if self._stop.is_set():
                raise StoppedError
            self._publisher.pump(0.02)

    def _save_sometimes(self, fleet: Fleet) -> None:
        if not self._publisher.unacknowledged and time.monotonic() - self._saved_at > SAVE_SECONDS:
            self._save(fleet)

    def _save(self, fleet: Fleet) -> None:
        """Remember where the devices stand; call where all of it is acknowledged."""
        self._saved_at = time.monotonic()
        if self.settings.state is not None:
            save_memory(
                self.settings.state, Memory(self.settings.seed, fleet.newest(self._sent_until), fleet.carried())
            )
