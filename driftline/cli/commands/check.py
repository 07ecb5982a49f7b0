"""`driftline check`: is the configuration right?"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, Exit, configuration_file, read_config
from driftline.cli.tables import counted

if TYPE_CHECKING:
    from driftline.config import Config


class Engine(StrEnum):
    """What the configuration is to run on."""

    SERVICE = "service"
    SPARK = "spark"


def check(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The file to check.", show_default=False)] = None,
    config: ConfigOption = None,
    series: Annotated[
        int, typer.Option("--series", "-n", metavar="N", min=1, help="Series that the memory plan is for.")
    ] = 10_000,
    engine: Annotated[Engine, typer.Option("--for", help="What it is to run on.")] = Engine.SERVICE,
) -> None:
    """Validate the configuration and say everything that is wrong with it at once.

    Each error names the place, the value, what was expected and the nearest known name. Exit code 2 when there is one.
    The vectors of your own profiles, in the folder `profiles` beside the file, must give what they say.
    Files of secrets and certificates that the configuration names must be there, and readable by who asks.
    Where there is none, it warns of what is valid and hardly meant: a route that no message reaches, a detector that
    no route uses, a name from a topic level that is not there. The memory that each detector's state takes for so many
    series is listed. With --for spark, what does not run on Spark is an error too.

    Example: driftline check plant.toml
    """
    from driftline.config_errors import ConfigError
    from driftline.config_files import backup_folder_error, check_files
    from driftline.config_warnings import config_warnings, heard_topics
    from driftline.own_topics import own_topics_read

    chosen = configuration_file(file or config)
    settings = read_config(chosen)
    errors = [error] if (error := backup_folder_error(settings)) else []
    try:
        check_files(settings)
    except ConfigError as refused:
        errors = [*refused.errors, *errors]
    if engine is Engine.SPARK:
        errors += _unfit_for_spark(settings)
    if errors:
        raise CommandError(*errors, code=Exit.USAGE)
    _check_profiles(settings)
    name = str(chosen) if chosen else "no driftline.toml here, so the defaults"
    print(f"{name}: ok: {counted(len(settings.routes), 'route')}, {counted(len(settings.detectors), 'detector')}")
    if heard := heard_topics(settings):
        print(heard)
    for line in own_topics_read(settings):
        print(line)
    for line in config_warnings(settings):
        print(f"warning {line}")
    for line in memory_plan(settings, series):
        print(line)


def _unfit_for_spark(config: Config) -> list[str]:
    from driftline.cluster.spark_limits import unfit_for_spark

    return [f"{line}: this does not run on Spark" for line in unfit_for_spark(config)]


def _check_profiles(config: Config) -> None:
    from driftline.profile_check import vector_errors

    errors = [
        f"profiles/{profile.name}.toml: {error}"
        for profile in config.own_profiles
        for error in vector_errors(profile, config)
    ]
    if errors:
        raise CommandError(*errors, code=Exit.USAGE)
    for profile in config.own_profiles:
        print(f"profile {profile.name}: {counted(len(profile.vectors), 'vector')} give what they say")


def memory_plan(config: Config, series: int) -> list[str]:
    """A line for each detector: the bytes of state that one series or device takes, and what `series` of them take.

    A detector of rows has a state for each device of two metrics or more, so for half as many as there are series.
    """
    from detectors import detector_registry as registry
    from ingest.align import Aligner

    width = max(len(name) for name in config.detectors)
    lines = []
    for name, chosen in config.detectors.items():
        if registry.scores_rows(chosen.type):
            rows = registry.create_multivariate(chosen.type, chosen.parameters)
            each = rows.bytes_per_slot + Aligner(rows.channels).bytes_per_slot
            what, slots = "a device", series // 2
            count = f"{slots:,} devices, the most that so many series can be"
        else:
            each = registry.create(chosen.type, chosen.parameters).bytes_per_slot
            what, slots, count = "a series", series, f"{series:,}"
        size = _size(each * slots)
        lines.append(f"memory  {name:<{width}}  {chosen.type}: {each:,} bytes {what}, {size} for {count}")
    return lines


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.3g} {unit}" if count < 1000 else f"{count:,.0f} {unit}"
