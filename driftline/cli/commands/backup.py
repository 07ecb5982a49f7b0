"""`driftline backup`: a consistent copy of everything that outlives a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, configuration_file, data_folder, read_config


def backup(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make; it must not hold anything yet.")],
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Copy database, journal, learned state and configuration into a folder, while the service runs or is stopped.

    Messages that wait at the broker are the broker's own and are not in it.

    Example: driftline backup /srv/backups/monday
    """
    from common.storage_errors import StorageCorruptError, StorageFullError
    from driftline.cli.client import running_service
    from driftline.runtime.data_backup import BackupError, ask_running_service, back_up
    from driftline.runtime.data_folder import DataFolder, FolderInUseError
    from storage.embedded.database import EmbeddedStore

    os.umask(0o077)
    folder = DataFolder(data_folder(config, data))
    try:
        if running_service(folder.path) is not None:
            size = ask_running_service(folder.path, directory, alive=lambda: running_service(folder.path) is not None)
        elif not folder.database.exists():
            raise BackupError(f'no data in "{folder.path}": name the service\'s folder with --data')
        else:
            folder.lock()
            try:
                with EmbeddedStore(folder.database, read_config(config).store) as store:
                    size = back_up(folder, store, configuration_file(config), directory)
            finally:
                folder.release()
    except (BackupError, FolderInUseError, StorageCorruptError, StorageFullError, OSError) as error:
        raise CommandError(str(error)) from None
    typer.echo(f"{directory}: {size / 2**20:.1f} MiB")
