"""A real `driftline up` in a process of its own, and what a person would ask of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

WaitUntil = Callable[..., None]


class RunningService:
    """One data folder, and a service that may be started on it again and again."""

    def __init__(self, folder: Path, wait_until: WaitUntil) -> None:
        self.folder = folder
        self.data = folder / "var"
        self.config = folder / "driftline.toml"
        self.config.write_text("")
        self._wait_until = wait_until
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start the service, and wait until it listens to its broker."""
        self._spawn(options)
        self._wait_until(lambda: not self.alive or self._broker_status() == "green", within=480, what="the start")
        assert self.alive, self.log

    def start_without_broker(self) -> None:
        """Start the service, and wait until its API answers."""
        self._spawn(())
        self._wait_until(lambda: not self.alive or self._broker_status(), within=480, what="the start")
        assert self.alive, self.log

    def _spawn(self, options: tuple[str, ...]) -> None:
        command = [sys.executable, "-m", "driftline", "up", "--data", str(self.data), "--config", str(self.config)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*command, "--port", "0", *options], stdout=log, stderr=log)

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

    @property
    def url(self) -> str:
        return str(json.loads((self.data / "service.json").read_text())["url"])

    @property
    def broker_url(self) -> str:
        return str(json.loads((self.data / "service.json").read_text())["broker"])

    def stop(self, number: int = signal.SIGINT, *, within: float = 240) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        assert self._process is not None
        if self.alive:
            self._process.send_signal(number)
        return self._process.wait(within)

    def get(self, path: str, **parameters: Any) -> Any:
        reply = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=240)
        if reply.status_code != 503:  # health answers 503 where a stage does not work, and says which
            reply.raise_for_status()
        return reply.json()

    def cli(self, *arguments: str) -> str:
        """A command of the command line on this data folder; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "driftline", *arguments],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env={**os.environ, "COLUMNS": "200"},
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def query(self, sql: str) -> list[dict[str, Any]]:
        rows = json.loads(self.cli("query", sql, "--data", str(self.data), "--format", "json"))
        return list(rows)

    def settle(self, messages: int, *, within: float = 240) -> dict[str, Any]:
        """Wait until that many messages have arrived and everything received is in its place; the counts then."""

        def settled() -> bool:
            counts = self.get("counts")
            arrived = counts["messages"] - counts["redelivered"]
            return bool(arrived >= messages and counts["lag_messages"] == 0 and counts["in_flight"] == 0)

        self._wait_until(settled, within=within, what=f"{messages} messages in their places")
        return dict(self.get("counts"))

    def _broker_status(self) -> str | None:
        """How the broker's stage stands; None while the API does not answer."""
        try:
            health = self.get("health")
        except (OSError, ValueError, httpx.HTTPError):
            return None
        return next(str(stage["status"]) for stage in health["stages"] if stage["stage"] == "broker")


@pytest.fixture
def service(tmp_path: Path, wait_until: WaitUntil) -> Iterator[RunningService]:
    """A service on an empty folder, not yet started; ended by its process id."""
    folder = tmp_path / "service"
    folder.mkdir()
    running = RunningService(folder, wait_until)
    yield running
    if running.alive:
        running.stop(signal.SIGKILL)
