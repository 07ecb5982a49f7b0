"""Traffic without the names in it: what tells a place, a person or a device becomes a pseudonym.

Numbers, truth values, times, common states and the names of metrics stay, so that decoders and detectors find what they
found before. The levels of topics that a device profile names stay too; others, and texts, get pseudonyms: the same for
the same text within one recording, and other ones in the next. Positions are left out.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import orjson

from devices.profile import load_profiles
from devices.times import BadTimeError, parse_time

_POSITION = re.compile(r"lat|latitude|lon|lng|long|longitude|gps|geo|location|position|coordinates", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?")
_WORDS = frozenset({"sensor", "sensors", "state", "status", "data", "telemetry", "command", "set", "get", "plant"})
_STATES = frozenset(
    (
        "on", "off", "open", "opened", "closed", "close", "true", "false", "yes", "no", "none", "null", "unknown",
        "unavailable", "online", "offline", "ready", "lost", "init", "sleeping", "disconnected", "alert", "alarm",
        "ok", "good", "bad", "fault", "error", "warning", "normal", "idle", "running", "stopped", "standby",
        "charging", "discharging", "full", "empty", "heat", "heating", "cool", "cooling", "auto", "manual", "eco",
        "away", "home", "dry", "fan_only", "low", "medium", "high", "single", "double", "hold", "press", "release",
        "motion", "clear", "wet", "locked", "unlocked", "active", "inactive", "enabled", "disabled",
    )
)  # fmt: skip
"""Words that tell what a device is doing; any other text may be a name."""


class Anonymiser:
    """Gives pseudonyms under a secret `key`, which is thrown away with it: nobody can try names against them."""

    def __init__(self, key: bytes, kept: Iterable[str] | None = None) -> None:
        self._key = key
        self._kept = frozenset(_words_of_profiles() if kept is None else kept) | _WORDS
        self._renamed: set[str] = set()

    def topic(self, topic: str) -> str:
        """The topic, its own names replaced level by level."""
        return "/".join(self._level(level) for level in topic.split("/"))

    def payload(self, payload: bytes) -> bytes | None:
        """The payload without names; None for one that is no text, in which nobody can tell what it holds."""
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            return None
        try:
            content = orjson.loads(text)
        except orjson.JSONDecodeError:
            return self._text(text).encode()
        if isinstance(content, str):
            return orjson.dumps(self._text(content))
        return orjson.dumps(self._content(content)) if isinstance(content, dict | list) else payload

    def _content(self, content: Any) -> Any:
        if isinstance(content, dict):
            return {
                self._key_name(key): self._content(value)
                for key, value in content.items()
                if not _POSITION.fullmatch(key)
            }
        if isinstance(content, list):
            return [self._content(each) for each in content]
        return self._text(content) if isinstance(content, str) else content

    def _key_name(self, key: str) -> str:
        """Names of metrics stay; a device that is named in a key is one whose name stands in a topic."""
        return self._pseudonym(key) if key in self._renamed else key

    def _level(self, level: str) -> str:
        if not level or level in self._kept or level.startswith("$"):
            return level
        self._renamed.add(level)
        return self._pseudonym(level)

    def _text(self, text: str) -> str:
        if text in self._renamed:
            return self._pseudonym(text)
        if not text or _NUMBER.fullmatch(text.strip()) or _is_time(text):
            return text
        if text.strip().lower() in _STATES:
            return text
        return self._pseudonym(text)

    def _pseudonym(self, text: str) -> str:
        return "x" + hmac.new(self._key, text.encode(), sha256).hexdigest()[:8]


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except BadTimeError:
        return False
    return True


def _words_of_profiles() -> set[str]:
    """All levels that profiles name in the topics of their messages."""
    filters = (topic for profile in load_profiles().values() for part in profile.messages for topic in part.topics)
    return {level for topic in filters for level in topic.split("/") if not set(level) & set("+#*{")}
