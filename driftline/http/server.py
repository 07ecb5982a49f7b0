"""The HTTP server: uvicorn in a thread of the service."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.server import ServerState

from driftline.http.http_settings import DEFAULT_PORT, HttpSettings

log = logging.getLogger(__name__)

_PORTS_TRIED = 100
_STOP_SECONDS = 2
_AGAIN_SECONDS = 0.5
_TICK_SECONDS = 1.0
_REQUEST_WITHIN = 10.0
_BACKLOG = 128
_MOST_CONNECTIONS = 1_000


class PortTakenError(OSError):
    """The configured address cannot be listened on; the message says why and what can be done."""


class HttpServer:
    """Serves an application from `start` to `stop`."""

    def __init__(self, app: FastAPI, settings: HttpSettings) -> None:
        self._app = app
        self._settings = settings
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where the server answers, as a browser on this machine would write it; empty before it has started."""
        if not self._port:
            return ""
        host = self._settings.host
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        scheme = "https" if self._settings.tls_certificate else "http"
        return f"{scheme}://[{name}]:{self._port}" if ":" in name else f"{scheme}://{name}:{self._port}"

    def start(self) -> None:
        """Listen, and serve from a thread. Returns when requests are answered.

        A port that is taken is passed over for the next free one where none was configured. Raises PortTakenError
        where the configured port, or the host, cannot be listened on.
        """
        listener = _listen(self._settings)
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            # Whom to believe about a client's address is the gate's to decide.
            proxy_headers=False,
            ssl_certfile=self._settings.tls_certificate,
            ssl_keyfile=self._settings.tls_key,
            timeout_graceful_shutdown=_STOP_SECONDS,
            http=_ImpatientProtocol,
            # So many are accepted at once, before any can be turned away.
            backlog=_BACKLOG,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._server.run_on, args=(listener,), name="http", daemon=True)
        self._thread.start()
        self._server.ready.wait()

    def stop(self) -> None:
        """End live streams, finish running requests within 2 s, and close the port. Does nothing where not started."""
        if self._server is None or self._thread is None:
            return
        self._app.state.streams.close()
        self._app.state.queries.close()
        self._server.end()
        self._thread.join(timeout=2 * _STOP_SECONDS + 1)
        self._server = self._thread = None


class _Server(uvicorn.Server):
    """uvicorn that tells other threads when it answers, or has given up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self.servers = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; whatever ends it closes what is open, since a client would wait for ever on a loop that has ended."""
        try:
            await super().serve(sockets)
        finally:
            for server in self.servers:
                server.close()
            for connection in list(self.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()

    async def main_loop(self) -> None:
        """As uvicorn's own, which wakes up ten times a second, but once a second, and at once when told to end."""
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _TICK_SECONDS)

    def end(self) -> None:
        """Let `serve` end. Any thread may call it."""
        self.should_exit = True
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # It has ended by itself.
                loop.call_soon_threadsafe(self._ended.set)

    def run_on(self, listener: socket.socket) -> None:
        """Serve until told to end; what ends it otherwise is said, and it begins again."""
        with listener:
            while True:
                try:
                    self.run([listener.dup()])
                except Exception:
                    log.exception("the HTTP server has failed")
                finally:
                    self.ready.set()
                if self.should_exit:
                    return
                log.error("the HTTP server ended by itself: it begins again")
                self.started = False
                self.server_state = ServerState()
                time.sleep(_AGAIN_SECONDS)


def most_connections() -> int:
    """How many connections may be open: they take no more than half of the files that the process may have open."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(_MOST_CONNECTIONS, allowed // 2) if allowed > 0 else _MOST_CONNECTIONS


class _ImpatientProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Closes a connection on which no request has come within some seconds, so that such ones do not pile up.

    Where there are more connections than may be, the one that has asked nothing for longest makes room.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.since = self.loop.time()
        self.loop.call_later(_REQUEST_WITHIN, self._close_without_request)
        if len(self.connections) > most_connections():
            waiting = [each for each in self.connections if each.is_waiting and each is not self]
            min(waiting, key=lambda each: each.since, default=self).transport.close()

    @property
    def is_waiting(self) -> bool:
        """Whether it is open, and nothing that was asked on it is under way."""
        done = self.cycle is None or self.cycle.response_complete or self.cycle.more_body
        return done and not self.transport.is_closing()

    def _close_without_request(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


def _listen(settings: HttpSettings) -> socket.socket:
    if settings.port is not None:
        return _bind(settings.host, settings.port)
    for port in range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED):
        try:
            return _bind(settings.host, port)
        except PortTakenError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return _bind(settings.host, 0)


def _bind(host: str, port: int) -> socket.socket:
    family: Any = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = (
                f"http.port: {port} on {host} is taken by another program; "
                "choose another, or leave http.port out to use the next free one"
            )
        else:
            message = f"http.host: cannot listen on {host} port {port}: {error.strerror or error}"
        raise PortTakenError(error.errno, message) from None
    return listener
