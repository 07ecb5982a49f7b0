"""A real VictoriaMetrics for tests, and a stand-in before it that misbehaves on command."""

from __future__ import annotations

import gzip
import http.client
import json
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

WaitUntil = Callable[..., None]


def free_ports(n: int) -> list[int]:
    """TCP ports of loopback that nothing listens on now, all different."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Victoria:
    """One server with a data folder of its own, on loopback."""

    def __init__(self, folder: Path, port: int, wait_until: WaitUntil, retention: str = "100y") -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._retention = retention
        self._wait_until = wait_until
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        self._process = subprocess.Popen(
            [
                "victoria-metrics",
                f"-storageDataPath={self._folder}",
                f"-httpListenAddr=127.0.0.1:{self.port}",
                f"-retentionPeriod={self._retention}",
                "-dedup.minScrapeInterval=1ms",
                "-search.latencyOffset=0s",
                "-memory.allowedBytes=128MB",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until(lambda: self.get("/health") == "OK", what="VictoriaMetrics' start")
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def get(self, path: str, **parameters: str) -> str:
        """The reply's text, or "away"."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}{path}?{query}", timeout=10) as answer:
                return str(answer.read().decode())
        except (OSError, http.client.HTTPException):
            return "away"

    def samples(self, selector: str) -> dict[tuple[str, str], dict[int, float]]:
        """Everything stored of the selected series: by (device, metric), by time in ms."""
        self.get("/internal/force_flush")
        found: dict[tuple[str, str], dict[int, float]] = {}
        for line in self.get("/api/v1/export", **{"match[]": selector, "start": "0"}).splitlines():
            row = json.loads(line)
            key = (row["metric"].get("device", ""), row["metric"].get("metric", ""))
            found.setdefault(key, {}).update(zip(row["timestamps"], row["values"], strict=True))
        return found

    def count(self, selector: str) -> int:
        """How many samples the selected series hold."""
        return sum(len(samples) for samples in self.samples(selector).values())


class Misbehaving:
    """Passes requests on to `upstream`, except while told otherwise; `away` closes the port itself."""

    def __init__(self, upstream: str, port: int) -> None:
        self.upstream = urllib.parse.urlsplit(upstream)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.status: int | None = None
        self.delay_seconds = 0.0
        self.refuse: Callable[[str], bool] | None = None
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        proxy = self

        class Handler(_Handler):
            owner: Misbehaving = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Handler(BaseHTTPRequestHandler):
    owner: Misbehaving

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.owner.delay_seconds)
        if self.owner.status is not None:
            return self._answer(self.owner.status, b'{"code":"internal error","message":"told to fail"}')
        plain = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
        if self.owner.refuse is not None and any(self.owner.refuse(line) for line in plain.decode().splitlines()):
            return self._answer(400, b'{"code":"invalid","message":"told to refuse a line"}')
        upstream = self.owner.upstream
        connection = http.client.HTTPConnection(str(upstream.hostname), upstream.port, timeout=240)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in {"host", "connection"}}
            connection.request("POST", self.path, body, headers)
            reply = connection.getresponse()
            self._answer(reply.status, reply.read())
        finally:
            connection.close()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            return  # a client that gave up waiting

    def log_message(self, format: str, *args: Any) -> None:
        pass
