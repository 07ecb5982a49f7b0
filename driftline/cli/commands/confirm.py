"""`driftline confirm`: tell the service that something which it shows red is as it should be."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, data_folder


class Subject(StrEnum):
    """What is confirmed."""

    CLOCK = "clock"
    STORAGE = "storage"


def confirm(
    subject: Annotated[
        Subject,
        typer.Argument(
            help="clock: the host's clock is right as it stands now; storage: go on with what is left of the data."
        ),
    ],
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Confirm what the service cannot decide by itself, so that it is no longer shown red.

    A service that does not run takes it up at its next start.

    Example: driftline confirm clock
    """
    from driftline.runtime.confirmations import SUBJECTS, ask_to_confirm
    from driftline.runtime.data_folder import DataFolder

    folder = data_folder(config, data)
    parts = DataFolder(folder)
    if not (parts.database.exists() or parts.journal.exists()):
        raise CommandError(f'no data in "{folder}": name the service\'s folder with --data')
    try:
        ask_to_confirm(folder, subject.value)
    except OSError as error:
        raise CommandError(f"{folder}: {error.strerror or error}") from None
    typer.echo(f"confirmed: {SUBJECTS[subject.value]}")
