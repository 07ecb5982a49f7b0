"""Beside stage 1 of 7: what the broker has dropped before it could reach us, by its own count.

mosquitto publishes the count every few seconds (mosquitto(8), "Broker Status"); a broker that does not is taken to drop
nothing. The count is of all the broker's clients.
"""

from __future__ import annotations

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.settings_broker import BrokerSettings, split_url

TOPIC = "$SYS/broker/publish/messages/dropped"


class UpstreamWatch:
    """Follows the broker's count of dropped messages over a connection of its own, in a thread of paho's.

    A broker that is away is tried again; one that does not let us read the count leaves `dropped` at 0.
    """

    def __init__(self, settings: BrokerSettings, password: str | None = None) -> None:
        """Check the address; nothing is opened. Raises ValueError for a URL that is none."""
        scheme, self._host, self._port = split_url(settings.url)
        self._client = Client(CallbackAPIVersion.VERSION2, clean_session=True)
        if scheme == "mqtts":
            self._client.tls_set(ca_certs=str(settings.tls_ca) if settings.tls_ca else None)
        if settings.username:
            self._client.username_pw_set(settings.username, password)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._known: int | None = None
        self.dropped = 0

    def start(self) -> None:
        """Begin."""
        self._client.connect_async(self._host, self._port)
        self._client.loop_start()

    def stop(self) -> None:
        """End the connection and the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if not reason.is_failure:
            client.subscribe(TOPIC)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            count = int(message.payload)
        except ValueError:
            return
        # A smaller count than before is that of a broker that has started anew.
        if self._known is not None:
            self.dropped += count - self._known if count >= self._known else count
        self._known = count
