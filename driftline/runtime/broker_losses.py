"""What the broker has dropped before it could reach us, by its own count.

mosquitto publishes the count every few seconds (mosquitto(8), "Broker Status"); a broker that does not is taken to drop
nothing. The count is of all the broker's clients, and begins at 0 when the broker starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.broker_settings import BrokerSettings
from ingest.connecting import host_and_port, side_client

DROPPED = "$SYS/broker/publish/messages/dropped"
UPTIME = "$SYS/broker/uptime"

_CLOCK_SLACK_SECONDS = 3


class DroppedCount:
    """Losses as the differences of a broker's count, over restarts of the broker and of ours.

    `dropped` is the sum since the service's data began; `since_start` the part that was seen since this was made, which
    holds what was dropped while the service was down. A broker that has started anew is known by when it started, or by
    a smaller count: all that it counts is new. `saved` is what `state` gave in the run before; without it the first
    count is where counting begins.
    """

    def __init__(self, saved: Mapping[str, int] | None = None) -> None:
        saved = saved or {}
        self.dropped = saved.get("dropped", 0)
        self.since_start = 0
        self._known = saved.get("count")
        self._started = saved.get("broker_started")
        self._waiting: int | None = None
        self._settled = False

    def state(self) -> dict[str, int]:
        """What the next run begins with."""
        known = {"count": self._known, "broker_started": self._started}
        return {"dropped": self.dropped, **{name: value for name, value in known.items() if value is not None}}

    def connected(self) -> None:
        """A connection begins: the broker may be one that has started anew."""
        self._settled = False
        self._waiting = None

    def started(self, second: int) -> None:
        """When the broker started, in seconds since the epoch, by its uptime now."""
        if self._started is not None and second > self._started + _CLOCK_SLACK_SECONDS and self._known is not None:
            self._known = 0
        self._started = second
        self._settle()

    def count(self, count: int) -> None:
        """The broker says how many messages it has dropped."""
        if self._settled or self._waiting is not None:
            self._waiting = count
            self._settle()
        else:
            self._waiting = count  # until it is known whether the broker is the one of before

    def _settle(self) -> None:
        self._settled = True
        count, self._waiting = self._waiting, None
        if count is None:
            return
        if self._known is not None:
            new = count - self._known if count >= self._known else count
            self.dropped += new
            self.since_start += new
        self._known = count


class BrokerLosses:
    """Follows the broker's count of dropped messages over a connection of its own, in a thread of paho's.

    A broker that is away is tried again; one that does not let us read the count is taken to drop nothing. `remember`
    is called with `DroppedCount.state` whenever the broker counts more, and at the end. Where it raises OSError (a full
    disk), it is called again with the broker's next word.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        password: str | None = None,
        *,
        saved: Mapping[str, int] | None = None,
        remember: Callable[[Mapping[str, int]], None] = lambda _: None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Check the address; nothing is opened. Raises ValueError for a URL that is none."""
        self._host, self._port = host_and_port(settings)
        self._client = side_client(settings, password)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._count = DroppedCount(saved)
        self._remember = remember
        self._remembered = self._count.state().get("count")
        self._clock = clock

    @property
    def dropped(self) -> int:
        """Messages lost at the broker since the service's data began."""
        return self._count.dropped

    @property
    def since_start(self) -> int:
        """Those of `dropped` that were seen since this start."""
        return self._count.since_start

    def start(self) -> None:
        """Begin."""
        self._client.connect_async(self._host, self._port)
        self._client.loop_start()

    def stop(self) -> None:
        """End the connection and the thread."""
        self._client.disconnect()
        self._client.loop_stop()
        self._save()

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if not reason.is_failure:
            self._count.connected()
            client.subscribe([(DROPPED, 0), (UPTIME, 0)])

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            number = int(message.payload.split()[0])
        except (ValueError, IndexError):
            return
        if message.topic == DROPPED:
            self._count.count(number)
        elif not message.retain:  # a retained one may be as old as the broker's interval
            self._count.started(self._clock() // 10**9 - number)
        if self._count.state().get("count") != self._remembered:
            self._save()

    def _save(self) -> None:
        state = self._count.state()
        with suppress(OSError):  # the journal and store stages say what a full disk does
            self._remember(state)
            self._remembered = state.get("count")
