"""`driftline replay`: recorded data through the broker, as devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder

if TYPE_CHECKING:
    from driftline.runtime.replaying import ReplaySettings


FilesArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...", help="CSV, Parquet, a journal, or what `driftline record` wrote.", show_default=False
    ),
]
UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Broker; else that of the running service.")
]
SpeedOption = Annotated[
    float | None, typer.Option("--speed", help="Times as fast as it happened; as fast as possible if not given.")
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="TEMPLATE", help="Device of a file: {stem} is its name, {folder} its folder."),
]
PrefixOption = Annotated[str | None, typer.Option("--prefix", help="Topic before the device's name.")]
TimeColumnOption = Annotated[
    str | None, typer.Option("--time-column", metavar="NAME", help="Column of times; found where not given.")
]
ValueColumnsOption = Annotated[
    list[str] | None, typer.Option("--value", metavar="NAME", help="Column of numbers, repeatable; else all.")
]
IgnoreOption = Annotated[
    list[str] | None, typer.Option("--ignore", metavar="NAME", help="Column to leave out, repeatable.")
]


def replay(
    files: FilesArgument,
    url: UrlOption = None,
    speed: SpeedOption = None,
    device: DeviceOption = None,
    prefix: PrefixOption = None,
    time_column: TimeColumnOption = None,
    value_columns: ValueColumnsOption = None,
    ignore: IgnoreOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Publish recorded data through the broker as devices would, with the times of the recording.

    Each CSV or Parquet file becomes one device, named after the file. The messages of a journal, and of a recording
    of `driftline record`, are published as they were.
    Prints what became of each file: rows read, published, acknowledged by the broker, skipped.

    Example: driftline replay machine_temperature.csv --speed 3600
    """
    from rich.console import Console

    from common.storage_errors import StorageCorruptError
    from driftline.cli.client import broker_url
    from driftline.cli.tables import Format, Rows, print_rows
    from driftline.runtime.replaying import replay as publish
    from tuning.recordings import RecordingError

    given = {
        "speed": speed,
        "device": device,
        "prefix": prefix,
        "time_column": time_column,
        "value_columns": value_columns,
        "ignore": ignore,
    }
    settings = _settings({name: value for name, value in given.items() if value is not None})
    broker = url or broker_url(data_folder(config, data))
    errors = Console(stderr=True)
    try:
        counts = publish(files, broker, settings, console=errors if errors.is_terminal else None, say=_say)
    except (RecordingError, StorageCorruptError, ValueError) as error:
        raise CommandError(str(error), code=Exit.USAGE) from None
    except OSError as error:
        raise CommandError(str(error), code=_exit_of(error)) from None
    columns = ["file", "topic", "rows", "published", "acknowledged", "skipped"]
    rows = [[str(c.file), c.topic, c.rows, c.published, c.acknowledged, c.skipped] for c in counts]
    print_rows(Rows(columns, rows), Format.TABLE)
    if any(count.acknowledged < count.published for count in counts):
        raise CommandError("not every message was acknowledged")


def _exit_of(error: OSError) -> Exit:
    from firmware_sim.publisher import BrokerUnreachableError

    return Exit.UNREACHABLE if isinstance(error, BrokerUnreachableError) else Exit.USAGE


def _settings(given: dict[str, object]) -> ReplaySettings:
    from pydantic import ValidationError

    from driftline.config_errors import model_errors, place
    from driftline.runtime.replaying import ReplaySettings

    try:
        return ReplaySettings.model_validate(given)
    except ValidationError as error:
        problems = model_errors(error, ReplaySettings, given)
        raise CommandError(
            *(f"--{place(path).replace('_', '-')}: {sentence}" for path, sentence in problems), code=Exit.USAGE
        ) from None


def _say(line: str) -> None:
    typer.echo(line, err=True)
