"""A steady load: whether memory and lag stay as they are, and how soon an alarm is seen over the event stream."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass

import httpx
import numpy as np
import orjson

from benchmarks.load import METRICS, LoadPlan, Publisher
from benchmarks.processes import Mosquitto, Service, resident_bytes
from benchmarks.setting import Setting, configuration

GROUP = "steady load, cheap tier"

_SHORT_SECONDS, _LONG_SECONDS = 40, 300
_SHORT_WARM_UP, _LONG_WARM_UP = 20, 90
"""Seconds of the load before those that count: caches fill, and the first compactions take place."""
_LATENCY_SECONDS = 10
_SPIKE_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the service: seconds since the load began, resident bytes, messages not yet scored and stored."""

    at: float
    resident: int
    lag: int


def run(setting: Setting) -> None:
    """Add the figures."""
    setting.say("steady load: finding the maximum")
    folder = setting.fresh("steady")
    with Mosquitto(folder) as broker, Service(folder, configuration(broker.port)) as service:
        service.ready()
        with Publisher(broker.port, LoadPlan()) as publisher:
            sent = 100_000
            publisher.send(sent)
            service.await_stored(sent * 3, silence=120)
            found = []
            for _ in range(setting.runs):
                most, sent = _maximum(service, publisher, sent)
                setting.figures.add(GROUP, "maximum found before, messages stored", most, "1/s")
                found.append(most)
            most = statistics.median(found)
            _steady(setting, service, publisher, 0.8 * most, sent)
            for _ in range(setting.runs):
                _latency(setting, service, publisher, 0.5 * most)


def _maximum(service: Service, publisher: Publisher, sent: int) -> tuple[float, int]:
    """Messages a second that reach the database at full load, and how many have been sent by then."""
    messages = 200_000
    began = time.perf_counter()
    publisher.send(messages)
    service.await_stored(3 * (sent + messages), every=0.05)
    return messages / (time.perf_counter() - began), sent + messages


def _steady(setting: Setting, service: Service, publisher: Publisher, rate: float, sent: int) -> None:
    warm_up, counted = (_LONG_WARM_UP, _LONG_SECONDS) if setting.long else (_SHORT_WARM_UP, _SHORT_SECONDS)
    seconds = warm_up + counted
    setting.say(f"steady load: {rate:,.0f} messages a second for {seconds} s")
    messages = int(rate * seconds)
    cpu = service.cpu()
    publisher.begin(messages, rate=rate)
    began = time.perf_counter()
    samples: list[Sample] = []
    while (now := time.perf_counter() - began) < seconds:
        stored = service.stored() / publisher.plan.points
        lag = sent + now * rate - stored
        samples.append(Sample(now, resident_bytes(service.pid), round(lag)))
        time.sleep(1.0)
    publisher.finish()
    stored_points = service.await_stored(3 * (sent + messages))
    lost = sent + messages - stored_points / publisher.plan.points
    settled = [s for s in samples if s.at > warm_up]
    times = [s.at for s in settled]
    middle = statistics.median(s.resident for s in settled)
    memory_slope = slope(times, [s.resident for s in settled]) * 300 / middle
    lag_slope = slope(times, [float(s.lag) for s in settled])
    add = setting.figures.add
    note = f"{counted} s at {rate:,.0f} messages/s, after {warm_up} s of warm-up"
    add(GROUP, "CPU per message at 80 % of the maximum", (service.cpu() - cpu) / messages * 1e6, "µs", note=note)
    add(GROUP, "resident memory", middle / 1e6, "MB")
    add(GROUP, "growth of memory in 5 min, by Theil and Sen's slope", 100 * memory_slope, "%", at_most=5.0)
    add(GROUP, "lag, median", statistics.median(s.lag for s in settled) / rate, "s")
    add(GROUP, "growth of lag, seconds a second", lag_slope / rate, "s/s", at_most=0.005)
    add(GROUP, "messages lost", lost, "", at_most=0.0)


def slope(times: list[float], values: list[float]) -> float:
    """Theil and Sen's slope: the median over all pairs, which a few odd samples do not move."""
    at, value = np.array(times), np.array(values, float)
    i, j = np.triu_indices(len(at), 1)
    return float(np.median((value[j] - value[i]) / (at[j] - at[i]))) if len(i) else 0.0


def _latency(setting: Setting, service: Service, publisher: Publisher, rate: float) -> None:
    setting.say(f"publish to alarm at {rate:,.0f} messages a second")
    names = {(f"d{n:06d}"): n for n in range(publisher.plan.devices)}
    seen: dict[int, int] = {}
    listening, done = threading.Event(), threading.Event()

    def listen() -> None:
        with httpx.Client(timeout=30) as client, client.stream("GET", f"{service.url}events?points=none") as stream:
            listening.set()
            for line in stream.iter_lines():
                if done.is_set():
                    return
                if not line.startswith('data: {"alarms"'):
                    continue
                now = time.time_ns()
                for alarm in orjson.loads(line[6:])["alarms"]:
                    if alarm["state"] == "open" and alarm["metric"].endswith(METRICS[0]):
                        seen.setdefault(names[alarm["device"].rpartition("/")[2]], now)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    listening.wait(30)
    messages = int(rate * _LATENCY_SECONDS)
    publisher.begin(messages, rate=rate, spike_every=_SPIKE_EVERY)
    spikes = publisher.finish()["spikes"]
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not all(device in seen for device, _, _ in spikes):
        time.sleep(0.05)
    done.set()
    delays = [(seen[device] - sent) / 1e6 for device, sent, _ in spikes[len(spikes) // 10 :] if device in seen]
    unseen = [(device, at) for device, _, at in spikes if device not in seen]
    missed = len(unseen) - _within_open_alarms(service, unseen)
    add = setting.figures.add
    note = f"{len(delays)} spikes at {rate:,.0f} messages/s"
    add(GROUP, "publish to alarm over the event stream, p50", _quantile(delays, 0.50), "ms", at_most=50, note=note)
    add(GROUP, "publish to alarm over the event stream, p99", _quantile(delays, 0.99), "ms", at_most=250)
    add(GROUP, "spikes without an alarm", missed, "", at_most=0)


def _within_open_alarms(service: Service, unseen: list[tuple[int, int]]) -> int:
    """How many of these spikes, (device number, time in ns), fell into an alarm that was open: none opens then."""
    alarms = service.get("alarms", limit=10_000)["alarms"] if unseen else []
    within = 0
    for device, at in unseen:
        own = [a for a in alarms if a["device"].endswith(f"d{device:06d}") and a["metric"].endswith(METRICS[0])]
        within += any(a["opened"] < at and (a["cleared"] is None or a["cleared"] >= at) for a in own)
    return within


def _quantile(values: list[float], share: float) -> float:
    return float(np.quantile(values, share)) if values else float("inf")
