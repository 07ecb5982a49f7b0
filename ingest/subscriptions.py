"""Receive: which topic filters the broker holds for this client, and which it should."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from devices.topics import validate_filter

log = logging.getLogger(__name__)

_FILTERS_A_PACKET = 100


def check_filters(filters: Mapping[str, int], *, clean_session: bool) -> None:
    """Check topic filters (MQTT 5.0, section 4.7) and their QoS. Raises ValueError naming the first that is wrong."""
    for name, quality in filters.items():
        if quality not in (0, 1, 2):
            raise ValueError(f'topic filter "{name}": QoS {quality}: expected 0, 1 or 2')
        validate_filter(name)
        if quality and clean_session:
            raise ValueError(
                f'topic filter "{name}": QoS {quality} with clean_session: the broker would drop what it promised to '
                "keep; use QoS 0, or leave clean_session off"
            )


class Subscriptions:
    """Brings what the broker holds to what is wanted, over reconnects, restarts and changes while running.

    A broker keeps subscriptions with the session, so one that is no longer wanted must be unsubscribed; `previous` are
    those that an earlier run may have left there. `change`, `filters` and `waiting` are for any thread, the rest is for
    the session's.
    """

    def __init__(self, filters: Mapping[str, int], previous: Iterable[str]) -> None:
        self.changed = False
        self.refusal = ""
        self._lock = threading.Lock()
        self._wanted = dict(filters)
        self._subscribed: dict[str, int] = {}
        self._held = set(previous)
        self._leaving: set[str] = set()
        self._asked: dict[int, list[str]] = {}
        self._refused: dict[str, str] = {}

    @property
    def filters(self) -> dict[str, int]:
        """Topic filters that are wanted, with their QoS."""
        with self._lock:
            return dict(self._wanted)

    @property
    def waiting(self) -> bool:
        """Something that was asked has no answer yet, or is to be asked."""
        return self.changed or bool(self._asked)

    def change(self, filters: Mapping[str, int]) -> None:
        """Want these from now on; the next `update` asks for it."""
        with self._lock:
            self._wanted = dict(filters)
            self.changed = True

    def reconnected(self, *, session_present: bool) -> None:
        """Take nothing for subscribed on a new connection, and nothing for held where the broker knows no session."""
        if not session_present:
            self._held.clear()
        for memory in (self._subscribed, self._leaving, self._asked, self._refused):
            memory.clear()
        self.refusal = ""

    def update(self, client: Client, *, version_5: bool, highest: int) -> None:
        """Unsubscribe and subscribe the difference, with QoS `highest` at most.

        MQTT 5 is told not to send retained messages again where the subscription is not new (section 3.8.3.1).
        """
        with self._lock:
            wanted = dict(self._wanted)
        gone = sorted(self._held - wanted.keys() - self._leaving)
        for start in range(0, len(gone), _FILTERS_A_PACKET):
            batch = gone[start : start + _FILTERS_A_PACKET]
            _, packet_id = client.unsubscribe(batch)
            if packet_id is not None:
                self._asked[packet_id] = batch
        self._leaving.update(gone)
        new = sorted(name for name, quality in wanted.items() if self._subscribed.get(name) != quality)
        for start in range(0, len(new), _FILTERS_A_PACKET):
            batch = new[start : start + _FILTERS_A_PACKET]
            asked = [(name, _option(min(wanted[name], highest), version_5)) for name in batch]
            _, packet_id = client.subscribe(asked)
            if packet_id is not None:
                self._asked[packet_id] = batch
        self._subscribed = wanted
        self._held.update(wanted)
        with self._lock:
            self.changed = self._wanted != wanted

    def ask_again(self) -> None:
        """Let the next `update` ask for what was refused once more: the broker's rules may have changed."""
        for name in self._refused:
            self._subscribed.pop(name, None)
        self.changed = True

    def on_subscribe(
        self, _client: Client, _data: object, packet_id: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        """Note what the broker answered (paho's callback)."""
        for name, reason in zip(self._asked.pop(packet_id, []), reasons, strict=False):
            if reason.is_failure:
                if name not in self._refused:
                    log.error('the broker refused to subscribe "%s": %s', name, reason)
                self._refused[name] = str(reason)
            else:
                self._refused.pop(name, None)
        named = ", ".join(f'"{name}" ({reason})' for name, reason in sorted(self._refused.items()))
        self.refusal = f"the broker refused to subscribe {named}: see its access rules" if named else ""

    def on_unsubscribe(
        self, _client: Client, _data: object, packet_id: int, _reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        """Note what the broker answered (paho's callback)."""
        gone = set(self._asked.pop(packet_id, []))
        self._leaving -= gone
        self._held -= gone - self._subscribed.keys()


def _option(quality: int, version_5: bool) -> Any:
    if version_5:
        return SubscribeOptions(qos=quality, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
    return quality
