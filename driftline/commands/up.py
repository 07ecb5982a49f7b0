"""`driftline up`: the service."""

from __future__ import annotations

from typing import Annotated

import typer

from driftline.console import ConfigOption, DataOption, configuration_file, data_folder, read_config


def up(
    config: ConfigOption = None,
    data: DataOption = None,
    demo: Annotated[bool, typer.Option("--demo", help="Add a simulated fleet with faults to find.")] = False,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port of the page and the API; 0 for any free one.")
    ] = None,
) -> None:
    """Run the service: broker (where none is configured), pipeline, database, page. Ctrl-C stops all of it.

    Prints what it started and the page's address, then a line of counts. A second start goes on with the data and the
    learned state. A change of the configuration file is picked up while running; an invalid one is refused.

    Example: driftline up --config plant.toml --data /srv/driftline
    """
    from driftline.service import Service

    settings = read_config(config)
    if port is not None:
        settings = settings.model_copy(update={"http": settings.http.model_copy(update={"port": port})})
    folder = data_folder(config, data)
    Service(settings, var_dir=folder, config_file=configuration_file(config), demo=demo).run()
