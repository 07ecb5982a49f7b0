"""`driftline doctor`: what is wrong with this machine, if anything."""

from __future__ import annotations

import typer

from driftline.cli.console import ConfigOption, DataOption, Exit, data_folder, read_config


def doctor(config: ConfigOption = None, data: DataOption = None) -> None:
    """Look at everything that the service needs: broker, data folder, disk, clock, database, ports, versions.

    Prints one line a check and what to do where one fails; exit code 1 then. Changes nothing.

    Example: driftline doctor --config plant.toml
    """
    from rich.console import Console

    from driftline.runtime.diagnosis import Level, examine

    colours = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
    console = Console(highlight=False, soft_wrap=True)
    settings = read_config(config)
    failed = False
    for finding in examine(settings, data_folder(config, data)):
        failed |= finding.level is Level.FAIL
        console.print(f"[{colours[finding.level]}]{finding.level.value:<5}[/]{finding.check:<12}", end="")
        console.print(finding.message, markup=False)
    if failed:
        raise typer.Exit(Exit.FAILED)
