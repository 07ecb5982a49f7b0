"""`driftline up`: the service."""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.cli.console import (
    CommandError,
    ConfigOption,
    DataOption,
    Exit,
    configuration_file,
    data_folder,
    read_config,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.text import Text

    from driftline.config import Config
    from storage.storage_settings import SinkSettings


DemoOption = Annotated[bool, typer.Option("--demo", help="Add a simulated fleet with faults to find.")]
StackOption = Annotated[bool, typer.Option("--stack", help="Add VictoriaMetrics and Grafana, where they are on PATH.")]
PortOption = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="Port of the page and the API; 0 for any free one.")
]


def up(
    config: ConfigOption = None,
    data: DataOption = None,
    demo: DemoOption = False,
    stack: StackOption = False,
    port: PortOption = None,
) -> None:
    """Run the service: broker (where none is configured), pipeline, database, page. Ctrl-C stops all of it.

    Prints what it started and the page's address, then a line of counts. A second start goes on with the data and the
    learned state. A change of the configuration file is picked up while running; an invalid one is refused.

    Example: driftline up --config plant.toml --data /srv/driftline
    """
    from rich.console import Console

    from common.storage_errors import StorageCorruptError, StorageFullError
    from driftline.access.accounts import AccountError
    from driftline.access.gate import NoAccountError
    from driftline.config import DEFAULT_FILE
    from driftline.config_errors import ConfigError
    from driftline.http.server import PortTakenError
    from driftline.runtime.broker import BrokerError
    from driftline.runtime.data_folder import FolderInUseError
    from driftline.runtime.service import Service
    from driftline.runtime.stack import StackError, stack_beside

    console = Console(stderr=True, soft_wrap=not sys.stderr.isatty())
    logging.basicConfig(level=logging.WARNING, handlers=[log_handler(console)])
    os.umask(0o077)
    settings = _with_port(read_config(config), port)
    folder = data_folder(config, data)

    def run(started: Config) -> int:
        beside = started.sinks[len(settings.sinks) :]  # The stack's.
        adjust = _adjusted_by(started.http.port if stack else port, beside)
        # A file that is made after the start is read as well.
        file = configuration_file(config) or DEFAULT_FILE
        return Service(started, var_dir=folder, config_file=file, demo=demo, console=console, adjust=adjust).run()

    try:
        if stack:
            with stack_beside(settings, folder, console.print) as with_stack:
                code = run(with_stack)
        else:
            code = run(settings)
    except ConfigError as error:
        raise CommandError(*error.errors, code=Exit.USAGE) from None
    except (
        StackError,
        AccountError,
        NoAccountError,
        BrokerError,
        FolderInUseError,
        PortTakenError,
        StorageCorruptError,
        StorageFullError,
        OSError,
    ) as error:
        raise CommandError(str(error)) from None
    raise typer.Exit(code)


def _adjusted_by(port: int | None, beside: list[SinkSettings]) -> Callable[[Config], Config]:
    """What the command line adds to a file that is read again, which does not say it."""

    def adjust(read: Config) -> Config:
        with_port = _with_port(read, port)
        return with_port.model_copy(update={"sinks": [*with_port.sinks, *beside]})

    return adjust


def log_handler(console: Console) -> logging.Handler:
    """Shows the log on the console, with nothing in it that could act on a terminal.

    In a file or a journal each message is one line: what is broken at 80 columns cannot be searched for.
    """
    from rich.logging import RichHandler

    from driftline.runtime.visible_log import VisibleFormatter

    if not console.is_terminal:
        lines = logging.StreamHandler(console.file)
        formatter = VisibleFormatter("%(asctime)s UTC %(levelname)-8s %(message)s", "%Y-%m-%d %H:%M:%S")
        formatter.converter = time.gmtime
        lines.setFormatter(formatter)
        return lines
    handler = RichHandler(
        console=console,
        show_path=False,
        markup=False,
        highlighter=None,
        log_time_format=_utc,
        omit_repeated_times=False,
    )
    handler.setFormatter(VisibleFormatter("%(message)s"))
    return handler


def _with_port(settings: Config, port: int | None) -> Config:
    if port is None:
        return settings
    return settings.model_copy(update={"http": settings.http.model_copy(update={"port": port})})


def _utc(local: datetime) -> Text:
    """Times on the command line are UTC, and say so."""
    from rich.text import Text

    return Text(f"{local.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
