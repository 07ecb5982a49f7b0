"""The processes that are measured: a broker, the service, the readers beside it; their CPU time and memory.

CPU time is that of a whole process, all threads, user and system, from `/proc/PID/stat`: so Linux only.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from driftline.runtime.broker import MAX_QUEUED_MESSAGES, answers
from ingest.broker_settings import BrokerSettings

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

MOSQUITTO_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages {queued}
max_inflight_messages {inflight}
persistence false
set_tcp_nodelay true
connection_messages false
log_dest stderr
log_type error
log_type warning
"""
"""As `driftline up` writes it, but without persistence, whose saving would fall into some runs and not into others."""


class NoBrokerError(RuntimeError):
    """mosquitto is not installed."""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its threads so far, its ended children left out."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


class Child:
    """A child process that is asked to end, and then killed."""

    def __init__(
        self, command: list[str], log: Path, *, output: int | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output if output is not None else errors,
                stderr=errors,
                env=None if environment is None else {**os.environ, **environment},
            )
        self.pid = self.process.pid

    def cpu(self) -> float:
        """CPU seconds so far."""
        return cpu_seconds(self.pid)

    def stop(self, within: float = 30.0) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def require_alive(self) -> None:
        """Raises RuntimeError with the end of its log where it has ended."""
        if self.process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{self.log.stem} ended with code {self.process.returncode}:\n{tail}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


class Mosquitto(Child):
    """A fresh mosquitto on a free port of loopback."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto")
        if program is None:
            raise NoBrokerError("mosquitto is not on PATH: the load goes through one (apt install mosquitto)")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        inflight = BrokerSettings.model_fields["receive_maximum"].default
        text = MOSQUITTO_CONFIG.format(port=self.port, queued=MAX_QUEUED_MESSAGES, inflight=inflight)
        config = folder / "mosquitto.conf"
        config.write_text(text + ("user root\n" if os.geteuid() == 0 else ""))
        super().__init__([program, "-c", str(config)], folder / "mosquitto.log")
        deadline = time.monotonic() + 10
        while not answers("127.0.0.1", self.port):
            self.require_alive()
            if time.monotonic() > deadline:
                raise RuntimeError("mosquitto does not answer")
            time.sleep(0.02)


class Service(Child):
    """`driftline up` in a process of its own, on a data folder of its own, asked over its API."""

    def __init__(
        self, folder: Path, config: str, *, data: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data = data or folder / "data"
        path = folder / "driftline.toml"
        path.write_text(config)
        arguments = ["up", "--config", str(path), "--data", str(self.data), "--port", "0"]
        command = [sys.executable, "-m", "driftline", *arguments]
        super().__init__(command, folder / "service.log", environment=environment)
        self._client: httpx.Client | None = None

    def ready(self, within: float = 120.0) -> Self:
        """Wait until messages are received. Returns self."""
        deadline = time.monotonic() + within
        while not self.answers() or self.get("health")["status"] != "green":
            self.require_alive()
            if time.monotonic() > deadline:
                raise RuntimeError(f"the service is not ready within {within} s: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    def answers(self) -> bool:
        """Whether the API answers by now."""
        if self._client is None:
            try:
                known = json.loads((self.data / "service.json").read_text())
            except (OSError, ValueError):
                return False
            if known["pid"] != self.pid:
                return False
            self._client = httpx.Client(base_url=known["url"] + "/api/v1/", timeout=60)
        return True

    @property
    def url(self) -> str:
        """The API's address."""
        if self._client is None:
            raise RuntimeError("the service is not ready")
        return str(self._client.base_url)

    def get(self, path: str, **parameters: Any) -> Any:
        """A reply of the API. A service that is not green answers 503, which is a reply too."""
        if self._client is None:
            raise RuntimeError("the service is not ready")
        return self._client.get(path, params=parameters).json()

    def stored(self) -> int:
        """Readings that have ended somewhere."""
        counts = self.get("counts")
        ended = counts["stored"] + counts["late"] + counts["duplicates"]
        return int(ended + sum(counts["rejected"].values()) + sum(counts["dropped"].values()))

    def await_stored(self, readings: int, *, silence: float = 15.0, every: float = 0.2) -> int:
        """Wait until so many readings are stored, or nothing more comes for `silence` seconds; returns how many are."""
        now, seen, deadline = 0, -1, time.monotonic() + silence
        while (now := self.stored()) < readings:
            self.require_alive()
            if now != seen:
                seen, deadline = now, time.monotonic() + silence
            elif time.monotonic() > deadline:
                break
            time.sleep(every)
        return now

    def stop(self, within: float = 30.0) -> None:
        """End it."""
        if self._client is not None:
            self._client.close()
        super().stop(within)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
