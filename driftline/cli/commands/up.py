"""`driftline up`: the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, configuration_file, data_folder, read_config

if TYPE_CHECKING:
    from driftline.config import Config


def up(
    config: ConfigOption = None,
    data: DataOption = None,
    demo: Annotated[bool, typer.Option("--demo", help="Add a simulated fleet with faults to find.")] = False,
    stack: Annotated[
        bool, typer.Option("--stack", help="Add VictoriaMetrics and Grafana, where they are on PATH.")
    ] = False,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port of the page and the API; 0 for any free one.")
    ] = None,
) -> None:
    """Run the service: broker (where none is configured), pipeline, database, page. Ctrl-C stops all of it.

    Prints what it started and the page's address, then a line of counts. A second start goes on with the data and the
    learned state. A change of the configuration file is picked up while running; an invalid one is refused.

    Example: driftline up --config plant.toml --data /srv/driftline
    """
    import logging

    from rich.console import Console
    from rich.logging import RichHandler

    from driftline.access.accounts import AccountError
    from driftline.access.gate import NoAccountError
    from driftline.http.server import PortTakenError
    from driftline.runtime.broker import BrokerError
    from driftline.runtime.data_folder import FolderInUseError
    from driftline.runtime.service import Service
    from driftline.runtime.stack import StackError, stack_beside
    from storage.store import StorageCorruptError, StorageFullError

    console = Console(stderr=True)
    handler = RichHandler(console=console, show_path=False, markup=False, highlighter=None)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    settings = read_config(config)
    if port is not None:
        settings = settings.model_copy(update={"http": settings.http.model_copy(update={"port": port})})
    folder = data_folder(config, data)

    def run(settings: Config) -> int:
        file = configuration_file(config)
        return Service(settings, var_dir=folder, config_file=file, demo=demo, console=console).run()

    try:
        if stack:
            with stack_beside(settings, folder, console.print) as with_stack:
                code = run(with_stack)
        else:
            code = run(settings)
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
