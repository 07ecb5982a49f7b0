"""`driftline correct`: move stored points whose times are wrong, since a clock was."""

from __future__ import annotations

from typing import Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, data_folder, read_config


def correct(
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="First wrong time, in ISO 8601.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="First time behind the wrong ones, in ISO 8601.")],
    by: Annotated[str, typer.Option(metavar="DURATION", help='How far to move them: "40d" later, "-40d" earlier.')],
    device: Annotated[list[str] | None, typer.Option(help="Only this device; may be given several times.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Move points of the embedded database in time, where a wrong clock dated them. The service must be stopped.

    Where a point stands at the new time already, both stay as they are. Points in the archive stay too.

    Example: driftline correct --from 2026-03-01 --to 2026-04-01 --by=-40d
    """
    from common.durations import parse_duration
    from common.storage_errors import StorageCorruptError, StorageFullError
    from devices.times import parse_time
    from driftline.runtime.data_folder import DataFolder, FolderInUseError
    from storage.embedded.database import EmbeddedStore

    folder = DataFolder(data_folder(config, data))
    try:
        first, last = parse_time(begin), parse_time(end)
        shift = -parse_duration(by[1:]) if by.startswith("-") else parse_duration(by)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if not folder.database.exists():
        raise CommandError(f'no data in "{folder.path}": name the service\'s folder with --data')
    try:
        folder.lock()
        try:
            with EmbeddedStore(folder.database, read_config(config).store) as store:
                moved, kept = store.move_times(first, last, shift, device)
        finally:
            folder.release()
    except (FolderInUseError, StorageCorruptError, StorageFullError, OSError) as error:
        raise CommandError(str(error)) from None
    typer.echo(f"{moved:,} points moved by {by}; {kept:,} left, since another point stands at their new time")
