"""`driftline storage`: how long data stay and where, the archive's checksums, and the lines that a database refused."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, read_config
from driftline.cli.tables import Format, FormatOption, Rows, print_rows

if TYPE_CHECKING:
    from driftline.config import Config
    from driftline.runtime.data_folder import DataFolder
    from storage.retention import Step


class StorageAction(StrEnum):
    """What to do."""

    PLAN = "plan"
    APPLY = "apply"
    VERIFY = "verify"
    REFUSED = "refused"


def storage(
    action: Annotated[
        StorageAction,
        typer.Argument(help="plan: show; apply: set up; verify: the archive's checksums; refused: lines not taken."),
    ] = StorageAction.PLAN,
    form: FormatOption = Format.TABLE,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Show how long data stay in each store, and set the stores up accordingly.

    `plan` compares what is configured with what the stores have; `apply` makes them agree, and does nothing where they
    do. What only a person can do, such as a flag of VictoriaMetrics, is said.

    Example: driftline storage plan
    """
    from pathlib import Path

    from driftline.runtime.data_folder import DataFolder

    settings = read_config(config)
    folder = DataFolder(data if data is not None else Path(settings.data))
    if action is StorageAction.VERIFY:
        _verify(folder)
    elif action is StorageAction.REFUSED:
        _print_refused(folder, form)
    else:
        _plan(settings, form, do=action is StorageAction.APPLY)


def _plan(settings: Config, form: Format, *, do: bool) -> None:
    from storage.retention import apply, plan_embedded, plan_sink
    from storage.storage_settings import read_token

    steps = plan_embedded(settings.store, settings.archive)
    try:
        for sink in settings.sinks:
            steps += plan_sink(sink, read_token(sink, os.environ))
        done = apply(steps) if do else []
    except OSError as error:
        raise CommandError(str(error), code=Exit.UNREACHABLE) from None
    rows = [[step.store, step.subject, step.found, step.wanted, _todo(step, step in done)] for step in steps]
    print_rows(Rows(["store", "what", "found", "wanted", "to do"], rows), form)


def _todo(step: Step, done: bool) -> str:
    if done:
        return f"done: {step.action}"
    return step.action if step.apply is not None or not step.action else f"by hand: {step.action}"


def _verify(folder: DataFolder) -> None:
    from common.storage_errors import StorageCorruptError
    from driftline.cli.client import running_service
    from storage.embedded.database import EmbeddedStore

    if running_service(folder.path) is not None:
        raise CommandError("the service holds the database: stop it first")
    try:
        with EmbeddedStore(folder.database, read_only=True) as store:
            words = store.archive.verify(store.archived) if store.archive is not None else []
            count = len(store.archived)
    except (StorageCorruptError, OSError) as error:
        raise CommandError(str(error)) from None
    if words:
        raise CommandError(*words)
    print(f"{count} files, every checksum is right")


def _print_refused(folder: DataFolder, form: Format) -> None:
    from common.storage_errors import StorageCorruptError
    from storage.external.spool import refused_lines

    try:
        lines = refused_lines(folder.spool) if folder.spool.is_file() else []
    except (StorageCorruptError, OSError) as error:
        raise CommandError(str(error)) from None
    rows = Rows(["sink", "reason", "line"], [[line.sink, line.reason, line.line] for line in lines])
    print_rows(rows, form, none="No refused lines: every database took what it was sent")
