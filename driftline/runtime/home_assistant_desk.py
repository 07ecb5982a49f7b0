"""Alarms at run time, for Home Assistant: each device's problem and score on the broker, as long as it is there."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import version
from time import monotonic
from typing import Protocol
from urllib.parse import quote

import numpy as np
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from alerts.home_assistant import (
    AVAILABILITY,
    NODE,
    HomeAssistantSettings,
    config_topics,
    configs,
    object_id,
    state_of,
    state_topics,
)
from devices.records import AlarmRecord, AlarmState, DeviceRecord, SeriesRecord
from driftline.http.events import LiveStep, Subscription
from ingest.broker_settings import BrokerSettings
from ingest.connecting import host_and_port, seconds, side_client

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_DEVICES_SECONDS = 5.0
_MOST_DEVICES = 10_000
_MOST_ALARMS = 10_000
_GOODBYE_SECONDS = 2.0


class StoredAlarms(Protocol):
    """The store, as far as it is needed here."""

    def alarms(self, *, limit: int, open_only: bool) -> list[AlarmRecord]:
        """Alarms that are open."""
        ...

    def series(self) -> list[SeriesRecord]:
        """Every series that is there."""
        ...


class HomeAssistantDesk:
    """Publishes, retained, and takes back what is of no device any more, at this run or one before.

    `devices` gives the devices in service. What was published is known from the broker, which keeps it.
    """

    def __init__(
        self,
        settings: HomeAssistantSettings,
        broker: BrokerSettings,
        password: str | None,
        store: StoredAlarms,
        subscribe: Callable[[Callable[[], None]], Subscription],
        devices: Callable[[], Sequence[DeviceRecord]],
        *,
        page_url: str,
    ) -> None:
        self._settings = settings
        self._store = store
        self._subscribe = subscribe
        self._devices = devices
        self._page_url = page_url.rstrip("/")
        self._host, self._port = host_and_port(broker)
        self._client = side_client(broker, password)
        self._client.will_set(AVAILABILITY, b"offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._shown: dict[str, DeviceRecord] = {}
        self._published: set[str] = set()
        self._sent: dict[str, bytes] = {}
        self._open: dict[int, AlarmRecord] = {}
        self._series: dict[int, SeriesRecord] = {}
        self._highest: dict[int, float] = {}
        self._devices_at = self._scores_at = float("-inf")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="home assistant", daemon=True)

    def start(self) -> None:
        """Begin. A broker that is away is tried again."""
        self._client.connect_async(self._host, self._port)
        self._client.loop_start()
        self._thread.start()

    def stop(self) -> None:
        """Say that nothing is told any more, and end the connection; the descriptions stay for the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._client.is_connected():
            self._client.publish(AVAILABILITY, b"offline", qos=1, retain=True).wait_for_publish(_GOODBYE_SECONDS)
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        with self._subscribe(lambda: None) as listener:
            self._adopt()
            while not self._stopping.wait(_LOOK_SECONDS):
                try:
                    taken = listener.take()
                    if taken.missed:
                        self._adopt()
                    for step in taken.steps:
                        self._follow(step)
                    if self._client.is_connected():
                        self._publish_changes()
                except Exception:
                    log.exception("alarms could not be published for Home Assistant; it is tried again")

    def _adopt(self) -> None:
        """Take over the open alarms that are stored."""
        self._open = {each.alarm: each for each in self._store.alarms(limit=_MOST_ALARMS, open_only=True)}

    def _follow(self, step: LiveStep) -> None:
        for alarm in step.alarms:
            if alarm.state is AlarmState.CLEARED:
                self._open.pop(alarm.alarm, None)
            else:
                self._open[alarm.alarm] = alarm
        scores = step.points.score
        scored = np.flatnonzero(np.isfinite(scores))
        for series, score in zip(step.points.series[scored].tolist(), scores[scored].tolist(), strict=True):
            self._highest[series] = max(score, self._highest.get(series, score))

    def _publish_changes(self) -> None:
        now = monotonic()
        if now - self._devices_at >= _DEVICES_SECONDS:
            self._devices_at = now
            self._series = {each.series: each for each in self._store.series()}
            self._follow_devices()
        of: dict[str, list[tuple[AlarmRecord, str]]] = defaultdict(list)
        for alarm in self._open.values():
            if (series := self._series.get(alarm.series)) is not None:
                of[series.device].append((alarm, series.metric))
        for name, record in self._shown.items():
            state, attributes = state_of(of.get(name, ()), is_muted=record.muted_at is not None)
            to_state, to_attributes, _ = state_topics(object_id(name))
            # What is said of it comes first, so that an automation that the state sets off finds it there.
            self._send(to_attributes, attributes)
            self._send(to_state, state)
        if now - self._scores_at >= seconds(self._settings.score_every):
            self._scores_at = now
            for name, score in self._take_scores():
                self._send(state_topics(object_id(name))[2], b"%.2f" % score)

    def _take_scores(self) -> Iterator[tuple[str, float]]:
        """The highest score of each device since the last time."""
        highest: dict[str, float] = {}
        for series, score in self._highest.items():
            if (record := self._series.get(series)) is not None and record.device in self._shown:
                highest[record.device] = max(score, highest.get(record.device, score))
        self._highest.clear()
        yield from highest.items()

    def _follow_devices(self) -> None:
        wanted = {each.device: each for each in self._devices() if self._is_wanted(each.device)}
        self._shown = dict(list(wanted.items())[:_MOST_DEVICES])
        described: dict[str, bytes] = {}
        for record in self._shown.values():
            link = f"{self._page_url}/#/device/{quote(record.device, safe='')}" if self._page_url else ""
            told = configs(record.device, record.name or record.device, version=version("driftline"), link=link)
            topics = config_topics(self._settings.prefix, object_id(record.device))
            described |= dict(zip(topics, told, strict=True))
        for topic, told_ in described.items():
            self._send(topic, told_)
        stale = self._published - described.keys()
        for topic in stale:
            self._take_back(topic)
        self._published -= stale
        self._published |= described.keys()

    def _is_wanted(self, device: str) -> bool:
        return any(fnmatchcase(device, pattern) for pattern in self._settings.devices)

    def _take_back(self, topic: str) -> None:
        """Clear a description, and the states that it names."""
        ident = topic.split("/")[-2].rpartition("_")[0]
        for each in (topic, *state_topics(ident)):
            self._sent.pop(each, None)
            self._client.publish(each, b"", qos=1, retain=True)

    def _send(self, topic: str, payload: bytes) -> None:
        if self._sent.get(topic) != payload:
            self._sent[topic] = payload
            self._client.publish(topic, payload, qos=1, retain=True)

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            log.warning("the broker refuses the connection that alarms are published on: %s", reason)
            return
        self._sent.clear()
        self._devices_at = self._scores_at = float("-inf")
        client.subscribe(f"{self._settings.prefix}/+/{NODE}/+/config", qos=1)
        client.publish(AVAILABILITY, b"online", qos=1, retain=True)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        """A description that the broker kept of a run before."""
        if message.retain and message.payload:
            self._published.add(message.topic)
            self._devices_at = float("-inf")
