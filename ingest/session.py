"""Receive: the session with the broker: connected, subscribed, and its messages split into a group.

One thread drives it: `wait`, `read`, `take`, `acknowledge`. What is taken is acknowledged only when the caller says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from random import Random

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from devices.messages import FLAG_DUPLICATE, FLAG_RETAIN
from ingest.acknowledging import send_acknowledgements
from ingest.broker_settings import BrokerSettings, split_url
from ingest.connecting import broker_serves, connect, new_client, seconds
from ingest.connection_words import connection_words
from ingest.disconnecting import say_goodbye
from ingest.frames import Group, ReceiveBuffer, Stop
from ingest.paho_client import FrameClient, why_unusable
from ingest.reconnecting import Reconnecting
from ingest.redelivery import Journaled, Redeliveries, nothing_journaled
from ingest.socket_wait import SocketWait
from ingest.subscriptions import Subscriptions, check_filters

log = logging.getLogger(__name__)

_UNSUPPORTED_VERSION = 0x84
_TAKEN_OVER = 0x8E
_PUBREL = 6

_ASK_AGAIN_AFTER = 30.0
_MISC_INTERVAL = 0.25
_STOCK_PACKETS_A_READ = 1000
_NO_TOPIC = b"\xff"


class SessionState(StrEnum):
    """How the session stands."""

    CLOSED = "closed"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    AWAY = "broker away"
    REFUSED = "refused by the broker"
    TAKEN_OVER = "taken over"


class MqttSession:
    """A persistent MQTT session that survives its connections, and hands out raw messages in groups.

    paho-mqtt connects, shakes hands, subscribes and keeps alive. PUBLISH frames are split in bulk from a buffer of our
    own (`ingest.frames`); a paho whose internals differ is used through its callbacks instead, with one warning.

    What the broker delivers again although it is in the journal is marked (`ingest.redelivery`). `filters` maps topic
    filters to QoS. `previous_filters` are those of the run before: what is in them and no longer in `filters` is
    unsubscribed, since the broker keeps subscriptions with the session.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        filters: Mapping[str, int],
        *,
        group_bytes: int,
        max_payload: int,
        previous_filters: Iterable[str] = (),
        password: str | None = None,
        random: Random | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check the settings; nothing is opened. Raises ValueError where they cannot work together."""
        if settings.url == "auto":
            raise ValueError('url: "auto" is for whoever starts the broker; a session needs mqtt://host:port')
        if not settings.client_id:
            raise ValueError("client_id: empty: a session needs a name that stays the same")
        check_filters(filters, clean_session=settings.clean_session)
        self.settings = settings
        self.buffer = ReceiveBuffer(group_bytes=group_bytes, max_payload=max_payload)
        self.state = SessionState.CLOSED
        self.connections = 0
        self.connected_at: float | None = None
        self.bytes_received = 0
        _, self._host, self._port = split_url(settings.url)
        self._password = password
        self._monotonic = monotonic
        self._protocol = settings.protocol
        self._stock = False
        self._client: Client | None = None
        self._wait = SocketWait()
        self._reconnecting = Reconnecting(random or Random())
        self._reason = ""
        self._subscriptions = Subscriptions(filters, previous_filters)
        self._redeliveries = Redeliveries(nothing_journaled)
        self._on_connected: Callable[[bool], None] = _ignore
        self._ask_again_at = 0.0
        self._retry_at = 0.0
        self._misc_at = 0.0
        self._answer_by = 0.0
        self._last_read = 0.0
        self._away_since: float | None = None

    def open(
        self, journaled: Journaled = nothing_journaled, on_connected: Callable[[bool], None] | None = None
    ) -> None:
        """Make ready to connect, which the first `wait` does. A broker that is away is no error.

        `journaled` gives what was taken before and is on disk. `on_connected` is called, within `read`, at each
        connection before anything is subscribed in it, with whether the broker has kept the session.
        """
        self._redeliveries = Redeliveries(journaled)
        self._on_connected = on_connected or _ignore
        why = why_unusable()
        if why is not None:
            self._stock = True
            log.warning("this paho-mqtt differs inside from the one expected (%s): receiving will be slower", why)
        self.buffer.warm_up()
        self._wait.open()
        self._retry_at = self._last_read = self._monotonic()
        self.state = SessionState.CONNECTING

    def close(self) -> None:
        """Send what waits to be sent, say good-bye and close; the broker keeps the session. Takes 2 s at most."""
        client = self._client
        if client is not None and client.socket() is not None:
            client.on_disconnect = None
            self._wait.drain()
            say_goodbye(client, self._wait, self._monotonic)
        self._drop_client()
        self._wait.close()
        self.state = SessionState.CLOSED
        self.connected_at = None

    def wake(self) -> None:
        """End a `wait` early. Any thread may call it."""
        self._wait.wake()

    def resubscribe(self, filters: Mapping[str, int]) -> None:
        """Change the topic filters: what is new is subscribed, what is gone unsubscribed. Any thread may call it.

        Raises ValueError where a filter or its QoS cannot be asked of the broker.
        """
        check_filters(filters, clean_session=self.settings.clean_session)
        self._subscriptions.change(filters)
        self.wake()

    @property
    def filters(self) -> dict[str, int]:
        """The topic filters asked for, with their QoS; the next run's `previous_filters`."""
        return self._subscriptions.filters

    @property
    def reason(self) -> str:
        """What is wrong, in one line; empty where nothing is."""
        return self._reason or self._subscriptions.refusal

    @property
    def refusal(self) -> str:
        """Which topic filters the broker refused, and its word; empty where it refused none."""
        return self._subscriptions.refusal

    @property
    def subscribed(self) -> bool:
        """Connected, and the broker has answered every change of the subscriptions."""
        return self.state == SessionState.CONNECTED and not self._subscriptions.waiting

    def wait(self, timeout: float, *, reading: bool) -> bool:
        """Wait until there is something to `read`, at most `timeout` seconds; connect, send and keep alive meanwhile.

        Without `reading` the socket is left alone, so that the broker feels it: True is not returned.
        """
        if self._client is None:
            if reading:
                pause = self._retry_at - self._monotonic()
                timeout = min(timeout, max(0.0, pause))
                if pause <= 0:
                    self._connect()
        else:
            self._look_after(reading)
        client = self._client
        sock = client.socket() if client is not None else None
        if client is not None and sock is not None:
            decrypted = getattr(sock, "pending", None)
            if reading and decrypted is not None and decrypted():
                return True
            self._wait.watch(sock.fileno(), reading=reading, writing=client.want_write())
        elif client is not None:
            self._lost("the connection was closed")
        readable, writable = self._wait.wait(timeout)
        if writable and client is not None:
            client.loop_write()
        return readable and reading and self._client is not None

    def read(self) -> bool:
        """Read once, without waiting, and split the messages into the group. True where nothing more is waiting."""
        client = self._client
        if client is None:
            return True
        self._last_read = self._monotonic()
        if not isinstance(client, FrameClient):
            return self._read_through_callbacks(client)
        first_row = self.buffer.rows
        count, filled = self.buffer.fill(client.receive_into)
        self.bytes_received += max(count, 0)
        while (stop := self.buffer.split(self._protocol == "5")) == Stop.OTHER:
            self._redeliveries.mark(self.buffer, first_row)
            first_row = self.buffer.rows
            frame = self.buffer.frame()
            if frame[0] >> 4 == _PUBREL:
                self._redeliveries.released(int.from_bytes(frame[2:4]))
            client.handle_frame(frame)
            if self._client is not client:
                break
        self._redeliveries.mark(self.buffer, first_row)
        if self._client is client and stop == Stop.MALFORMED:
            self._lost("it sent a frame that is not MQTT")
        elif self._client is client and count == 0:
            self._lost("it closed the connection", cut_off=True)
        return not filled

    def take(self) -> Group:
        """The messages read since the last group. Needs at least one, stamped (`ReceiveBuffer.stamp`)."""
        chunk, packet_ids = self.buffer.take()
        return Group(chunk, packet_ids, self.connections)

    def acknowledge(self, group: Group) -> None:
        """Acknowledge the group's messages of QoS 1 (PUBACK) and QoS 2 (PUBREC).

        Where the connection that brought them is gone nothing is sent: the broker will deliver them again.
        """
        client = self._client
        if client is None or group.connection != self.connections or not group.pending:
            return
        send_acknowledgements(client, group)

    # Connecting, and what ends a connection.

    def _connect(self) -> None:
        version_5 = self._protocol == "5"
        client = self._client = self._new_client(version_5)
        # Our own reader takes frames of any length.
        most_bytes = 2 * self.buffer.longest_frame if self._stock else None
        try:
            connect(client, self.settings, version_5=version_5, most_bytes=most_bytes)
        except OSError as error:
            self._reconnecting.refused()
            self._lost(connection_words(error, self.settings))
            return
        now = self._monotonic()
        self._answer_by = now + seconds(self.settings.connect_timeout)
        self._misc_at = now + _MISC_INTERVAL

    def _new_client(self, version_5: bool) -> Client:
        client = new_client(self.settings, self._password, version_5=version_5, stock=self._stock)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._subscriptions.on_subscribe
        client.on_unsubscribe = self._subscriptions.on_unsubscribe
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, client: Client, _data: object, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            if reason.value == _UNSUPPORTED_VERSION and self._protocol == "5":
                log.info("the broker does not speak MQTT 5: going on with 3.1.1")
                self._drop_client()
                self._protocol = "3.1.1"
                self._retry_at = self._monotonic()
                return
            self._lost(f"it refused the connection: {reason}", SessionState.REFUSED)
            return
        now = self._monotonic()
        if self._away_since is not None:
            log.info("broker back after %.1f s", now - self._away_since)
            self._away_since = None
        self.connections += 1
        self.connected_at = now
        self._reconnecting.connected(now)
        self._reason = ""
        self._ask_again_at = now + _ASK_AGAIN_AFTER
        self._redeliveries.connected(session_present=flags.session_present)
        self._on_connected(flags.session_present)
        self._subscriptions.reconnected(session_present=flags.session_present)
        self._subscribe(client)
        self.state = SessionState.CONNECTED

    def _on_disconnect(
        self, _client: Client, _data: object, flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if flags.is_disconnect_packet_from_server and reason.value == _TAKEN_OVER:
            self._lost(self._rival("the broker says so"), SessionState.TAKEN_OVER)
        else:
            said = flags.is_disconnect_packet_from_server
            how = "it ended the connection" if said else "the connection was lost"
            self._lost(f"{how}: {reason}", cut_off=self._stock and not said)

    def _lost(self, reason: str, state: SessionState = SessionState.AWAY, *, cut_off: bool = False) -> None:
        """Give the connection up, and settle when to try again; `cut_off` where the broker did not say why it ended."""
        now = self._monotonic()
        if self.connected_at is not None:
            lasted = now - self.connected_at
            by_a_rival = cut_off and self._reconnecting.is_short(lasted) and broker_serves(self._host, self._port)
            if evidence := self._reconnecting.ended(lasted, by_a_rival=by_a_rival):
                state, reason = SessionState.TAKEN_OVER, self._rival(evidence)
        self._drop_client()
        self._retry_at = now + self._reconnecting.delay(now, beside_a_rival=state == SessionState.TAKEN_OVER)
        self.state, self._reason = state, reason
        if state == SessionState.TAKEN_OVER:
            log.error("%s", reason)
        elif self._away_since is None:
            log.warning("broker away: %s; trying again until it is back", reason)
        self._away_since = now if self._away_since is None else self._away_since

    def give_up_connection(self, reason: str) -> None:
        """Drop the connection after an error of our own; the broker delivers again what is not acknowledged."""
        self._lost(reason)

    def _rival(self, evidence: str) -> str:
        return (
            f'another client connects to {self.settings.url} as "{self.settings.client_id}" ({evidence}): '
            "end it, or give one of the two another client_id; trying again meanwhile"
        )

    def _drop_client(self) -> None:
        client, self._client = self._client, None
        self.connected_at = None
        self._wait.forget()
        if client is not None:
            client.on_disconnect = None
            sock = client.socket()
            if sock is not None:
                sock.close()
        self.buffer.disconnect()

    def _look_after(self, reading: bool) -> None:
        """Keep-alive, the time limit of the handshake, and changed subscriptions."""
        now = self._monotonic()
        client = self._client
        if client is None or (now < self._misc_at and not self._subscriptions.changed):
            return
        self._misc_at = now + _MISC_INTERVAL
        if self.connected_at is None:
            if reading and now >= self._answer_by:
                self._lost(f"{self._host}:{self._port} did not answer within {self.settings.connect_timeout}")
            return
        if not reading and isinstance(client, FrameClient) and now - self._last_read > 1.0:
            client.stay_alive()
        if self._subscriptions.refusal and now >= self._ask_again_at:
            self._ask_again_at = now + _ASK_AGAIN_AFTER
            self._subscriptions.ask_again()
        self._subscribe(client)
        client.loop_misc()

    def _subscribe(self, client: Client) -> None:
        """Stock paho confirms QoS 2 before it hands the message out, so through it QoS 1 is the most that is safe."""
        self._subscriptions.update(client, version_5=self._protocol == "5", highest=1 if self._stock else 2)

    # Messages.

    def _read_through_callbacks(self, client: Client) -> bool:
        for _ in range(_STOCK_PACKETS_A_READ):
            before = self.buffer.rows
            client.loop_read()
            self._redeliveries.mark(self.buffer, before)
            if self._client is not client or self.buffer.rows == before:
                return True
            if self.buffer.is_full:
                break
        return False

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        flags = message.qos | (FLAG_RETAIN if message.retain else 0) | (FLAG_DUPLICATE if message.dup else 0)
        topic: bytes = getattr(message, "_topic", _NO_TOPIC)
        self.bytes_received += len(topic) + len(message.payload)
        properties = bytes(message.properties.pack()) if message.properties is not None else b""  # type: ignore[no-untyped-call]
        self.buffer.add(topic, bytes(message.payload), flags, message.mid if message.qos else 0, properties)


def _ignore(_session_present: bool) -> None: ...
