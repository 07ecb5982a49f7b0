"""An external database and Grafana as our children, where they are found on PATH; each is optional.

The same stack as `deploy/compose.yaml`, without Docker. Children listen on loopback, are shielded from the terminal's
Ctrl-C, and end with this process, however it ends (on Linux), as the broker does.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.extras import require
from common.http_client import HttpClient
from dashboards.grafana_units import SIMULATED
from driftline.config import Config
from driftline.http.http_settings import DEFAULT_PORT
from driftline.runtime.broker import end_child, end_with_parent
from storage.storage_settings import SinkSettings

SINK = "stack"
"""Name of the sink that the stack's database is."""

VICTORIA_METRICS_PORT = 8428
GRAFANA_PORT = 3000
_VICTORIA_METRICS = ("victoria-metrics", "victoria-metrics-prod")
_GRAFANA = ("grafana", "grafana-server")
_GRAFANA_HOMES = (Path("/usr/share/grafana"), Path("/opt/grafana"), Path("/opt/homebrew/opt/grafana/share/grafana"))
_PORTS_TRIED = 100
_START_WITHIN = 60.0
_POLL_INTERVAL = 0.05

_SCRAPE = """\
# Written at every start: the service's own figures, for the pipeline dashboard.
scrape_configs:
  - job_name: driftline
    scrape_interval: 10s
    static_configs:
      - targets: ["{target}"]
"""
_GRAFANA_INI = """\
# Written at every start.
[server]
http_addr = 127.0.0.1
http_port = {port}
[paths]
data = {folder}/data
logs = {folder}/logs
plugins = {folder}/plugins
provisioning = {folder}/files/provisioning
[analytics]
reporting_enabled = false
check_for_updates = false
check_for_plugin_updates = false
[dashboards]
default_home_dashboard_path = {folder}/files/dashboards/driftline-fleet.json
"""


@contextmanager
def stack_beside(
    config: Config, folder: Path, say: Callable[[str], object], *, which: Callable[[str], str | None] = shutil.which
) -> Iterator[Config]:
    """The configuration with the stack's database as a sink and with a port that it scrapes; ends the stack at exit.

    What is not on PATH is named to `say` and left out. Raises StackError, with nothing left running.
    """
    require("grafana_foundation_sdk", extra="grafana", purpose="The stack's dashboards")
    require("pyarrow", extra="influx", purpose="Writing to the stack's database")
    port = config.http.port or _free_port(DEFAULT_PORT)
    page = f"http://127.0.0.1:{port}/"
    stack = Stack(folder / "stack", which=which)
    for name in stack.missing():
        say(f"{name} is not on PATH: the stack goes without it")
    sinks = list(config.sinks)
    try:
        if (database := stack.start_database(scraped=f"127.0.0.1:{port}")) is not None:
            say(f"{database.name} {database.url}")
            sinks.append(SinkSettings(name=SINK, type="victoriametrics", url=database.url))
            grafana = stack.start_grafana(lambda files: _write_dashboards(files, database.url, page))
            if grafana is not None:
                kept = folder / "stack" / "grafana" / "admin-password"
                say(f"{grafana.name} {grafana.url}, user admin, password in {kept}")
        yield config.model_copy(update={"sinks": sinks, "http": config.http.model_copy(update={"port": port})})
    finally:
        stack.stop()


def _write_dashboards(files: Path, database_url: str, page: str) -> Sequence[Path]:
    from dashboards.provisioning import BuildSettings, write_all  # noqa: PLC0415  of an extra
    from dashboards.sources import source_named  # noqa: PLC0415

    settings = BuildSettings(database_url=database_url, page_url=page)
    return write_all(files, source_named("victoriametrics"), settings, units=SIMULATED)


class StackError(Exception):
    """A child could not be started; the message says why, and names its log."""


@dataclass(frozen=True, slots=True)
class Child:
    """A program of the stack that we run: what it is, where it answers, and where its words go."""

    name: str
    url: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """End it: asked first, then killed. Stopping twice does nothing."""
        end_child(self.process)


class Stack:
    """VictoriaMetrics and Grafana below `folder`. `which` finds programs; what it does not find is left out."""

    def __init__(self, folder: Path, *, which: Callable[[str], str | None] = shutil.which) -> None:
        self._folder = folder
        self._which = which
        self._children: list[Child] = []

    @property
    def children(self) -> tuple[Child, ...]:
        """What runs, in the order of its start."""
        return tuple(self._children)

    def missing(self) -> list[str]:
        """Programs that the stack would use and that are not on PATH."""
        wanted = {"VictoriaMetrics": _VICTORIA_METRICS, "Grafana": _GRAFANA}
        return [name for name, programs in wanted.items() if self._found(programs) is None]

    def start_database(self, *, scraped: str, keep: str = "30d") -> Child | None:
        """VictoriaMetrics on a free port, answering; it scrapes `scraped`, the service's host and port.

        None where it is not on PATH. Raises StackError where it does not start.
        """
        program = self._found(_VICTORIA_METRICS)
        if program is None:
            return None
        folder = self._folder / "victoria-metrics"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scrape.yaml").write_text(_SCRAPE.format(target=scraped))
        port = _free_port(VICTORIA_METRICS_PORT)
        command = [
            program,
            f"-storageDataPath={folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{port}",
            f"-retentionPeriod={keep}",
            "-dedup.minScrapeInterval=1ms",
            "-search.latencyOffset=0s",
            f"-promscrape.config={folder / 'scrape.yaml'}",
        ]
        return self._started("VictoriaMetrics", command, folder / "log", f"http://127.0.0.1:{port}", "/health")

    def start_grafana(self, build: Callable[[Path], Sequence[Path]]) -> Child | None:
        """Grafana on a free port, answering, with what `build` writes into a folder provisioned.

        The administrator's password is made once and kept beside its data. None where it is not on PATH. Raises
        StackError where it does not start.
        """
        program = self._found(_GRAFANA)
        home = next((place for place in _GRAFANA_HOMES if (place / "conf" / "defaults.ini").exists()), None)
        if program is None:
            return None
        if home is None:
            places = ", ".join(str(place) for place in _GRAFANA_HOMES)
            raise StackError(f"Grafana: {program} is there, but its files are in none of {places}")
        folder = (self._folder / "grafana").resolve()
        folder.mkdir(parents=True, exist_ok=True)
        build(folder / "files")
        port = _free_port(GRAFANA_PORT)
        (folder / "grafana.ini").write_text(_GRAFANA_INI.format(port=port, folder=folder))
        run = [program, "server"] if Path(program).name == "grafana" else [program]
        environment = {"GF_SECURITY_ADMIN_PASSWORD": _kept_password(folder / "admin-password")}
        return self._started(
            "Grafana",
            [*run, f"--homepath={home}", f"--config={folder / 'grafana.ini'}"],
            folder / "log",
            f"http://127.0.0.1:{port}",
            "/api/health",
            environment,
        )

    def stop(self) -> None:
        """End all children, the newest first. Stopping twice does nothing."""
        while self._children:
            self._children.pop().stop()

    def _found(self, programs: Sequence[str]) -> str | None:
        return next((found for program in programs if (found := self._which(program)) is not None), None)

    def _started(
        self,
        name: str,
        command: list[str],
        log: Path,
        url: str,
        health: str,
        environment: dict[str, str] | None = None,
    ) -> Child:
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
                preexec_fn=end_with_parent(),  # noqa: PLW1509 (one system call through a handle made before the fork)
            )
        child = Child(name, url, log, process)
        self._children.append(child)
        deadline = time.monotonic() + _START_WITHIN
        while not _answers(url + health):
            if not child.alive or time.monotonic() > deadline:
                said = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no word"]
                self._children.remove(child)
                child.stop()
                raise StackError(f"{name} did not start: {said[0]} (log: {log})")
            time.sleep(_POLL_INTERVAL)
        return child


def _answers(url: str) -> bool:
    client = HttpClient(url, seconds=1.0)
    try:
        client.ask("GET", "")
    except OSError:
        return False
    finally:
        client.close()
    return True


def _free_port(first: int) -> int:
    """The first port of loopback from `first` on that nothing listens on."""
    for port in range(first, first + _PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise StackError(f"no free port on loopback from {first} to {first + _PORTS_TRIED - 1}")


def _kept_password(path: Path) -> str:
    """The password in the file, which is made where it is missing, for its owner alone."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
            made.write(secrets.token_urlsafe(18))
    return path.read_text()
