"""Bounds of the HTTP server: bytes of a request, clients at a time, and queries that hold up nobody else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from driftline.http.errors import ApiError, error_response
from storage.embedded.query_watch import QueryStop

log = logging.getLogger(__name__)

Made = TypeVar("Made")

MOST_BODY_BYTES = 1 << 20
_MOST_HELD_BYTES = 16 << 20
_QUERIES_AT_A_TIME = 2
_QUERIES_WAITING = 14
_LOOK_SECONDS = 0.1
_TAKEN_WITHIN = 30.0
_SENT_WITHIN = 10.0


class Bounds:
    """ASGI middleware: a body longer than 1 MiB gets 413 and is not read on, one that does not come 408.

    The bodies of all requests together may be 16 MiB long; beyond, 503. A client that takes nothing is dropped.
    """

    def __init__(self, app: ASGIApp, most: int = MOST_BODY_BYTES) -> None:
        self._app = app
        self._most = most
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > self._most:
            await self._refuse(scope, receive, send)
            return
        taken, whole = 0, False

        async def receive_bounded() -> Message:
            nonlocal taken, whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), _SENT_WITHIN)
            except TimeoutError:
                raise HTTPException(408, f"the body did not come within {_SENT_WITHIN:.0f} s") from None
            whole = not message.get("more_body", False)
            size = len(message.get("body", b""))
            taken += size
            self._held += size
            if taken > self._most:
                raise HTTPException(413, f"the body is longer than {self._most} bytes")
            if self._held > _MOST_HELD_BYTES:
                raise HTTPException(503, "too many long bodies at a time: try again later")
            return message

        async def send_in_time(message: Message) -> None:
            await asyncio.wait_for(send(message), _TAKEN_WITHIN)

        try:
            await self._app(scope, receive_bounded, send_in_time)
        except TimeoutError:
            log.warning("%s: a client took nothing for %.0f s, and was dropped", scope["path"], _TAKEN_WITHIN)
        finally:
            self._held -= taken

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        word = f"{scope['method']} {scope['path']}: the body is longer than {self._most} bytes"
        await error_response(413, "too_large", word)(scope, receive, send)


class QueryPool:
    """Threads of its own for queries of SQL: few at a time, few that wait, and none for a client that has gone."""

    def __init__(self, *, at_a_time: int = _QUERIES_AT_A_TIME, waiting: int = _QUERIES_WAITING) -> None:
        self._threads = ThreadPoolExecutor(at_a_time, thread_name_prefix="query")
        self._most = at_a_time + waiting
        self._running: set[QueryStop] = set()

    async def run(self, request: Request, query: Callable[[QueryStop], Made]) -> Made:
        """What `query` returns. Where the client goes, it is stopped. Raises ApiError where too many wait."""
        if len(self._running) >= self._most:
            raise ApiError(503, "busy", f"query: {len(self._running)} queries run or wait already: try again later")
        stop = QueryStop()
        self._running.add(stop)
        try:
            work = asyncio.get_running_loop().run_in_executor(self._threads, query, stop)
            while not (await asyncio.wait({work}, timeout=_LOOK_SECONDS))[0]:
                if await request.is_disconnected():
                    stop.ask()
            return await work
        finally:
            stop.ask()
            self._running.discard(stop)

    def close(self) -> None:
        """Stop what runs, and take nothing more."""
        for stop in list(self._running):
            stop.ask()
        self._threads.shutdown(wait=False, cancel_futures=True)


class QuickAnswers:
    """Threads of its own for what must be answered at once, whatever else is asked meanwhile."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="health")

    async def get(self, answer: Callable[[], Made]) -> Made:
        """What `answer` returns."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, answer)
