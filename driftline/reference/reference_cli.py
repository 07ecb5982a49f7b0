"""The generated page about the command line: every command's help, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from types import NoneType
from typing import Any, get_args

from firmware_sim.simulation_settings import SimulatorSettings
from firmware_sim.world_settings import WorldSettings
from pydantic import BaseModel
from typer.models import ArgumentInfo, OptionInfo

from driftline.cli.command_line import COMMANDS
from driftline.cli.commands.simulate import simulate
from driftline.cli.console import Exit
from driftline.reference.reference_settings import GENERATED, settings_table

EXITS = {
    Exit.OK: "It worked.",
    Exit.FAILED: "It failed; stderr says why.",
    Exit.USAGE: "The command line or the configuration is wrong; stderr names every error.",
    Exit.UNREACHABLE: "The broker, the service or its data could not be reached.",
}


def cli_page() -> str:
    """docs/reference/cli.md."""
    parts = [
        GENERATED,
        "# Commands",
        "Results go to stdout, everything else to stderr.",
        "## Exit codes",
        "\n".join(["| code | meaning |", "|---|---|", *(f"| {int(code)} | {EXITS[code]} |" for code in Exit)]),
    ]
    for _, command, _ in COMMANDS:
        parts += [f"## `driftline {command.__name__}`", _help(command), *_tables(command)]
        if command is simulate:
            parts += ["The simulator's own options:", _own_options(SimulatorSettings)]
            parts += ["With `--world NAME`, those of a world in place of them:", _own_options(WorldSettings)]
    return "\n\n".join(parts) + "\n"


def _own_options(settings: type[BaseModel]) -> str:
    return settings_table({f"--{name.replace('_', '-')}": info for name, info in settings.model_fields.items()})


def _help(command: Callable[..., None]) -> str:
    text = inspect.getdoc(command) or ""
    body, _, example = text.rpartition("Example: ")
    return f"{body.strip()}\n\n```sh\n{example.strip()}\n```"


def _tables(command: Callable[..., None]) -> list[str]:
    rows = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        kinds = get_args(parameter.annotation)
        info = next((each for each in kinds if isinstance(each, ArgumentInfo | OptionInfo)), None)
        if info is not None:
            rows.append(f"| {_names(info)} | {_default(parameter.default, info)} | {_meaning(kinds[0], info)} |")
    return ["\n".join(["| argument | default | meaning |", "|---|---|---|", *rows])] if rows else []


def _names(info: ArgumentInfo | OptionInfo) -> str:
    if isinstance(info, ArgumentInfo):
        return f"`{info.metavar}`"
    # Inside Annotated, typer takes an option's first name for its default.
    names = [name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]
    return ", ".join(f"`{name}`" for name in names) + (f" `{info.metavar}`" if info.metavar else "")


def _default(default: Any, info: ArgumentInfo | OptionInfo) -> str:
    if default is inspect.Parameter.empty:
        return "required"
    if default is None or default is False:
        return f"`${info.envvar}`" if info.envvar else ""
    return f"`{default.value if isinstance(default, Enum) else default}`"


def _meaning(kind: Any, info: ArgumentInfo | OptionInfo) -> str:
    members = [each for each in get_args(kind) if each is not NoneType] or [kind]
    text = info.help or ""
    if isinstance(members[0], type) and issubclass(members[0], Enum):
        text += f" One of {', '.join(f'`{each.value}`' for each in members[0])}."
    return text.replace("|", "\\|")
