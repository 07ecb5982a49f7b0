"""From `driftline up` to the first point in the database, with compiled kernels cached and without."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.load import LoadPlan, Publisher
from benchmarks.processes import Mosquitto, Service
from benchmarks.setting import Setting, configuration

GROUP = "start to first point stored"


def run(setting: Setting) -> None:
    """Add the figures. The first start of all, which compiles, is run twice at the most."""
    for _ in range(min(2, setting.runs)):
        setting.say("first start of all: nothing compiled")
        environment = {"NUMBA_CACHE_DIR": str(setting.fresh("kernels"))}
        seconds = _first_point(setting, environment)
        setting.figures.add(GROUP, "first start of all, kernels compiled", seconds, "s", at_most=20.0)
    for _ in range(max(3, setting.runs)):
        setting.say("start with kernels cached")
        setting.figures.add(GROUP, "kernels cached", _first_point(setting, environment), "s", at_most=3.0)


def _first_point(setting: Setting, environment: Mapping[str, str]) -> float:
    """Seconds from the command to the first point, under the default configuration and a trickle of messages."""
    folder: Path = setting.fresh("starting")
    with Mosquitto(folder) as broker, Publisher(broker.port, LoadPlan(devices=10, cycle=1_000)) as publisher:
        config = configuration(broker.port, cheap=False)
        began = time.perf_counter()
        with Service(folder, config, environment=environment) as service:
            while not (service.answers() and service.stored()):
                service.require_alive()
                publisher.send(1)
                time.sleep(0.02)
            return time.perf_counter() - began
