"""A file of MQTT messages: one JSON object a line, packed with gzip where the name ends so.

`{"time": ns, "topic": "...", "text": "..."}`; a payload that is no UTF-8 text is `base64`, one that is JSON may be
`payload`, as the export of a simulated plant writes it. `"retained": true` marks what the broker had kept. Of MQTT 5
there are `content_type`, and `user_properties` as a list of names and values.
"""

from __future__ import annotations

import base64
import binascii
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import orjson

from common.excerpts import shortened

ENDINGS = (".jsonl", ".jsonl.gz")


class TrafficError(ValueError):
    """A file of messages cannot be read; the message names file, line and expectation."""


@dataclass(frozen=True, slots=True)
class TrafficMessage:
    """One message: when it arrived, ns since the epoch, its topic and payload, and whether the broker had kept it.

    `content_type` and `user`, the user properties, are of MQTT 5.
    """

    time: int
    topic: str
    payload: bytes
    retained: bool = False
    content_type: str = ""
    user: tuple[tuple[str, str], ...] = ()


class TrafficWriter:
    """Writes messages to a new file, in the order given. Raises OSError; FileExistsError where there is one already."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self.written = 0

    def __enter__(self) -> Self:
        plain = self._path.open("xb")
        self._file = gzip.GzipFile(fileobj=plain, mode="wb") if self._path.suffix == ".gz" else plain  # type: ignore[assignment]
        self._plain = plain
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._plain.close()

    def write(self, message: TrafficMessage) -> None:
        """Add a message."""
        if self._file is None:
            raise ValueError("the file is not open")
        row: dict[str, object] = {"time": message.time, "topic": message.topic}
        try:
            row["text"] = message.payload.decode()
        except UnicodeDecodeError:
            row["base64"] = base64.b64encode(message.payload).decode()
        if message.retained:
            row["retained"] = True
        if message.content_type:
            row["content_type"] = message.content_type
        if message.user:
            row["user_properties"] = message.user
        self._file.write(orjson.dumps(row) + b"\n")
        self.written += 1

    def flush(self) -> None:
        """Let what was written be on its way to the disk, so that an end by force loses little."""
        if self._file is not None:
            self._file.flush()


def is_traffic(path: Path) -> bool:
    """Whether a file's name says that it holds messages."""
    return path.name.endswith(ENDINGS)


def read_traffic(path: Path) -> Iterator[TrafficMessage]:
    """The messages of a file, in its order. Raises TrafficError, OSError."""
    with path.open("rb") as plain, gzip.GzipFile(fileobj=plain) if path.suffix == ".gz" else plain as file:
        number = 0
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _message(line, f"{path}: line {number}")
        except (EOFError, gzip.BadGzipFile) as error:
            raise TrafficError(f"{path}: after line {number}: the file is cut off or damaged: {error}") from None


def _message(line: bytes, place: str) -> TrafficMessage:
    try:
        row = orjson.loads(line)
        time, topic = row["time"], row["topic"]
        if not isinstance(time, int) or not isinstance(topic, str):
            raise TypeError("time and topic")
        if "text" in row:
            payload = row["text"].encode()
        elif "base64" in row:
            payload = base64.b64decode(row["base64"], validate=True)
        else:
            payload = orjson.dumps(row["payload"])
        content_type, user = row.get("content_type", ""), row.get("user_properties", [])
        pairs = tuple((name, value) for name, value in user)
        if not all(isinstance(text, str) for text in (content_type, *(each for pair in pairs for each in pair))):
            raise TypeError("properties")
        return TrafficMessage(time, topic, payload, bool(row.get("retained", False)), content_type, pairs)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        expected = 'expected {"time": ns, "topic": "...", "text": "..." or "base64": "..."}'
        raise TrafficError(f"{place}: {shortened(line)}: {expected}") from None
