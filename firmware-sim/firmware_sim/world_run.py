"""A world that lives: each device runs its firmware and speaks MQTT on a connection of its own."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from threading import Event
from zlib import crc32

import orjson

from common.durations import parse_duration
from common.suggestions import unknown
from common.time_units import SECOND
from devices.fault_labels import WHOLE_DEVICE, Expected, FaultLabel, append_labels
from firmware_sim.cut_payloads import TRUNCATED, CuttingEncoder, truncation_label
from firmware_sim.fault_kinds import FAULT_KINDS
from firmware_sim.fault_kinds.relations import SensorSwap
from firmware_sim.firmware.device import Firmware, FirmwareOptions
from firmware_sim.firmware.mqtt_sessions import Session, Sessions, allow_files
from firmware_sim.fleet_description import DescribedDevice, FleetDescription
from firmware_sim.injection import Injection, InjectionListener
from firmware_sim.payload_style import DeviceIdentity
from firmware_sim.payload_styles import find_style
from firmware_sim.plant_export import by_device
from firmware_sim.plant_injection import PlantInjector
from firmware_sim.plants import Plant, PlantOptions, make_plant
from firmware_sim.progress import Progress
from firmware_sim.publisher import BrokerAddress
from firmware_sim.samples import NEVER, SampleStream
from firmware_sim.sensor_faults import SensorFaults
from firmware_sim.world_settings import WorldSettings
from firmware_sim.worlds import find_world
from firmware_sim.worlds.sampling import Series
from firmware_sim.worlds.world import Signal

DAY_SECONDS = 86_400
TRUTH = "driftline/truth"
AHEAD_DAYS = 30.0
MOST_ROWS = 200_000
"""A world is made so far ahead, or so many readings of each metric, whichever is less."""
LONGEST_WAIT_SECONDS = 0.5
GOODBYE_SECONDS = 2.0


@dataclass(slots=True)
class RunCounts:
    """What happened so far."""

    devices: int = 0
    connections: int = 0
    messages: int = 0
    acknowledged: int = 0
    faults: int = 0


class _Device:
    """A firmware and its connection; passes on what happens to the connection, with the device's time."""

    def __init__(self, firmware_of: Callable[[Session], Firmware], session_of: Callable[[_Device], Session],
                 run: WorldRun, series: list[Series], stream: SampleStream, topic: str,
                 encoder: CuttingEncoder) -> None:  # fmt: skip
        self.encoder = encoder
        self._run = run
        self.series = series
        self.stream = stream
        self.topic = topic
        self.session = session_of(self)
        self.firmware = firmware_of(self.session)

    def connected(self) -> None:
        self._run.counts.connections += 1
        self.firmware.connected(self._run.now())
        self._run.schedule(self)

    def connection_lost(self, cause: str) -> None:
        self._run.lost(cause)
        self.firmware.connection_lost(self._run.now())
        self._run.schedule(self)

    def received(self, topic: str, payload: bytes) -> None:
        del topic
        self.firmware.received(self._run.now(), payload)
        self._run.schedule(self)


class WorldRun:
    """A world at the settings' broker, from `history` ago on; what lies behind is sent as by devices back online.

    Labels go to `driftline/truth/<the device's topic>` as faults begin, retained, and to the settings' file. `clock`
    gives the time in ns since the epoch. With `show_progress` a line every ten seconds says how far it is.
    """

    def __init__(
        self,
        settings: WorldSettings,
        *,
        clock: Callable[[], int] = time.time_ns,
        say: Callable[[str], None] = print,
        show_progress: bool = False,
    ) -> None:
        self.settings = settings
        self._progress = Progress(say) if show_progress else Progress(lambda _: None)
        self.counts = RunCounts()
        self._clock = clock
        self._say = say
        self._stop = Event()
        self._origin = self._clock_origin = 0
        self._due: list[tuple[int, int, _Device]] = []
        self._devices: dict[str, _Device] = {}
        self._lost_cause = ""
        self._plant_injector: PlantInjector | None = None
        self._reach: Mapping[str, Sequence[str]] = {}
        self._told: list[FaultLabel] = []

    def request_stop(self) -> None:
        """Let the run end soon; safe in a signal handler."""
        self._stop.set()

    def now(self) -> int:
        """The devices' time, ns: the clock's, or one on the way to it where the history is told at a speed."""
        real = self._clock()
        return min(real, self._origin + int((real - self._clock_origin) * self.settings.speed))

    def run(self) -> None:
        """Run until `request_stop`, the settings' duration, or the end of the world that was made. Raises OSError."""
        settings = self.settings
        address = BrokerAddress.parse(settings.url)
        self._say(f"making {settings.world}, some seconds")
        plant = self._make()
        self._plant_injector = PlantInjector(find_world(settings.world), plant, settings.size)
        self._reach = self._plant_injector.reach()
        allow_files(len({one.device for one in plant.series}))
        pool = Sessions(address)
        listener = InjectionListener(address, self.description)
        listener.start()
        self._start(plant, pool)
        world = f"{settings.world}: {self.counts.devices} devices, {len(plant.series)} metrics"
        self._say(f"simulating {world}, to {address}")
        end = NEVER if settings.duration is None else self._clock() + parse_duration(settings.duration)
        try:
            self._live(plant, pool, listener, end)
        finally:
            self._drain(pool)
            listener.stop()
            pool.close()
            self.counts.messages, self.counts.acknowledged = pool.sent, pool.acknowledged

    def description(self) -> FleetDescription:
        """What runs here, for who asks."""
        devices = [
            DescribedDevice(name, _faults_of(device.series), self._reach[name])
            for name, device in list(self._devices.items())
        ]
        return FleetDescription(self.settings.world, self.settings.seed, len(devices), devices, list(self._told))

    def schedule(self, device: _Device) -> None:
        """Wake a device when it wants to."""
        if device.firmware.next_wake != NEVER:
            heapq.heappush(self._due, (device.firmware.next_wake, id(device), device))

    def lost(self, cause: str) -> None:
        """Say once why connections are lost."""
        if cause != self._lost_cause:
            self._say(f"connection lost: {cause}")
            self._lost_cause = cause

    def _make(self) -> Plant:
        settings = self.settings
        world = find_world(settings.world)
        step = world.interval if settings.interval is None else parse_duration(settings.interval) / 1e9
        history = parse_duration(settings.history) / 1e9
        self._clock_origin = self._clock()
        self._origin = self._clock_origin - int(history * SECOND)
        if settings.speed == 1:
            self._origin = self._clock_origin
        days = history / DAY_SECONDS + min(AHEAD_DAYS, MOST_ROWS * step / DAY_SECONDS)
        sick = 0.0 if settings.faults == "none" else settings.sick
        learning = days if settings.faults == "none" else min(settings.learning_days, days / 2)
        options = PlantOptions(days, learning, settings.size, sick, step)
        start = (self._clock_origin - int(history * SECOND)) // SECOND * SECOND
        return make_plant(world, settings.seed, options, start=start)

    def _start(self, plant: Plant, pool: Sessions) -> None:
        settings = self.settings
        style = find_style(settings.payload)
        now = self.now()
        for name, series in by_device(plant.series).items():
            units = {one.metric.name: one.metric.unit for one in series}
            identity = DeviceIdentity(settings.prefix, series[0].kind, name, units)
            random = Random(crc32(f"{settings.seed}/{name}".encode()))
            topic = style.topic(identity)
            stream = SampleStream(series, since=plant.start - 1)
            options = FirmwareOptions(
                topic,
                style.presence(identity),
                settings.qos,
                buffer=1_000_000,
                sleeps=settings.duty_cycle and any(one.metric.signal is Signal.BATTERY for one in series),
            )
            encoder = CuttingEncoder(style.encoder(identity))
            client_id = f"{name}-{os.getpid()}"
            device = _Device(
                lambda session, o=options, s=stream, e=encoder, r=random: Firmware(o, s, session, e, r),  # type: ignore[misc]
                lambda listener, c=client_id: pool.session(c, listener),  # type: ignore[misc]
                self,
                series,
                stream,
                topic,
                encoder,
            )
            self._devices[name] = device
            device.firmware.power_on(now)
            self.schedule(device)
        self.counts.devices = len(self._devices)

    def _live(self, plant: Plant, pool: Sessions, listener: InjectionListener, end: int) -> None:
        labels = [label for label in plant.labels if label.expected is Expected.ALARM]
        while not self._stop.is_set() and self._clock() < end:
            now = self.now()
            if now >= plant.end:
                self._say("the world that was made ahead is over; start anew to go on")
                return
            while self._due and self._due[0][0] <= now:
                moment, _, device = heapq.heappop(self._due)
                if moment == device.firmware.next_wake:
                    device.firmware.wake(now)
                    self.schedule(device)
            begun = [label for label in labels if label.start <= now]
            labels = labels[len(begun) :]
            begun += [label for one in listener.take() for label in self._inject(plant, listener, one, now)]
            self._tell(begun)
            following = self._due[0][0] if self._due else now + SECOND
            pool.poll(min((following - now) / 1e9 / self.settings.speed, LONGEST_WAIT_SECONDS))
            self.counts.messages, self.counts.acknowledged = pool.sent, pool.acknowledged
            at = datetime.fromtimestamp(now / 1e9, UTC)
            self._progress.tell(
                f"{at:%Y-%m-%d %H:%M} UTC: {pool.sent:,} messages, {pool.acknowledged:,} acknowledged, "
                f"{self.counts.faults} faults"
            )

    def _tell(self, labels: list[FaultLabel]) -> None:
        if not labels:
            return
        self.counts.faults += len({label.root for label in labels})
        self._told += labels
        if self.settings.labels is not None:
            append_labels(self.settings.labels, labels)
        for label in labels:
            device = self._devices[label.device]
            device.session.publish(f"{TRUTH}/{device.topic}", orjson.dumps(label.fields()), qos=1, retain=True)

    def _inject(self, plant: Plant, listener: InjectionListener, wanted: Injection, now: int) -> list[FaultLabel]:
        """Let a fault begin that was asked for; none where the device is another simulator's, or it does not suit."""
        device = self._devices.get(wanted.device)
        if device is None:
            return []
        name = wanted.kind.replace("_", " ")
        try:
            if self._plant_injector is not None and name in self._plant_injector.kinds:
                labels, sentence = self._inject_in_plant(plant, self._plant_injector, name, wanted, now)
            else:
                label = self._inject_in_sensor(plant, device, name, wanted, now)
                labels, sentence = [label], f"{label.device} {label.metric}: {label.kind} until {label.fields()['end']}"
        except ValueError as error:
            listener.answer(str(error))
            return []
        listener.answer(sentence)
        return labels

    def _inject_in_plant(
        self, plant: Plant, injector: PlantInjector, name: str, wanted: Injection, now: int
    ) -> tuple[list[FaultLabel], str]:
        if wanted.metric not in ("", WHOLE_DEVICE):
            raise ValueError(f"{wanted.device}: {name!r} is a fault of the plant: expected no metric")
        made = injector.inject(name, wanted.device, now, wanted.seconds, [*plant.labels, *self._told])
        self._replace(plant, made.changed, now)
        return list(made.labels), made.sentence()

    def _inject_in_sensor(self, plant: Plant, device: _Device, name: str, wanted: Injection, now: int) -> FaultLabel:
        end = now + int(wanted.sensor_seconds * SECOND)
        if name == TRUNCATED:
            device.encoder.cut_until = end
            return truncation_label(wanted.device, now, end)
        kinds = {kind.name: kind for kind in FAULT_KINDS}
        kind = kinds.get(name)
        if kind is None:
            of_plant = self._plant_injector.kinds if self._plant_injector is not None else ()
            raise ValueError(unknown(wanted.kind, [*kinds, TRUNCATED, *of_plant], "fault"))
        suited = [
            one.name
            for one in device.series
            if kind.suits(one.metric) and wanted.metric in ("", WHOLE_DEVICE, one.metric.name)
        ]
        if not suited:
            raise ValueError(f"{wanted.device}: no metric {wanted.metric!r} that can have {kind.name!r}")
        # The others of its kind are there to be swapped with; of the whole plant it would take many seconds.
        like = (
            [one for one in plant.series if one.kind == device.series[0].kind] if kind.name == SensorSwap.name else []
        )
        sensors = SensorFaults(like or device.series, plant.around, (), first=now, last=plant.end)
        names = suited if kind.whole_device else suited[:1]
        label = sensors.inject(kind, names, now, end, wanted.size)
        self._replace(plant, {one.name: one for one in sensors.faulty() if one.device == wanted.device}, now)
        return label

    def _replace(self, plant: Plant, changed: Mapping[str, Series], now: int) -> None:
        """Let the devices go on with other series from now on."""
        plant.series[:] = [changed.get(one.name, one) for one in plant.series]
        for name in dict.fromkeys(one.device for one in changed.values()):
            device = self._devices[name]
            device.series = [changed.get(one.name, one) for one in device.series]
            device.stream.replace(device.series, since=now)
            self.schedule(device)

    def _drain(self, pool: Sessions) -> None:
        deadline = time.monotonic() + GOODBYE_SECONDS
        while pool.in_flight and time.monotonic() < deadline:
            pool.poll(0.05)


def _faults_of(series: Sequence[Series]) -> dict[str, list[str]]:
    """The metrics of a device by the kinds of fault that can begin on them."""
    found: dict[str, list[str]] = {}
    for kind in FAULT_KINDS:
        metrics = [one.metric.name for one in series if kind.suits(one.metric)]
        if metrics:
            found[kind.name] = [WHOLE_DEVICE] if kind.whole_device else metrics
    return {**found, TRUNCATED: [WHOLE_DEVICE]}
