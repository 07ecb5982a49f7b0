"""What tests of every room may use: the `service` marker, a free port, and a real mosquitto."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from kafka_server import KafkaServer, missing_kafka
from receivers import MailServer

from driftline.compile.kernel_cache import drop_stale_kernels
from driftline.runtime.broker import answers

_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous {anonymous}
persistence true
persistence_location {folder}/
autosave_interval 1
max_queued_messages 1000000
max_inflight_messages 2000
queue_qos0_messages true
set_tcp_nodelay true
log_dest stderr
"""
_START_WITHIN = 180.0


# How fast examples are made says how busy the machine is, not whether the code is right.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        drop_stale_kernels()


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Long bytes are named by their argument: their contents (a packed payload's time) may differ between workers."""
    return argname if isinstance(val, bytes) and len(val) > 40 else None


def pytest_report_header() -> list[str]:
    """Which servers this run has: what is missing is skipped, and a reader of the log should see it first."""
    programs = ("mosquitto", "victoria-metrics", "influxd", "chromium", "node")
    found = [f"{name} {'yes' if shutil.which(name) else 'no'}" for name in programs]
    influx = os.environ.get("DRIFTLINE_INFLUX_URL", "none")
    return [f"servers: {', '.join(found)}; DRIFTLINE_INFLUX_URL: {influx}"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("service"):
        for name in marker.args:
            if reason := _missing(name):
                if os.environ.get("DRIFTLINE_REQUIRE_SERVICES") == "1":
                    pytest.fail(f"{reason}, and DRIFTLINE_REQUIRE_SERVICES=1", pytrace=False)
                pytest.skip(reason)
    for marker in item.iter_markers("optional_service"):
        for name in marker.args:
            if shutil.which(name) is None:
                pytest.skip(f"{name} is not on PATH, and its tests are not required")


def _missing(name: str) -> str:
    """Why a service cannot be had on this machine; empty where it can."""
    if name == "kafka":
        return missing_kafka()
    return "" if shutil.which(name) else f"{name} is not on PATH"


def wait_for(condition: Callable[[], object], *, within: float = 180.0, what: str = "the condition") -> None:
    """Return as soon as `condition()` is true; fail the test where that takes longer than `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come about within {within:g} s")
        time.sleep(0.005)


def find_free_port() -> int:
    """A TCP port of loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A real mosquitto with persistence, on one port over its restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = "127.0.0.1"
        self.port = find_free_port()
        self.extra = ""
        self.anonymous = True
        self.asks = True
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(5):
            text = _CONFIG.format(port=self.port, folder=self.folder, anonymous=str(self.anonymous).lower())
            text += self.extra
            (self.folder / "conf").write_text(text + ("user root\n" if os.geteuid() == 0 else ""))
            with (self.folder / "log").open("wb") as log:
                self._process = subprocess.Popen(["mosquitto", "-c", str(self.folder / "conf")], stderr=log)
            wait_for(lambda: not self.alive or " running" in self.log, what="mosquitto's start")
            if self.alive:
                if not self.asks:
                    return
                wait_for(lambda: answers(self.host, self.port), within=_START_WITHIN, what="mosquitto's answer")
                return
            if "in use" not in self.log:
                pytest.fail(f"mosquitto did not start: {self.log}")
            self.port = find_free_port()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it by its process id: SIGTERM lets it save what it holds, SIGKILL does not."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None


WaitFor = Callable[..., None]


@pytest.fixture
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find no configuration and no data but what the test makes."""
    monkeypatch.chdir(tmp_path)
    for name in ("DRIFTLINE_CONFIG", "DRIFTLINE_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def wait_until() -> WaitFor:
    """`wait_until(condition, within=240.0, what="...")` returns once the condition is true, and fails past `within`."""
    return wait_for


@pytest.fixture
def free_port() -> int:
    return find_free_port()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running mosquitto on a free port. Mark the test `service("mosquitto")`."""
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A running Kafka, one a session. Mark the test `service("kafka")`; each takes a topic of its own."""
    server = KafkaServer(tmp_path_factory.mktemp("kafka"), find_free_port(), wait_for).start()
    yield server
    server.stop(signal.SIGKILL)
