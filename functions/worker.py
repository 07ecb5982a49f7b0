"""Functions: the program of a worker process. It loads one file and calls its handler, once for each call it is sent.

It runs outside the service's process and imports nothing of ours, so that it starts in some hundredths of a second.
Messages go over one socket in both directions: four bytes of length, then JSON. The service sends `call`, and `answer`
to an `act`; the worker sends `ready` or `broken` once, and for each call any number of `log` and `act`, then `done` or
`raised`. Every message of the worker's has the `id` of its call, which is empty while the file loads.
"""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import os
import resource
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

MOST_RESULT_BYTES = 1 << 20
_MOST_ERROR = 4 << 10
_MOST_LINE = 64 << 10
_MOST_TRACEBACK = 4_000
_GRACE_SECONDS = 2.0
_LENGTH = struct.Struct(">I")


class ActionFailed(Exception):  # noqa: N818 (what people catch reads as what happened)
    """What `context.act` asked for could not be done; the message says why."""


class Channel:
    """Messages to and from the service. Threads of the handler may send at the same time.

    A process that the handler forks has no part in it: what it sends goes nowhere, so that it answers no call.
    """

    def __init__(self, link: socket.socket) -> None:
        self.call_id = ""
        """The call under way; empty where none is."""
        self.forked = False
        """Whether this is a process that the handler has forked."""
        self._link = link
        self._link.set_inheritable(False)
        self._sending = threading.Lock()
        self._asking = threading.Lock()
        os.register_at_fork(after_in_child=self._leave)

    def _leave(self) -> None:
        self.forked = True
        self._sending, self._asking = threading.Lock(), threading.Lock()
        self._link.close()

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        body = json.dumps({**message, "id": self.call_id}).encode()
        with self._sending:
            if not self.forked:
                self._link.sendall(_LENGTH.pack(len(body)) + body)

    def next_call(self) -> dict[str, Any] | None:
        """The next call; None once the service has closed the connection."""
        call = self.receive()
        if call is not None:
            self.call_id = call["request_id"]
        return call

    def finish(self, outcome: dict[str, Any]) -> None:
        """Send what came of the call, once no thread waits for an answer; none of them may ask any more."""
        with self._asking:
            self.send(outcome)
            self.call_id = ""

    def receive(self) -> dict[str, Any] | None:
        """The next message; None once the service has closed the connection."""
        head = self._exactly(_LENGTH.size)
        body = self._exactly(_LENGTH.unpack(head)[0]) if head else None
        return None if body is None else json.loads(body)

    def ask(self, message: dict[str, Any], call_id: str) -> dict[str, Any]:
        """Send a message of a call and wait for its answer. Raises ActionFailed where the call is over."""
        with self._asking:
            if self.forked or self.call_id != call_id:
                raise ActionFailed("only the call itself may act, while it lasts, in the process that was called")
            self.send(message)
            answer = self.receive()
        if answer is None:
            raise ActionFailed("the service has ended the call")
        return answer

    def _exactly(self, count: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < count:
            part = self._link.recv(count - len(parts))
            if not part:
                return None
            parts += part
        return bytes(parts)


class Context:
    """What a handler is told of its call, and what it may ask of the service."""

    def __init__(self, call: dict[str, Any], channel: Channel, logger: logging.Logger) -> None:
        self.request_id: str = call["request_id"]
        """Another one for each call."""
        self.function_name: str = call["function"]
        """The function's name in the configuration."""
        self.idempotency_key: str = call["key"]
        """The same each time the same event, or batch, is tried again."""
        self.attempt: int = call["attempt"]
        """1 at the first try of the event."""
        self.trigger: dict[str, Any] = call["trigger"]
        """What it is called for: `type`, and `position` in the journal where the event comes from there."""
        self.logger = logger
        """A logger whose lines are kept with the call."""
        self._channel = channel
        self._ends: float = time.monotonic() + call["seconds"]

    def time_left(self) -> float:
        """Seconds until the call is ended."""
        return max(0.0, self._ends - time.monotonic())

    def act(self, action: str, **parameters: Any) -> Any:
        """Have the service do one of the ready-made actions; what it gives. Raises ActionFailed."""
        asked = {"kind": "act", "action": action, "parameters": parameters}
        answer = self._channel.ask(asked, self.request_id)
        if "error" in answer:
            raise ActionFailed(answer["error"])
        return answer["result"]


class _Lines(io.TextIOBase):
    """What is printed, line by line, as logs."""

    def __init__(self, channel: Channel, level: str) -> None:
        self._channel = channel
        self._level = level
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._channel.send({"kind": "log", "level": self._level, "text": line[:_MOST_LINE]})
        return len(text)

    def flush(self) -> None:
        if self._rest:
            self._channel.send({"kind": "log", "level": self._level, "text": self._rest[:_MOST_LINE]})
            self._rest = ""


class _Handler(logging.Handler):
    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)[:_MOST_LINE]
        self._channel.send({"kind": "log", "level": record.levelname.lower(), "text": text})


def _load(file: str) -> Any:
    """The handler of a file; raises what the file raises, and LookupError where it has none."""
    sys.path.insert(0, str(Path(file).parent))
    spec = importlib.util.spec_from_file_location("function", file)
    if spec is None or spec.loader is None:
        raise LookupError("expected a Python file, whose name ends with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["function"] = module
    module.ActionFailed = ActionFailed  # type: ignore[attr-defined]
    spec.loader.exec_module(module)
    handler = getattr(module, "handler", None)
    if not callable(handler):
        raise LookupError("no handler: expected a function `handler(event, context)`")
    return handler


def _memory_bytes() -> int:
    """The most memory that this process has used so far."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _said(error: BaseException, file: str, memory_mib: int) -> dict[str, Any]:
    """An error in one sentence, with the line of the file that it comes from."""
    if isinstance(error, MemoryError):
        return {"error": f"MemoryError: more than {memory_mib} MiB, its memory_mib", "traceback": ""}
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename == file]
    line = frames[-1].lineno if frames else getattr(error, "lineno", None)
    where = f" ({Path(file).name}, line {line})" if line else ""
    told = "".join(traceback.format_list(frames))[-_MOST_TRACEBACK:]
    said = str(error)
    short = said if len(said) <= _MOST_ERROR else f"{said[:_MOST_ERROR]} ... (cut at 4 KiB)"
    return {"error": f"{type(error).__name__}: {short}{where}", "traceback": told}


def _call(handler: Any, call: dict[str, Any], channel: Channel, logger: logging.Logger) -> dict[str, Any]:
    result = handler(call["event"], Context(call, channel, logger))
    try:
        body = json.dumps(result, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"what the handler returned cannot be written as JSON: {error}") from None
    if len(body) > MOST_RESULT_BYTES:
        raise ValueError(f"the handler returned {len(body):,} bytes of JSON, expected at most {MOST_RESULT_BYTES:,}")
    return {"kind": "done", "result": result}


def _limit_memory(memory_mib: int) -> None:
    """Let allocations beyond the limit fail. Data, not address space: what is mapped and never used costs nothing."""
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (memory_mib << 20, memory_mib << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Serve calls until the service closes the connection: arguments are its descriptor, the file, and the limit."""
    descriptor, file, memory_mib = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    channel = Channel(socket.socket(fileno=descriptor))
    # What is left behind where the service is killed ends by itself once its time is over.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, float(sys.argv[4]) + _GRACE_SECONDS)
    _limit_memory(memory_mib)
    sys.stdout, sys.stderr = _Lines(channel, "info"), _Lines(channel, "error")
    logger = logging.getLogger("function")
    logging.basicConfig(level=logging.INFO, handlers=[_Handler(channel)], format="%(message)s")
    try:
        handler = _load(file)
    except BaseException as error:
        channel.send({"kind": "broken", **_said(error, file, memory_mib)})
        return
    channel.send({"kind": "ready", "memory": _memory_bytes()})
    signal.setitimer(signal.ITIMER_REAL, 0)
    while (call := channel.next_call()) is not None:
        signal.setitimer(signal.ITIMER_REAL, call["seconds"] + _GRACE_SECONDS)
        try:
            outcome = _call(handler, call, channel, logger)
        except BaseException as error:
            outcome = {"kind": "raised", **_said(error, file, memory_mib), "full": isinstance(error, MemoryError)}
        if channel.forked:
            os._exit(0)
        sys.stdout.flush()
        sys.stderr.flush()
        signal.setitimer(signal.ITIMER_REAL, 0)
        channel.finish({**outcome, "memory": _memory_bytes()})


if __name__ == "__main__":
    main()
