"""Receive: paho-mqtt fed with whole frames, so that it reads nothing itself and never sees a PUBLISH.

paho keeps what needs care: handshake, keep-alive, subscriptions, PUBREL and PUBCOMP. Its own reading costs several
system calls a message, and its PUBLISH path about 30 us; both are left out. That leans on parts of paho that are not in
its public interface: `why_unusable` tries them out, and a paho that differs is used through its callbacks instead.
"""

from __future__ import annotations

import inspect
import ssl
import time
from typing import cast

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

NOTHING = -1
"""`receive_into` found no bytes waiting."""

_RELIED_ON = (
    "_sock",
    "_sock_recv",
    "_packet_read",
    "_loop_rc_handle",
    "_msgtime_mutex",
    "_last_bytes_received",
    "_ping_t",
)

_PUBACK = 0x40
_PINGRESP = b"\xd0\x00"
_PUBLISH = b"\x30\x05\x00\x01abc"


class FrameClient(Client):
    """A paho client whose owner reads the socket and hands it the frames that are not PUBLISH."""

    _frame: memoryview = memoryview(b"")

    def receive_into(self, view: memoryview) -> int:
        """Bytes read from the socket into `view`: `NOTHING` where none wait, 0 where the connection is lost."""
        if self._sock is None:
            return 0
        try:
            # paho wraps a WebSocket in a class that hands out the content of its frames one by one.
            read = getattr(self._sock, "recv_into", None) or self._content_into
            count = int(read(view))
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return NOTHING
        except OSError:
            return 0
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        return count

    def _content_into(self, view: memoryview) -> int:
        """Bytes of WebSocket frames; those that came before the connection was lost are given first."""
        count = 0
        while count < len(view):
            try:
                content = cast(ssl.SSLSocket, self._sock).recv(len(view) - count)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if not count:
                    raise
                break
            if not content:
                break
            view[count : count + len(content)] = content
            count += len(content)
        return count

    def handle_frame(self, frame: bytes) -> None:
        """Let paho act on one whole frame; the callbacks are called from here."""
        self._frame = memoryview(frame)
        result = self._packet_read()
        self._frame = memoryview(b"")
        if result > 0:
            self._loop_rc_handle(result)

    def send_frames(self, frames: bytes) -> None:
        """Send encoded frames in order with paho's own packets. paho does nothing more about them."""
        self._packet_queue(_PUBACK, frames, 0, 1)

    def stay_alive(self) -> None:
        """Take the broker for alive although nothing is read, as long as our own pings can be sent."""
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        self._ping_t = 0.0

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self._frame:
            raise BlockingIOError
        data = bytes(self._frame[:bufsize])
        self._frame = self._frame[bufsize:]
        return data


def why_unusable() -> str | None:
    """What of the installed paho does not behave as `FrameClient` relies on; None where all of it does."""
    try:
        parameters = list(inspect.signature(Client._packet_queue).parameters)[1:5]
        if parameters != ["command", "packet", "mid", "qos"]:
            return f"_packet_queue takes {', '.join(parameters)}"
        # Writing to a name that paho does not know raises nothing, and does nothing.
        plain = Client(CallbackAPIVersion.VERSION2, "probe")
        missing = [name for name in _RELIED_ON if not hasattr(plain, name)]
        if missing:
            return f"it has no {', '.join(missing)}"
        return _try_out(FrameClient(CallbackAPIVersion.VERSION2, "probe", protocol=MQTTProtocolVersion.MQTTv311))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _try_out(client: FrameClient) -> str | None:
    seen: list[bytes] = []

    def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        seen.append(bytes(message.payload))

    client.on_message = on_message
    client.handle_frame(_PUBLISH)
    if seen != [b"bc"]:
        return "a frame that was fed did not arrive"
    client.stay_alive()
    client._ping_t = time.monotonic()
    client.handle_frame(_PINGRESP)
    if client._ping_t != 0:
        return "a ping response that was fed did not arrive"
    if client._packet_read() != MQTTErrorCode.MQTT_ERR_AGAIN:
        return "it reads from elsewhere than _sock_recv"
    client.send_frames(_PINGRESP)
    if not client.want_write():
        return "a frame that was queued does not wait to be written"
    if client.receive_into(memoryview(bytearray(1))) != 0:
        return "it holds a socket before it connects"
    client._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
    return None
