"""Functions: one worker process as the service sees it: started, called within a time, and killed where it must be."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

from functions.call_records import Outcome

log = logging.getLogger(__name__)

_PROGRAM = Path(__file__).with_name("worker.py")
_START_SECONDS = 20.0
_MOST_LOG_BYTES = 64 << 10
_MOST_ERROR = 4 << 10
_MOST_MESSAGE_BYTES = 64 << 20
_LENGTH = struct.Struct(">I")
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR")

Act = Callable[[str, Mapping[str, Any]], Any]
"""Does a ready-made action by name with parameters; raises ValueError or OSError, whose text says why it could not."""


class WorkerStartError(Exception):
    """The file does not load, or its process does not start; the message is for people, `traceback` for the log."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker runs: the file, its limits, and the environment that it has beside the usual."""

    file: Path
    memory_mib: int
    timeout_seconds: float
    environment: Mapping[str, str]


class _GoneError(Exception):
    """The process has ended in the middle of a call."""


class _ForeignMessageError(Exception):
    """A message that belongs to another call."""


class WorkerProcess:
    """A process that has loaded a function's file. One thread at a time calls it.

    The constructor starts it and waits until the file is loaded. Raises WorkerStartError; nothing is left running then.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.logs: list[str] = []
        self.memory = 0
        self._log_bytes = 0
        self._ending_lock = threading.Lock()
        self._reaped = False
        ours, theirs = socket.socketpair()
        self._link = ours
        seconds = max(_START_SECONDS, settings.timeout_seconds)
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    str(_PROGRAM),
                    str(theirs.fileno()),
                    str(settings.file.absolute()),
                    str(settings.memory_mib),
                    str(seconds),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
                | dict(settings.environment),
                start_new_session=True,
            )
        try:
            self._await_ready(seconds)
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def _await_ready(self, seconds: float) -> None:
        until = monotonic() + seconds
        try:
            while (message := self._receive(until))["kind"] == "log":
                self._keep(message)
        except TimeoutError:
            raise WorkerStartError(f"the file has not loaded within {seconds:g} s") from None
        except _GoneError:
            raise WorkerStartError(f"the process ended while it loaded the file: {self._ending()}") from None
        if message["kind"] == "broken":
            raise WorkerStartError(message["error"], message["traceback"])
        self.memory = message["memory"]

    def call(self, call: Mapping[str, Any], act: Act) -> Outcome:
        """Call the handler and wait for what comes of it, at most `call["seconds"]`. `usable` is False afterwards
        where the process was ended, or has run out of memory."""
        self.logs, self._log_bytes = [], 0
        until = monotonic() + call["seconds"]
        try:
            self._send({"kind": "call", **call})
            message = self._outcome(str(call["request_id"]), until, act)
        except TimeoutError:
            self.kill()
            return Outcome("timeout", error=f"took longer than {call['seconds']:g} s, its timeout, and was ended")
        except _ForeignMessageError:
            self.kill()
            return Outcome("crash", error="its process answered for another call, and was ended")
        except RecursionError:
            self.kill()
            return Outcome("error", error="what the handler returned is nested too deeply")
        except (_GoneError, OSError, ValueError):
            ending = self._ending()
            self.kill()
            return Outcome("crash", error=f"the process ended in the middle of the call: {ending}")
        self.memory = max(self.memory, message["memory"])
        if message["kind"] == "done":
            return _checked(message["result"])
        if message["traceback"]:
            self._keep({"level": "error", "text": message["traceback"].rstrip()})
        if message["full"]:
            self.kill()
            return Outcome("memory", error=message["error"])
        return Outcome("error", error=message["error"])

    def _outcome(self, request_id: str, until: float, act: Act) -> dict[str, Any]:
        """The message that ends the call; logs are kept and actions are done until it comes."""
        while True:
            message = self._receive(until)
            own = message["id"] == request_id
            if message["kind"] == "log":
                # Threads of an earlier call may still log: their lines are not this call's.
                if own:
                    self._keep(message)
            elif not own:
                raise _ForeignMessageError
            elif message["kind"] == "act":
                self._send(_answer(act, message))
            else:
                return message

    @property
    def usable(self) -> bool:
        """Whether it can be called again."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the process and those that it has started. Any thread may do it; a call under way tells of a crash."""
        with self._ending_lock:
            if not self._reaped:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """End it, and let go of it. Doing it twice does nothing."""
        self.end()
        with self._ending_lock:
            self._process.wait()
            self._reaped = True
        self._link.close()

    def _keep(self, message: Mapping[str, Any]) -> None:
        line = f"{message['level']}: {message['text']}"
        room = _MOST_LOG_BYTES - self._log_bytes
        self._log_bytes += len(line)
        if room > 0:
            self.logs.append(line if len(line) <= room else f"{line[:room]} ... (the rest, beyond 64 KiB, is left out)")

    def _ending(self) -> str:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "its connection was closed"
        return f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"

    def _send(self, message: Mapping[str, Any]) -> None:
        body = json.dumps(message).encode()
        self._link.settimeout(_START_SECONDS)
        self._link.sendall(_LENGTH.pack(len(body)) + body)

    def _receive(self, until: float) -> dict[str, Any]:
        (size,) = _LENGTH.unpack(self._exactly(_LENGTH.size, until))
        if size > _MOST_MESSAGE_BYTES:
            raise ValueError("a message that no worker sends")
        body = self._exactly(size, until)
        found: dict[str, Any] = json.loads(body)
        if b"\\ud" in body:
            # Half of a pair is no text that a file or a reply could hold.
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
        return found

    def _exactly(self, count: int, until: float) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            left = until - monotonic()
            if left <= 0:
                raise TimeoutError
            self._link.settimeout(left)
            try:
                part = self._link.recv(count - len(parts))
            except ConnectionResetError:
                part = b""
            if not part:
                raise _GoneError
            parts += part
        return bytes(parts)


def _checked(result: Any) -> Outcome:
    """A call that went well, if its result can be a reply: whole numbers beyond 64 bits cannot."""
    try:
        orjson.dumps(result)
    except TypeError as error:
        return Outcome("error", error=f"what the handler returned cannot be written as JSON: {error}")
    return Outcome("ok", result=result)


def _answer(act: Act, message: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"kind": "answer", "result": act(message["action"], message["parameters"])}
    except (ValueError, OSError) as error:
        return {"kind": "answer", "error": str(error)[:_MOST_ERROR]}
    except Exception as error:
        log.exception("an action that a function asked for failed")
        return {"kind": "answer", "error": f"{type(error).__name__}: {error}; see the service's log"}
