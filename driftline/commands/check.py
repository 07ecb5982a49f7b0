"""`driftline check`: is the configuration right?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from driftline.console import ConfigOption, configuration_file, read_config


def check(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The file to check.", show_default=False)] = None,
    config: ConfigOption = None,
) -> None:
    """Validate the configuration and say everything that is wrong with it at once.

    Each error names the place, the value, what was expected and the nearest known name. Exit code 2 when there is one.

    Example: driftline check plant.toml
    """
    chosen = configuration_file(file or config)
    settings = read_config(chosen)
    name = str(chosen) if chosen else "no driftline.toml here, so the defaults"
    print(f"{name}: ok: {_count(len(settings.routes), 'route')}, {_count(len(settings.detectors), 'detector')}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
