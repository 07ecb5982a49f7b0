"""What may be asked of a device, as JSON on its topic `command`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from common.durations import parse_duration
from common.suggestions import unknown


class BadCommandError(ValueError):
    """A command that cannot be obeyed; the message names the field and what was expected."""


class CommandName(StrEnum):
    """What a device can do."""

    INTERVAL = "interval"
    """Report at most once in `value`, such as "30s"; "0s" as often as the sensor measures."""
    RESET = "reset"
    CALIBRATE = "calibrate"
    """Set the clock."""
    UPDATE = "update"
    """Load `version` within `value` (10s); with `broken` its checksum is wrong, with `bad` it crashes."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command that was understood. `interval` in ns, `seconds` is how long a download takes."""

    name: CommandName
    interval: int = 0
    version: str = ""
    seconds: float = 10.0
    bad: bool = False
    broken: bool = False


def read_command(payload: bytes) -> Command:
    """The command in a payload such as `{"command": "interval", "value": "30s"}`. Raises BadCommandError."""
    try:
        fields = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise BadCommandError(f'expected a JSON object such as {{"command": "reset"}}: {error}') from None
    if not isinstance(fields, dict) or "command" not in fields:
        raise BadCommandError('expected a JSON object with "command"')
    names = [name.value for name in CommandName]
    if fields["command"] not in names:
        raise BadCommandError(f"command: {unknown(str(fields['command']), names)}")
    name = CommandName(fields["command"])
    if name is CommandName.INTERVAL:
        return Command(name, interval=_duration(fields, "value"))
    if name is CommandName.UPDATE:
        if not isinstance(fields.get("version"), str):
            raise BadCommandError('version: expected text such as "1.2.0"')
        seconds = _duration(fields, "value") / 1e9 if "value" in fields else 10.0
        return Command(
            name,
            version=fields["version"],
            seconds=seconds,
            bad=fields.get("bad") is True,
            broken=fields.get("broken") is True,
        )
    return Command(name)


def _duration(fields: dict[str, Any], name: str) -> int:
    try:
        return parse_duration(str(fields.get(name, "")))
    except ValueError as error:
        raise BadCommandError(f"{name}: {error}") from None
