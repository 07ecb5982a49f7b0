"""What every command shares: exit codes, options, and how results and errors are printed."""

from __future__ import annotations

import json
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from driftline.config import Config


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3


class CommandError(Exception):
    """Ends a command with one clear line on stderr for each of `lines`, and the exit code."""

    def __init__(self, *lines: str, code: Exit = Exit.FAILED) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.code = code


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="DRIFTLINE_CONFIG",
        help="Configuration file; ./driftline.toml where it is there, else the defaults.",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        "-d",
        metavar="DIR",
        envvar="DRIFTLINE_DATA",
        help="Folder of the journal, the database and the learned state, in place of the configured one (./var).",
    ),
]


def configuration_file(path: Path | None) -> Path | None:
    """The file named, else `driftline.toml` in the working folder where there is one, else none."""
    from driftline.config import DEFAULT_FILE

    if path is not None:
        return path
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def read_config(path: Path | None) -> Config:
    """The configuration, or a CommandError with all that is wrong with it."""
    from driftline.config import load_config
    from driftline.config_errors import ConfigError

    try:
        return load_config(configuration_file(path))
    except ConfigError as error:
        raise CommandError(*error.errors, code=Exit.USAGE) from None


def data_folder(config: Path | None, data: Path | None) -> Path:
    """Where the service keeps its data: as given on the command line, else as configured."""
    return data if data is not None else Path(read_config(config).data)


def json_given(option: str, path: Path | None) -> Any:
    """What the JSON file of an option holds, None without one. Raises CommandError naming the option and the file."""
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()  # NaN and half a character are no JSON.
        return found
    except RecursionError:
        raise CommandError(f"{option}: {path}: expected JSON that is not nested so deep", code=Exit.USAGE) from None
    except OSError as error:
        raise CommandError(f"{option}: {path} cannot be read: {error.strerror}", code=Exit.USAGE) from None
    except ValueError as error:
        raise CommandError(f"{option}: {path}: expected JSON: {error}", code=Exit.USAGE) from None
