"""A real InfluxDB 1.8 or later, with Flux switched on, for tests: one server with a data folder of its own."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Self

from victoria import free_ports

_CONFIG = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  max-values-per-tag = 0
[http]
  bind-address = "127.0.0.1:{port}"
  flux-enabled = true
  log-enabled = false
[monitor]
  store-enabled = false
[logging]
  level = "error"
"""


class Influxd:
    """A server of the 1.x line: a "bucket" of the v2 API is its database, or database/retention policy."""

    def __init__(self, folder: Path, wait_until: Callable[..., None]) -> None:
        self._folder = folder
        self._wait_until = wait_until
        self.port, self._rpc = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "influxdb.conf"
        config.write_text(_CONFIG.format(folder=self._folder, port=self.port, rpc=self._rpc))
        self._process = subprocess.Popen(
            ["influxd", "-config", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait_until(self._answers, what="InfluxDB's start")
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def statement(self, query: str) -> bytes:
        """The reply to one statement of InfluxQL."""
        data = urllib.parse.urlencode({"q": query}).encode()
        with urllib.request.urlopen(f"{self.url}/query", data, timeout=10) as reply:
            return bytes(reply.read())

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=2) as reply:
                return int(reply.status) == 204
        except (urllib.error.URLError, OSError):
            return False
