"""The broker, as configured, or one of our own as a child process on loopback."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from ingest.broker_settings import BrokerSettings, split_url

READY = "embedded broker ready"
"""What the embedded broker prints once connections are accepted."""

FIRST_PORT = 1883
_PORTS_TRIED = 200
_START_WITHIN = 30.0
_STOP_WITHIN = 5.0
_POLL_INTERVAL = 0.02
_SET_PARENT_DEATH_SIGNAL = 1

MAX_QUEUED_MESSAGES = 1_000_000
"""Messages that our mosquitto keeps for a client that is away or slow; it drops what comes beyond."""

LARGEST_PACKET = 16 << 20
"""Bytes of a message that our mosquitto takes, where twice the largest payload that is decoded is not more."""

_MOSQUITTO_CONFIG = """\
# Written at every start. Messages for a client that is away or slow wait here, up to max_queued_messages; beyond, they
# are dropped and counted in $SYS/broker/publish/messages/dropped. QoS 0 waits too, where the client has a session.
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages {queued}
# Publishers are told this limit, and one that sends more is refused.
max_packet_size {packet}
max_inflight_messages {inflight}
queue_qos0_messages true
persistence true
persistence_location {folder}/
autosave_interval 60
set_tcp_nodelay true
connection_messages false
log_dest stderr
log_type error
log_type warning
log_type notice
log_type information
"""

Kind = Literal["configured", "mosquitto", "embedded"]


class BrokerError(Exception):
    """No broker could be started; the message says why."""


class BrokerHandle:
    """A broker to connect to: where it is, what it is, and, where it is our child, its process id."""

    def __init__(self, url: str, kind: Kind, process: subprocess.Popen[bytes] | None = None) -> None:
        self.url = url
        self.kind = kind
        self._process = process

    @property
    def pid(self) -> int | None:
        """Process id of a broker that we started, else None."""
        return None if self._process is None else self._process.pid

    def resolve(self, settings: BrokerSettings) -> BrokerSettings:
        """The settings to connect with: this broker's address, and a version of MQTT that it speaks."""
        protocol = "3.1.1" if self.kind == "embedded" else settings.protocol
        return settings.model_copy(update={"url": self.url, "protocol": protocol})

    @property
    def alive(self) -> bool:
        """Whether the child runs; True for a broker that is not ours to watch."""
        return self._process is None or self._process.poll() is None

    def stop(self) -> None:
        """End the child: asked first, then killed. Stopping twice, or a broker that is not ours, does nothing."""
        if self._process is not None:
            end_child(self._process)


def start_broker(
    url: str,
    folder: Path,
    *,
    largest_packet: int = LARGEST_PACKET,
    which: Callable[[str], str | None] = shutil.which,
) -> BrokerHandle:
    """The broker at `url`, or for "auto" one of our own: mosquitto where it is on PATH, else the embedded one.

    `folder` takes the child's data and its log. It listens on loopback, on the first free port from 1883 on, and has
    answered an MQTT CONNECT when this returns. It is shielded from the terminal's Ctrl-C, and on Linux ends with the
    thread that calls this, however that ends: call it from the main thread. mosquitto takes messages of
    `largest_packet` bytes, and tells publishers so.

    Raises BrokerError where none could be started, ValueError for a URL that is none.
    """
    if url != "auto":
        split_url(url)
        return BrokerHandle(url, "configured")
    folder.mkdir(parents=True, exist_ok=True)
    mosquitto = which("mosquitto")
    port = FIRST_PORT
    for port in _free_ports():
        if mosquitto is None:
            handle = _start_embedded(port, folder)
        else:
            handle = _start_mosquitto(mosquitto, port, folder, largest_packet)
        if handle is not None:
            return handle
    raise BrokerError(f"no free port on loopback from {FIRST_PORT} to {port}")


def answers(host: str, port: int, *, timeout: float = 1.0) -> bool:
    """Whether an MQTT broker there accepts a client: CONNECT is answered by CONNACK (MQTT 3.1.1, sections 3.1, 3.2)."""
    client_id = f"driftline-probe-{os.getpid()}".encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x0a" + len(client_id).to_bytes(2) + client_id
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(b"\x10" + bytes([len(body)]) + body)
            answer = b""
            while len(answer) < 4 and (more := connection.recv(4 - len(answer))):
                answer += more
            if answer == b"\x20\x02\x00\x00":
                connection.sendall(b"\xe0\x00")
                return True
    except OSError:
        pass
    return False


def _free_ports() -> Iterator[int]:
    """Ports of loopback that nothing listens on; whoever binds first has them."""
    for port in range(FIRST_PORT, FIRST_PORT + _PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


def _start_mosquitto(program: str, port: int, folder: Path, packet: int) -> BrokerHandle | None:
    inflight = BrokerSettings.model_fields["receive_maximum"].default
    config = folder / "mosquitto.conf"
    text = _MOSQUITTO_CONFIG.format(
        port=port, queued=MAX_QUEUED_MESSAGES, packet=packet, inflight=inflight, folder=folder.resolve()
    )
    if os.geteuid() == 0:
        text += "user root\n"
    config.write_text(text)
    process = _spawn([program, "-c", str(config)], folder / "mosquitto.log")
    return _await(process, port, "mosquitto", folder / "mosquitto.log", b" running")


def _start_embedded(port: int, folder: Path) -> BrokerHandle | None:
    command = [sys.executable, "-m", "driftline.runtime.embedded_broker", "--port", str(port)]
    process = _spawn(command, folder / "embedded.log")
    return _await(process, port, "embedded", folder / "embedded.log", READY.encode())


def _spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent(),  # noqa: PLW1509 (one system call through a handle made before the fork)
        )


def end_with_parent() -> Callable[[], None] | None:
    """What makes the kernel end a child when its parent is gone (prctl(2), PR_SET_PDEATHSIG). None outside Linux."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return in_child


def _await(process: subprocess.Popen[bytes], port: int, kind: Kind, log: Path, ready: bytes) -> BrokerHandle | None:
    """Wait until the child says that it is ready and answers. None where another process took the port before it.

    The child's own word is needed: on a port that was taken meanwhile, a stranger would answer.
    """
    deadline = time.monotonic() + _START_WITHIN
    try:
        while time.monotonic() < deadline:
            said = log.read_bytes()
            if process.poll() is not None:
                if b"in use" in said:
                    return None
                last = said.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
                raise BrokerError(f"{kind} ended at its start: {last[0]} (log: {log})")
            if ready in said and answers("127.0.0.1", port):
                return BrokerHandle(f"mqtt://127.0.0.1:{port}", kind, process)
            time.sleep(_POLL_INTERVAL)
    except BaseException:
        end_child(process)
        raise
    end_child(process)
    raise BrokerError(f"{kind} did not accept a connection on port {port} within {_START_WITHIN:g} s (log: {log})")


def end_child(process: subprocess.Popen[bytes]) -> None:
    """End a child: asked first, then killed. One that has ended is left alone."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
