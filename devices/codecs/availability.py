"""Decode, codec `availability`: whether a device is there, by last will, birth message or availability topic.

`online`, `offline` and their like, `{"state": "online"}`, `{"online": true}` tell it; what else comes on such a topic
is read as the codec `auto` reads it.
"""

from __future__ import annotations

from typing import ClassVar

import orjson
from pydantic import BaseModel, Field

from devices.codec import UNNAMED, Decoded, Role
from devices.codecs.auto import AutoCodec
from devices.codecs.readings import CodecParameters, Rows
from devices.codecs.tree_parameters import TIME_FIELDS, TreeParameters
from devices.kinds import is_identity
from devices.messages import Payloads
from devices.rejection_reasons import Reason

_FIELDS = ("state", "status", "online", "availability", "available", "connected", "server", "value", "_type")


class AvailabilityParameters(CodecParameters):
    """What a device says when it comes and when it goes."""

    online: tuple[str, ...] = Field(
        default=(
            "online",
            "connected",
            "available",
            "alive",
            "ready",
            "up",
            "init",
            "sleeping",
            "alert",
            "asleep",
            "awake",
            "true",
            "1",
            "2",
        ),
        description="Words that a device is there, in any case.",
    )
    offline: tuple[str, ...] = Field(
        default=(
            "offline",
            "disconnected",
            "disconnect",
            "not connected",
            "connection lost",
            "lost connection",
            "unavailable",
            "unreachable",
            "dead",
            "died",
            "lost",
            "down",
            "gone",
            "false",
            "0",
        ),
        description="Words that it is not.",
    )


class AvailabilityCodec:
    """Reads the words as rows of the role `AVAILABILITY`: 1 for there, 0 for not."""

    name: ClassVar[str] = "availability"
    Parameters: ClassVar[type[BaseModel]] = AvailabilityParameters

    def __init__(self, parameters: AvailabilityParameters) -> None:
        self.parameters = parameters
        self._other = AutoCodec(TreeParameters(max_names=parameters.max_names))
        self._states = dict.fromkeys(map(str.casefold, parameters.online), 1.0)
        self._states |= dict.fromkeys(map(str.casefold, parameters.offline), 0.0)
        self.metrics = self._other.metrics
        self.devices = self._other.devices
        self.words = self._other.words

    def decode(self, payloads: Payloads) -> Decoded:
        """Decode all payloads at once."""
        rows = Rows()
        for i, payload in enumerate(payloads.to_list()):
            state = self._state(payload)
            if state is not None:
                rows.add(i, self._other.metric_names.code(UNNAMED, "", Role.AVAILABILITY), state)
            elif not payload.strip(b"\0 \r\n\t"):
                rows.reject(i, Reason.CLEARED, "an empty payload: the topic's retained message is cleared")
            else:
                self._other.decode_one(i, payload, rows, payloads.arrival_of(i))
        return rows.decoded()

    def _state(self, payload: bytes) -> float | None:
        if len(payload) > 256:
            return None
        text = payload.decode("utf-8", "replace").strip().strip('"\0')
        if not text.startswith("{"):
            return self._states.get(text.casefold())
        try:
            node = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        if len([name for name in node if name not in TIME_FIELDS and not is_identity(name)]) > 3:
            return None
        said = next((node[name] for name in _FIELDS if isinstance(node.get(name), (str, bool))), None)
        return None if said is None else self._states.get(str(said).casefold())
