"""`driftline restore`: a backup becomes a data folder again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, data_folder


def restore(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `driftline backup` made.")],
    trust: Annotated[
        bool, typer.Option("--trust", help="Put back one that another user or machine made, or that has no seal.")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Check a backup and put it into a data folder that holds no data yet; `driftline up` goes on from there.

    A backup that another user or machine made holds accounts, and may hold models that run code when they are read: it
    needs --trust. The configuration of the backup is put beside the data, for you to use or to compare.

    Example: driftline restore /srv/backups/monday --data /srv/driftline
    """
    from driftline.runtime.data_backup import CONFIGURATION, BackupError
    from driftline.runtime.data_backup import restore as put_back
    from driftline.runtime.data_folder import DataFolder, FolderInUseError

    os.umask(0o077)
    folder = DataFolder(data_folder(config, data))
    try:
        files = put_back(directory, folder, trust=trust)
    except (BackupError, FolderInUseError, OSError) as error:
        raise CommandError(str(error)) from None
    with_config = f" --config {folder.path / CONFIGURATION}" if CONFIGURATION in files else ""
    typer.echo(f"restored {', '.join(files)}; go on with: driftline up --data {folder.path}{with_config}")
