"""CPU per message, from the socket to the database, beside the broker's own, a bare reader's and paho's."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass

from benchmarks.load import LoadPlan, Publisher
from benchmarks.processes import Child, Mosquitto, Service, resident_bytes
from benchmarks.setting import Setting, configuration

GROUP = "CPU per message: 1,000 devices, JSON, 3 metrics"

WARM_MESSAGES = 60_000
MESSAGES = 300_000
PAHO_MESSAGES = 60_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What one stretch of messages took: CPU seconds a message of service and broker, messages a second, memory."""

    service: float
    broker: float
    publisher: float
    rate: float
    resident: int
    messages: int

    @property
    def ratio(self) -> float:
        """The service's CPU a message over the broker's."""
        return self.service / self.broker


def measure_service(broker: Mosquitto, service: Service, publisher: Publisher, warm: int, messages: int) -> Cost:
    """Send `warm` messages, wait until they are stored, then measure `messages` more, until the last is stored."""
    points = publisher.plan.points
    publisher.send(warm)
    before = service.await_stored(warm * points, silence=120)
    own, brokers, publishers = service.cpu(), broker.cpu(), publisher.cpu()
    publisher.begin(messages)
    began = time.perf_counter()
    publisher.finish()
    ended = service.await_stored(before + messages * points, silence=60)
    seconds = time.perf_counter() - began
    stored = (ended - before) / points
    if stored < 0.999 * messages:
        raise RuntimeError(f"{messages - stored:.0f} of {messages} messages did not reach the database")
    return Cost(
        (service.cpu() - own) / stored,
        (broker.cpu() - brokers) / messages,
        (publisher.cpu() - publishers) / messages,
        stored / seconds,
        resident_bytes(service.pid),
        messages,
    )


def measure_reader(setting: Setting, kind: str, warm: int, messages: int) -> tuple[float, float]:
    """CPU seconds a message of a reader from `benchmarks.readers_group`, and of the broker beside it."""
    folder = setting.fresh(kind)
    with Mosquitto(folder) as broker, Publisher(broker.port, LoadPlan()) as publisher:
        command = [sys.executable, "-m", "benchmarks.readers_group", kind, str(broker.port), str(warm), str(messages)]
        with Child(command, folder / "reader.log", output=subprocess.PIPE) as reader:
            _expect(reader, b"ready")
            publisher.send(warm)
            _expect(reader, b"reached")
            own, brokers = reader.cpu(), broker.cpu()
            publisher.send(messages)
            _expect(reader, b"reached")
            return (reader.cpu() - own) / messages, (broker.cpu() - brokers) / messages


def _expect(reader: Child, word: bytes) -> None:
    if reader.process.stdout is None or reader.process.stdout.readline().strip() != word:
        raise RuntimeError(f"the reader did not say {word.decode()}: {reader.log.read_text()}")


def run_scenario(setting: Setting, name: str, plan: LoadPlan, *, cheap: bool, messages: int) -> Cost:
    """A fresh broker, service and publisher, and the cost of their messages."""
    setting.say(f"CPU per message: {name}")
    folder = setting.fresh("messages")
    with Mosquitto(folder) as broker, Service(folder, configuration(broker.port, qos=plan.qos, cheap=cheap)) as service:
        service.ready()
        with Publisher(broker.port, plan) as publisher:
            warm = WARM_MESSAGES * messages // MESSAGES
            return measure_service(broker, service, publisher, max(warm, 40 * plan.devices), messages)


def run(setting: Setting) -> float:
    """Add the figures; returns the most messages a second that went from end to end with the cheap tier."""
    figures, fastest = setting.figures, 0.0
    for _ in range(setting.runs):
        setting.say("CPU per message: bare reader and paho")
        bare, _ = measure_reader(setting, "bare", WARM_MESSAGES, MESSAGES)
        paho, _ = measure_reader(setting, "paho", PAHO_MESSAGES // 4, PAHO_MESSAGES)
        cheap = run_scenario(setting, "QoS 0, cheap tier", LoadPlan(), cheap=True, messages=MESSAGES)
        full = run_scenario(setting, "QoS 0, ensemble", LoadPlan(), cheap=False, messages=MESSAGES // 2)
        sure = run_scenario(setting, "QoS 1, cheap tier", LoadPlan(qos=1), cheap=True, messages=MESSAGES)
        batches = run_scenario(
            setting, "batches of 10", LoadPlan(readings=10, cycle=20_000), cheap=True, messages=MESSAGES // 8
        )
        fastest = max(fastest, cheap.rate)

        def add(name: str, value: float, unit: str = "x", at_most: float | None = None, note: str = "") -> None:
            figures.add(GROUP, name, value, unit, at_most=at_most, note=note)

        add("broker itself, serving Driftline at QoS 0", cheap.broker * 1e6, "µs")
        add("bare socket reader, splits frames only", bare * 1e6, "µs")
        add("stock paho-mqtt, empty callback", paho * 1e6, "µs")
        add("publisher", cheap.publisher * 1e6, "µs", note="in its own process, frames encoded ahead")
        add(
            "Driftline, QoS 0, cheap tier",
            cheap.service * 1e6,
            "µs",
            note="zscore, threshold, rate_of_change, holt_winters",
        )
        add("Driftline, QoS 0, cheap tier / broker", cheap.ratio, at_most=1.0, note="stretch 0.6")
        add("Driftline, QoS 0, cheap tier / paho's empty callback", cheap.service / paho, at_most=0.3)
        add("Driftline, QoS 0, default ensemble", full.service * 1e6, "µs")
        add("Driftline, QoS 0, default ensemble / broker", full.ratio, at_most=2.0)
        add("broker itself, QoS 1", sure.broker * 1e6, "µs")
        add("Driftline, QoS 1, acknowledged once on disk", sure.service * 1e6, "µs")
        add("Driftline, QoS 1 / broker", sure.ratio, at_most=1.5)
        add("Driftline, 10 readings of 3 metrics a payload", batches.service / 30 * 1e6, "µs/point", at_most=1.0)
        add("messages a second from end to end, QoS 0, cheap tier", cheap.rate, "1/s")
    return fastest
